"""Runs, prepared tables and checkpoints that version 0.1.0 has left, as `tests/version_0_1/` keeps them.

Made with commit 13814f7 on its embedded cohort of 18 patients, tables only, with the words below; `begun` was
ended by SIGTERM in its second fold.
"""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from commands import run_command
from repository import HOME

WORDS = ("cohort.root=cohort", "prepared.root=prepared", "run.root=runs", "split.folds=2", "bootstrap=200")
WORDS += ("task.modalities=[radiomics,position]", "tracking=csv", "augment=none", "trainer.devices=1")
LONG = ("trainer.max_epochs=40", "trainer.patience=40")


@pytest.fixture
def left(tmp_path):
    return Path(shutil.copytree(HOME / "tests/version_0_1", tmp_path / "left"))


def command(folder, verb, *words, status=0):
    done = run_command(verb, *words, cwd=folder)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_a_begun_run_is_left_to_the_version_that_began_it(left):
    before = sorted(path.name for path in (left / "runs/begun").rglob("*"))
    screen = command(left, "fit", *WORDS, *LONG, "run.folder=runs/begun", status=2)
    assert "bcbm 0.1.0" in screen and "run.folder" in screen
    assert sorted(path.name for path in (left / "runs/begun").rglob("*")) == before


def test_old_names_of_keys_are_still_understood(left):
    words = (*WORDS, "experiment=demo+baselines/logistic_l2", "task.receptors=[HER2]", "tracking=csv")
    command(left, "fit", *words, "loss.receptor_weights.HER2=2")
    (results,) = (left / "runs").glob("demo+*/**/results.json")
    assert list(json.loads(results.read_text())["receptors"]) == ["HER2"]
    content = yaml.safe_load(results.with_name("config.yaml").read_text())
    assert content["task"]["targets"] == ["HER2"] and content["loss"]["target_weights"]["HER2"] == 2


KEPT = ("auprc", "auprc_low", "auprc_high", "brier", "positives", "negatives")


def same_figures(before, after):
    """All that was there is there, numbers but for the last digits of a fit."""
    if isinstance(before, dict):
        for name, value in before.items():
            same_figures(value, after[name])
    elif isinstance(before, list):
        assert len(before) == len(after)
        for pair in zip(before, after, strict=True):
            same_figures(*pair)
    else:
        assert after == (pytest.approx(before, abs=1e-8) if isinstance(before, float) else before)


def unchanged(results):
    """Of all figures those that mean what they meant.

    Version 0.3 takes the AUROC of folds, not of their pool, and ER and PR as they go together.
    """
    targets = {
        name: {
            "folds": block["folds"],
            "patient": {key: block["patient"][key] for key in (*KEPT, "calibration")},
            "lesion": {key: block["lesion"][key] for key in KEPT},
        }
        for name, block in results["receptors"].items()
    }
    counts = results["derived"]["subtype"]["counts"]
    return {"receptors": targets, "subtypes": counts, "split": results["split"]["hash"]}


def test_a_finished_run_is_evaluated_to_the_same_figures(left):
    before = json.loads((left / "runs/finished/results.json").read_text())
    command(left, "evaluate", "runs/finished")
    after = json.loads((left / "runs/finished/results.json").read_text())
    same_figures(unchanged(before), unchanged(after))
    for block in after["receptors"].values():
        assert block["patient"]["auroc"] == pytest.approx(block["folds"]["mean"])
    assert (left / "runs/finished/report.html").is_file()


def test_a_finished_run_is_compared_and_explained(left):
    shutil.copytree(left / "runs/finished", left / "runs/copy")
    surroundings = left / "runs/copy/environment.json"
    own = json.loads(surroundings.read_text())
    surroundings.write_text(json.dumps(own | {"identity": f"{own['identity']}-2"}))  # a copy is refused
    screen = command(left, "compare", "runs/finished", "runs/copy", "bootstrap=50", "run.root=runs")
    assert "0.00" in screen and (left / "runs/compare").is_dir()
    command(left, "explain", "runs/finished")
    explained = json.loads((left / "runs/finished/explanations.json").read_text())
    assert {row["target"] for row in explained["modalities"]} == {"ER", "PR", "HER2"}
