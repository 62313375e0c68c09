"""After a search: a ready experiment, the honest figure of the choice, and the page."""

import json
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from optuna import Study
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from bcbm.comparison.differences import Row, compare_runs, mean_difference
from bcbm.comparison.page import write_comparison
from bcbm.comparison.screen import print_comparison
from bcbm.config.schema import Config
from bcbm.report.pages.search import LEAST, in_words, write_search
from bcbm.runs.finished import read_run
from bcbm.runs.identity import environment
from bcbm.search.experiment import facts, write_experiment
from bcbm.search.objective import FINAL
from bcbm.search.plan import SMALLER_IS_BETTER
from bcbm.search.results import Finished
from bcbm.search.storage import hidden
from bcbm.system.files import strict_json, write_whole
from bcbm.terminal.words import say

OWN_FILE = "journal.log"


def conclude(
    found: Finished,
    storage: str | None,
    config: Config,
    cohort: str,
    words: Sequence[str],
    refit: bool,
    console: Console,
) -> Path:
    """Write the ready experiment, the nested figure and `report.html`; returns the page.

    The figure needs every fold's search to be done; what it waits for is said otherwise.

    Args:
        found: the sweep, and `storage`, the address of its studies if it is no journal in its folder.
        config: the base experiment.
        cohort: hash of the cohort's content.
        words: of the command line, to go on with.
        refit: whether to train the outer folds; without it the page has no honest figure.

    Raises:
        InputError: a fold cannot be trained, or the runs cannot be compared.
    """
    folder = found.folder
    split = json.loads((folder / "split.json").read_text())["hash"]
    surroundings = environment(config, cohort, split, folder.name)
    told = facts(found, config, cohort, split, surroundings)
    experiment = write_experiment(found, config, told)
    missing = unfinished(found)
    waiting = {name: why for name, why in missing.items() if name != FINAL}
    commands = {"go on": _go_on(words, bool(missing))}
    result = None
    if waiting:
        left = ", ".join(f"{name} ({why})" for name, why in waiting.items())
        say(console, f"the honest figure waits for {left}; go on with: {commands['go on']}")
    elif refit:
        result = nested(found, config, console)
        write_experiment(found, config, told, result["words"])
    else:
        say(console, f"the honest figure is left out; for it: {commands['go on']}")
    if experiment:
        commands["run the choice"] = shlex.join(["python", "-m", "bcbm.fit", f"experiment={experiment}"])
        say(console, f"ready experiment: {experiment}")
    address = hidden(storage) if storage else str(folder / OWN_FILE)
    commands["look at the studies"] = (
        f"pip install optuna-dashboard && optuna-dashboard {shlex.quote(address)}"
    )
    page = write_search(
        folder,
        sweep={**found.plan, "smaller": found.plan["objective"][0] in SMALLER_IS_BETTER},
        trials=found.trials,
        steps=steps(found),
        importances=importances(found),
        best={name: vars(one) for name, one in found.best.items()},
        missing=missing,
        nested=result,
        facts=told,
        commands=commands,
    )
    say(console, f"report: {page}")
    return page


def unfinished(found: Finished) -> dict[str, str]:
    """Studies whose budget is not used up yet, or that have chosen nothing, and what they have."""
    trials, minutes = found.plan["trials"], found.plan["minutes"]
    missing = {}
    for name in found.plan["studies"]:
        rows = found.trials[found.trials["study"] == name] if name in found.studies else found.trials[:0]
        counted = int(rows["state"].isin(["complete", "pruned"]).sum()) if len(rows) else 0
        trained = float(rows["seconds"].sum()) / 60 if len(rows) else 0.0
        used_up = (trials and counted >= trials) or (minutes and trained >= minutes)
        if used_up and name in found.best:
            continue
        of = [f"{counted} of {trials} trials"] if trials else []
        of += [f"{trained:.0f} of {minutes:g} minutes"] if minutes else []
        missing[name] = ", ".join(of)
    return missing


