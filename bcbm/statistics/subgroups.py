"""Are patients of every kind told apart alike? The AUROC of subgroups, and whether they differ."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import chi2

from bcbm.statistics.area import Area, Contrast, contrast, cross_validated_area, holding_models_fixed
from bcbm.statistics.confounders import first_studies, read_cells
from bcbm.statistics.paired import benjamini_hochberg
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


def subgroup_tests(patients: pd.DataFrame, levels: pd.DataFrame, targets: list[str]) -> list[SubgroupTest]:
    """AUROC of every level of every subgroup, and whether a subgroup's levels differ, target by target.

    Args:
        patients: of `patient_level` by fold, out-of-fold predictions of all targets.
        levels: of `patient_levels`.
        targets: those to test.

    Returns:
        One a subgroup and target. A level with less than FEWEST patients of a class, or no two of them in one
        fold, has counts and no figure, NaN; p needs two levels with figures; q is p after Benjamini and
        Hochberg over all tests. A subgroup of one level gives none.
    """
    tests: list[SubgroupTest] = []
    columns = ["repeat", "fold", "patient_id", "label", "probability"]
    rows_of = {target: patients.loc[patients["target"] == target, columns] for target in targets}
    for subgroup in map(str, levels):
        names = levels[subgroup].cat.categories
        if len(names) < 2:
            continue
        for target, rows in rows_of.items():
            level = rows["patient_id"].map(levels[subgroup]).astype("object")
            blocks, areas = [], []
            for name in names:
                block, area = _level(str(name), rows[level == name])
                blocks.append(block)
                areas += [area] * (not math.isnan(block["auroc"]))
            unknown, p = int(rows.loc[level.isna(), "patient_id"].nunique()), heterogeneity_p(areas)
            tests.append(
                {"subgroup": subgroup, "target": target, "levels": blocks, "unknown": unknown, "p": p, "q": p}
            )
    for test, q in zip(tests, benjamini_hochberg([test["p"] for test in tests]), strict=True):
        test["q"] = float(q)
    return tests


def heterogeneity_p(areas: Sequence[Area]) -> float:
    """Do areas of different patients differ? Squared distances from their weighted mean, by their variances.

    Cochran (Biometrics 10:101, 1954), with the variance that each area has at the mean, so that one whose
    classes do not overlap keeps a variance; chi-square with one degree of freedom less than there are areas.
    The same models serve all levels, so what another training would change is no part of these variances:
    with it, 1 % of simulated cohorts without a difference had a p below 0.05, without it 4 to 5 %
    (`tests/benchmarks/subgroup_level.py`).

    Args:
        areas: of disjoint patients, all defined.

    Returns:
        p; NaN for less than two areas.
    """
    if len(areas) < 2:
        return math.nan
    fixed = [holding_models_fixed(area) for area in areas]
    values = np.array([area.auroc for area in fixed])
    mean = float(values.mean())
    for _ in range(2):  # weights of the mean, then variances at it
        variances = np.array([area.variance(mean) for area in fixed])
        if not variances.all():
            return 1.0
        mean = float(np.average(values, weights=1 / variances))
    return float(chi2.sf(np.sum((values - mean) ** 2 / variances), len(areas) - 1))


def _level(name: str, rows: pd.DataFrame) -> tuple[SubgroupLevel, Area]:
    once = rows.groupby("patient_id")["label"].first()
    positives, negatives = int((once == 1).sum()), int((once == 0).sum())
    area = cross_validated_area(rows)
    enough = min(positives, negatives) >= FEWEST
    figures = contrast([area], [1.0], 0.5) if enough else Contrast(*[math.nan] * 4)
    return {
        "level": name,
        "positives": positives,
        "negatives": negatives,
        "auroc": figures.estimate,
        "auroc_low": figures.low,
        "auroc_high": figures.high,
    }, area


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
