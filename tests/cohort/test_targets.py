"""Targets of one's own: how cells are read, what is refused, and both kinds run to the end."""

import json
import math
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from fits import fit
from openpyxl import load_workbook

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, read_download
from bcbm.cohort.labels import label_statuses, read_labels
from bcbm.cohort.splits import make_split
from bcbm.cohort.table import build_table
from bcbm.cohort.targets import COLORS, GRADED, TAKEN, TARGETS, Target, colors, in_order, known_targets
from bcbm.config.compose import compose, load, plain
from bcbm.config.schema.training import Model
from bcbm.errors import ConfigError, InputError
from bcbm.model.network import LesionNetwork
from bcbm.statistics.leakage import fitting_check

KI67 = 'cohort.targets={ki67: {column: Ki-67, positive: ">= 20"}}'
LEVELS = "cohort.targets={HER2_level: {column: HER2 level, levels: [negative, low, positive]}}"
BOTH = ("HER2_level_low", "HER2_level_positive")


@pytest.fixture(scope="module")
def clinical_cohort(table_cohort, tmp_path_factory):
    """The synthetic tables with two more clinical columns that go with the patient: Ki-67 and HER2 level."""
    root = shutil.copytree(table_cohort, tmp_path_factory.mktemp("clinical") / "cohort")
    path, sheet = root / CLINICAL_WORKBOOK[0], CLINICAL_WORKBOOK[1]
    frame = pd.read_excel(path, sheet_name=sheet, dtype=object, keep_default_na=False)
    patient = frame["ID"].str.extract(r"-(\d+)-\d+$")[0].astype(int).to_numpy()
    frame["Ki-67"] = [["5 %", 12, "20%", 35.5, ""][number % 5] for number in patient]
    frame["HER2 level"] = [["negative", "Low ", "positive", ""][number % 4] for number in patient]
    frame.to_excel(path, sheet_name=sheet, index=False)
    return root


def message(*words):
    with pytest.raises(ConfigError) as caught:
        compose(words)
    return str(caught.value)


def target(**definition):
    return known_targets({"x": definition})["x"]


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        (20, 1),
        (19.99, 0),
        ("20 %", 1),
        (" 35% ", 1),
        ("3", 0),
        ("1e2", 1),
        ("", None),
        (None, None),
        (np.nan, None),
    ],
)
def test_a_cell_is_read_by_comparison(cell, label):
    value = target(column="Ki-67", positive=">= 20").label(cell)
    assert math.isnan(value) if label is None else value == label


@pytest.mark.parametrize(
    ("rule", "least", "most"), [("> 10", 0, 0), (">= 10 %", 1, 0), ("<= 10", 1, 1), ("<10", 0, 1)]
)
def test_every_comparison_counts_its_bound_as_it_is_written(rule, least, most):
    read = target(column="c", positive=rule)
    assert (read.label("10"), read.label(9)) == (least, most)


@pytest.mark.parametrize("heading", ["Ki-67", "KI67 (%)", "MIB-1", "Anteil in Prozent"])
def test_a_share_of_more_than_all_is_a_point_that_was_lost(heading):
    read = target(column=heading, positive=">= 20")
    assert read.label("100") == 1
    with pytest.raises(ValueError, match="205"):
        read.label("205")
    assert target(column="CA 15-3", positive=">= 20").label("205") == 1


@pytest.mark.parametrize(
    ("heading", "cells", "labels"),
    [
        ("extracranial", ["0", "1", "2", "9", "99"], [0, 1, 1, None, None]),
        ("extracranial", ["0", "1", "12", "9", "99"], [0, 1, 1, 1, None]),
        ("extracranial", ["0", "1", "40", "88"], [0, 1, 1, 1]),
        ("Ki-67", ["0", "1", "2", "88"], [0, 1, 1, 1]),
    ],
)
def test_a_number_far_above_all_others_may_be_a_code_of_what_is_missing(heading, cells, labels):
    statuses = label_statuses("mine", target(column=heading, positive=">= 1", negative="0"), cells)
    assert [None if math.isnan(status.label) else status.label for status in statuses] == labels
    assert [status.readable for status in statuses] == [label is not None for label in labels]


