"""Attacks on the tables of a run: what another table owns is not believed, and no bit changes unseen."""

import io
import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from finished_runs import lesion_table, write_run
from rich.console import Console

from bcbm import evaluate, read_run
from bcbm.cohort.splits import Split
from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.crossvalidation.results import evaluate as evaluate_run
from bcbm.errors import ConfigError, InputError, Note
from bcbm.report.pages.leak_panel import leak_panel
from bcbm.report.pages.run import verdict
from bcbm.runs.folder import RunFolder
from bcbm.runs.joins import lesion_problems
from bcbm.runs.tables import sum_of


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "honest", "split.folds=3")


@pytest.fixture
def folder(honest, tmp_path):
    """A run to be attacked."""
    return shutil.copytree(honest, tmp_path / "run")


def converting(patients=60):
    """Lesions whose ER is their study's: in half of the patients it converts."""
    table = lesion_table(patients)
    later = table["study_id"].str.endswith("-1") & (table["patient_id"].str[-1].astype(int) % 2 == 0)
    return table.assign(ER=table["ER"].where(~later, 1 - table["ER"]))


def test_a_run_whose_studies_have_labels_of_their_own_is_read_as_one_and_as_no_other(tmp_path):
    table = converting()
    run = read_run(write_run(tmp_path / "study", "cohort.labels=study", "split.folds=3", table=table))
    entering = table[~table["excluded"]].groupby("patient_id")["ER"]
    block = run.results["receptors"]["ER"]["patient"]
    assert block["both"] == (entering.nunique() == 2).sum() > 10
    assert block["positives"] == entering.max().sum()
    labels = run.predictions[run.predictions["target"] == "ER"].set_index("lesion_id")["label"]
    assert labels.to_dict() == table[~table["excluded"]].set_index("lesion_id")["ER"].to_dict()
    split = Split.from_json((run.folder / "split.json").read_text())

    def found(owner):
        problems = lesion_problems(run.folder, table, split, ["ER"], owner)
        return [problem.found for problem in problems]

    assert len(found("patient")) == block["both"] and found("study") == []
    again = table.index[~table["excluded"] & table["study_id"].duplicated()][0]
    table.loc[again, "ER"] = 1 - table.loc[again, "ER"]
    (text,) = found("study")
    assert table.loc[again, "study_id"] in text and "two labels of ER" in text
    assert found("lesion") == []


def table_of(folder, number):
    return pd.read_parquet(folder / f"fold={number}" / "predictions.parquet")


def replaced(folder, number, table):
    """Put a table in the place of a fold's, with a sum of its own, and the merged one to match."""
    RunFolder(folder).write(f"fold={number}/predictions.parquet", table)
    tables = [table_of(folder, other) for other in range(3)]
    RunFolder(folder).write("predictions.parquet", pd.concat(tables, ignore_index=True))


