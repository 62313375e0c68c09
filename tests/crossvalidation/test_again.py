"""A run made anew from its folder: the same table bit for bit, or what differs."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from commands import run_command

from bcbm.runs.finished import read_run
from bcbm.runs.tables import write_table

WORDS = ["task.modalities=[radiomics,position]", "cohort.synthetic.images=false", "prepared.jobs=1"]
WORDS += [
    "cohort.synthetic.patients=40",
    "trainer.max_epochs=1",
    "split.folds=2",
    "bootstrap=0",
    "tracking=csv",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of two folds, outside the folder of runs."""
    folder = tmp_path_factory.mktemp("again") / "run"
    process = run_command("fit", *WORDS, f"run.folder={folder}", f"run.root={folder.parent / 'runs'}")
    assert process.returncode == 0, process.stderr
    return folder


def test_no_list_is_written_where_the_run_does_not_lie(run):
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_a_run_again_is_the_same_and_says_so(run):
    process = run_command("fit", f"again={run}")
    assert process.returncode == 0, process.stderr
    again = read_run(run.with_name("run-again"))
    assert again.predictions.equals(read_run(run).predictions)
    assert f"{len(again.predictions)} predictions" in process.stdout and "differs" not in process.stdout


def test_what_differs_is_said(run, tmp_path):
    """The new table is finished already, and one of its probabilities another."""
    process = run_command("fit", f"again={run}", f"run.folder={tmp_path / 'new'}")
    assert process.returncode == 0, process.stderr
    fold = tmp_path / "new" / "fold=1"
    after = read_run(tmp_path / "new")
    table = after.predictions[after.predictions["fold"] == 1].reset_index(drop=True)
    table.loc[3, "probability"] = 1 - table.loc[3, "probability"]
    write_table(fold / "predictions.parquet", table, after.environment["identity"])
    surroundings = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({**surroundings, "python": "3.0.0"}))
    try:
        process = run_command("fit", f"again={run}", f"run.folder={tmp_path / 'new'}")
    finally:
        (run / "environment.json").write_text(json.dumps(surroundings))
    assert process.returncode == 1, process.stderr
    assert f"probability: 1 of {len(after.predictions)} rows" in process.stdout
    assert "python, 3.0.0, now" in process.stdout


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["seed=3"], ["seed", "another run"]),
        (["model.dropout=0.2"], ["model.dropout", "another run"]),
        (["experiment"], ["experiment", "key=value"]),
    ],
)
def test_what_would_make_it_another_run_is_refused(run, words, facts):
    process = run_command("fit", f"again={run}", *words)
    assert process.returncode == 2 and all(fact in process.stderr for fact in facts)


def test_pip_takes_the_versions_that_a_run_was_trained_with(run):
    lines = (run / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("  #")[0].split("==") for line in lines if not line.startswith("#"))
    assert pinned["torch"] == version("torch").partition("+")[0]
    assert {"numpy", "lightning", "bcbm", "jinja2"} <= set(pinned)
    assert not any(str(part) in line for line in lines for part in ("/", "file:", "@"))
    own = [
        f"{name}=={exact}" for name, exact in pinned.items() if name not in ("bcbm", "torch", "torchvision")
    ]
    words = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-index", "--quiet", *own]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