@pytest.mark.parametrize("cell", ["<1 %", "10-20", "high", "20,5", "+"])
def test_a_cell_that_is_no_number_cannot_be_compared(cell):
    with pytest.raises(ValueError, match=re.escape(cell)):
        target(column="Ki-67", positive=">= 20").label(cell)


def test_words_count_without_case_and_numbers_by_value():
    read = target(column="primary", positive=["breast", 3])
    assert [read.label(cell) for cell in ("Breast", " BREAST ", 3.0, "3", "lung", 4)] == [1, 1, 1, 1, 0, 0]


def test_what_is_in_neither_rule_cannot_be_read():
    read = target(column="Ki-67", positive=[">= 20", "high"], negative=["< 10", "low"])
    assert [read.label(cell) for cell in (25, "high", 5, "LOW")] == [1, 1, 0, 0]
    for cell in (15, "middle"):
        with pytest.raises(ValueError, match=str(cell)):
            read.label(cell)


@pytest.mark.parametrize("cell", ["unknown", "n/a", "?", "not done", "Pending"])
def test_a_cell_that_says_that_nothing_is_known_is_no_negative(cell):
    assert math.isnan(target(column="primary", positive="lobular").label(cell))
    assert math.isnan(target(column="Ki-67", positive=">= 20").label(cell))
    assert target(column="primary", positive="lobular", negative=cell).label(cell) == 0


@pytest.mark.parametrize("cell", ["lobulr", "Lobular ca", "invasive LOBULAR", "lobular?"])
def test_a_cell_that_may_be_a_positive_word_is_no_negative(cell):
    with pytest.raises(ValueError, match=re.escape(cell)):
        target(column="Histology", positive=["lobular"]).label(cell)


@pytest.mark.parametrize(
    ("positive", "cell"),
    [
        *[("yes", "y"), ("yes", "+"), ("yes", "1"), ("yes", "1.0"), ("+", "pos"), ("positive", "ja")],
        *[("mut", "mutated"), ("mutated", "Mut"), ("breast cancer", "br cancer"), ("male", "M"), ("2+", "2")],
    ],
)
def test_another_way_to_write_a_positive_word_is_no_negative(positive, cell):
    with pytest.raises(ValueError, match=re.escape(cell)):
        target(column="c", positive=[positive]).label(cell)


@pytest.mark.parametrize(
    ("positive", "cell", "label"),
    [
        *[("yes", "n", 0), ("yes", "0", 0), ("mut", "wt", 0), ("2+", "1+", 0), ("+++", "++", 0)],
        *[("2+", "1", 0), ("II", "I", 0), ("I", "III", 0), ("mutated", "1", 0), ("G1", "G10", 0)],
        ("lobular", "lobular\u200b", 1),
        ("lobular", "ductal", 0),
        ("luminal A", "luminal B", 0),
        ("grade 3", "grade 2", 0),
        ("responder", "nonresponder", 0),
        ("male", "female", 0),
    ],
)
def test_other_words_stay_negatives_and_signs_that_nobody_sees_are_none(positive, cell, label):
    assert target(column="c", positive=positive).label(cell) == label


@pytest.mark.parametrize(
    ("column", "rule", "cells", "labels"),
    [
        ("Ki-67", ">= 20", ["20", "19 %", "0.25", "0.15", "0,3"], [1, 0, None, 0, None]),
        ("Ki-67", ">= 20", ["0.25", "0.1", "1", "0"], [None, 0, None, 0]),
        ("Ki-67", ">= 20", ["0.25 %", "30"], [0, 1]),
        ("Ki-67 (%)", ">= 5", ["0.2", "3"], [None, 0]),
        ("size in cm", ">= 2", ["0.8", "3.5"], [0, 1]),
        ("count", ">= 20", ["1", "30"], [0, 1]),
    ],
)
def test_a_share_in_a_column_of_percentages_is_missing_where_it_would_be_another_label(
    column, rule, cells, labels
):
    problems: list = []
    frame = pd.DataFrame({column: cells})
    read = read_labels(
        frame, known_targets({"x": {"column": column, "positive": rule}}), "t", cells, problems
    )
    assert [None if math.isnan(label) else label for label in read["x"]] == labels
    lacking = [cell for cell, label in zip(cells, labels, strict=True) if label is None]
    assert [cell for cell in lacking if not any(cell in problem.found for problem in problems)] == []


