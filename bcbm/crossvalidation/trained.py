"""The networks that a run has left, each held against the training that it claims to come from."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import torch

from bcbm.cohort.splits import Split
from bcbm.config.schema import Config
from bcbm.crossvalidation.choice import stored_choice
from bcbm.errors import InputError, Note, Problem, readable
from bcbm.model.module import LesionModule
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.lesions import Lesions
from bcbm.runs.folder import RunFolder
from bcbm.runs.tables import read_with_sum, sum_of
from bcbm.system.words import listed


def fold_jobs(config: Config, lesions: Lesions, split: Split, folder: RunFolder) -> list[FoldJob]:
    """The folds of a run, each with the configuration that was chosen for it, if one was.

    Args:
        config: of the run.
        lesions: its own, prepared again.
        split: its folds.
        folder: where it lies.
    """
    jobs = [FoldJob(config, lesions, split, number, folder) for number in range(len(split.folds))]
    return [replace(job, config=stored_choice(job) or config) for job in jobs]


def require_checkpoints(jobs: Sequence[FoldJob]) -> None:
    """Refuse trainings of which one has left no network of its own; none is kept, see `trained_modules`."""
    for _ in trained_modules(jobs):
        pass


def trained_modules(jobs: Sequence[FoldJob]) -> Iterator[LesionModule]:
    """The network of each training, one after the other, see `trained_module`.

    Raises:
        InputError: behind the last, all that is wrong with their checkpoints.

    Warns:
        Note: an earlier version has written them, without sums.
    """
    problems: list[Problem] = []
    for job in jobs:
        try:
            yield trained_module(job)
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


def trained_module(job: FoldJob) -> LesionModule:
    """The network of a training; its checkpoint says that it has not seen the fold's test patients.

    Nothing in the file is run, and no other file is read, whatever it names.

    Raises:
        InputError: it is missing or damaged, was changed since it was written, holds more than tensors and
            plain values, or is of another fold, seed or run.
    """
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


def kept_epochs(job: FoldJob) -> int:
    """How many epochs the network that a training has left was trained for.

    Raises:
        InputError: its checkpoint is missing, damaged or was changed.
    """
    path, remedy = _checkpoint(job), "remove its fold and run the same fit command again"
    with readable(path, remedy):
        content = torch.load(BytesIO(read_with_sum(path, remedy)), map_location="cpu", weights_only=True)
        return int(content["epoch"]) + 1


def members(job: FoldJob) -> list[FoldJob]:
    """A job for each network of a fold."""
    return [replace(job, member=member) for member in range(job.config.members)]


def _checkpoint(job: FoldJob) -> Path:
    return job.home / "checkpoints" / "best.ckpt"
