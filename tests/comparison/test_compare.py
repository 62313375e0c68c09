"""Experiments against each other: the real command, hand-made runs, and what is refused."""

import io
import json
import re
import shlex
import shutil
import sys
from html import unescape

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from browser import browse, share_of
from commands import run_command
from finished_runs import write_run
from repository import EXPERIMENTS
from rich.console import Console

from bcbm.cohort.formats.tcia import ACQUIRED, CLINICAL_WORKBOOK
from bcbm.compare import main
from bcbm.comparison.compare import compare, fit_command
from bcbm.comparison.differences import Row, compare_runs, distinct_labels
from bcbm.comparison.experiments import reference_of
from bcbm.comparison.screen import print_comparison
from bcbm.config.compose import compose, load, plain
from bcbm.crossvalidation.cross_validate import run
from bcbm.errors import ConfigError, InputError, Note
from bcbm.report.figures.palette import ALARM, PATIENT
from bcbm.runs.finished import read_run
from bcbm.runs.folder import RunFolder

GROUPS = sorted(path for path in EXPERIMENTS.glob("*/*.yaml"))
OURS = {"modalities", "tasks", "splits", "weighting", "sampling"}
TABULAR = [
    *("cohort.synthetic.images=false", "cohort.synthetic.patients=40", "model.kind=logistic_l2"),
    *("tracking=csv", "bootstrap=100", "split.folds=2"),
]
WEAK = {"ER": 0.2, "PR": 0.0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Five finished runs: all, a weak image, ER alone, a leak, and other folds."""
    root = tmp_path_factory.mktemp("runs")
    write_run(root / "all", "experiment=demo+modalities/all", "split.repeats=2")
    write_run(root / "image", "experiment=demo+modalities/image", "split.repeats=2", signal=WEAK, seed=1)
    write_run(root / "er", "experiment=demo+tasks/er", "split.repeats=2", seed=2)
    write_run(root / "lesion", "experiment=demo+splits/lesion", "split.repeats=2", seed=3)
    write_run(root / "other", "split.repeats=2", "split.seed=1")
    return root


@pytest.fixture
def compared(runs, tmp_path):
    """The content of comparison.json, and the folder, of some of the runs."""

    def _compared(*names, words=()):
        settings = [f"run.root={tmp_path}", "bootstrap=200"]
        assert compare([*(str(runs / name) for name in names), *words, *settings], Console(quiet=True)) == 0
        (folder,) = (tmp_path / "compare").iterdir()
        return json.loads((folder / "comparison.json").read_text()), folder

    return _compared


def refused(capsys, monkeypatch, *words):
    """What the command says to one who may not have it."""
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, words)])
    assert main() == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return " ".join(message.split())


def rows_of(runs, *names):
    finished = [read_run(runs / name) for name in names]
    return [Row(label, run) for label, run in zip(distinct_labels(finished), finished, strict=True)]


def test_experiments_are_run_tested_and_written_by_the_real_command(tmp_path, monkeypatch):
    monkeypatch.setenv("BCBM_CACHE", str(tmp_path / "cache"))
    words = [f"experiments/modalities/{name}.yaml" for name in ("position", "radiomics")]
    words += [f"run.root={tmp_path / 'runs'}", *TABULAR]
    process = run_command("compare", *words, COLUMNS="80")
    assert process.returncode == 0, process.stderr
    folder = tmp_path / "runs" / "compare" / "position-radiomics"
    comparison = json.loads((folder / "comparison.json").read_text())
    assert [row["label"] for row in comparison["rows"]] == ["position", "radiomics"]
    assert (
        comparison["rows"][1]["experiment"] == "demo+modalities/radiomics"
        and comparison["reference"] == "position"
    )
    assert [test["target"] for test in comparison["tests"]] == ["ER", "PR", "HER2"]
    assert comparison["rows"][0]["best"]["ER"] > 0.5
    table = process.stdout.rpartition("Patient AUROC")[2].partition("report:")[0]
    assert "Difference from position" in table and max(map(len, table.splitlines())) <= 80
    for row in comparison["rows"]:  # each run has a report, linked from the page
        place = row["folder"]
        assert f'href="{place}/report.html"' in (folder / "report.html").read_text()
        assert (folder / place / "report.html").is_file()
    monkeypatch.setattr(sys, "argv", ["compare", *words])
    screen = io.StringIO()
    assert compare([*words, "against=radiomics"], Console(file=screen)) == 0
    assert screen.getvalue().count("finished before") == 4  # nothing is trained twice
    assert json.loads((folder / "comparison.json").read_text())["reference"] == "radiomics"


def without_acquisition(table_cohort, folder):
    """The same download, but its clinical workbook knows nothing of how images were taken."""
    shutil.copytree(table_cohort, folder)
    file, sheet = folder / CLINICAL_WORKBOOK[0], CLINICAL_WORKBOOK[1]
    book = pd.read_excel(file, sheet_name=sheet, dtype=str)
    acquired = [name for name in book if ACQUIRED.get(name) not in (None, "age", "sex")]
    with pd.ExcelWriter(file) as writer:
        book.drop(columns=acquired).to_excel(writer, sheet_name=sheet, index=False)
    return folder


def test_experiments_whose_columns_the_cohort_lacks_are_left_out_and_said_to_be(table_cohort, tmp_path):
    root = without_acquisition(table_cohort, tmp_path / "cohort")
    words = [f"cohort.root={root}", f"prepared.root={tmp_path / 'p'}", f"run.root={tmp_path / 'runs'}"]
    words += ["experiment=tcia_tabular", "split.repeats=1", "task.targets=[ER]", *TABULAR[3:]]
    files = [f"experiments/baselines/{name}.yaml" for name in ("acquisition", "burden", "logistic_l2")]
    screen = io.StringIO()
    assert compare([*files, *words], Console(file=screen, width=200)) == 0
    line = f"left out: acquisition: {CLINICAL_WORKBOOK[0]}: the columns year, pixel_spacing, field_strength, "
    line += "tr, te, manufacturer are missing, empty or the same everywhere"
    before, _, after = screen.getvalue().partition("[1/2]")
    assert line in before and line in after
    (folder,) = (tmp_path / "runs" / "compare").iterdir()
    comparison = json.loads((folder / "comparison.json").read_text())
    assert [row["label"] for row in comparison["rows"]] == ["burden", "logistic_l2"]
    assert [experiment["name"] for experiment in comparison["left_out"]] == ["acquisition"]
    page = re.sub(r"<[^>]+>", "", (folder / "report.html").read_text())
    assert "Left out" in page and "acquisition (BCBM" in page
    with pytest.raises(
        ConfigError, match="against=acquisition is left out; write one of burden, logistic_l2"
    ):
        compare([*files, *words, "against=acquisition"], Console(quiet=True))
    with pytest.raises(InputError, match=r"acquisition: BCBM.*a comparison needs two"):
        compare([*files[:2], *words], Console(quiet=True))
    with pytest.raises(InputError, match=r"leave acquisition out of task\.modalities"):
        run(
            compose(["experiment=tcia_tabular+baselines/acquisition", *words[:3], *words[4:]]),
            Console(quiet=True),
        )


def test_the_reference_is_the_base_itself_or_else_what_predicts_most(tmp_path):
    def reference(*groups, words=()):
        names = [f"demo+{group}" for group in groups]
        folders = [write_run(tmp_path / name, f"experiment={name}", *words) for name in names]
        finished = [read_run(folder) for folder in folders]
        rows = [Row(label, run) for label, run in zip(distinct_labels(finished), finished, strict=True)]
        return reference_of(rows, list(words))

    assert reference("fusion/attention", "fusion/concat") == "concat"
    assert reference("splits/lesion", "splits/patient") == "patient"
    assert reference("tasks/er", "tasks/her2", "tasks/multi") == "multi"
    assert reference("modalities/image", "modalities/radiomics") == "image"
    assert reference("aggregation/largest", "aggregation/mean", words=["split.folds=3"]) == "mean"


def test_without_the_base_the_reference_predicts_as_many_targets_as_any(compared):
    assert compared("er", "all")[0]["reference"] == "all"


def test_a_difference_is_that_of_the_two_figures_and_has_every_test(runs):
    comparison = compare_runs(rows_of(runs, "all", "image"), "all")
    base, other = comparison["rows"]
    for test in comparison["tests"]:
        apart = other["receptors"][test["target"]]["auroc"] - base["receptors"][test["target"]]["auroc"]
        assert test["difference"] == pytest.approx(apart) and test["low"] <= apart <= test["high"]
    by_target = {test["target"]: test for test in comparison["tests"]}
    assert by_target["ER"]["high"] < 0 and by_target["ER"]["q"] < 0.05
    assert by_target["HER2"]["low"] < 0 < by_target["HER2"]["high"] and by_target["HER2"]["q"] > 0.05
    p = np.sort([test["p"] for test in comparison["tests"]])
    q = np.minimum.accumulate((p * 3 / [1, 2, 3])[::-1])[::-1]
    assert sorted(test["q"] for test in comparison["tests"]) == pytest.approx(list(q))


def test_a_single_task_is_blank_where_it_predicts_nothing(compared):
    comparison, folder = compared("all", "er")
    assert comparison["rows"][1]["mean"] is None and list(comparison["rows"][1]["receptors"]) == ["ER"]
    assert [test["target"] for test in comparison["tests"]] == ["ER"]
    assert (folder / "comparison.png").stat().st_size > 5000


def test_what_several_groups_name_again_is_trained_once(table_cohort, tmp_path, monkeypatch):
    root = f"cohort.root={table_cohort}"
    words = [root, f"prepared.root={tmp_path / 'p'}", f"run.root={tmp_path / 'runs'}", "task.targets=[ER]"]
    words += ["experiment=tcia_tabular", "split.repeats=1", "task.modalities=[position]", *TABULAR[2:]]
    screen = io.StringIO()
    groups = ["experiments/weighting", "experiments/sampling"]
    assert compare([*groups, *words, "against=patient"], Console(file=screen, width=200)) == 0
    line = "tcia_tabular+weighting/on is tcia_tabular+sampling/patient by another name: trained once"
    assert line in screen.getvalue()
    folder = tmp_path / "runs" / "compare" / "tcia_tabular+weighting-sampling"
    comparison = json.loads((folder / "comparison.json").read_text())
    assert [row["label"] for row in comparison["rows"]] == ["off", "even", "patient"]
    assert comparison["reference"] == "patient"


def test_a_control_of_random_labels_is_marked_and_never_paired(runs, tmp_path):
    control = write_run(tmp_path / "control", "split.repeats=2", "task.random_labels=0", "split.seed=1")
    words = [str(control), str(runs / "image"), f"run.root={tmp_path}", "bootstrap=50"]
    assert compare(words, Console(quiet=True)) == 0  # though its folds are others
    (folder,) = (tmp_path / "compare").iterdir()
    comparison = json.loads((folder / "comparison.json").read_text())
    assert [row["label"] for row in comparison["rows"]] == ["demo RANDOM LABELS", "image"]
    assert comparison["reference"] == "image"
    assert {test["reason"] for test in comparison["tests"]} == {"other labels"}


def test_a_leak_stands_beside_and_is_marked_and_never_paired(compared):
    comparison, folder = compared("lesion", "all", "image")
    assert comparison["reference"] == "all"  # the first that is honest
    leaks = [test for test in comparison["tests"] if test["label"] == "lesion"]
    assert all(test["reason"] == "other split" and "q" not in test for test in leaks)
    pixels = matplotlib.image.imread(folder / "comparison.png")[..., :3]
    assert share_of(pixels, ALARM) > 0 and share_of(pixels, PATIENT) > 0
    dom, console = browse(folder / "report.html", "--dump-dom")
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", dom)).split())
    assert console == "" and "LEAKY: lesion" in text and "other split" in text
    assert "BCBM-SECRET" not in dom
    assert re.search(r"all patients \w{16} 0 0", text) and not re.search(r"lesion lesions \w{16} 0 0", text)


def test_what_a_search_chose_is_marked_beside_the_others(runs, tmp_path):
    words = ["split.repeats=2", "chosen_by=fusion on demo, 1dea", f"run.root={tmp_path}"]
    chosen = write_run(tmp_path / "chosen", *words, seed=4)
    assert compare([str(runs / "all"), str(chosen), words[2]], Console(quiet=True)) == 0
    text = " ".join(next((tmp_path / "compare").iterdir()).joinpath("report.html").read_text().split())
    assert "demo: a search (fusion on demo, 1dea) chose its settings on every patient" in text
    assert text.count("optimistic") == 1


def test_other_folds_of_the_same_unit_are_refused(runs, capsys, monkeypatch):
    message = refused(capsys, monkeypatch, runs / "all", runs / "image", runs / "other")
    hashes = [read_run(runs / name).split["hash"] for name in ("all", "other")]
    assert all(text in message for text in hashes) and "split.*" in message and message.count("error") == 1


@pytest.fixture
def elsewhere(runs, tmp_path):
    """A run whose patients have the ids, labels and folds of another cohort's."""
    folder = shutil.copytree(runs / "image", tmp_path / "elsewhere")
    environment = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps(environment | {"cohort": "def456"}))
    return folder