def refused(folder, *readers):
    """What is said by what reads a run, which writes nothing."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for read in readers or (read_run,):
        with pytest.raises(InputError) as error:
            read(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    return str(error.value)


def flipped(table):
    return table.assign(label=1 - table["label"])


def unlabelled_errors(table):
    wrong = (table["probability"] >= 0.5) != (table["label"] == 1)
    return table.assign(label=table["label"].mask(wrong))


def filled_in(table):
    return table.assign(label=table["label"].fillna(1.0))


def foreign_lesion(table):
    return table.assign(lesion_id=table["lesion_id"].where(table.index > 0, "of another hospital"))


def foreign_patient(table):
    other = next(name for name in table["patient_id"] if name != table["patient_id"].iloc[0])
    return table.assign(patient_id=table["patient_id"].where(table.index > 0, other))


def of_another_fold(table):
    return table.assign(fold=1)


def of_another_split(table):
    return table.assign(split_hash="0123456789abcdef")


def lacking(table):
    return table.iloc[1:]


def doubled(table):
    return pd.concat([table, table.iloc[:1]], ignore_index=True)


def above_one(table):
    return table.assign(probability=table["probability"].where(table.index > 0, 1.5))


def undefined(table):
    return table.assign(patient_probability=table["patient_probability"].where(table.index > 0))


def threshold_below_zero(table):
    return table.assign(threshold=-0.1)


def several_thresholds(table):
    return table.assign(threshold=table["threshold"].where(table.index > 0, 0.123))


def several_for_a_patient(table):
    several = table["patient_id"].duplicated(keep=False) & (table["target"] == "ER")
    row = table.index[several][0]
    return table.assign(patient_probability=table["patient_probability"].where(table.index != row, 0.123))


@pytest.mark.parametrize(
    ("attack", "fact"),
    [
        (flipped, "label"),
        (unlabelled_errors, "label"),
        (filled_in, "label"),
        (foreign_lesion, "of another hospital"),
        (foreign_patient, "patient"),
        (of_another_fold, "fold 1 in place of 0"),
        (of_another_split, "0123456789abcdef"),
        (lacking, "lacks 1"),
        (doubled, "twice"),
        (above_one, "1.5"),
        (undefined, "patient_probability"),
        (threshold_below_zero, "-0.1"),
        (several_thresholds, "threshold"),
        (several_for_a_patient, "patient_probability"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("summed", [True, False], ids=["summed", "of before"])
def test_a_fold_says_nothing_that_another_table_owns(folder, attack, fact, summed):
    if not summed:
        as_of_before(folder)
    replaced(folder, 0, attack(table_of(folder, 0)))
    message = refused(folder, *([evaluate, read_run] if summed else [read_run]))
    assert fact in message and str(folder / "fold=0" / "predictions.parquet") in message


@pytest.mark.parametrize("renamed", [False, True])
def test_folds_in_each_others_place_are_refused(folder, renamed):
    tables = [table_of(folder, number) for number in (1, 0)]
    for number, table in enumerate(tables):
        replaced(folder, number, table.assign(fold=number) if renamed else table)
    message = refused(folder)
    assert all(f"fold={number}" in message for number in (0, 1)) and "fold=2" not in message


def test_the_table_of_another_run_is_refused_though_its_lesions_fold_and_labels_are_the_same(folder, honest):
    table = table_of(honest, 0)
    table["probability"] = table["patient_probability"] = 0.5
    other = folder.with_name("other")
    (other / "fold=0").mkdir(parents=True)
    (other / "environment.json").write_text(json.dumps({"identity": "another configuration"}))
    RunFolder(other).write("fold=0/predictions.parquet", table)
    for name in ("predictions.parquet", "predictions.sha256"):
        shutil.copy(other / "fold=0" / name, folder / "fold=0" / name)
    assert "another configuration" in refused(folder)


def test_one_flipped_bit_in_a_table_is_refused(folder):
    rng = np.random.default_rng(0)
    for name in [f"fold={number}/predictions.parquet" for number in rng.integers(0, 3, 16)]:
        path = folder / name
        content = path.read_bytes()
        spoilt = bytearray(content)
        spoilt[rng.integers(len(spoilt))] ^= 1 << rng.integers(8)
        path.write_bytes(spoilt)
        with pytest.raises(InputError, match="SHA-256") as error:
            read_run(folder)
        assert str(path) in str(error.value)
        path.write_bytes(content)
    read_run(folder)


@pytest.mark.parametrize("name", ["lesions", "fold=1/predictions"])
def test_a_table_without_its_sum_is_refused(folder, name):
    (folder / f"{name}.sha256").unlink()
    assert str(folder / f"{name}.parquet") in refused(folder)


def test_a_merged_table_that_its_folds_do_not_make_is_not_read_and_made_anew(folder):
    table = pd.read_parquet(folder / "predictions.parquet")
    table["probability"] = 1 - table["probability"]
    RunFolder(folder).write("predictions.parquet", table)
    with pytest.raises(InputError, match=r"predictions\.parquet.*bcbm\.evaluate"):
        read_run(folder)
    evaluate(folder)
    assert read_run(folder).predictions.equals(
        pd.concat([table_of(folder, n) for n in range(3)], ignore_index=True)
    )


@pytest.mark.parametrize("rehashed", [False, True])
def test_a_test_patient_that_is_put_into_training_is_refused(folder, rehashed):
    path = folder / "split.json"
    content = json.loads(path.read_text())
    content["folds"][0]["train"].append(content["folds"][0]["test"][0])
    if rehashed:
        content["hash"] = Split.from_json(json.dumps(content)).hash
    path.write_text(json.dumps(content))
    message = refused(folder)
    assert str(path) in message and ("environment.json" if rehashed else "the file itself") in message


def test_a_leak_that_all_files_agree_on_is_leaky_everywhere(folder):
    """A test patient in training too, with all hashes and sums made anew: nothing is left to disagree."""
    split = Split.from_json((folder / "split.json").read_text())
    first = split.folds[0]
    folds = replace(first, train=(*first.train, first.test[0])), *split.folds[1:]
    resplit(folder, replace(split, folds=folds))
    assert json.loads((folder / "results.json").read_text())["leaky"] is False
    run = read_run(folder)
    assert run.results["leaky"] is True and leak_panel(run)["shared_patients"] == 1
    screen = io.StringIO()
    evaluate_run(RunFolder(folder), Console(file=screen, width=200))
    results = json.loads((folder / "results.json").read_text())
    assert results["leaky"] is True and results["split"]["shared_patients"] == 1
    page = (folder / "report.html").read_text()
    assert "LEAKY" in screen.getvalue() and page.count("LEAKY") >= 5
    assert "split by patient, patients in two parts of a fold: 1" in page


def test_content_in_two_parts_is_leaky_too(tmp_path):
    table = lesion_table()
    table["content"] = "all the same"
    folder = write_run(tmp_path / "run", "split.folds=2", table=table)
    results = read_run(folder).results
    assert results["leaky"] is True and verdict(results)[1] == "leaky"
    assert "lesion contents in two parts of a fold: 2" in verdict(results)[0]


def resplit(folder, split):
    """Put a split in the place of a run's, in all files that name it."""
    (folder / "split.json").write_text(split.to_json())
    surroundings = json.loads((folder / "environment.json").read_text()) | {"split": split.hash}
    (folder / "environment.json").write_text(json.dumps(surroundings))
    results = json.loads((folder / "results.json").read_text())
    results["split"]["hash"] = split.hash
    RunFolder(folder).write_results(results)
    for number in range(3):
        replaced(folder, number, table_of(folder, number).assign(split_hash=split.hash))