@pytest.mark.parametrize(
    ("rule", "cells", "said"),
    [
        (">= 0.2", ["5", "20 %", "60"], True),
        (["> 0.2"], ["5", "", "n/a", "100"], True),
        (">= 0.2", ["0.1", "0.9", "1"], False),
        (">= 0.2", ["0.1", "3.5", "340"], False),
        (">= 20", ["5", "60"], False),
        (">= 1", ["5", "60"], False),
    ],
)
def test_a_rule_of_shares_over_percentages_is_said(rule, cells, said):
    problems: list = []
    read_labels(
        pd.DataFrame({"Ki-67": cells}),
        known_targets({"x": {"column": "Ki-67", "positive": rule}}),
        "t",
        cells,
        problems,
    )
    found = [problem for problem in problems if problem.kind == "rule of shares over percentages"]
    assert len(found) == said and all("per cent" in problem.remedy for problem in found)


def test_levels_become_a_target_for_every_level_but_the_first():
    made = known_targets({"grade": {"column": "Grade", "levels": ["0", "1+", "2+", "3+"]}})
    assert list(made) == [*TARGETS, "grade_1", "grade_2", "grade_3", *GRADED]
    read = [[made[f"grade_{level}"].label(cell) for cell in (0, "1+", "2+", "3+")] for level in (1, 2, 3)]
    assert read == [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]


def test_an_unreadable_cell_is_missing_and_named_by_sheet_row_target_and_content(clinical_cohort, tmp_path):
    root = shutil.copytree(clinical_cohort, tmp_path / "cohort")
    path, sheet = root / CLINICAL_WORKBOOK[0], CLINICAL_WORKBOOK[1]
    frame = pd.read_excel(path, sheet_name=sheet, dtype=object, keep_default_na=False)
    frame.loc[4, "Ki-67"] = "some"
    frame.to_excel(path, sheet_name=sheet, index=False)
    read = read_download(root, known_targets({"ki67": {"column": "Ki-67", "positive": ">= 20"}}))
    (problem,) = read.problems
    assert sheet in problem.where and "row 6" in problem.where and frame.loc[4, "ID"] in problem.where
    assert "ki67" in problem.found and "some" in problem.found
    assert math.isnan(read.studies.loc[4, "ki67"]) and read.targets == [*TARGETS, "ki67"]


def test_a_column_that_is_not_there_is_refused_with_those_that_are(clinical_cohort):
    with pytest.raises(InputError) as caught:
        read_download(clinical_cohort, known_targets({"x": {"column": "Ki67", "positive": "> 1"}}))
    (problem,) = caught.value.problems
    assert CLINICAL_WORKBOOK[0] in problem.where and "'Ki67'" in problem.found and "x" in problem.found
    assert "Ki-67" in problem.remedy and "HER2 level" in problem.remedy


