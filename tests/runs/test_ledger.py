"""The ledger of a cohort: which configurations have been tested on its patients."""

import io
import json
import multiprocessing
import shutil

import pytest
from rich.console import Console

from bcbm import evaluate
from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.errors import Note
from bcbm.report.words import ledger_in_words
from bcbm.runs.ledger import enter


def enter_all(ledger, names):
    for name in names:
        enter(ledger, name, "demo")


def test_a_configuration_is_counted_once_in_the_order_of_first_looks(tmp_path):
    assert enter(tmp_path, "b", "demo") == {"number": 1, "configurations": 1}
    assert enter(tmp_path, "a", "demo") == {"number": 2, "configurations": 2}
    assert enter(tmp_path, "b", "demo") == {"number": 1, "configurations": 2}
    (tmp_path / "0.json").write_text("{")  # torn by something else: it counts
    assert enter(tmp_path, "c", "demo") == {"number": 4, "configurations": 4}
    assert ledger_in_words({"number": 14, "configurations": 14}) == "the 14th configuration on this cohort"
    assert "of 20" in ledger_in_words({"number": 14, "configurations": 20})


def test_a_look_comes_after_all_before_whatever_the_clock_says(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"looked": "2999-01-01T00:00:00+00:00"}))
    assert [enter(tmp_path, name, "demo")["number"] for name in "cb"] == [2, 3]
    assert enter(tmp_path, "a", "demo")["number"] == 1


def test_processes_side_by_side_lose_no_entry(tmp_path):
    names = [[f"{process}-{n}" for n in range(5)] + ["shared"] for process in range(4)]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=enter_all, args=(tmp_path, part)) for part in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert enter(tmp_path, "shared", "demo")["configurations"] == 21
    assert len(list(tmp_path.iterdir())) == 21


def test_runs_count_and_neither_reruns_nor_choices_inside_a_fold(table_cohort, tmp_path):
    prepared = tmp_path / "prepared"
    words = ["model.kind=logistic_l2", "task.modalities=[position]", "task.targets=[ER]", "split.folds=2"]
    words += ["bootstrap=50", "tracking=csv", f"cohort.root={table_cohort}", f"prepared.root={prepared}"]
    words += [f"run.root={tmp_path / 'runs'}"]
    folder = run(compose([*words, "fold=0"]), Console(quiet=True))
    assert not (prepared / "ledger").exists()  # no figure of a test patient has been made
    assert run(compose(words), Console(quiet=True)) == folder
    assert json.loads((folder / "results.json").read_text())["ledger"] == {"number": 1, "configurations": 1}
    screen = io.StringIO()
    tuned = compose([*words, "tune={baseline.strength: [0.1, 1.0]}", "split.inner=2"])
    other = run(tuned, Console(file=screen, width=200))
    assert json.loads((other / "results.json").read_text())["ledger"] == {"number": 2, "configurations": 2}
    assert "2nd configuration on this cohort" in screen.getvalue()
    assert "2nd configuration on this cohort" in (other / "report.html").read_text()
    assert evaluate(folder)["ledger"] == {"number": 1, "configurations": 2}
    assert "1st configuration on this cohort (of 2 so far)" in (folder / "report.html").read_text()
    (entries,) = (prepared / "ledger").iterdir()
    assert len(list(entries.iterdir())) == 2
    shutil.rmtree(prepared)
    with pytest.warns(Note, match="not counted"):
        assert "ledger" not in evaluate(folder)
    assert not prepared.exists()
