"""Subgroups: who belongs where, what a level's figures are, and what the test of their difference finds."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2
from sklearn.metrics import roc_auc_score

from bcbm.statistics.area import contrast, cross_validated_area, holding_models_fixed
from bcbm.statistics.subgroups import FEWEST, SUBGROUPS, heterogeneity_p, patient_levels, subgroup_tests


def lesion(patient, **cells):
    """A row of the lesion table of a patient's first study, unless it says otherwise."""
    known = {"study_id": f"{patient}-0", "patient_id": patient, "hemisphere": "left", "volume": 10.0}
    known |= {"age": "", "sex": "", "manufacturer": "", "field_strength": ""}
    return known | cells


def levels_of(*rows):
    return patient_levels(pd.DataFrame(rows))


def test_age_and_volume_are_halved_at_the_median_of_patients_not_of_lesions():
    rows = [lesion("a", age="30", volume=1.0), lesion("b", age="40", volume=2.0), lesion("c", age="50")]
    rows += [lesion("d", age="60", volume=5.0)] * 9  # of nine lesions, 45 mm3
    levels = levels_of(*rows)
    assert levels["age"].to_dict() == {
        "a": "up to 45 years",
        "b": "up to 45 years",
        "c": "over 45 years",
        "d": "over 45 years",
    }
    assert list(levels["volume of lesions"]) == [*["up to 6 mm³"] * 2, *["over 6 mm³"] * 2]
    assert list(levels["number of lesions"]) == [*["one lesion"] * 3, "several lesions"]
    assert list(levels["number of lesions"].cat.categories) == ["one lesion", "several lesions"]


def test_scanner_and_age_are_those_of_the_first_study_and_tesla_is_rounded():
    first, tenth = (
        {"study_id": f"a-{session}", "age": age, "field_strength": tesla, "manufacturer": maker}
        for session, age, tesla, maker in ((2, "40", "1.494", "Siemens"), (10, "48", "3", "GE"))
    )
    levels = levels_of(
        lesion("a", **tenth), lesion("a", **first), lesion("b", age="70", field_strength="2.89")
    )
    assert list(levels["field strength"]) == ["1.5 T", "3 T"]
    assert levels.loc["a", "manufacturer"] == "Siemens" and pd.isna(levels.loc["b", "manufacturer"])
    assert levels.loc["a", "age"] == "up to 55 years"


@pytest.mark.parametrize(
    ("sides", "level"),
    [
        (["left", "left"], "left only"),
        (["right", "midline"], "right only"),
        (["left", "right", "unknown"], "both sides"),
        (["left", "unknown"], None),
        (["midline"], None),
    ],
)
def test_a_patient_has_a_side_only_where_every_lesion_allows_it(sides, level):
    rows = [lesion("a", hemisphere=side) for side in sides]
    levels = levels_of(*rows, lesion("b"), lesion("c", hemisphere="right"))
    assert (None if pd.isna(levels.loc["a", "side"]) else levels.loc["a", "side"]) == level


def test_columns_that_are_missing_or_of_one_value_give_no_test():
    rows = pd.DataFrame([lesion(f"p{n}", sex="F") for n in range(12)]).drop(columns=["age", "manufacturer"])
    levels = patient_levels(rows)
    assert list(levels) == list(SUBGROUPS) and levels["age"].isna().all()
    assert subgroup_tests(cohort(12), levels, ["ER"]) == []


