"""What a finished run looks at: beside its tables and in its report."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from bcbm.cohort.splits import Split
from bcbm.config.compose import load
from bcbm.config.schema import Config
from bcbm.crossvalidation.choice import stored_choice
from bcbm.crossvalidation.results import page
from bcbm.errors import InputError, Note, Problem, readable
from bcbm.explanation.drops import changed, drops, patients_of
from bcbm.explanation.pictures import draw, examples_of
from bcbm.preparation.fold_job import FoldJob
from bcbm.runs.finished import read_run
from bcbm.runs.folder import RunFolder
from bcbm.runs.joins import finished_folds
from bcbm.runs.tables import read_with_sum, sum_of
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import listed, say

if TYPE_CHECKING:
    from bcbm.model.module import LesionModule


def explain(folder: RunFolder, console: Console) -> None:
    """Write `explanations.json` and `explanations/*.png` of a finished run, then its report again.

    Raises:
        InputError: the run is not finished or a traditional model's, its cohort has changed since, or a table
            or checkpoint is not what it says.
    """
    from bcbm.explanation.ablation import EncodedLesions
    from bcbm.model.fold import fold_data
    from bcbm.preparation.prepare import prepare

    config = load(folder.path / "config.yaml")
    _check(folder, config)
    finished = read_run(folder.path)
    lesions = prepare(config, Console(quiet=True))
    if lesions.cohort != finished.environment["cohort"]:
        problem = "the cohort has changed since it was fitted"
        raise InputError(
            Problem(str(folder.path), problem, "fit the experiment again, then explain that run")
        )
    split = Split.from_json(json.dumps(finished.split))
    finished_folds(folder.path, lesions.table, split, config.task.targets)  # the cohort as it is now
    examples = examples_of(finished.predictions, config)
    tables: list[pd.DataFrame] = []
    pictures: list[dict[str, Any]] = []
    jobs = [FoldJob(config, lesions, split, number, folder) for number in range(len(split.folds))]
    jobs = [replace(job, config=stored_choice(job) or config) for job in jobs]
    require_checkpoints([member for job in jobs for member in _members(job)])
    with progress_bar(console, "explaining folds", len(split.folds)) as advance:
        for number, (job, fold) in enumerate(zip(jobs, split.folds, strict=True)):
            modules = [trained_module(member) for member in _members(job)]
            datamodule = fold_data(job)
            datamodule.setup()
            if "image" in config.task.modalities:
                shown = examples[examples["fold"] == number]
                networks = [module.eval().network for module in modules]
                pictures += draw(folder, networks, datamodule, shown, config.task.targets)
            place = {"repeat": fold.repeat, "fold": number}
            for module in modules:  # `patients_of` makes their mean, the ensemble's probability
                encoded = EncodedLesions(module, datamodule)
                tables += [table.assign(**place) for table in changed(encoded, config, number)]
            advance(1)
    patients = patients_of(pd.concat(tables, ignore_index=True))
    content = {
        "modalities": drops(patients, "modality", config.task.targets),
        "radiomics": drops(patients, "feature", config.task.targets),
        "saliency": pictures,
    }
    folder.write("explanations.json", json.dumps(content, indent=1))
    report = page(folder)
    say(console, f"report: {report.absolute()}")


def require_checkpoints(jobs: Sequence[FoldJob]) -> None:
    """Refuse trainings of which one has left no network of its own, see `trained_module`.

    Raises:
        InputError: all that is wrong with their checkpoints.

    Warns:
        Note: an earlier version has written them, without sums.
    """
    problems: list[Problem] = []
    for job in jobs:
        try:
            trained_module(job)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    if any(not sum_of(_checkpoint(job)).is_file() for job in jobs):
        text = (
            f"{jobs[0].folder.path}: its checkpoints were written without sums, by an earlier version: where "
        )
        text += "they come from is checked as far as they say, weights are read as they stand"
        warnings.warn(text, Note, stacklevel=2)


def trained_module(job: FoldJob) -> "LesionModule":
    """The network of a training; its checkpoint says that it has not seen the fold's test patients.

    Nothing in the file is run, and no other file is read, whatever it names.

    Raises:
        InputError: it is missing or damaged, was changed since it was written, holds more than tensors and
            plain values, or is of another fold, seed or run.
    """
    from bcbm.model.module import LesionModule

    path, remedy = _checkpoint(job), "remove its fold and run the same fit command again"
    with readable(path, remedy):
        content = BytesIO(read_with_sum(path, remedy))
        module = LesionModule.load_from_checkpoint(content, weights_only=True, map_location="cpu", loaded="")
        provenance = {name: module.provenance[name] for name in ("fold", "split_hash")} | module.provenance
    identity = job.folder.identity
    claims = {"fold": job.number, "split_hash": job.split.hash, "seed": job.seed, "identity": identity}
    if not stored_choice(job):  # which makes another configuration of the fold
        claims["run"] = identity
    others = [
        f"{name} {provenance[name]} in place of {value}"
        for name, value in claims.items()
        if provenance.get(name, value) != value  # versions before said less
    ]
    if others:
        raise InputError(Problem(str(path), f"is of another training: it says {listed(others)}", remedy))
    if "identity" in provenance and not sum_of(path).is_file():
        raise InputError(Problem(str(path), f"has no {sum_of(path).name} beside it", remedy))
    return module


def _members(job: FoldJob) -> list[FoldJob]:
    return [replace(job, member=member) for member in range(job.config.members)]


def _checkpoint(job: FoldJob) -> Path:
    return job.home / "checkpoints" / "best.ckpt"


def _check(folder: RunFolder, config: Config) -> None:
    if config.model.kind != "network":
        problem = f"is a run of model.kind={config.model.kind}"
        raise InputError(
            Problem(str(folder.path), problem, "only networks are explained; read its fold=K/model.json")
        )
    if not (folder.path / "results.json").is_file():
        raise InputError(Problem(str(folder.path), "is not finished", "run the same fit command again"))
