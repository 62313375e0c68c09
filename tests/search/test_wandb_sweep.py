"""A search as a sweep of W&B: what its file says, who is left out, and a real agent of it on the loopback."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from commands import run_command
from repository import HOME
from rich.console import Console
from wandb_service import KEY, wandb_service

from bcbm.config.compose import compose
from bcbm.errors import ConfigError
from bcbm.search.sweep import export
from bcbm.search.wandb_sweep import HELD_OUT, METHODS

SPACE = {
    "baseline.strength": {"float": [0.01, 10.0], "log": True},
    "loss.class_weights": {"categorical": [True, False]},
    "baseline.trees": {"int": [100, 500], "step": 200, "when": {"loss.class_weights": [True]}},
}
WORDS = ["model.kind=logistic_l2", "task.modalities=[radiomics,position]", "bootstrap=20", "split.folds=2"]
FULL = {"pruner": {"kind": "none"}}
DRAWN = {"baseline.strength": 0.3, "baseline.trees": 100, "loss.class_weights": False}


def sweep_file(place, **changes):
    """A sweep's file."""
    place.write_text(yaml.safe_dump({"trials": 3, "space": SPACE, **changes}, sort_keys=False))
    return f"sweep={place}"


@pytest.fixture(scope="module")
def exported(table_cohort, tmp_path_factory):
    """A folder with the exports of a fold and of all patients, and their files for W&B."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "left-out.csv").write_text("study,reason\nBCBM-RadioGenomics-1-0,moved\n")
    words = [sweep_file(folder / "strength.yaml"), "outer=0,final", f"cohort.root={table_cohort}", *WORDS]
    words += [f"prepared.root={folder / 'prepared'}", "export=wandb"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        files = export([*words, "cohort.exclude=left-out.csv"], Console(quiet=True))
    return folder, files


def test_the_file_says_what_is_drawn_sought_and_called_and_names_nobody_and_no_place(exported):
    folder, files = exported
    assert [path.as_posix() for path in files] == [
        "wandb-strength/strength-fold-0-sweep.yaml",
        "wandb-strength/strength-final-sweep.yaml",
    ]
    text = (folder / files[0]).read_text()
    content = yaml.safe_load(text)
    assert content["metric"] == {"name": "mean/auroc", "goal": "maximize"}
    assert (content["method"], content["run_cap"]) == (METHODS["tpe"], 3)
    assert content["parameters"] == {
        "baseline.strength": {"distribution": "log_uniform_values", "min": 0.01, "max": 10.0},
        "loss.class_weights": {"values": [True, False]},
        "baseline.trees": {"values": [100, 300, 500]},
    }
    assert str(folder) not in text and "BCBM" not in text


def test_no_trial_of_a_fold_sees_its_test_patients_and_who_was_left_out_stays_so(exported):
    folder, _ = exported
    table = pd.read_csv(
        folder / "wandb-strength/strength-fold-0-held-out.csv", dtype=str, keep_default_na=False
    )
    patients = table.loc[table["reason"] == HELD_OUT, "patient"]
    assert 10 < len(patients) < 30 and ("BCBM-RadioGenomics-1-0", "moved") in zip(
        table["study"], table["reason"], strict=True
    )
    final = compose([f"experiment={folder / 'wandb-strength/strength-final.yaml'}"])
    assert final.cohort.exclude == "left-out.csv" and final.split.folds == final.split.inner == 3


def test_an_agent_of_wandb_fits_and_hands_in_its_figure_and_a_trial_drawn_again_too(exported):
    folder, files = exported
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with wandb_service() as service:
        own = {"WANDB_BASE_URL": service.address, "WANDB_API_KEY": KEY, "WANDB_MODE": "online"}
        own |= {"BCBM_CACHE": str(folder / "cache"), "PYTHONPATH": str(HOME)}
        settings = {"cwd": folder, "env": {**os.environ, **own, "PATH": tools}, "capture_output": True}

        def wandb(*words):
            subprocess.run([sys.executable, "-m", "wandb", *words], check=True, timeout=280, **settings)

        wandb("sweep", "--project", "bcbm", files[0].as_posix())
        service.drawn = [DRAWN]
        wandb("agent", "--count", "1", "somebody/bcbm/sweep")
        words = [f"{key}={value}" for key, value in DRAWN.items()]
        agent = {"WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": "again"}
        base = f"experiment={files[0].as_posix().replace('-sweep', '')}"
        again = run_command("fit", base, *words, cwd=folder, **own, **agent)
    assert again.returncode == 0 and again.stdout.count("finished before") == 3, again.stderr
    sent = [body.decode(errors="replace") for body in service.received]
    handed_in = [body for body in sent if "wandb-summary.json" in body and "mean/auroc" in body]
    assert len(handed_in) >= 2 and set(service.history) == {"trial1", "again"}
    (results,) = folder.glob("runs/strength-fold-0/*/results.json")
    lesions = pd.read_parquet(results.parent / "lesions.parquet")
    entered = set(lesions.loc[~lesions["excluded"], "patient_id"])
    held_out = pd.read_csv(folder / "wandb-strength/strength-fold-0-held-out.csv")["patient"].dropna()
    assert entered and not entered & set(held_out)
    assert not [name for name in (str(folder), *held_out) if name in "".join(sent)]


@pytest.mark.parametrize(
    ("changes", "word", "facts"),
    [
        ({"objective": ["auroc", "brier"], **FULL}, "", ("objective: auroc, brier", "auroc")),
        ({"sampler": {"kind": "nsga2"}}, "", ("sampler", "nsga2", "tpe")),
        ({"constraints": {"calibration_slope": [0.5, 2.0]}}, "", ("constraints", "calibration_slope")),
        ({"trials": None, "minutes": 5}, "", ("trials",)),
        ({}, "export=optuna", ("export=optuna", "export=wandb")),
    ],
)
def test_what_wandb_cannot_hold_is_refused_before_anything_is_prepared(tmp_path, changes, word, facts):
    words = [sweep_file(tmp_path / "s.yaml", **changes), "export=wandb", *WORDS, *filter(None, [word])]
    with pytest.raises(ConfigError) as raised:
        export([*words, f"prepared.root={tmp_path / 'prepared'}"], Console(quiet=True))
    assert all(fact in str(raised.value) for fact in facts)
    assert not (tmp_path / "prepared").exists()
