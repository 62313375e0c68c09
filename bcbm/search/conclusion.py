"""After a search: a ready experiment, the honest figure of the choice, and the page."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bcbm.comparison.differences import Row, compare_runs, mean_difference
from bcbm.comparison.page import portable, write_comparison
from bcbm.comparison.screen import print_comparison
from bcbm.config.schema import Config
from bcbm.report.pages.overview import write_overview
from bcbm.report.pages.search import in_words, write_search
from bcbm.runs.finished import FinishedRun, read_run
from bcbm.runs.identity import environment
from bcbm.search.artifacts import ARTIFACTS
from bcbm.search.experiment import facts, write_experiment
from bcbm.search.importances import importances
from bcbm.search.objective import FINAL, figure
from bcbm.search.plan import SMALLER_IS_BETTER
from bcbm.search.results import SweepResult
from bcbm.search.storage import JOURNAL, hidden
from bcbm.statistics.optimism import OptimismBlock, optimism
from bcbm.system.files import read_json, strict_json, write_whole
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import say


def conclude(
    sweep: SweepResult,
    storage: str | None,
    config: Config,
    cohort: str,
    words: Sequence[str],
    refit: bool,
    console: Console,
) -> Path:
    """Write the ready experiment, the nested figure and `report.html`; returns the page.

    The figure needs every fold's search to be done; otherwise the studies that it waits for are printed.

    Args:
        sweep: as read, and `storage`, the address of its studies if that is not a journal in its folder.
        config: the base experiment.
        cohort: hash of the cohort's content.
        words: of the command line, to continue with.
        refit: whether to train the outer folds; without it the page has no honest figure.

    Raises:
        InputError: a fold cannot be trained, or the runs cannot be compared.
    """
    folder = sweep.folder
    split = read_json(folder / "split.json", "run the same sweep command again, which writes it")["hash"]
    surroundings = environment(config, cohort, split, folder.name)
    provenance = facts(sweep, config, cohort, split, surroundings)
    experiment = write_experiment(sweep, config, provenance)
    missing = unfinished(sweep)
    waiting = {name: reason for name, reason in missing.items() if name != FINAL}
    go_on = _go_on(words, bool(missing))
    commands = {"go on": _go_on(map(_portable, words), bool(missing))}  # of the page, which may be passed on
    result = None
    if waiting:
        open_studies = ", ".join(f"{name} ({reason})" for name, reason in waiting.items())
        say(console, f"the honest figure waits for {open_studies}; continue with: {go_on}")
    elif refit:
        result = nested(sweep, config, console)
        write_experiment(sweep, config, provenance, result["words"])
    else:
        say(console, f"the honest figure is left out; compute it with: {go_on}")
    if experiment:
        commands["run the choice"] = shlex.join(["python", "-m", "bcbm.fit", f"experiment={experiment.name}"])
        say(console, f"ready experiment: {experiment}")
    address = "STORAGE" if storage else JOURNAL
    dashboard = f"optuna-dashboard {address} --artifact-dir {ARTIFACTS}"
    commands["look at the studies"] = f"pip install optuna-dashboard && {dashboard}"
    page = write_search(
        folder,
        sweep={**sweep.plan, "smaller": sweep.plan["objective"][0] in SMALLER_IS_BETTER},
        constraints={name: str(bound) for name, bound in sweep.constraints.items()},
        trials=sweep.trials,
        steps=steps(sweep),
        importances=importances(sweep),
        best={name: vars(best) for name, best in sweep.best.items()},
        missing=missing,
        nested=result,
        facts=provenance,
        commands=commands,
    )
    write_overview(Path(config.run.root))
    say(console, f"report: {page}")
    return page


def unfinished(sweep: SweepResult) -> dict[str, str]:
    """Studies whose budget is not used up yet, or that have chosen nothing, with their progress."""
    trials, minutes = sweep.plan["trials"], sweep.plan["minutes"]
    missing = {}
    for name in sweep.plan["studies"]:
        rows = sweep.trials[sweep.trials["study"] == name] if name in sweep.studies else sweep.trials[:0]
        counted = int(rows["state"].isin(["complete", "pruned"]).sum()) if len(rows) else 0
        trained = float(rows["seconds"].sum()) / 60 if len(rows) else 0.0
        used_up = (trials and counted >= trials) or (minutes and trained >= minutes)
        if used_up and name in sweep.best:
            continue
        if used_up and (reason := sweep.none_feasible(name)):
            missing[name] = reason
            continue
        progress = [f"{counted} of {trials} trials"] if trials else []
        progress += [f"{trained:.0f} of {minutes:g} minutes"] if minutes else []
        missing[name] = ", ".join(progress)
    return missing


def nested(sweep: SweepResult, config: Config, console: Console) -> dict[str, Any]:
    """Train every outer fold with its own study's choice, and compare with the experiment as it is.

    Both are runs like those of `bcbm.fit`: read if they are finished, continued if not.

    Returns:
        comparison, see `compare_runs`; mean, the difference over targets, and words, of that; optimism, see
        there; page.
    """
    from bcbm.crossvalidation.cross_validate import run

    config = replace(config, fold="all", run=replace(config.run, folder=None))
    name = sweep.plan["sweep"]
    chosen_by = replace(config, experiment=f"{config.experiment}+sweep/{name}", permutations=0)
    console.rule(f"[1/2] every fold with its own choice of {name}", align="left")
    chosen = read_run(run(chosen_by, console, choices(sweep)))
    console.rule(f"[2/2] {config.experiment} as it is", align="left")
    default = read_run(run(config, console))
    rows = [Row(f"{config.experiment} as it is", default), Row(f"chosen by {name}", chosen)]
    with progress_bar(console, "testing differences"):
        comparison = compare_runs(rows, rows[0].label)
        mean = mean_difference(chosen, default)
    home, root = sweep.folder / "compare", Path(config.run.root)
    comparison = portable(comparison, home, root)
    page = write_comparison(comparison, rows, f"{config.experiment}+sweep/{name}", home, root)
    write_whole(home / "comparison.json", strict_json({**comparison, "mean_difference": mean}))
    print_comparison(comparison, console)
    words = f"Mean AUROC of patients that no choice has seen, chosen minus as it is: {in_words(mean)}"
    say(console, words)
    gaps = _optimism(sweep, chosen)
    return {"comparison": comparison, "mean": mean, "words": words, "optimism": gaps, "page": page}


def _optimism(sweep: SweepResult, chosen: FinishedRun) -> OptimismBlock | None:
    """The figure that each fold's choice was made by, beside that of the fold's test patients.

    None where it is the size of the network, which no patient can gainsay.
    """
    objective = sweep.plan["objective"][0]
    if objective == "parameters":
        return None
    inner = {name: best.value for name, best in sweep.best.items() if name != FINAL}
    tables = dict(iter(chosen.predictions.groupby("fold")))
    outer = {name: figure(objective, tables[int(name.removeprefix("fold="))]) for name in inner}
    return optimism(inner, outer, smaller=objective in SMALLER_IS_BETTER)


def choices(sweep: SweepResult) -> dict[int, dict[str, Any]]:
    """The content of each fold's `tuning.json`: the settings, and the study and trial they come from."""
    return {
        int(name.removeprefix("fold=")): {
            "chosen": dict(best.settings),
            "study": sweep.studies[name].study_name,
            "trial": best.trial,
            **best.values,
        }
        for name, best in sweep.best.items()
        if name != FINAL
    }


