"""What a trial is worth: inner folds trained with its settings, and the figures of their predictions."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from bcbm.cohort.leaks import count_leaks
from bcbm.cohort.splits import Split, inner_split, make_split
from bcbm.cohort.targets import known_targets
from bcbm.config.compose import override
from bcbm.config.schema import Config
from bcbm.crossvalidation.choice import mean_auroc
from bcbm.crossvalidation.dispatch import train
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.lesions import Lesions
from bcbm.runs.folder import RunFolder
from bcbm.search.space import Settings
from bcbm.search.worker import Report
from bcbm.statistics.calibration import calibration
from bcbm.statistics.leakage import is_leaky, split_block
from bcbm.statistics.metrics import auroc, brier, mean_or_nan, patient_level
from bcbm.system.seeds import derived_seed
from bcbm.tracking import Tracker, tags, trackers_of

FINAL = "final"


@dataclass(frozen=True)
class InnerFolds:
    """The measure of a study: a cross-validation among the patients that the study may see.

    Attributes:
        config: the base experiment.
        lesions: of those patients only.
        split: their inner folds.
        objectives: what is returned.
        bounded: figures that the sweep's constraints bound, left in the report.
        epochs: steps an inner fold, so that figures of different trials stand at the same step.
    """

    config: Config
    lesions: Lesions
    split: Split
    objectives: tuple[str, ...]
    epochs: int
    bounded: tuple[str, ...] = ()

    def __call__(self, settings: Settings, folder: RunFolder, report: Report) -> list[float]:
        """Train every inner fold, reporting behind each; one value an objective.

        Raises:
            TrialPruned: see `Report`.
            ConfigError: the settings do not go together.
        """
        config = override(replace(self.config, seeds=1), settings)  # the choice needs an order alone
        group = "/".join(
            path.name for path in reversed(list(folder.path.parents)[:3])
        )  # sweep/identity/study
        leaky = is_leaky(split_block(self.split, count_leaks(self.lesions.entering, self.split)))
        trackers = trackers_of(config, folder.path, group, tags(config, self.split.hash, leaky))
        for tracker in trackers:
            tracker.start_trial(folder.path.name, settings)
        objectives: dict[str, float] = {}
        try:
            values = self._values(config, folder, report, trackers)
            objectives.update(zip(self.objectives, values, strict=True), **report.figures)
        finally:
            for tracker in trackers:
                tracker.end_trial(objectives)
        return values

    def _values(
        self, config: Config, folder: RunFolder, report: Report, trackers: list[Tracker]
    ) -> list[float]:
        from bcbm.search.epochs import EpochReport
        from bcbm.search.prediction_time import PredictionTime

        so_far = 0.0
        tables: list[pd.DataFrame] = []
        sizes: list[int] = []
        timer = PredictionTime()
        for number in range(len(self.split.folds)):
            smoothing = config.trainer.smoothing
            epoch_report = EpochReport(report, number, self.epochs, so_far, smoothing, trackers)
            home = folder.fold(number)
            try:
                job = FoldJob(config, self.lesions, self.split, number, folder)
                train(job, Console(quiet=True), callbacks=[epoch_report, timer])
                if config.model.kind == "network":
                    counted = "parameters" in (*self.objectives, *self.bounded)
                    sizes.append(parameters(home) if counted else 0)
            finally:  # of a pruned trial too
                shutil.rmtree(home / "checkpoints", ignore_errors=True)
            table = folder.predictions(number)
            assert table is not None
            tables.append(table)
            so_far = _figures(self.objectives[:1], tables, sizes, timer.milliseconds)[0]
            report((number + 1) * self.epochs, so_far, last=number + 1 == len(self.split.folds))
        figures = _figures(self.bounded, tables, sizes, timer.milliseconds)
        report.figures = dict(zip(self.bounded, figures, strict=True))
        return _figures(self.objectives, tables, sizes, timer.milliseconds)


def _figures(
    names: Sequence[str], tables: list[pd.DataFrame], sizes: list[int], milliseconds: float
) -> list[float]:
    predictions = pd.concat(tables, ignore_index=True)
    measured = {"parameters": float(np.mean(sizes)), "milliseconds": milliseconds} if sizes else {}
    return [measured[name] if name in measured else figure(name, predictions) for name in names]


def figure(name: str, predictions: pd.DataFrame) -> float:
    """A figure over predictions of held-out patients: `auroc`, `auroc_ER`, ..., `brier`, `calibration_slope`.

    The last is that of the target whose slope is furthest from 1, so that a range around 1 holds for all.
    """
    if name == "auroc":
        return mean_auroc(predictions)
    by_target = dict(iter(patient_level(predictions).groupby("target")))
    if name == "brier":
        return mean_or_nan([brier(rows["label"], rows["probability"]) for rows in by_target.values()])
    if name == "calibration_slope":
        slopes = [calibration(rows["label"], rows["probability"])[0] for rows in by_target.values()]
        return max(slopes, key=lambda slope: math.inf if math.isnan(slope) else abs(slope - 1))
    rows = by_target[name.removeprefix("auroc_")]
    return auroc(rows["label"], rows["probability"])


def parameters(home: Path) -> int:
    """Trained numbers of the network whose checkpoint lies in a fold's folder."""
    from bcbm.model.module import LesionModule

    module = LesionModule.load_from_checkpoint(
        home / "checkpoints" / "best.ckpt", weights_only=True, map_location="cpu"
    )
    return sum(values.numel() for values in module.parameters() if values.requires_grad)


def measures(
    config: Config,
    lesions: Lesions,
    split: Split,
    objectives: tuple[str, ...],
    epochs: int,
    bounded: tuple[str, ...] = (),
) -> dict[str, InnerFolds]:
    """The measure of every study: `fold=K`, which holds none of that fold's test patients, and `final`.

    Raises:
        InputError: too few patients for the inner folds.
    """
    result = {}
    for number in range(len(split.folds)):
        parts = split.rows(lesions.entering, number)
        inner = inner_split(
            split,
            number,
            lesions.entering,
            folds=config.split.inner,
            validation=config.split.validation,
            targets=config.task.targets,
            known=known_targets(config.cohort.targets),
            least=config.class_patients,
        )
        seen = lesions.among(np.sort(np.concatenate([parts["train"], parts["validation"]])))
        result[f"fold={number}"] = InnerFolds(config, seen, inner, objectives, epochs, bounded)
    everybody = make_split(
        lesions.entering,
        unit=config.split.unit,
        folds=config.split.inner,
        repeats=1,
        validation=config.split.validation,
        seed=derived_seed(config.split.seed, len(split.folds)),
        targets=config.task.targets,
        known=known_targets(config.cohort.targets),
        least=config.class_patients,
        key="split.inner",
    )
    result[FINAL] = InnerFolds(config, lesions, everybody, objectives, epochs, bounded)
    return result
