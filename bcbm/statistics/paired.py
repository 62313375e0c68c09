"""Is one experiment better than another? Both predict the same patients in the same folds."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import false_discovery_control

from bcbm.statistics.area import Contrast, contrast, cross_validated_area
from bcbm.statistics.metrics import Floats

KEY = ["repeat", "patient_id"]


def aligned(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables in the same order of repeat and patient.

    Args:
        a: the patient-level predictions of one target, columns repeat, patient_id, probability and label.
        b: those of the other experiment.

    Raises:
        ValueError: repeats, patients or labels differ, or a table has a patient twice in a repeat.
    """
    for name, table in (("a", a), ("b", b)):
        twice = table[table.duplicated(KEY)]
        if len(twice):
            patient, repeat = twice.iloc[0][["patient_id", "repeat"]]
            raise ValueError(
                f"{name} has patient {patient} more than once in repeat {repeat}: give the patient-level "
                "predictions of one target"
            )
    for column in KEY[:1], KEY:
        keys = [set(table[column].itertuples(index=False, name=None)) for table in (a, b)]
        if keys[0] != keys[1]:
            first = min(keys[0] ^ keys[1])
            where = "a" if first in keys[0] else "b"
            row = ", ".join(f"{name} {value}" for name, value in zip(column, first, strict=True))
            raise ValueError(
                f"the experiments cannot be paired: {row} is in {where} only; both need the same cohort, "
                "split and target"
            )
    a, b = (table.sort_values(KEY, ignore_index=True) for table in (a, b))
    other = a["label"] != b["label"]
    if other.any():
        patient, label = a.loc[other, ["patient_id", "label"]].iloc[0]
        raise ValueError(
            f"the experiments cannot be paired: the label of {other.sum()} rows differs, the first is "
            f"patient {patient}, {label:g} in a and {b.loc[other, 'label'].iloc[0]:g} in b"
        )
    return a, b


def paired_difference(a: pd.DataFrame, b: pd.DataFrame) -> Contrast:
    """AUROC(a) - AUROC(b), the mean over folds, with its interval and p; see `area.contrast`.

    Args:
        a: as of `aligned`, and with column fold.
        b: likewise, in the same folds.

    Raises:
        ValueError: as `aligned`.
    """
    return contrast([cross_validated_area(side) for side in aligned(a, b)], [1.0, -1.0], 0.0)


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """q values of tests (K,), NaN left out and kept (Benjamini and Hochberg, J R Stat Soc B 57:289, 1995)."""
    p = np.asarray(p, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    defined = ~np.isnan(p)
    if defined.any():
        q[defined] = false_discovery_control(p[defined])
    return q