def test_results_that_were_changed_are_refused_and_those_without_a_sum_made_from_the_tables(folder):
    place = folder / "results.json"
    honest = json.loads(place.read_text())
    changed = json.loads(place.read_text())
    changed["receptors"]["ER"]["patient"]["auroc"] = 0.999
    place.write_text(json.dumps(changed))
    text = refused(folder)
    assert str(place) in text and f"bcbm.evaluate {folder}" in text
    sum_of(place).unlink()
    with pytest.warns(Note, match=f"bcbm.evaluate {folder}"):
        results = read_run(folder).results
    auroc = results["receptors"]["ER"]["patient"]["auroc"]
    assert auroc == pytest.approx(honest["receptors"]["ER"]["patient"]["auroc"]) != 0.999


def test_results_of_another_run_are_refused(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "environment.json").write_text(json.dumps({"identity": "another configuration"}))
    RunFolder(other).write_results(json.loads((folder / "results.json").read_text()))
    for name in ("results.json", "results.sha256"):
        shutil.copy(other / name, folder / name)
    assert "another configuration" in refused(folder) and f"bcbm.evaluate {folder}" in refused(folder)


@pytest.mark.parametrize(
    ("old", "new"), [("- image", "- clinical"), ("aggregate: mean", "aggregate: max"), ("seed: 0", "seed: 7")]
)
def test_a_configuration_that_was_changed_is_refused(folder, old, new):
    place = folder / "config.yaml"
    text = place.read_text()
    assert old in text
    place.write_text(text.replace(old, new))
    assert str(place) in refused(folder) and "changed" in refused(folder)
    with pytest.raises(InputError, match=r"config\.yaml"):
        evaluate_run(RunFolder(folder), Console(file=io.StringIO(), width=200))


def test_a_run_and_its_cohort_may_move(folder):
    place = folder / "config.yaml"
    place.write_text(
        place.read_text().replace("root: null", "root: /elsewhere").replace("root: runs", "root: x")
    )
    assert read_run(folder).config["cohort"]["root"] == "/elsewhere"


