"""Cross-validate an experiment, from files to an honest table."""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bcbm.terminal.words import print_line, say

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from bcbm.cohort.splits import Split
    from bcbm.config.schema import Config
    from bcbm.preparation.fold_job import FoldJob
    from bcbm.preparation.lesions import Lesions
    from bcbm.runs.folder import RunFolder
    from bcbm.terminal.log import RunLog
    from bcbm.tracking import Tracker


def run(
    config: "Config", console: "Console", choices: Mapping[int, Mapping[str, Any]] | None = None
) -> "Path":
    """Train the folds that are missing; once all are there, evaluate; returns the run folder.

    Args:
        choices: of each fold, `{"chosen": {"model.dropout": 0.1, ...}, ...}`, which its `tuning.json` will
            hold; what was chosen is part of the experiment's name, and so of which run is continued.

    Raises:
        ConfigError: something is asked for that is not there, said before anything is prepared.
        AlreadyRunning: another process trains one of the folds, or takes the last step of a trained run.
    """
    from bcbm.terminal.log import logged

    with logged(console) as log:
        return _run(config, console, choices, log)


def _run(
    config: "Config", console: "Console", choices: Mapping[int, Mapping[str, Any]] | None, log: "RunLog"
) -> "Path":
    from bcbm.crossvalidation.at_once import folds_at_once
    from bcbm.crossvalidation.launch import check_launch
    from bcbm.crossvalidation.parallel import fold_stack, side_by_side
    from bcbm.crossvalidation.readiness import require_ready
    from bcbm.system.processes import load_stack

    check_launch(config)
    require_ready(config)
    stack = fold_stack(config)
    if config.fold == "all" and folds_at_once(config, config.split.folds).first > 1:
        load_stack(stack)  # beside what comes before the folds

    from bcbm.cohort.leaks import count_leaks
    from bcbm.cohort.splits import split_as
    from bcbm.config.checks import check_fold
    from bcbm.config.compose import to_yaml
    from bcbm.crossvalidation.outlook import outlook, remaining
    from bcbm.errors import Note
    from bcbm.preparation.fold_job import FoldJob, Place
    from bcbm.preparation.prepare import prepare
    from bcbm.report.live import live_run
    from bcbm.report.words import RANDOM_WORDS, leak_in_words
    from bcbm.runs.finished import CARD_FILE
    from bcbm.runs.folder import TUNING, RunFolder
    from bcbm.runs.identity import versions_apart
    from bcbm.runs.joins import ANEW, finished_folds
    from bcbm.runs.owner import AlreadyRunning
    from bcbm.statistics.leakage import is_leaky, split_block
    from bcbm.system.files import read_json
    from bcbm.system.processes import rank
    from bcbm.tracking import group_name, tags, trackers_of

    if choices:
        chosen = json.dumps({fold: choice["chosen"] for fold, choice in choices.items()}, sort_keys=True)
        digest = hashlib.sha256(chosen.encode()).hexdigest()[:8]
        config = replace(config, experiment=f"{config.experiment}/{digest}")
    lesions = prepare(config, console)
    if config.seeds > config.members:
        say(console, f"seeds={config.seeds}: {config.model.kind} draws nothing, so each fold is fitted once")
    split = split_as(lesions.table, config)
    check_fold(config.fold, len(split.folds))
    block = split_block(split, count_leaks(lesions.table, split))
    if is_leaky(block):
        print_line(console, f"[bold red]LEAKY[/] {leak_in_words(block)}; no figure of this run is a result")
    if config.task.random_labels is not None:
        print_line(console, f"[bold red]RANDOM LABELS[/] {RANDOM_WORDS}; no figure of this run is a result")
    folder = RunFolder.open(
        config,
        lesions.cohort,
        split.to_json(),
        split.hash,
        best=_best(config),
        ledger=lesions.ledger,
        citation=lesions.citation,
    )
    say(console, f"run folder {folder.path.absolute()}")
    group = group_name(config.experiment, folder.path)
    trackers = trackers_of(config, folder.path, group, tags(config, split.hash, is_leaky(block)))
    requested = range(len(split.folds)) if config.fold == "all" else [int(config.fold)]
    alone = rank() == 0 or config.trainer.ranks == 1  # a task of srun may be neither
    with folder.owning(requested) if alone else nullcontext():
        if rank() == 0:
            log.keep_in(folder.path)
            folder.write("config.yaml", to_yaml(config))  # bootstrap= may differ from the last start
            folder.write("lesions.parquet", lesions.table)
            folder.write("columns.json", json.dumps(lesions.tellings, indent=1))
            if lesions.card:
                folder.write(CARD_FILE, json.dumps(lesions.card, indent=1))
            for fold, choice in (choices or {}).items():
                folder.write(f"fold={fold}/{TUNING}", json.dumps(choice, indent=1))
        finished = finished_folds(folder.path, lesions.table, split, config.task.targets)
        missing = [number for number in requested if number not in finished]
        for number in sorted(set(requested) - set(missing)):
            say(console, f"fold {number}: finished before")
        at_once = folds_at_once(config, len(missing))
        beside = max(at_once.first, config.trainer.ranks // config.trainer.num_nodes)
        if missing:
            begun = read_json(folder.path / "environment.json", ANEW)
            if rank() == 0 and (apart := versions_apart(begun)):
                text = f"{folder.path} was begun with {apart}: its folds are trained by more than one version"
                warnings.warn(text, Note, stacklevel=2)
            for line in outlook(config, lesions, split):
                say(console, line)
            if config.model.kind == "network" and config.data.workers:
                from bcbm.data.loading import loading_plan  # loads PyTorch, a second before the first fold

                if sentence := loading_plan(config, beside).sentence:
                    say(console, sentence)
        jobs = {
            number: FoldJob(
                *(config, lesions, split, number, folder),
                place=Place(before + 1, len(missing), at_once.first),
                beside=beside,
            )
            for before, number in enumerate(missing)
        }
        work, live = partial(_train, jobs, trackers), live_run(config, folder.path, len(split.folds))
        began = perf_counter()

        def measured(number: int) -> None:
            """Say what the other folds will take, by the first that has ended."""
            others = len(missing) - at_once.first
            if line := remaining(folder.fold(number), perf_counter() - began, others, at_once):
                say(console, line)

        if at_once.first > 1:
            side_by_side(work, missing, at_once, console, stack, measured, live.table)
        else:
            with folder.named_to_other_ranks():
                for number in missing:
                    work(number, console)
                    if number == missing[0]:
                        measured(number)
    if rank() == 0:
        try:
            with folder.owning_last_step():
                _finish(config, lesions, split, folder, trackers, console)
        except AlreadyRunning as other:  # such as the last but one task of an array
            if not missing:
                raise
            say(console, str(other))
    return folder.path


def _train(
    jobs: "Mapping[int, FoldJob]", trackers: "Sequence[Tracker]", number: int, console: "Console"
) -> None:
    """Train one fold with what was chosen for it; what `tune` names is chosen inside it first."""
    from rich.console import Console

    from bcbm.crossvalidation.choice import choose, stored_choice
    from bcbm.crossvalidation.dispatch import train

    job = jobs[number]
    config = stored_choice(job)
    if config is None and job.config.tune:
        config = choose(job, lambda inner: train(inner, Console(quiet=True)), console)
    train(replace(job, config=config or job.config), console, trackers)


def _finish(
    config: "Config",
    lesions: "Lesions",
    split: "Split",
    folder: "RunFolder",
    trackers: "Sequence[Tracker]",
    console: "Console",
) -> None:
    """Once all folds are there, evaluate and track the run."""
    from bcbm.crossvalidation.results import evaluate
    from bcbm.report.live import live_run
    from bcbm.runs.finished import read_run

    missing = [number for number in range(len(split.folds)) if folder.predictions(number) is None]
    if missing:
        say(console, f"folds still to be trained: {missing}; run the same command without fold= to continue")
        return
    if config.permutations and not (folder.path / "permutations.parquet").is_file():
        from bcbm.baselines import permuted_aurocs

        table = permuted_aurocs(config, lesions, split, config.permutations, console)
        folder.write("permutations.parquet", table)
    finished = (folder.path / "results.json").is_file()
    evaluate(folder, console, lesions.ledger, lesions)
    live_run(config, folder.path, len(split.folds)).finish()
    told = [tracker for tracker in trackers if tracker.again or not finished]
    if told:
        run = read_run(folder.path)
        for tracker in told:
            tracker.end_run(run)


def _best(config: "Config") -> dict[str, float] | None:
    """What a perfect reader could reach, which only the embedded cohort knows."""
    if config.cohort.root:
        return None
    from rich.console import Console

    from bcbm.errors import readable
    from bcbm.preparation.reading import embedded_root
    from bcbm.system.files import read_json

    truth = embedded_root(config, Console(quiet=True)) / "cohort.json"
    remedy = "remove its folder: the embedded cohort is written again"
    with readable(truth, remedy):
        best: dict[str, float] = read_json(truth, remedy)["best"]
        return best
