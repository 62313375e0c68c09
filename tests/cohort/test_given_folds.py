"""Folds of a column's values and of a file: patients whole, and whatever is wrong with them said at once."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from layouts import write_manifest
from rich.console import Console

from bcbm.cohort.acquisition import groups, other_groups, patient_groups, several_names
from bcbm.cohort.formats.tcia import read_download
from bcbm.cohort.leaks import check_leak
from bcbm.cohort.splits import Split, split_as
from bcbm.cohort.targets import TARGETS
from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.errors import ConfigError, InputError, Note
from bcbm.preparation.prepare import prepare
from bcbm.runs.finished import read_run
from bcbm.runs.identity import fingerprint

QUIET = Console(quiet=True)
PARTS = ("train", "validation", "test")
FIELD = "split.holdout=field_strength"


def invented(patients=40):
    """Two studies a patient; every fourth patient at 3 T first, every eighth moves from 1.5 to 3 T later."""
    rows, rng = [], np.random.default_rng(0)
    for number in range(patients):
        labels = dict(zip(TARGETS, rng.integers(0, 2, 3).astype(float), strict=True))
        for session in range(2):
            strong = number % 4 == 0 or (number % 8 == 1 and session == 1)
            study = f"P-{number:02d}-{session}"
            rows.append(
                {
                    "lesion_id": f"{study}/a",
                    "study_id": study,
                    "patient_id": f"P-{number:02d}",
                    "content": study,
                    "year": str(2010 + number % 10 + session),
                    "field_strength": "3.0" if strong else "1.5T",
                    "excluded": False,
                    **labels,
                }
            )
    return pd.DataFrame(rows)


@contextmanager
def notes() -> Iterator[list[str]]:
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts += [str(warning.message) for warning in caught if issubclass(warning.category, Note)]


def split_of(table, *words):
    with notes() as texts:
        split = split_as(table, compose(words))
    return split, texts


def own_folds(tmp_path, lines, header="patient,fold"):
    path = tmp_path / "folds.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return f"split.file={path}"


def problems_of(table, *words):
    with pytest.raises(InputError) as caught:
        split_of(table, *words)
    return caught.value.problems


def test_one_group_has_one_spelling():
    cells = pd.Series(
        [
            *("3", "3.0", "3T", " 3 Tesla", "\uff13", "1.5", "0.5\\0.5"),
            *("GE  Medical", "ge medical ", "ge\u00a0medical\u200b", "", None),
        ]
    )
    assert groups(cells).tolist() == ["3"] * 5 + ["1.5", "0.5"] + ["ge medical"] * 3 + ["", ""]
    assert groups(pd.Series(["n/a", "unknown", "?", "Nantes"])).tolist() == ["", "", "", "nantes"]


def test_the_first_study_with_a_value_decides():
    table = invented(4)
    table.loc[0, "field_strength"], table.loc[3, "field_strength"] = "", "7"
    assert patient_groups(table, "field_strength").tolist() == ["3", "1.5", "1.5", "1.5"]


def test_each_value_is_tested_once_by_patients_that_stay_whole():
    table = invented()
    split, texts = split_of(table, FIELD)
    assert [fold.name for fold in split.folds] == ["field_strength 1.5", "field_strength 3"]
    assert [len(fold.test) for fold in split.folds] == [30, 10]
    for number in range(2):
        parts = split.rows(table, number)
        check_leak(table, parts, leaky=False)
        assert all(len(parts[part]) for part in PARTS)
        assert len(np.concatenate(list(parts.values()))) == len(table)
    assert any("5 patients" in text and "5 of 80 lesions" in text for text in texts)
    assert Split.from_json(split.to_json()).hash == split.hash != split_of(table, "split.folds=2")[0].hash


def test_later_values_are_tested_by_a_model_of_the_earlier():
    table = invented()
    (fold,) = split_of(table, "split.holdout=year", "split.later=2016")[0].folds
    first = table.drop_duplicates("patient_id").set_index("patient_id")["year"].astype(int)
    assert set(fold.test) == set(first.index[first >= 2016])
    assert {*fold.train, *fold.validation} == set(first.index[first < 2016])
    (problem,) = problems_of(table, "split.holdout=year", "split.later=2050")
    assert "0 of 40" in problem.found and "2010" in problem.remedy


def test_small_and_one_class_folds_are_said_and_untrainable_ones_refused():
    table = invented()
    table.loc[table["patient_id"].isin(table.loc[table["year"] == "2010", "patient_id"]), "ER"] = 0.0
    _, texts = split_of(table, "split.holdout=year")
    assert any("year 2010: 4 test patients (one class of ER" in text for text in texts)
    table["ER"] = (
        (table["field_strength"] == "1.5T").groupby(table["patient_id"]).transform("min").astype(float)
    )
    found = problems_of(table, FIELD, "task.targets=[ER]")
    assert {problem.where for problem in found} >= {f"{FIELD}, field_strength 1.5"}
    assert any("leaves 0 positive patients of ER" in problem.found for problem in found)
    table["field_strength"] = "3"
    assert "all 40 patients have 3" in problems_of(table, FIELD)[0].found


def test_validation_that_leaves_a_class_too_few_training_patients_is_refused(tmp_path):
    table = invented()
    number = table["patient_id"].str[-2:].astype(int)
    table["PR"] = number.isin([0, 1, 2, 3]).astype(float)  # two a fold: one of them is drawn for validation
    folds = own_folds(tmp_path, [f"{name},{int(name[-2:]) % 2}" for name in table["patient_id"].unique()])
    words = ("task.targets=[PR]", "task.modalities=[radiomics]", "split.validation=0.5")
    problems = problems_of(table, folds, *words, "model.kind=svm")
    assert [problem.where for problem in problems] == ["PR"] and "train on 1 positive" in problems[0].found
    split_of(table, folds, *words, "model.kind=logistic_l2")


def test_words_cannot_be_later():
    table = invented().assign(manufacturer=lambda t: np.where(t.index % 4 < 2, "GE", "Siemens"))
    assert "'ge'" in problems_of(table, "split.holdout=manufacturer", "split.later=3")[0].found


def test_a_file_gives_the_folds_and_counts_by_its_content(tmp_path):
    table = invented()
    names = sorted(set(table["patient_id"]))
    lines = [f"{name},{'ab'[place // 2 % 2 ^ place % 2]}" for place, name in enumerate(names)]
    split, texts = split_of(table, own_folds(tmp_path, lines))
    assert [fold.name for fold in split.folds] == ["fold a", "fold b"] and not texts
    assert set(split.folds[0].test) == {line.partition(",")[0] for line in lines if line.endswith("a")}
    for number in range(2):
        check_leak(table, split.rows(table, number), leaky=False)
    other = tmp_path / "other"
    other.mkdir()
    first, moved = (
        compose([own_folds(folder, rows)]) for folder, rows in ((tmp_path, lines), (other, lines[::-1]))
    )
    again = split_as(table, moved)
    assert again.hash == split.hash
    assert fingerprint(first, "c", split.hash) == fingerprint(moved, "c", again.hash)
    lines[0], lines[1] = lines[0].replace(",a", ",b"), lines[1].replace(",b", ",a")
    assert split_of(table, own_folds(tmp_path, lines))[0].hash != split.hash


@pytest.mark.parametrize("validation", [True, False])
def test_a_file_gives_the_parts_of_a_single_fold(tmp_path, validation):
    table = invented()
    names = sorted(set(table["patient_id"]))
    words = ["train"] * 20 + ["validation" if validation else "train"] * 10 + ["test"] * 10
    lines = [f"{name},{word}" for name, word in zip(names, words, strict=True)]
    (fold,) = split_of(table, own_folds(tmp_path, lines, "patient,part"))[0].folds
    assert set(fold.test) == set(names[30:])
    if validation:
        assert set(fold.validation) == set(names[20:30]) and set(fold.train) == set(names[:20])
    else:
        assert fold.validation and {*fold.train, *fold.validation} == set(names[:30])


def test_everything_wrong_with_a_file_is_said_at_once(tmp_path):
    table = invented()
    table.loc[table["patient_id"] == "P-39", "excluded"] = True
    names = sorted(set(table["patient_id"]))
    positive = set(table.loc[table["ER"] == 1, "patient_id"])
    lines = [f"{name},{1 if name in positive else 2}" for name in names[:-3]]  # two that enter are missing
    own, other = (1, 2) if "P-00" in positive else (2, 1)
    lines += [f"P-00,{other}", "P-01,2", "X-99,1", "P-39,9", ",1", "P-36,"]
    found = [str(problem) for problem in problems_of(table, own_folds(tmp_path, lines), "task.targets=[ER]")]
    facts = [
        ("row 39", "P-00", "row 2", f"fold {own}"),  # in two folds
        ("row 40", "P-01", "row 3"),
        ("row 41", "X-99"),
        ("row 43", "no patient"),
        ("row 44", "no fold"),
        ("2 patients", "P-37", "P-38"),
        ("rows 42", "fold 9"),
        ("fold 1", "0 negative", "ER"),
        ("fold 2", "0 positive", "ER"),
    ]
    for fact in facts:
        assert any(all(word in text for word in fact) for text in found), (fact, found)


@pytest.mark.parametrize(
    ("header", "line", "fact"),
    [
        ("patient,group", "P-00,1", "patient, group"),
        ("patient,fold,part", "P-00,1,test", "patient, fold, part"),
        ("patient,part", "P-00,tset", "'test'"),
        ("", "", "cannot be read"),
    ],
)
def test_a_file_of_other_columns_or_words_is_refused(tmp_path, header, line, fact):
    found = problems_of(invented(), own_folds(tmp_path, [line], header))
    assert any(fact in str(problem) for problem in found)


@pytest.mark.parametrize("other", ["0.0", "00", "\uff10", "0\u200b"])
def test_a_fold_has_one_spelling(tmp_path, other):
    table = invented()
    names = sorted(set(table["patient_id"]))
    lines = [f"{name},{place // 2 % 2 ^ place % 2}" for place, name in enumerate(names)]
    lines[0] = lines[0].replace(",0", f",{other}")
    (problem,) = [item for item in problems_of(table, own_folds(tmp_path, lines)) if "written" in item.found]
    assert "'0'" in problem.found and repr(other) in problem.found


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ([FIELD, "split.unit=lesion"], "split.unit=lesion"),
        ([FIELD, "split.repeats=2"], "split.repeats=2"),
        (["split.later=2015"], "split.holdout"),
        (["split.file=nowhere.csv"], "nowhere.csv"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(words, fact):
    with pytest.raises(ConfigError, match=fact):
        compose(words)


def test_a_held_out_column_from_files_to_the_report(table_cohort, tmp_path):
    words = [f"cohort.root={table_cohort}", f"prepared.root={tmp_path / 'prepared'}", "tracking=csv"]
    words += [f"run.root={tmp_path / 'runs'}", "bootstrap=20", "prepared.jobs=1", "task.targets=[ER]"]
    words += ["model.kind=logistic_l2", "task.modalities=[radiomics]", "split.holdout=year"]
    config = compose([*words, "split.later=2014"])
    with notes():
        folder = run(config, QUIET)
    finished = read_run(folder)
    assert finished.results["split"]["folds"] == ["year >= 2014"]
    assert set(finished.predictions["patient_id"]) == set(finished.split["folds"][0]["test"])
    page = (folder / "report.html").read_text()
    assert "year &gt;= 2014" in page
    moved = int(other_groups(finished.entering, "year").sum())
    assert moved and f"{moved} lesions carry" in page
    with pytest.raises(ConfigError, match="fold=1"), notes():
        run(compose([*words, "split.later=2014", "fold=1"]), QUIET)
    with pytest.raises(InputError) as caught:
        prepare(compose([*words[:-1], "split.holdout=site"]), QUIET)
    (problem,) = caught.value.problems
    assert "site" in problem.found and "field_strength" in problem.remedy


def test_a_patient_without_a_value_does_not_enter_and_the_table_says_why(table_cohort, tmp_path):
    import shutil

    import openpyxl

    from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK

    shutil.copytree(table_cohort, tmp_path / "cohort")
    path = tmp_path / "cohort" / CLINICAL_WORKBOOK[0]
    book = openpyxl.load_workbook(path)
    sheet = book[CLINICAL_WORKBOOK[1]]
    year = next(cell.column for cell in sheet[1] if cell.value == "Year")
    patient = sheet.cell(2, 1).value.rpartition("-")[0]
    for row in range(2, sheet.max_row + 1):
        if sheet.cell(row, 1).value.startswith(f"{patient}-"):
            sheet.cell(row, year).value = None
    book.save(path)
    words = [f"cohort.root={tmp_path / 'cohort'}", f"prepared.root={tmp_path / 'prepared'}"]
    words += ["task.modalities=[radiomics]", "split.holdout=year"]
    lesions = prepare(compose(words), QUIET)
    rows = lesions.table[lesions.table["patient_id"] == patient]
    assert rows["excluded"].all() and "no year to hold out" in set(rows["reason"])
    assert patient not in set(lesions.entering["patient_id"])


SEVERAL = {
    "look-alikes": ("site", ["A", "\u0410", "B"], ["A", "\u0410"]),
    "accents": ("site", ["Z\u00fcrich", "Zurich", "B"], ["Z\u00fcrich", "Zurich"]),
    "signs": ("site", ["St. Mary's", "St Marys", "B"], ["St. Mary's", "St Marys"]),
    "leading zeros": ("site", ["Site 1", "Site 01", "B", "Site 10"], ["Site 1", "Site 01"]),
    "makers": ("manufacturer", ["GE", "General Electric", "B", "GE_MEDICAL"], ["GE", "General Electric"]),
    "sexes": ("sex", ["F", "female", "B"], ["F", "female"]),
    "strengths of headers": ("field_strength", ["1.5", "1.494", "3", "0.35", "7"], ["1.494", "1.5"]),
    "women in two languages": ("sex", ["F", "W", "female"], ["F", "W"]),
    "sexes in two languages": ("sex", ["F", "M", "W", "other"], ["F", "W"]),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_a_site_or_maker_under_two_names_is_one_problem_that_lists_them(case):
    column, names, doubled = SEVERAL[case]
    (problem,) = several_names(pd.Series(names, name=column), "table.csv")
    assert all(repr(name) in str(problem) for name in doubled)
    assert "'B'" not in str(problem) and "Site 10" not in str(problem)


def test_other_cases_and_blanks_are_one_and_numbers_and_different_words_are_none_twice():
    sites = pd.Series(["A", "a ", "A north", "B", "", None, "1", "01", "1.5", "15"], name="site")
    makers = pd.Series(["GE", "ge ", "Siemens", "SIEMENS", "Philips"], name="manufacturer")
    sexes = pd.Series(["F", "m", "f ", "", "not known", "divers"], name="sex")
    assert not [*several_names(sites, ""), *several_names(makers, ""), *several_names(sexes, "")]


def test_what_is_held_out_may_not_stand_under_two_names_and_any_cohort_says_so(table_cohort, tmp_path):
    root = write_manifest(read_download(table_cohort), tmp_path / "own").parent
    table = pd.read_csv(root / "manifest.csv", dtype={"patient": str})
    early = table["patient"] < sorted(table["patient"])[len(table) // 2]
    table = table.assign(site=np.where(early, "Bonn", "\u0412onn"))
    table.to_csv(root / "manifest.csv", index=False)
    words = [f"cohort.root={root}", f"prepared.root={tmp_path / 'prepared'}", "prepared.jobs=1"]
    words.append("task.modalities=[radiomics]")
    with pytest.raises(InputError) as caught:
        prepare(compose([*words, "split.holdout=site"]), QUIET)
    assert "'Bonn'" in str(caught.value) and "'\u0412onn'" in str(caught.value)
    console = Console(record=True, width=300)
    prepare(compose(words), console)
    assert "'\u0412onn'" in console.export_text()