def steps(sweep: SweepResult) -> pd.DataFrame:
    """One row a reported figure: study, trial, state, step and value."""
    rows = [
        (name, trial.number, trial.state.name.lower(), step, value)
        for name, study in sweep.studies.items()
        for trial in study.get_trials(deepcopy=False)
        for step, value in sorted(trial.intermediate_values.items())
    ]
    return pd.DataFrame(rows, columns=["study", "trial", "state", "step", "value"])


def _portable(word: str) -> str:
    """A word without what only says where files or studies lie on this machine."""
    name, equals, value = word.partition("=")
    elsewhere = name.lstrip("-") == "storage" or value.startswith(("~", "..")) or Path(value).is_absolute()
    return f"{name}{equals}..." if elsewhere else word


def _go_on(words: Iterable[str], all_studies: bool) -> str:
    """The command that continues, with all studies or with those that it named; without a password."""
    left_out = ("refit=", "outer=") if all_studies else ("refit=",)
    repeated = [word for word in words if not word.lstrip("-").startswith(left_out)]
    shown = []
    for word in repeated:
        name, equals, value = word.partition("=")
        shown.append(f"{name}={hidden(value)}" if name.lstrip("-") == "storage" else f"{name}{equals}{value}")
    return shlex.join(["python", "-m", "bcbm.sweep", *shown])