def test_lesions_of_another_cohort_are_refused(folder):
    lesions = pd.read_parquet(folder / "lesions.parquet")
    RunFolder(folder).write("lesions.parquet", lesions.assign(ER=1 - lesions["ER"]))
    assert refused(folder).count("label") == 3  # of every fold
    RunFolder(folder).write("lesions.parquet", lesions.assign(ER=lesions["ER"] * 2))
    assert "neither 0 nor 1" in refused(folder)
    RunFolder(folder).write("lesions.parquet", pd.concat([lesions, lesions.iloc[:1]]))
    assert "twice" in refused(folder)
    more = lesions.iloc[:1].assign(lesion_id="X/1", patient_id="X", study_id="X")
    RunFolder(folder).write("lesions.parquet", pd.concat([lesions, more]))
    assert "X/1" in refused(folder)


def test_all_that_is_wrong_is_said_at_once(folder):
    replaced(folder, 0, above_one(flipped(table_of(folder, 0))))
    (folder / "fold=1" / "predictions.parquet").write_bytes(b"PAR1 and no more")
    (folder / "fold=2" / "predictions.sha256").unlink()
    message = refused(folder)
    assert len(message.splitlines()) == 4
    assert all(fact in message for fact in ("label", "1.5", "fold=1", "fold=2"))


def as_of_before(folder):
    """What a version without sums has left."""
    path = folder / "environment.json"
    environment = json.loads(path.read_text())
    environment.pop("checksums", None)
    path.write_text(json.dumps(environment))
    (folder / "results.sha256").unlink()
    for sums in folder.rglob("*.sha256"):
        table = pd.read_parquet(sums.with_suffix(".parquet"))
        table.attrs = {}
        table.to_parquet(sums.with_suffix(".parquet"))
        sums.unlink()


def test_a_run_of_before_there_were_sums_is_read_with_a_note(folder, honest):
    as_of_before(folder)
    with pytest.warns(Note, match="probabilities"):
        assert read_run(folder).predictions.equals(read_run(honest).predictions)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_run(honest)


@pytest.fixture(scope="module")
def words(table_cohort, tmp_path_factory):
    place = tmp_path_factory.mktemp("fit")
    words = ["model.kind=prevalence", "task.modalities=[position]", "split.folds=3", "bootstrap=50"]
    words += ["tracking=csv", f"cohort.root={table_cohort}", f"prepared.root={place / 'prepared'}"]
    run(compose([*words, f"run.folder={place / 'run'}"]), Console(quiet=True))
    return words, place / "run"


@pytest.fixture
def fitted(words, tmp_path):
    """The words of a run and its folder, to be attacked."""
    folder = shutil.copytree(words[1], tmp_path / "run")
    return [*words[0], f"run.folder={folder}"], folder


def test_a_finished_fold_is_checked_before_a_run_goes_on(fitted):
    words, folder = fitted
    replaced(folder, 0, flipped(table_of(folder, 0)))
    for path in (folder / "fold=1").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="label"):
        run(compose(words), Console(quiet=True))
    assert not (folder / "fold=1" / "predictions.parquet").exists()


def test_a_split_file_that_was_changed_is_not_gone_on_with(fitted):
    words, folder = fitted
    content = json.loads((folder / "split.json").read_text())
    content["folds"][0]["train"].append(content["folds"][0]["test"][0])
    (folder / "split.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"split\.json"):
        run(compose(words), Console(quiet=True))


@pytest.mark.parametrize("content", [None, "{", "{}"], ids=["missing", "torn", "empty"])
@pytest.mark.parametrize("choice", [False, True])
def test_folds_whose_run_cannot_be_told_are_not_adopted(fitted, content, choice):
    words, folder = fitted
    (folder / "environment.json").unlink()
    if content:
        (folder / "environment.json").write_text(content)
    if choice:  # nothing is trained yet, but something was chosen
        for path in folder.glob("fold=*/*"):
            path.unlink()
        (folder / "fold=0" / "tuning.json").write_text('{"chosen": {}}')
    before = (folder / "config.yaml").read_text()
    with pytest.raises(ConfigError, match=r"environment\.json"):
        run(compose([*words, "seed=1"]), Console(quiet=True))
    assert (folder / "config.yaml").read_text() == before