def test_all_that_is_wrong_with_definitions_is_said_at_once(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(
        """
cohort:
  targets:
    1st: {column: a, positive: x}
    typo: {colunm: a, positive: x}
    both: {column: a, positive: x, levels: [x, y]}
    neither: {column: a}
    yes_no: {column: a, positive: true}
    compared: {column: a, positive: "=> 20"}
    twice: {column: a, positive: [x, y], negative: [Y]}
    one: {column: a, levels: [x]}
    alike: {column: a, levels: [x, 1+, 1-]}
    plain: breast
    volume: {column: a, positive: x}
    her2: {column: a, positive: x}
    empty: {column: a, positive: []}
    good: {column: a, positive: x}
trainer: {max_epochs: 0}
"""
    )
    lines = message(f"experiment={path}").splitlines()
    names = ["1st", "typo", "typo", "both", "neither", "yes_no", "compared", "twice", "one", "alike", "plain"]
    names += ["volume", "her2", "empty"]
    named = [line.split(":")[0].removeprefix("cohort.targets.") for line in lines]
    assert named == ["trainer.max_epochs=0", *names]
    facts = dict(zip(named, lines, strict=True))
    assert "did you mean 'column'" in next(line for line in lines if "'colunm'" in line)
    assert "True" in facts["yes_no"] and "'=> 20'" in facts["compared"] and "'y'" in facts["twice"]
    assert "'volume'" in facts["volume"] and "'her2'" in facts["her2"]


def test_targets_and_their_weights_are_built_in_or_defined():
    assert compose([KI67, "task.targets=[ki67,ER]", "loss.target_weights.ki67=2"]).task.targets == [
        "ki67",
        "ER",
    ]
    assert "did you mean 'ki67'" in message(KI67, "task.targets=[ki76]")
    assert "did you mean 'ki67'" in message(KI67, "loss.target_weights.ki76=2")
    assert "did you mean 'HER2_level_low'" in message(LEVELS, "task.targets=[HER2_level_lo]")


def test_a_name_may_not_be_that_of_a_column_of_the_lesion_table(table_cohort):
    table, _, _ = build_table(read_download(table_cohort))
    assert {column.lower() for column in table} - {name.lower() for name in TARGETS} <= TAKEN


def test_receptors_come_first_and_have_their_colours():
    assert in_order(["ki67", "HER2", "ER", "ki67", "origin"]) == ["ER", "HER2", "ki67", "origin"]
    drawn = colors(["ki67", "ER", "origin"])
    assert drawn == {"ki67": COLORS[0], "ER": TARGETS["ER"].color, "origin": COLORS[1]}


def test_a_target_may_be_called_like_something_that_a_torch_module_has():
    network = LesionNetwork(["type", "ER"], ["position"], Model(), {"position": 12})
    assert [name for name, _ in network.heads.named_children()] == ["type-", "ER"]


def test_own_targets_are_stratified_over_and_change_no_fold_where_there_are_none():
    rng = np.random.default_rng(0)
    labels = pd.DataFrame(rng.integers(0, 2, (60, 3)).astype(float), columns=list(TARGETS))
    table = labels.assign(patient_id=[f"P{n}" for n in range(60)], rare=np.arange(60) % 10 == 0).astype(
        {"rare": float}
    )
    settings = {"unit": "patient", "folds": 3, "repeats": 1, "validation": 0.2, "seed": 0, "targets": ["ER"]}
    plain = make_split(table.drop(columns="rare"), **settings)
    assert make_split(table, **settings).hash == plain.hash
    extra = {"rare": Target("rare", ("x",))}
    split = make_split(table, **settings, known=TARGETS | extra)
    rare = table.set_index("patient_id")["rare"]
    assert [rare[list(fold.test)].sum() for fold in split.folds] == [2, 2, 2]
    assert make_split(table, **{**settings, "targets": ["rare"]}, known=TARGETS | extra).hash == split.hash


def test_ki67_at_twenty_per_cent_is_run_to_the_end_from_configuration_alone(clinical_cohort, tmp_path):
    words = (f"cohort.root={clinical_cohort}", "experiment=demo+baselines/logistic_l2", "permutations=3")
    _, runs = fit(tmp_path, *words, KI67, "task.targets=[ER,ki67]")
    (results,) = runs.rglob("results.json")
    content = json.loads(results.read_text())
    assert list(content["receptors"]) == ["ER", "ki67"]
    lesions = pd.read_parquet(results.with_name("lesions.parquet"))
    labels = lesions[~lesions["excluded"]].groupby("patient_id")["ki67"].first()
    patient = content["receptors"]["ki67"]["patient"]
    assert (patient["positives"], patient["negatives"]) == ((labels == 1).sum(), (labels == 0).sum())
    assert min(patient["positives"], patient["negatives"]) > 5 and "pipeline_p" in patient
    page = results.with_name("report.html").read_text()
    assert "ki67" in page and "Ki-67" in page and "&gt;= 20" in page
    assert load(results.with_name("config.yaml")).cohort.targets["ki67"]["column"] == "Ki-67"


def test_her2_negative_low_positive_is_run_as_two_binary_targets(clinical_cohort, tmp_path):
    words = (f"cohort.root={clinical_cohort}", "task.modalities=[radiomics,position]", LEVELS)
    screen, runs = fit(tmp_path, *words, f"task.targets=[{','.join(BOTH)}]")
    (results,) = runs.rglob("results.json")
    blocks = {name: block["patient"] for name, block in json.loads(results.read_text())["receptors"].items()}
    assert list(blocks) == list(BOTH) and all(name in screen for name in BOTH)
    low, positive = (blocks[name]["positives"] for name in BOTH)
    assert low > positive > 0
    table = pd.read_parquet(results.with_name("predictions.parquet"))
    labels = table.pivot(index="lesion_id", columns="target", values="label").dropna()
    assert (labels[BOTH[1]] <= labels[BOTH[0]]).all() and set(map(tuple, labels.to_numpy())) == {
        (0, 0),
        (1, 0),
        (1, 1),
    }
    page = results.with_name("report.html").read_text()
    assert all(name in page for name in BOTH) and "negative, low, positive" in page


def test_audit_and_leak_check_go_over_the_targets_of_the_cohort(clinical_cohort, tmp_path):
    _, runs = fit(tmp_path, f"cohort.root={clinical_cohort}", LEVELS, verb="audit", status=1)
    (audit,) = runs.rglob("audit.json")
    tested = {row["target"] for row in json.loads(audit.read_text())["confounders"]}
    assert tested == {*TARGETS, *BOTH}
    words = (f"cohort.root={clinical_cohort}", "experiment=demo+baselines/logistic_l2", LEVELS)
    fit(tmp_path, *words, f"task.targets=[{','.join(BOTH)}]", verb="leakcheck")
    (check,) = runs.rglob("leakcheck.json")
    assert set(json.loads(check.read_text())["aurocs"]["patient"]) == {"random", *BOTH}

    def fitting(modalities, target):
        settings = plain(compose([f"task.modalities=[{modalities}]", LEVELS, f"task.targets=[{target}]"]))
        return fitting_check(check.parent.parent, settings)

    assert fitting("radiomics,position", BOTH[1]) == check
    assert fitting("radiomics,position", "ER") is None and fitting("position", BOTH[1]) is None


def test_a_cell_that_excel_shows_in_per_cent_counts_as_shown(clinical_cohort, tmp_path):
    root = shutil.copytree(clinical_cohort, tmp_path / "cohort")
    book = load_workbook(root / CLINICAL_WORKBOOK[0])
    sheet = book[CLINICAL_WORKBOOK[1]]
    place = [str(cell.value).strip() for cell in sheet[1]].index("Ki-67") + 1
    for row, value in ((2, 0.25), (3, 0.05)):
        sheet.cell(row, place, value).number_format = "0%"
    sheet.cell(4, place, 0.25)
    book.save(root / CLINICAL_WORKBOOK[0])
    read = read_download(root, known_targets({"ki67": {"column": "Ki-67", "positive": ">= 20"}}))
    assert read.studies["ki67"].tolist()[:2] == [1.0, 0.0]
    assert math.isnan(read.studies["ki67"][2])  # 0.25 beside "5 %": a share or a percentage
    (problem,) = read.problems
    assert "row 4" in problem.where and "0.25" in problem.found and "share" in problem.remedy


PLAIN = {"numbers": (">= 20",), "words": ("high", "III"), "codes": ("1",), "accents": ("\u00e9lev\u00e9",)}


@pytest.mark.parametrize(
    ("rules", "cell", "label"),
    [
        *(("numbers", cell, None) for cell in ("-99", "-1", "999", "9999", "120 %", "-5 %")),
        *(("numbers", cell, 1.0) for cell in ("99", "120", "100 %")),
        *(("words", cell, None) for cell in ("h\u0456gh", "h igh", "lII", "h\u00edgh")),
        *(("words", cell, 1.0) for cell in ("\uff28\uff29\uff27\uff28", "\u2162", "HIGH")),
        *(("words", cell, math.nan) for cell in ("tbd", "unk.", "not sent", "inconnu", "#N/A")),
        *(("words", cell, 0.0) for cell in ("low", "II")),
        *(("codes", cell, None) for cell in ("9", "99", "-1")),
        *(("codes", cell, 0.0) for cell in ("0", "2", "8")),
        *(("accents", cell, 1.0) for cell in ("\u00e9lev\u00e9", "e\u0301leve\u0301", "\u00c9LEV\u00c9")),
        ("accents", "eleve", None),
    ],
)
def test_what_stands_for_another_word_or_for_no_number_is_no_negative(rules, cell, label):
    target = Target("column", PLAIN[rules])
    if label is None:
        with pytest.raises(ValueError, match=re.escape(cell)):
            target.label(cell)
    else:
        assert target.label(cell) == pytest.approx(label, nan_ok=True)


def test_a_rule_may_name_what_else_would_stand_for_a_missing_number():
    assert Target("column", ("9",), ("-1",)).label("9") == 1.0
    assert Target("column", (">= -2",)).label("-1") == 1.0