def test_runs_of_other_cohorts_are_refused_though_their_ids_agree(
    runs, elsewhere, capsys, monkeypatch, tmp_path
):
    message = refused(capsys, monkeypatch, runs / "all", elsewhere)
    assert "abc123" in message and "def456" in message and "across=true" in message
    with pytest.raises(InputError, match="def456"):
        compare_runs([Row("a", read_run(runs / "all")), Row("b", read_run(elsewhere))], "a")
    words = ["experiments/sampling/even.yaml", f"run.root={tmp_path / 'none'}", *TABULAR]
    monkeypatch.setenv("BCBM_CACHE", str(tmp_path / "cache"))
    assert "def456" in refused(capsys, monkeypatch, elsewhere, *words, "task.modalities=[position]")
    assert not (tmp_path / "none").exists()  # before anything trains
    assert "across=yes" in refused(capsys, monkeypatch, runs / "all", elsewhere, "across=yes")


def test_a_comparison_across_cohorts_marks_every_figure(runs, elsewhere, tmp_path):
    words = [str(runs / "all"), str(elsewhere), "across=true", f"run.root={tmp_path}", "bootstrap=50"]
    screen = io.StringIO()
    assert compare(words, Console(file=screen, width=120)) == 0
    (folder,) = (tmp_path / "compare").iterdir()
    comparison = json.loads((folder / "comparison.json").read_text())
    assert comparison["across"] is True and [row["cohort"] for row in comparison["rows"]] == [
        "abc123",
        "def456",
    ]
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", (folder / "report.html").read_text())).split())
    for page in (text, screen.getvalue()):
        figures = re.findall(r"\[[-+]?\d\.\d\d, [-+]?\d\.\d\d\]( ‡)?", page)
        assert len(figures) >= 11 and all(figures) and "ACROSS COHORTS" in page
    pixels = matplotlib.image.imread(folder / "comparison.png")[..., :3]
    assert share_of(pixels, ALARM) > 0


