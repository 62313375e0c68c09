"""A tracker of one file, chosen by tracking.to: what it is told, in which order, and without W&B."""

import json
import os
import subprocess
import sys

import pytest
from repository import HOME
from wandb_files import stored_runs

from bcbm.config.compose import compose
from bcbm.errors import ConfigError
from bcbm.runs.finished import read_run
from bcbm.tracking import TRACKERS, trackers_of

TOY = """
import json

from lightning.pytorch.loggers import CSVLogger

from bcbm.tracking import Tracker


class JsonTracker(Tracker):
    def __init__(self, config, folder, group, tags):
        super().__init__(config, folder, group, tags)
        self.write("made", group=group, tags=tags)

    def write(self, event, **facts):
        with (self.folder / "told.json").open("a") as file:
            print(json.dumps({"event": event, **facts}), file=file)

    def start_fold(self, number, seed):
        self.write("start_fold", number=number, seed=seed)
        return CSVLogger(self.folder / "toy", name="", version=f"fold={number}-{seed}")

    def end_fold(self, number, seed, checkpoint):
        facts = {"checkpoint": str(checkpoint), "exists": checkpoint.is_file()}
        self.write("end_fold", number=number, seed=seed, **facts)

    def end_run(self, run):
        self.write("end_run", auroc=run.results["receptors"]["ER"]["patient"]["auroc"])

    def start_trial(self, name, settings):
        self.write("start_trial", name=name, settings=dict(settings))

    def log_trial(self, epoch, figures):
        self.write("log_trial", epoch=epoch, auroc=figures["val/auroc"])

    def end_trial(self, values):
        self.write("end_trial", values=dict(values))
"""
NAMED = 'from bcbm.tracking import TRACKERS\nTRACKERS["json"] = "toy_tracker:JsonTracker"\n'
SMALL = [
    *("cohort.synthetic.images=false", "cohort.synthetic.patients=40", "split.folds=2", "bootstrap=20"),
    *("task.modalities=[position]", "trainer.max_epochs=2", "data.batch_size=64", "trainer.devices=1"),
    "task.targets=[ER]",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the tracker's file, its name in the dictionary of every Python, and a cache."""
    place = tmp_path_factory.mktemp("trackers")
    (place / "toy_tracker.py").write_text(TOY)
    (place / "sitecustomize.py").write_text(NAMED)
    return place


def command(place, verb, *words):
    """A command of a user who knows the tracker and has no key for W&B."""
    alone = {"OMP_NUM_THREADS": "1", "WANDB_API_KEY": "", "NETRC": "/nonexistent"}
    alone |= {"BCBM_CACHE": str(place / "cache"), "PYTHONPATH": os.pathsep.join([str(place), str(HOME)])}
    process = subprocess.run(
        [sys.executable, "-m", f"bcbm.{verb}", *words],
        cwd=HOME,
        env={**os.environ, **alone},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process


def events(folder):
    return [json.loads(line) for line in (folder / "told.json").read_text().splitlines()]


def test_a_tracker_is_told_of_folds_and_of_the_summary_in_the_order_and_under_the_names_of_wandb(place):
    folder = place / "both"
    command(place, "fit", *SMALL, "tracking.to=[wandb,json]", "seeds=2", f"run.folder={folder}")
    calls = events(folder)
    assert [call["event"] for call in calls] == ["made", *["start_fold", "end_fold"] * 4, "end_run"]
    trainings = [(call["number"], call["seed"]) for call in calls if "number" in call]
    assert trainings == [pair for pair in [(0, 0), (0, 1), (1, 0), (1, 1)] for _ in range(2)]
    assert all(call["exists"] for call in calls if call["event"] == "end_fold")
    assert calls[-1]["auroc"] == read_run(folder).results["receptors"]["ER"]["patient"]["auroc"]
    runs = stored_runs(folder)
    assert [run.about.job_type for run in runs] == [*["fold"] * 4, "summary"]
    assert {run.about.run_group for run in runs} == {calls[0]["group"]}
    assert all(sorted(run.about.tags) == sorted(calls[0]["tags"]) for run in runs)
    names = ["fold=0", "fold=0-seed=1", "fold=1", "fold=1-seed=1", "summary"]
    assert [run.about.display_name.split("/")[-1] for run in runs] == names
    for fold, seed in trainings:
        table = (folder / "toy" / f"fold={fold}-{seed}" / "metrics.csv").read_text().splitlines()
        home = folder / f"fold={fold}" / (f"seed={seed}" if seed else ".")
        assert len(table) == len((home / "metrics.csv").read_text().splitlines())


IN_TURN = """
import sys
from pathlib import Path
from bcbm.fit import main

words = sys.argv[2:]
home = Path(sys.argv[1])
for word in ("tracking.to=[]", "tracking.to=[csv]", "tracking.mode='off'", "tracking=csv"):
    folder = home / word.replace("=", "-")
    sys.argv[1:] = [*words, f"run.folder={folder}", word]
    assert main() == 0, word
    assert "wandb" not in sys.modules, word
    assert (folder / "results.json").is_file() and not (folder / "wandb").exists(), word
"""


def test_the_run_folder_alone_has_nothing_of_wandb(place):
    """Every way to say so, in one process, which imports W&B for none."""
    process = subprocess.run(
        [sys.executable, "-c", IN_TURN, place, *SMALL],
        cwd=HOME,
        env={**os.environ, "OMP_NUM_THREADS": "1", "BCBM_CACHE": str(place / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    finished = sorted(path.parent.name for path in place.glob("tracking*/results.json"))
    assert len(finished) == 4


def test_a_tracker_marks_the_trials_of_a_search(place, tmp_path):
    sweep = tmp_path / "tiny.yaml"
    sweep.write_text("trials: 2\nspace:\n  model.dropout: {float: [0.1, 0.5]}\n")
    command(
        place,
        "sweep",
        *(f"sweep={sweep}", "outer=0", *SMALL, "split.inner=2", "tracking.to=[json]"),
        *(f"run.root={tmp_path / 'runs'}", "workers=1"),
    )
    files = sorted((tmp_path / "runs").rglob("trial=*/told.json"))
    assert len(files) == 2
    for file in files:
        calls = events(file.parent)
        assert [call["event"] for call in calls][:2] == ["made", "start_trial"]
        assert calls[1]["name"] == file.parent.name and 0.1 <= calls[1]["settings"]["model.dropout"] <= 0.5
        assert [call["epoch"] for call in calls if call["event"] == "log_trial"] == [1, 2, 3, 4]
        assert calls[-1]["event"] == "end_trial" and 0 <= calls[-1]["values"]["auroc"] <= 1


def test_an_unknown_tracker_is_refused_and_none_is_allowed(tmp_path):
    with pytest.raises(ConfigError, match=r"tracking\.to.*'wand'.*'wandb'"):
        compose(["tracking.to=[wand]"])
    with pytest.raises(ConfigError, match=r"tracking\.to.*wandb.*once"):
        compose(["tracking.to=[wandb,wandb]"])
    assert trackers_of(compose(["tracking.to=[]"]), tmp_path, "group", []) == []
    assert list(TRACKERS) == ["csv", "wandb", "tensorboard", "mlflow"]