def nested(found: Finished, config: Config, console: Console) -> dict[str, Any]:
    """Train every outer fold with its own study's choice, and compare with the experiment as it is.

    Both are runs like those of `bcbm.fit`, found if they are finished and gone on with if not.

    Returns:
        comparison, see `compare_runs`; mean, the difference over targets; words, of that; page.
    """
    from bcbm.crossvalidation.cross_validate import run

    config = replace(config, fold="all", run=replace(config.run, folder=None))
    sweep = found.plan["sweep"]
    chosen_by = replace(config, experiment=f"{config.experiment}+sweep/{sweep}", permutations=0)
    console.rule(f"[1/2] every fold with its own choice of {sweep}", align="left")
    chosen = read_run(run(chosen_by, console, choices(found)))
    console.rule(f"[2/2] {config.experiment} as it is", align="left")
    default = read_run(run(config, console))
    rows = [Row(f"{config.experiment} as it is", default), Row(f"chosen by {sweep}", chosen)]
    with console.status("testing differences"):
        comparison = compare_runs(rows, rows[0].label, config.bootstrap, config.seed)
        mean = mean_difference(chosen, default, config.bootstrap, config.seed)
    home = found.folder / "compare"
    page = write_comparison(comparison, rows, f"{config.experiment}+sweep/{sweep}", home)
    write_whole(home / "comparison.json", strict_json({**comparison, "mean_difference": mean}))
    print_comparison(comparison, console)
    words = f"Mean AUROC of patients that no choice has seen, chosen minus as it is: {in_words(mean)}"
    say(console, words)
    return {"comparison": comparison, "mean": mean, "words": words, "page": page}


def choices(found: Finished) -> dict[int, dict[str, Any]]:
    """What each fold's `tuning.json` will hold: the settings, and the study and trial they come from."""
    return {
        int(name.removeprefix("fold=")): {
            "chosen": dict(one.settings),
            "study": found.studies[name].study_name,
            "trial": one.trial,
            **one.values,
        }
        for name, one in found.best.items()
        if name != FINAL
    }


def steps(found: Finished) -> pd.DataFrame:
    """One row a reported figure: study, trial, state, step and value."""
    rows = [
        (name, trial.number, trial.state.name.lower(), step, value)
        for name, study in found.studies.items()
        for trial in study.get_trials(deepcopy=False)
        for step, value in sorted(trial.intermediate_values.items())
    ]
    return pd.DataFrame(rows, columns=["study", "trial", "state", "step", "value"])


def importances(found: Finished) -> pd.DataFrame:
    """One row a study and parameter: its share of the importance for the first objective.

    A study with few finished trials, or whose trials are all worth the same, has none.
    """
    rows = []
    for name, study in found.studies.items():
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) >= LEAST and len({trial.values[0] for trial in complete}) > 1:
            raw = _importances(study)
            total = sum(raw.values())
            rows += [(name, parameter, value / total) for parameter, value in raw.items() if total > 0]
    return pd.DataFrame(rows, columns=["study", "parameter", "share"])


def _importances(study: Study) -> dict[str, float]:
    sign = -1.0 if study.directions[0].name == "MAXIMIZE" else 1.0

    def target(trial: FrozenTrial) -> float:
        return sign * float(trial.values[0])

    with warnings.catch_warnings():  # of few trials, which the page says too, and of the target's direction
        warnings.simplefilter("ignore", UserWarning)
        return PedAnovaImportanceEvaluator().evaluate(study, target=target)


def _go_on(words: Sequence[str], whole: bool) -> str:
    """The command that goes on, with the whole search if asked; without a password."""
    kept = [
        word for word in words if not word.lstrip("-").startswith(("refit=", "outer=" if whole else "refit="))
    ]
    shown = []
    for word in kept:
        name, equals, value = word.partition("=")
        shown.append(f"{name}={hidden(value)}" if name.lstrip("-") == "storage" else f"{name}{equals}{value}")
    return shlex.join(["python", "-m", "bcbm.sweep", *shown])