def test_a_comparison_of_other_runs_by_the_same_names_replaces_none(runs, tmp_path):
    def compared_in(*names):
        words = [*map(str, names), f"run.root={tmp_path / 'runs'}", "bootstrap=5"]
        compare(words, Console(quiet=True))
        return {path.name for path in (tmp_path / "runs" / "compare").iterdir()}

    own, others = [runs / "all", runs / "image"], []
    for name in ("all", "image"):
        words = [f"experiment=demo+modalities/{name}", "seed=7"]
        others.append(write_run(tmp_path / "others" / name, *words))
    (first,) = compared_in(*own)
    assert compared_in(*own) == {first} and compared_in(*others) == {first, f"{first}-2"}
    assert compared_in(*own) == compared_in(*others) == {first, f"{first}-2"}


def test_words_that_change_nothing_of_finished_runs_are_said(runs, tmp_path):
    words = [str(runs / "all"), str(runs / "image"), f"run.root={tmp_path}"]
    with pytest.warns(Note, match=r"split\.repeats=10, bootstrap=5: not read"):
        compare([*words, "split.repeats=10", "bootstrap=5"], Console(quiet=True))


def test_across_marks_nothing_where_the_cohort_is_one_and_pairs_no_other_patients(compared, runs, elsewhere):
    comparison, folder = compared("all", "image", words=["across=true"])
    assert comparison["across"] is False and "‡" not in (folder / "report.html").read_text()
    other = read_run(elsewhere)
    other.predictions["label"] = 1 - other.predictions["label"]
    tests = compare_runs([Row("a", read_run(runs / "all")), Row("b", other)], "a", across=True)["tests"]
    assert {test["reason"] for test in tests} == {"other cohort"}


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: path.stem)
def test_a_name_of_ours_is_whole_on_a_screen_of_80_columns(path, capsys):
    block = dict.fromkeys(("auroc", "auroc_low", "auroc_high"), 0.5)
    row = {"label": f"{path.parent.name}/{path.stem}", "mean": block, "leaky": False}
    row["receptors"] = dict.fromkeys(("ER", "PR", "HER2"), block)
    tested = {"label": row["label"], "target": "HER2", **dict.fromkeys(("difference", "low", "high"), -0.1)}
    tested |= {"p": 0.4, "q": 0.5}
    shown = {"across": False, "receptors": list(row["receptors"]), "reference": "all"}
    print_comparison({**shown, "rows": [row], "tests": [tested]}, Console(width=80))
    assert capsys.readouterr().out.replace("/", " ").split().count(path.stem) >= 2


