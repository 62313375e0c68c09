"""Searches whose trials cost nothing, run by the real engine: `python sweep_trials.py HOME KIND ...`."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from commands import Forked
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from bcbm.config.compose import compose
from bcbm.search.engine import Engine, Search, open_study
from bcbm.search.plan import Plan
from bcbm.search.space import Parameter
from bcbm.search.storage import open_storage
from bcbm.system.processes import load_stack

COUNTS = (TrialState.COMPLETE, TrialState.PRUNED)
SPACE = tuple(
    Parameter(f"model.{name}", FloatDistribution(0.0, 0.9), {}) for name in ("dropout", "modality_dropout")
)
DEFAULT = {"model.dropout": 0.3, "model.modality_dropout": 0.0}


@dataclass(frozen=True)
class Trivial:
    """A bowl whose top is at 0.5; `kind` says what happens on the way."""

    home: Path
    kind: str

    def __call__(self, settings, folder, report):
        """Leave a note named by the process, then do as `kind` says."""
        notes = self.home / "notes"
        notes.mkdir(exist_ok=True)
        (notes / f"{os.getpid()}").touch()
        dropout = settings["model.dropout"]
        first = not (self.home / "killed").exists()
        trials = list(notes.iterdir())
        third = self.kind == "waits_third" and len(trials) == 3
        if self.kind == "waits" or third:
            while not (self.home / "go").exists():
                time.sleep(0.02)
        if self.kind == "leaves":
            for number, home in enumerate([folder.fold(0), folder.fold(1)]):
                home.mkdir(parents=True)
                rows = {"lesion_id": ["=L1", "L2"], "fold": number, "probability": [0.25, dropout]}
                pd.DataFrame(rows).to_parquet(home / "predictions.parquet")
                pd.DataFrame({"epoch": [0, 1], "val/auroc": [0.5, dropout]}).to_csv(home / "metrics.csv")
        if self.kind in ("reports", "leaves"):
            for step in range(1, 4):
                report(step, dropout)
        if first and (self.kind == "killed_once" or (self.kind == "killed_third" and len(trials) == 3)):
            (self.home / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "killed_above" and dropout > 0.4:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "raises" or (self.kind == "raises_above" and dropout > 0.4):
            raise ValueError("does not go\ntogether")
        if self.kind == "sized":
            report.figures = {"parameters": 1000 * dropout}
        if self.kind == "undefined":
            return [float("nan")]
        return [-((dropout - 0.5) ** 2)]


def plan(trials=None, minutes=None, pruner="none", sampler="random"):
    """A plan over two numbers."""
    return Plan(
        name="trivial",
        config=compose(["split.inner=3", "trainer.max_epochs=1"]),
        space=SPACE,
        trials=trials,
        minutes=minutes,
        objectives=("auroc",),
        sampler={"kind": sampler, "seed": 0},
        pruner={"kind": pruner, "startup": 1},
    )


def searches(home, kind, budget, address=None, names=("final",)):
    """The studies of a plan, opened."""
    storage = open_storage(address, home)
    return [
        Search(
            name,
            open_study(f"trivial/{name}", storage, budget, DEFAULT),
            Trivial(home, kind),
            home / f"study={name}",
        )
        for name in names
    ]


def run(home, kind, budget, workers=1, address=None, names=("final",), **more):
    """Search until the budget is used up; returns the studies and the lines that were said."""
    home.mkdir(parents=True, exist_ok=True)
    load_stack(["bcbm.search.worker"])
    opened = searches(home, kind, budget, address, names)
    lines = []

    def ended(search, trial):
        lines.append(f"{search.name} {trial.number} {trial.state.name} {trial.user_attrs.get('reason', '')}")

    Engine(opened, budget, workers, address, home, ended, lambda running: None, **more).run()
    return opened, lines


def parent(home, kind, trials, workers=1, address=None):
    """A search in a process of its own."""
    return Forked(_search, str(home), kind, str(trials), str(workers), address or "")


def _search(home, kind, trials, workers, address):
    run(Path(home), kind, plan(int(trials)), int(workers), address or None)


if __name__ == "__main__":
    _search(*sys.argv[1:])
