"""`from bcbm import ...`: what the commands do, for a notebook: quiet, typed, with the same errors."""

import json
import subprocess
import sys

import pandas as pd
import pytest

import bcbm.evaluate
from bcbm import ConfigError, InputError, compare, compose, evaluate, fit, prepare, read_run
from tests.finished_runs import lesion_table, write_run

SMALL = ("task.modalities=[radiomics,position]", "split.folds=2", "trainer.max_epochs=1", "bootstrap=50")
SMALL += ("tracking=csv", "prepared.jobs=1")


@pytest.fixture(scope="module")
def words(table_cohort, tmp_path_factory):
    place = tmp_path_factory.mktemp("interface")
    return [*SMALL, f"cohort.root={table_cohort}", f"prepared.root={place / 'p'}", f"run.root={place / 'r'}"]


def test_a_name_is_the_function_also_after_the_command_was_imported():
    assert callable(bcbm.evaluate) and bcbm.evaluate is evaluate
    assert callable(sys.modules["bcbm.evaluate"].main)


def test_the_names_load_nothing_before_they_are_used():
    text = "import sys, bcbm; print({'torch', 'pandas', 'omegaconf', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_fit_prints_nothing_and_returns_what_its_folder_holds(words, capfd):
    lesions = prepare(compose(words))
    run = fit(compose(words))
    assert capfd.readouterr() == ("", "")
    assert sorted(set(run.predictions["lesion_id"])) == sorted(lesions.entering["lesion_id"])
    assert json.loads((run.folder / "results.json").read_text())["receptors"].keys() == {"ER", "PR", "HER2"}
    again = fit(compose(words), verbose=True)
    assert again.folder == run.folder and "fold 0" in capfd.readouterr().out
    pd.testing.assert_frame_equal(read_run(run.folder).predictions, run.predictions)


def test_evaluate_makes_results_and_report_again(tmp_path, capfd):
    folder = write_run(tmp_path / "run")
    before = read_run(folder).results
    (folder / "results.json").unlink()
    environment = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps(environment | {"best": None}))
    results = evaluate(str(folder))
    assert results["receptors"]["ER"]["patient"]["auroc"] == before["receptors"]["ER"]["patient"]["auroc"]
    assert (folder / "report.html").is_file()
    assert capfd.readouterr().out == ""


def test_runs_are_compared_with_the_first_or_with_the_one_that_is_named(tmp_path):
    table = lesion_table()
    better = read_run(
        write_run(tmp_path / "better", "experiment=fusion/gated", table=table, signal={"ER": 4})
    )
    other = read_run(write_run(tmp_path / "other", "experiment=fusion/concat", table=table, seed=1))
    comparison = compare(better, other)
    assert comparison["reference"] == "gated"
    (test,) = [test for test in comparison["tests"] if test["target"] == "ER"]
    assert test["label"] == "concat" and test["difference"] < 0
    assert compare(better, other, against="concat")["reference"] == "concat"
    with pytest.raises(ConfigError, match=r"against=late.*gated, concat"):
        compare(better, other, against="late")
    with pytest.raises(ConfigError, match="at least two"):
        compare(better)


def test_what_a_notebook_cannot_do_is_refused_before_anything_is_read(words):
    with pytest.raises(ConfigError, match="fold=1"):
        fit(compose([*words, "fold=1"]))
    with pytest.raises(ConfigError, match=r"trainer\.devices=2.*trainer\.parallel=folds"):
        fit(compose([*words, "trainer.devices=2"]))


@pytest.mark.parametrize("function", [evaluate, read_run])
def test_a_folder_without_a_run_is_named(function, tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        function(tmp_path)