def test_a_run_that_stopped_is_refused_with_the_command_that_goes_on(tmp_path, runs, capsys, monkeypatch):
    words = ["experiment=demo+modalities/image", "trainer.max_epochs=7", "task.targets=[ER,PR]"]
    words += ["tune={model.dropout: [0.1, 0.5]}", "loss.target_weights.PR=2"]
    stopped = write_run(tmp_path / "with space", *words, finished=False)
    message = refused(capsys, monkeypatch, runs / "all", stopped)
    assert "2 of 5 folds" in message and fit_command(stopped) in message
    config = plain(compose(shlex.split(fit_command(stopped))[3:]))
    assert config.pop("run")["folder"] == str(stopped)
    stored = plain(load(stopped / "config.yaml"))
    stored.pop("run")
    assert config == stored


def test_the_command_that_goes_on_is_not_guessed_for_an_experiment_from_elsewhere(tmp_path):
    run = write_run(tmp_path / "run", finished=False)
    content = (run / "config.yaml").read_text().replace("experiment: demo", "experiment: mine")
    (run / "config.yaml").write_text(content)
    assert fit_command(run) == "the command that started it"


def test_missing_images_are_said_before_anything_trains(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BCBM_CACHE", str(tmp_path / "cache"))
    words = ["cohort.synthetic.images=false", "cohort.synthetic.patients=24", f"run.root={tmp_path / 'runs'}"]
    message = refused(capsys, monkeypatch, "experiments/modalities", *words)
    assert "has no images" in message and "task.modalities=[radiomics,position]" in message
    assert not (tmp_path / "runs").exists()


def test_words_that_are_nothing_are_refused(runs, tmp_path, capsys, monkeypatch):
    for words, message in (
        ([tmp_path / "nowhere"], "no such folder"),
        ([tmp_path], "neither experiments"),
        ([runs / "all"], "at least two"),
        ([runs / "all", runs / "image", "against=none"], "write one of all, image"),
        ([runs / "all", runs / "image", "split.fold=2"], "split.folds"),
        (["experiments/weighting", "trainer.devices=2"], "python -m bcbm.fit experiment=demo+weighting/off"),
    ):
        assert message in refused(capsys, monkeypatch, *words)


def test_labels_are_as_short_as_they_can_be_and_never_twice_the_same(runs):
    def labels(*names):
        return [row.label for row in rows_of(runs, *names)]

    assert labels("all", "image", "er") == ["all", "image", "er"]
    assert labels("all", "all") == ["demo+modalities/all all (1)", "demo+modalities/all all (2)"]
    two = [read_run(runs / "all"), read_run(runs / "lesion")]
    two[1].config["experiment"] = "demo+splits/all"
    assert distinct_labels(two) == ["modalities/all", "splits/all"]


def test_other_labels_of_the_same_patients_are_refused(runs):
    rows = rows_of(runs, "all", "image")
    flipped = rows[1].run.predictions
    flipped["label"] = 1 - flipped["label"]
    with pytest.raises(ValueError, match="run both on the same cohort"):
        compare_runs(rows, "all")


@pytest.mark.parametrize(
    "path", [p for p in GROUPS if p.parent.name in OURS], ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_an_experiment_of_a_group_has_its_claim_and_changes_one_room(path):
    name = f"{path.parent.name}/{path.stem}"
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# Claim: ") and lines[1].endswith(f"experiment=demo+{name}")
    base, config = plain(compose(["experiment=demo"])), plain(compose([f"experiment=demo+{name}"]))
    assert config.pop("experiment") == f"demo+{name}" and base.pop("experiment") == "demo"
    assert len([room for room in base if base[room] != config[room]]) <= 1


def test_a_run_folder_of_a_group_is_found_again_where_fit_put_it(tmp_path):
    config = compose(["experiment=demo+modalities/image", f"run.root={tmp_path}"])
    folder = RunFolder.open(config, "cohort", "{}", "hash")
    assert folder.path.parent == tmp_path / "demo+modalities" / "image"
    with pytest.raises(ConfigError):
        compare([str(folder.path)], Console(quiet=True))
    assert RunFolder.open(config, "cohort", "{}", "hash").path == folder.path
