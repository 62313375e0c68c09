"""Is one experiment better than another? Both predict the same patients in the same folds."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import false_discovery_control, rankdata
from scipy.stats import t as student

from bcbm.statistics.metrics import Floats
from bcbm.statistics.resampling import percentile_interval, resampled_aurocs, resampled_counts

KEY = ["repeat", "patient_id"]


@dataclass(frozen=True)
class Difference:
    """AUROC(a) - AUROC(b), mean over repeats, with its 95 % interval and two-sided p; NaN for one class."""

    difference: float
    low: float
    high: float
    p: float


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


def paired_bootstrap(a: pd.DataFrame, b: pd.DataFrame, resamples: int, seed: int) -> Difference:
    """Difference of two AUROCs, both from the same drawn patients (Efron and Tibshirani, 1993, chapter 16).

    p is twice the share of resamples on the far side of 0, where the observed difference counts as one of
    them, so that it is never 0 (Davison and Hinkley, 1997, chapter 4). Arguments as of `aligned`.
    """
    a, b = aligned(a, b)
    names, group = np.unique(a["patient_id"].to_numpy(), return_inverse=True)
    drawn = resampled_counts(np.random.default_rng(seed), len(names), resamples)
    counts = np.concatenate([np.ones((1, len(names))), drawn])  # the first is the observed one
    labels, repeats = a["label"].to_numpy(), a["repeat"].to_numpy()
    ours, theirs = (
        resampled_aurocs(labels, table["probability"].to_numpy(), group, counts, repeats) for table in (a, b)
    )
    observed, statistics = float((ours - theirs)[0]), (ours - theirs)[1:]
    low, high = percentile_interval(statistics)
    if math.isnan(observed):
        return Difference(observed, low, high, math.nan)
    defined = statistics[~np.isnan(statistics)]
    tails = [1 + np.sum(defined <= 1e-12), 1 + np.sum(defined >= -1e-12)]
    return Difference(observed, low, high, float(min(1.0, 2 * min(tails) / (1 + len(defined)))))


def paired_permutation(a: pd.DataFrame, b: pd.DataFrame, permutations: int, seed: int) -> float:
    """Two-sided p of the difference of two AUROCs under the exchange of the experiments, patient by patient.

    Scores are put on midranks within repeat first, so that the experiments' scales do not matter, and a
    patient is exchanged in all repeats at once (Bandos, Rockette and Gur, Stat Med 24:2873, 2005). The
    observed order counts as one (Phipson and Smyth, Stat Appl Genet Mol Biol 9:39, 2010).

    With e = 1 for a patient left and -1 for one exchanged, the part of a pair (i, j) in the difference is
    ((e_i + e_j)(aa - bb) + (e_i - e_j)(ab - ba)) / 2, where ab is 1 if i's rank in a is above j's in b: the
    difference is linear in e, and no permutation has to look at pairs. Arguments as of `aligned`.

    Example:
        All six patients in order by `right`, all in reverse by `wrong`: as far apart are only the two of 64
        exchanges that leave or swap everybody, p = 0.03. A rising curve over scores changes no rank: p = 1.

        >>> right = pd.DataFrame({"repeat": 0, "patient_id": list("abcdef"), "label": [0, 0, 0, 1, 1, 1]})
        >>> right["probability"] = [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]
        >>> wrong = right.assign(probability=1 - right["probability"])
        >>> round(paired_permutation(right, wrong, permutations=999, seed=0), 2)
        0.03
        >>> paired_permutation(right, right.assign(probability=right["probability"] ** 2), 999, seed=0)
        1.0
    """
    a, b = aligned(a, b)
    names, patient = np.unique(a["patient_id"].to_numpy(), return_inverse=True)
    weights = np.zeros(len(names))
    repeats = a["repeat"].to_numpy()
    for repeat in np.unique(repeats):
        rows = repeats == repeat
        positive = a.loc[rows, "label"].to_numpy() == 1
        pairs = positive.sum() * (~positive).sum()
        if not pairs:
            return math.nan
        ranks = [rankdata(table.loc[rows, "probability"]) for table in (a, b)]
        (aa, ab), (ba, bb) = ([_above(x[positive], y[~positive]) for y in ranks] for x in ranks)
        owner = patient[rows]
        weights[owner[positive]] += (aa - bb + ab - ba).sum(axis=1) / (2 * pairs)
        weights[owner[~positive]] += (aa - bb - ab + ba).sum(axis=0) / (2 * pairs)
    if not len(names):
        return math.nan
    signs = np.random.default_rng(seed).integers(0, 2, size=(permutations, len(names))) * 2 - 1
    as_far = np.abs(signs @ weights) >= abs(weights.sum()) - 1e-12
    return float((1 + as_far.sum()) / (1 + permutations))


def nadeau_bengio(differences: npt.ArrayLike, test_train: float) -> tuple[float, float]:
    """Corrected resampled t test of one difference a fold (Nadeau and Bengio, Mach Learn 52:239, 2003).

    Folds share training patients, so the variance of their mean is taken as (1/J + n_test/n_train) s².

    Args:
        differences: of the two experiments in each fold of all repeats, shape (J,); NaN, a fold of one
            class, is left out.
        test_train: patients tested over patients trained on, 1 / (k - 1) for k folds.

    Returns:
        t and its two-sided p with J - 1 degrees of freedom; NaN for less than two folds or no spread.
    """
    defined = np.asarray(differences, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    folds = len(defined)
    if folds < 2 or np.ptp(defined) == 0:
        return math.nan, math.nan
    t = defined.mean() / math.sqrt((1 / folds + test_train) * defined.var(ddof=1))
    return float(t), float(2 * student.sf(abs(t), folds - 1))


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """q values of tests (K,), NaN left out and kept (Benjamini and Hochberg, J R Stat Soc B 57:289, 1995)."""
    p = np.asarray(p, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    defined = ~np.isnan(p)
    if defined.any():
        q[defined] = false_discovery_control(p[defined])
    return q


def _above(x: Floats, y: Floats) -> Floats:
    """1 where x is above y, one half where equal, shape (X, Y)."""
    return (np.sign(x[:, None] - y) + 1) / 2