def cohort(patients, folds=5, repeats=1, shift=1.0, seed=0, target="ER"):
    """Patient-level predictions by fold, with ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(patients) % 2).astype(float)
    names = [f"p{number}" for number in range(patients)]
    tables = []
    for repeat in range(repeats):
        fold = rng.permutation(np.arange(patients) % folds) + folds * repeat
        score = rng.normal(shift * labels).round(1)
        table = {"repeat": repeat, "fold": fold, "target": target, "patient_id": names, "label": labels}
        tables.append(pd.DataFrame(table | {"probability": score}))
    return pd.concat(tables, ignore_index=True)


def halves(patients, first):
    names = [f"p{number}" for number in range(patients)]
    level = np.where(np.arange(patients) < first, "first", "second")
    return pd.DataFrame({"half": pd.Series(level, names, dtype="category")})


def test_a_level_has_the_auroc_of_its_patients_within_folds_and_the_headlines_interval():
    patients = cohort(80, repeats=2)
    (test,) = subgroup_tests(patients, halves(80, 50), ["ER"])
    for level, name in zip(test["levels"], ("first", "second"), strict=True):
        inside = patients["patient_id"].map(halves(80, 50)["half"]) == name
        folds = [fold for _, fold in patients[inside].groupby("fold") if fold["label"].nunique() == 2]
        expected = np.mean([roc_auc_score(fold["label"], fold["probability"]) for fold in folds])
        assert level["auroc"] == pytest.approx(expected)
        whole = contrast([cross_validated_area(patients[inside])], [1.0], 0.5)
        assert (level["auroc_low"], level["auroc_high"]) == (whole.low, whole.high)
        once = patients[inside].drop_duplicates("patient_id")["label"]
        assert (level["positives"], level["negatives"]) == (sum(once == 1), sum(once == 0))


def test_a_level_of_few_patients_of_a_class_has_counts_and_no_figure():
    patients, levels = cohort(60), halves(60, 30)
    positive = patients.loc[patients["label"] == 1, "patient_id"]
    few = positive[positive.map(levels["half"]) == "first"].iloc[FEWEST - 1 :]
    without = patients[~patients["patient_id"].isin(few)]
    (test,) = subgroup_tests(without, levels, ["ER"])
    small, other = test["levels"]
    assert small["positives"] == FEWEST - 1 and small["negatives"] > FEWEST
    assert all(math.isnan(small[name]) for name in ("auroc", "auroc_low", "auroc_high"))
    assert other["auroc"] > 0.5 and math.isnan(test["p"]) and math.isnan(test["q"])
    back = pd.concat([without, patients[patients["patient_id"] == few.iloc[0]]])
    (test,) = subgroup_tests(back, levels, ["ER"])
    assert test["levels"][0]["positives"] == FEWEST and not math.isnan(test["p"])


def test_a_patient_of_unknown_level_is_counted_and_left_out():
    patients, levels = cohort(60, repeats=2), halves(60, 30)
    levels.loc["p0", "half"] = np.nan
    (test,) = subgroup_tests(patients, levels, ["ER"])
    assert test["unknown"] == 1
    assert sum(level[name] for level in test["levels"] for name in ("positives", "negatives")) == 59


def test_p_is_cochrans_with_the_variances_at_the_common_mean():
    areas = [cross_validated_area(cohort(n, shift=s, seed=n)) for n, s in ((40, 0.2), (60, 1.2), (80, 0.8))]
    fixed, values = [holding_models_fixed(area) for area in areas], [area.auroc for area in areas]
    mean = sum(values) / 3
    for _ in range(2):
        variances = [area.variance(mean) for area in fixed]
        weights = [1 / variance for variance in variances]
        mean = sum(w * value for w, value in zip(weights, values, strict=True)) / sum(weights)
    statistic = sum((value - mean) ** 2 / v for value, v in zip(values, variances, strict=True))
    assert heterogeneity_p(areas) == pytest.approx(chi2.sf(statistic, 2))
    two = contrast(fixed[:2], [1.0, -1.0], 0.0).p  # two areas: the z test of their difference, nearly
    assert heterogeneity_p(areas[:2]) == pytest.approx(two, abs=0.01)
    assert math.isnan(heterogeneity_p(areas[:1])) and heterogeneity_p([areas[0], areas[0]]) == 1


def test_a_difference_is_found_where_there_is_one_and_seldom_where_there_is_none():
    p = {shift: [] for shift in (0.0, 2.0)}
    for seed in range(60):
        for shift, values in p.items():
            patients = cohort(90, shift=0.8, seed=seed)
            other = patients["patient_id"].map(halves(90, 45)["half"]) == "second"
            patients.loc[other, "probability"] += shift * patients.loc[other, "label"]
            (test,) = subgroup_tests(patients, halves(90, 45), ["ER"])
            values.append(test["p"])
    assert np.mean(np.array(p[0.0]) < 0.05) < 0.12  # 0.05 and two and a half standard errors
    assert np.mean(np.array(p[2.0]) < 0.05) > 0.6


def test_q_is_over_all_targets_and_subgroups():
    patients = pd.concat([cohort(60, seed=seed, target=name) for seed, name in enumerate(("ER", "PR"))])
    levels = halves(60, 30).assign(other=halves(60, 20)["half"])
    tests = subgroup_tests(patients, levels, ["ER", "PR"])
    assert [(test["subgroup"], test["target"]) for test in tests] == [
        (name, target) for name in ("half", "other") for target in ("ER", "PR")
    ]
    p = sorted(test["p"] for test in tests)
    assert min(test["q"] for test in tests) == pytest.approx(min(4 * v / n for n, v in enumerate(p, 1)))
