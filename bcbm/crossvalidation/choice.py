"""Nested cross-validation: what `tune` names is chosen inside a fold, where its test patients are not."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from rich.console import Console

from bcbm.cohort.splits import inner_split
from bcbm.cohort.targets import known_targets
from bcbm.config.compose import candidates, override
from bcbm.config.schema import Config
from bcbm.errors import readable
from bcbm.preparation.fold_job import FoldJob
from bcbm.runs.folder import TUNING, RunFolder
from bcbm.statistics.metrics import auroc, patient_level
from bcbm.system.files import read_json
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import say

Train = Callable[[FoldJob], None]
CHOOSE_ANEW = "remove it, and run the same fit command again, which chooses anew"


def choose(job: FoldJob, train: Train, console: Console) -> Config:
    """The configuration of a fold: the candidate with the best mean AUROC over its inner folds.

    Every candidate is cross-validated among the fold's training and validation patients (Varma and Simon, BMC
    Bioinformatics 7:91, 2006). `fold=K/tuning.json` keeps their figures; a killed choice is continued.
    An inner fold is trained with one seed: a choice needs the order of the candidates alone.

    Args:
        job: the outer fold.
        train: writes the prediction table of an inner fold, which is a job like the outer one.
        console: gets a line of what was chosen.
    """
    config, number = job.config, job.number
    inner = inner_split(
        job.split,
        number,
        job.lesions.entering,
        folds=config.split.inner,
        validation=config.split.validation,
        targets=config.task.targets,
        known=known_targets(config.cohort.targets),
        least=config.class_patients,
    )
    tried, once = candidates(config), replace(config, seeds=1)
    home = job.home / "inner"
    with progress_bar(console, f"{job.title}: choosing", len(tried) * len(inner.folds)) as advance:
        scores = []
        for place, settings in enumerate(tried):
            trial = RunFolder(home / f"candidate={place}")
            for fold in range(len(inner.folds)):
                if trial.predictions(fold) is None:
                    train(FoldJob(override(once, settings), job.lesions, inner, fold, trial))
                    shutil.rmtree(trial.fold(fold) / "checkpoints", ignore_errors=True)
                advance(1)
            tables = [trial.predictions(fold) for fold in range(len(inner.folds))]
            scores.append(mean_auroc(pd.concat(tables, ignore_index=True)))
    best = int(np.argmax(np.nan_to_num(scores, nan=-1.0)))
    report = [{"settings": candidate, "auroc": score} for candidate, score in zip(tried, scores, strict=True)]
    content = {"chosen": tried[best], "split_hash": inner.hash, "candidates": report}
    job.folder.write(f"fold={number}/{TUNING}", json.dumps(content, indent=1))
    words = " ".join(f"{name}={value}" for name, value in tried[best].items())
    say(console, f"fold {number}: chose {words} of {len(tried)} candidates, inner AUROC {scores[best]:.2f}")
    return override(config, tried[best])


def stored_choice(job: FoldJob) -> Config | None:
    """The configuration of a fold as its `tuning.json` has it, None where nothing has been chosen."""
    path = job.home / TUNING
    if not path.is_file():
        return None
    with readable(path, CHOOSE_ANEW):
        return override(job.config, read_json(path, CHOOSE_ANEW)["chosen"])


def joint_choice(jobs: Sequence[FoldJob]) -> Config | None:
    """The candidate with the best mean AUROC over the inner folds of all folds; None where a fold was not
    given the candidates of the others, as by a search.

    Args:
        jobs: of folds that have chosen, each with what it has chosen.
    """
    figures: dict[str, list[float]] = {}
    for job in jobs:
        path = job.home / TUNING
        with readable(path, CHOOSE_ANEW):
            for candidate in read_json(path, CHOOSE_ANEW).get("candidates", []):
                name = json.dumps(candidate["settings"], sort_keys=True)
                figures.setdefault(name, []).append(candidate["auroc"])
    if not figures or {len(own) for own in figures.values()} != {len(jobs)}:
        return None
    best = max(figures, key=lambda name: float(np.mean(np.nan_to_num(figures[name], nan=-1.0))))
    return override(jobs[0].config, json.loads(best))


def mean_auroc(predictions: pd.DataFrame) -> float:
    """Patient-level AUROC, the mean over targets and repeats in which both classes are; else NaN."""
    aurocs = [
        auroc(rows["label"], rows["probability"])
        for _, rows in patient_level(predictions).groupby(["target", "repeat"])
    ]
    defined = [value for value in aurocs if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
