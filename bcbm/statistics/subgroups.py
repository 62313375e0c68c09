"""Are patients of every kind told apart alike? The AUROC of subgroups, and whether they differ."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.statistics.confounders import first_studies, read_cells
from bcbm.statistics.metrics import Floats, auroc, mean_or_nan
from bcbm.statistics.paired import benjamini_hochberg
from bcbm.statistics.resampling import bootstrap_auroc as auroc_interval
from bcbm.statistics.results import SubgroupLevel, SubgroupTest

FEWEST = 5  # patients of each class; a smaller level has counts and no figure
SUBGROUPS = ("age", "sex", "number of lesions", "volume of lesions", "manufacturer", "field strength", "side")


def patient_levels(lesions: pd.DataFrame) -> pd.DataFrame:
    """The level of every patient in each subgroup.

    Age and total volume are halved at the median of the patients. Age, sex and scanner are those of the
    patient's first study. Field strengths count to the nearest half tesla (1.494 is 1.5). A patient is on the
    left or on the right if all of its lesions are, and on both sides if both have one; lesions of the midline
    count for neither side, and a lesion of unknown side leaves its patient unknown unless both sides have
    one anyway.

    Args:
        lesions: those that enter, with the columns of the lesion table; what is missing or empty is unknown.

    Returns:
        Indexed by patient_id, a categorical column each of SUBGROUPS, its levels in order; NaN is unknown.
    """
    first = first_studies(lesions, lesions).set_index("patient_id")
    text = {
        name: read_cells(first.get(name, pd.Series("", first.index)), name)[0]
        for name in ("age", "sex", "manufacturer", "field_strength")
    }
    patients = lesions.groupby("patient_id")
    volume = patients["volume"].agg(lambda values: values.sum(skipna=False))
    tesla = (2 * pd.to_numeric(text["field_strength"], errors="coerce")).round() / 2
    levels = {
        "age": _halves(text["age"], " years"),
        "sex": _kinds(text["sex"]),
        "number of lesions": _ordered(
            pd.Series(np.where(patients.size() == 1, "one lesion", "several lesions"), patients.size().index),
            ["one lesion", "several lesions"],
        ),
        "volume of lesions": _halves(volume, " mm³"),
        "manufacturer": _kinds(text["manufacturer"]),
        "field strength": _kinds(tesla.map("{:g} T".format, na_action="ignore")),
        "side": _sides(lesions),
    }
    return pd.DataFrame(levels).rename_axis("patient_id")


def subgroup_tests(
    patients: pd.DataFrame, levels: pd.DataFrame, targets: list[str], resamples: int, seed: int
) -> list[SubgroupTest]:
    """AUROC of every level of every subgroup, and whether a subgroup's levels differ, target by target.

    Args:
        patients: of `patient_level`, out-of-fold predictions of all targets.
        levels: of `patient_levels`.
        targets: those to test.
        resamples: bootstrap draws of patients, and permutations of their levels.
        seed: of both.

    Returns:
        One a subgroup and target. A level with less than FEWEST patients of a class has counts and no
        figure, NaN; p needs two levels with figures; q is p after Benjamini and Hochberg over all tests. A
        subgroup of one level gives none.
    """
    tests: list[SubgroupTest] = []
    for subgroup in map(str, levels):
        names = levels[subgroup].cat.categories
        if len(names) < 2:
            continue
        for target in targets:
            rows = patients[patients["target"] == target]
            level = rows["patient_id"].map(levels[subgroup]).astype("object")
            blocks = [_level(str(name), rows[level == name], resamples, seed) for name in names]
            shown = level.isin([block["level"] for block in blocks if not math.isnan(block["auroc"])])
            p = interaction_p(rows[shown], level[shown], resamples, seed)
            unknown = int(rows.loc[level.isna(), "patient_id"].nunique())
            tests.append(
                {"subgroup": subgroup, "target": target, "levels": blocks, "unknown": unknown, "p": p, "q": p}
            )
    for test, q in zip(tests, benjamini_hochberg([test["p"] for test in tests]), strict=True):
        test["q"] = float(q)
    return tests


def interaction_p(patients: pd.DataFrame, level: pd.Series, permutations: int, seed: int) -> float:
    """Do levels differ in their AUROC? p of permuting the levels over the patients of each class.

    The statistic is that of Cochran (Biometrics 10:101, 1954): squared distances of the levels' AUROCs, means
    over repeats, from their weighted mean, by their variance (DeLong et al., Biometrics 44:837, 1988).
    Divided by its variance, the difference keeps its level where classes or levels differ in spread or size,
    which a permutation of the plain difference does not (Janssen, Stat Probab Lett 36:9, 1997; Pauly,
    Asendorf and Konietschke, Biom J 58:1319, 2016). The observed order counts as one (Phipson and Smyth, Stat
    Appl Genet Mol Biol 9:39, 2010).

    Args:
        patients: patient-level predictions of one target, each patient once in every repeat; columns repeat,
            patient_id, probability and label.
        level: of each row.
        permutations: random orders.
        seed: of the orders.

    Returns:
        p; NaN for less than two levels, or where one has less than two patients of a class.
    """
    once = patients.assign(level=level).groupby("patient_id").first()
    code = pd.factorize(once["level"], sort=True)[0]
    positive = once["label"].to_numpy() == 1
    if code.max(initial=0) < 1 or min(np.bincount(2 * code + positive)) < 2:
        return math.nan
    scores = patients.pivot(index="patient_id", columns="repeat", values="probability").to_numpy().T
    pairs = np.mean([(np.sign(x[positive, None] - x[~positive]) + 1) / 2 for x in scores], axis=0)
    rng = np.random.default_rng(seed)
    orders = []
    for codes in (code[positive], code[~positive]):
        drawn = rng.permuted(np.tile(codes, (permutations, 1)), axis=1)
        orders.append(np.concatenate([codes[None], drawn]))  # the first is the observed one
    heterogeneity = _heterogeneity(pairs, *orders)
    as_far = heterogeneity[1:] >= heterogeneity[0] * (1 - 1e-9)
    return float((1 + as_far.sum()) / (1 + permutations))


def _heterogeneity(pairs: Floats, of_positives: npt.NDArray, of_negatives: npt.NDArray) -> Floats:
    """Cochran's statistic of B assignments of levels.

    The variance of a level is no smaller than with a single pair in the wrong order: where the classes do
    not overlap, the estimate is none.

    Args:
        pairs: share of repeats in which a positive is above a negative, (P, N).
        of_positives: their levels, (B, P).
        of_negatives: (B, N).
    """
    areas, weights = [], []
    for level in range(of_positives[0].max() + 1):
        rows, columns = ((codes == level).astype(np.float64) for codes in (of_positives, of_negatives))
        positives, negatives = rows[0].sum(), columns[0].sum()
        of_rows, of_columns = columns @ pairs.T / negatives, rows @ pairs / positives
        area = (rows * of_rows).sum(axis=1) / positives
        variance = np.zeros(len(area))
        for member, placement, count in ((rows, of_rows, positives), (columns, of_columns, negatives)):
            squares = (member * placement**2).sum(axis=1) - count * area**2
            variance += squares / (count - 1) / count
        areas.append(area)
        weights.append(1 / np.maximum(variance, 2 / (positives * negatives) ** 2))
    mean = np.average(areas, axis=0, weights=weights)
    return np.sum(weights * (areas - mean) ** 2, axis=0)


def _level(name: str, rows: pd.DataFrame, resamples: int, seed: int) -> SubgroupLevel:
    once = rows.groupby("patient_id")["label"].first()
    counts = {"positives": int((once == 1).sum()), "negatives": int((once == 0).sum())}
    area = low = high = math.nan
    if min(counts.values()) >= FEWEST:
        repeats = [repeat for _, repeat in rows.groupby("repeat")]
        area = mean_or_nan([auroc(repeat["label"], repeat["probability"]) for repeat in repeats])
        columns = rows["label"], rows["probability"], rows["patient_id"]
        low, high = auroc_interval(*columns, resamples, seed, rows["repeat"])
    return {
        "level": name,
        "positives": counts["positives"],
        "negatives": counts["negatives"],
        "auroc": area,
        "auroc_low": low,
        "auroc_high": high,
    }


def _halves(values: pd.Series, unit: str) -> pd.Series:
    """At the median, which belongs to the lower half."""
    numbers = pd.to_numeric(values, errors="coerce")
    median = numbers.median()
    names = [f"up to {median:,.0f}{unit}", f"over {median:,.0f}{unit}"]
    halves = pd.Series(np.where(numbers <= median, *names), numbers.index).where(numbers.notna())
    return _ordered(halves, names)


def _kinds(values: pd.Series) -> pd.Series:
    return _ordered(values, sorted(values.dropna().unique()))


def _sides(lesions: pd.DataFrame) -> pd.Series:
    seen = pd.crosstab(lesions["patient_id"], lesions["hemisphere"]) > 0
    left, right, unknown = (
        seen.get(name, pd.Series(False, seen.index)) for name in ("left", "right", "unknown")
    )
    names = ["left only", "right only", "both sides"]
    side = np.select([left & right, left & ~unknown, right & ~unknown], [names[2], names[0], names[1]], "")
    return _ordered(pd.Series(side, seen.index).replace("", np.nan), names)


def _ordered(values: pd.Series, names: list[str]) -> pd.Series:
    """Categorical, of the names that are there."""
    there = [name for name in names if (values == name).any()]
    return values.astype(pd.CategoricalDtype(there, ordered=True))
