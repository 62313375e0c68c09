"""What pruning saves in the `fusion` sweep: `python tests/benchmarks/sweep_pruning.py [seeds=N] [...]`.

A cohort a seed is searched in full, with settings drawn at random: what a pruner stops then changes no later
draw, so that each pruner can be replayed on what the trials have reported. A line a pruner: the share of all
epochs that it trains, and how far its best inner AUROC is from the best of all, a seed each, and the means.
To reach: at most 0.005 below in at most 40 %. Further words go to the sweep.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import optuna
import yaml
from optuna.pruners import BasePruner, MedianPruner
from optuna.trial import FrozenTrial, TrialState

from bcbm.config.places import sweep_file
from bcbm.search.plan import read_plan
from bcbm.search.pruner import SameStepPruner
from bcbm.search.results import read_sweep


def searched(home: Path, words: list[str]) -> list[FrozenTrial]:
    """The trials of a full search over inner folds of all patients."""
    home.mkdir()
    shipped = yaml.safe_load(sweep_file("fusion").read_text())
    free = {"sampler": {"kind": "random", "seed": 0}, "pruner": {"kind": "none"}}
    (home / "fusion.yaml").write_text(yaml.safe_dump({**shipped, **free}, sort_keys=False))
    words = [f"sweep={home / 'fusion.yaml'}", f"run.root={home}", "outer=final", "refit=false", *words]
    command = [sys.executable, "-m", "bcbm.sweep", "tracking=csv", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    study = read_sweep(next(home.glob("sweeps/*/*"))).studies["final"]
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def replayed(trials: list[FrozenTrial], pruner: BasePruner) -> tuple[float, float]:
    """The share of the epochs that a pruner lets be trained, and its best value less that of all."""
    study = optuna.create_study(study_name="final", direction="maximize", pruner=pruner)
    epochs, values = 0, []
    for trial in trials:
        running = study.ask()
        for step, value in sorted(trial.intermediate_values.items()):
            epochs += 1
            running.report(value, step)
            # The first is the experiment as it is, which is never stopped.
            if values and step < max(trial.intermediate_values) and running.should_prune():
                study.tell(running, state=TrialState.PRUNED)
                break
        else:
            study.tell(running, trial.value)
            values.append(trial.value or 0.0)
    whole = sum(len(trial.intermediate_values) for trial in trials)
    return epochs / whole, max(values) - max(trial.value or 0.0 for trial in trials)


def main() -> None:
    """Search once a seed, replay each pruner, print."""
    seeds, words = 5, sys.argv[1:]
    if words and words[0].startswith("seeds="):
        seeds, words = int(words[0].partition("=")[2]), words[1:]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    settings = [word for word in words if not word.startswith("trials=")]
    plan = read_plan("fusion", settings, {})
    staged = read_plan("multi_fidelity", settings, {})
    startup, warmup = (int(plan.pruner[name]) for name in ("startup", "warmup"))
    pruners = {
        "as shipped": SameStepPruner(plan.epochs, startup, warmup),
        "Optuna's median": MedianPruner(startup, warmup),
        "multi_fidelity": staged.make_pruner(),
    }
    with tempfile.TemporaryDirectory() as folder:
        studies = [
            searched(Path(folder) / f"{seed}", [f"cohort.synthetic.seed={seed}", *words])
            for seed in range(seeds)
        ]
    for name, pruner in pruners.items():
        pairs = [replayed(trials, pruner) for trials in studies]
        epochs, below = np.mean(pairs, axis=0)
        each = ", ".join(f"{share:.0%} {value:+.4f}" for share, value in pairs)
        print(f"{name:<16} {each}: mean {epochs:.0%} of the epochs, {below:+.4f}")


if __name__ == "__main__":
    main()
