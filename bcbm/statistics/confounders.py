"""How much the scanner, the year or the age of a patient tells about the targets, before any image does.

A cohort where the positive patients were scanned on another machine lets a network read the machine. The
question is asked a patient at a time: lesions of one patient share scanner and target and are not evidence.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import false_discovery_control, mannwhitneyu

from bcbm.cohort.download import ACQUISITION_COLUMNS
from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.targets import TARGETS
from bcbm.statistics.metrics import auroc

ALWAYS_NUMBERS = {"age", "year"}
MANY = 10  # more distinct numbers than this are a scale, fewer are kinds: 1.5 T and 3 T
PERMUTATIONS = 2000


def confounders(
    table: pd.DataFrame,
    targets: Sequence[str] = tuple(TARGETS),
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Test every acquisition column against every target, one row a patient.

    A patient counts with its label and the value of the first study that enters; patients without either
    drop out of that test, and lesions that are excluded out of all. A column of numbers gives its AUROC
    (below 0.5: lower in positive patients) and the p of Mann and Whitney, a column of kinds Cramér's V
    without its bias and a permutation p. `q` is p after Benjamini and Hochberg over all tests returned.

    Sources: Mann and Whitney, Ann Math Stat 18:50, 1947; Bergsma, J Korean Stat Soc 42:323, 2013;
    Phipson and Smyth, Stat Appl Genet Mol Biol 9:39, 2010; Benjamini and Hochberg, J R Stat Soc B 57:289,
    1995.

    Args:
        table: the lesion table; acquisition columns are text, "" where missing.
        targets: columns of 1, 0 and NaN.
        permutations: random orders of the labels behind the p of a column of kinds.
        seed: of those.

    Returns:
        Plain dictionaries, the smallest p first: column, target, test, effect, p, q, patients, and levels,
        a list of {level, patients, positives, rows_share}, empty for numbers. `rows_share` is the share of
        the lesions whose own study has that value. A column with one value and a target with one class
        give no test.
    """
    lesions = table[~table["excluded"].astype(bool)]
    labels = patient_labels(lesions[list(targets)], lesions["patient_id"])
    results = []
    for column in ACQUISITION_COLUMNS:
        if column not in lesions:
            continue
        values, is_scale = read_cells(lesions[column], column)
        for target in targets:
            known = values.notna() & lesions[target].notna()
            rows = lesions.loc[known, ["patient_id", "study_id"]]
            rows = rows.assign(value=values[known], label=rows["patient_id"].map(labels[target]).astype(int))
            patients = first_studies(rows, lesions)
            if patients["value"].nunique() < 2 or patients["label"].nunique() < 2:
                continue
            tested = _scale(patients) if is_scale else _kinds(patients, rows, permutations, seed)
            results.append({"column": column, "target": target, "patients": len(patients), **tested})
    if results:
        adjusted = false_discovery_control([result["p"] for result in results])
        results = [{**result, "q": float(q)} for result, q in zip(results, adjusted, strict=True)]
    return sorted(results, key=lambda result: float(result["p"]))


def cramers_v(counts: npt.ArrayLike) -> float:
    """Association of a contingency table (rows, columns), 0 none to 1 full, less what chance alone gives.

    Bergsma, J Korean Stat Soc 42:323, 2013. Zero where every case is a kind of its own.
    """
    counts = np.asarray(counts, dtype=np.float64)
    cases = counts.sum()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / cases
    phi = np.sum((counts - expected) ** 2 / expected) / cases
    rows, columns = counts.shape
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (cases - 1))
    rows_left = rows - (rows - 1) ** 2 / (cases - 1)
    columns_left = columns - (columns - 1) ** 2 / (cases - 1)
    room = min(rows_left, columns_left) - 1
    return float(np.sqrt(phi / room)) if room > 1e-12 else 0.0


def permutation_p(levels: npt.ArrayLike, labels: npt.ArrayLike, permutations: int, seed: int) -> float:
    """Share of random orders of the labels whose Pearson chi-square is at least the observed one.

    The observed order counts as one of them, so that p is never 0 (Phipson and Smyth, 2010).

    Args:
        levels: the kind of each case, shape (N,).
        labels: 0 or 1, both present, shape (N,).
        permutations: random orders.
        seed: of the orders.
    """
    kind, code = np.unique(np.asarray(levels, dtype=str), return_inverse=True)
    labels = np.asarray(labels, dtype=np.float64)
    rng = np.random.default_rng(seed)
    orders = np.stack([labels, *(rng.permutation(labels) for _ in range(permutations))], axis=1)
    member = (code == np.arange(len(kind))[:, None]).astype(np.float64)
    size, share = member.sum(axis=1)[:, None], labels.mean()
    # With two classes chi-square needs the positives of each kind only: (kinds, 1 + permutations) at once.
    chi_square = np.sum((member @ orders - size * share) ** 2 / (size * share * (1 - share)), axis=0)
    as_far = chi_square[1:] >= chi_square[0] * (1 - 1e-9)  # equal tables differ in the last digit
    return float((1 + as_far.sum()) / (1 + permutations))


def read_cells(cells: pd.Series, column: str) -> tuple[pd.Series, bool]:
    """An acquisition column as numbers where it is a scale, else as tidy text; NaN where missing.

    Returns:
        The values, on the index of the cells, and whether they are a scale.
    """
    text = cells.astype("str").str.strip()
    text = text.mask(text.str.lower().isin(["", "nan", "none"]))
    numbers = pd.to_numeric(text, errors="coerce")
    all_numbers = bool((numbers.notna() | text.isna()).all())
    if column in ALWAYS_NUMBERS or (all_numbers and numbers.nunique() > MANY):
        return numbers, True
    if all_numbers:  # 3 and 3.0 are the same field strength
        text = numbers.map("{:g}".format, na_action="ignore")
    return text, False


def first_studies(rows: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """One of the rows a patient: of the patient's first study, and none where that study is not there.

    Args:
        rows: with columns patient_id and study_id.
        lesions: those that decide which study comes first, with the same columns.
    """
    studies = lesions.drop_duplicates("study_id")
    session = pd.to_numeric(studies["study_id"].str.extract(r"(\d+)$")[0])  # session 10 follows session 9
    first = studies.loc[session.sort_values(kind="stable").index].drop_duplicates("patient_id")["study_id"]
    return rows[rows["study_id"].isin(first)].drop_duplicates("patient_id")


def _scale(patients: pd.DataFrame) -> dict[str, Any]:
    positive = patients["label"] == 1
    p = mannwhitneyu(patients.loc[positive, "value"], patients.loc[~positive, "value"]).pvalue
    effect = auroc(patients["label"], patients["value"])
    return {"test": "AUROC, Mann-Whitney", "effect": effect, "p": float(p), "levels": []}


def _kinds(patients: pd.DataFrame, rows: pd.DataFrame, permutations: int, seed: int) -> dict[str, Any]:
    counts = pd.crosstab(patients["value"], patients["label"])
    shares = rows["value"].value_counts(normalize=True)
    levels = [
        {
            "level": str(level),
            "patients": int((patients["value"] == level).sum()),
            "positives": int(patients.loc[patients["value"] == level, "label"].sum()),
            "rows_share": float(share),
        }
        for level, share in shares.items()
    ]
    return {
        "test": "Cramér's V, permutation",
        "effect": cramers_v(counts),
        "p": permutation_p(patients["value"], patients["label"], permutations, seed),
        "levels": levels,
    }
