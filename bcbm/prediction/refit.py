"""One training on all patients of a run; what its folds said of patients they had not seen sets the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import pandas as pd
from rich.console import Console

from bcbm.cohort.splits import Fold, Split
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.prediction.bundle import REFITTED
from bcbm.prediction.model import Prediction, TraditionalModel, TrainedNetwork, Training
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.lesions import Lesions
from bcbm.runs.finished import FinishedRun
from bcbm.statistics.metrics import patient_level
from bcbm.statistics.operating import youden_threshold
from bcbm.statistics.recalibration import Calibrator, fit_calibrator


@dataclass(frozen=True)
class Refit:
    """Trainings on all patients of a run, one a seed that the run trained a fold with.

    Attributes:
        networks: by name.
        predictions: the prediction table of the run's folds, behind the calibration and with the thresholds
            of the networks here.
        described: how many `folds` stand behind it, and for how many `epochs` a network was trained; None of
            a traditional model.
    """

    networks: dict[str, Training]
    predictions: pd.DataFrame
    described: dict[str, int | None]


def refit_on_all(
    run: FinishedRun, jobs: Sequence[FoldJob], folds: Sequence[Training], console: Console
) -> Refit:
    """Train on all patients, with a seed of their own.

    A network is trained for the median of the epochs that its folds kept. The trainings of the folds say of
    the patients whom they had not seen what calibration and thresholds are fitted on, as a fold fits them on
    its validation patients.

    Args:
        run: whose patients they are.
        jobs: every training of its folds, and `folds`, what each has left.
        console: shows the progress.

    Raises:
        InputError: each fold was trained with settings of its own, which a search has chosen; training
            diverged.
    """
    config, split, lesions = _joint_settings(run, jobs), jobs[0].split, jobs[0].lesions
    units = sorted({unit for fold in split.folds for unit in (*fold.train, *fold.validation, *fold.test)})
    everybody = replace(split, folds=(*split.folds, Fold(0, tuple(units), (), ())))
    number = len(split.folds)
    epochs = _epochs(jobs) if config.model.kind == "network" else None
    unseen, networks = [], {}
    for member in range(config.members):
        job = FoldJob(config, lesions, everybody, number, jobs[0].folder, member)
        own = [training for training in folds if training.seed == member]
        scores = _of_unseen(run.predictions, own, lesions, split, config)
        curves = _curves(config, scores)
        name = REFITTED + f"-seed={member}" * (config.members > 1)
        networks[name] = _trained(job, curves, epochs, console)
        unseen.append(_calibrated(scores, curves))
    columns = ["probability", "patient_probability"]
    means = np.mean([table[columns].to_numpy() for table in unseen], axis=0)
    predictions = run.predictions.assign(**dict(zip(columns, means.T, strict=True)))
    thresholds = _thresholds(predictions)
    predictions["threshold"] = predictions["target"].map(thresholds)
    complete = {name: replace(network, thresholds=thresholds) for name, network in networks.items()}
    return Refit(complete, predictions, {"folds": number, "epochs": epochs})


def _joint_settings(run: FinishedRun, jobs: Sequence[FoldJob]) -> Config:
    """The run's settings; of what its folds have chosen by themselves, the choice of all of them."""
    from bcbm.crossvalidation.choice import joint_choice

    if not run.chosen:
        return jobs[0].config
    if (config := joint_choice(jobs)) is None:
        found = "is of folds whose settings a search has chosen, one by one"
        remedy = "export it without refit=all, or fit what the search proposes, and export that run"
        raise InputError(Problem(str(run.folder), found, remedy))
    return config


def _epochs(jobs: Sequence[FoldJob]) -> int:
    from bcbm.crossvalidation.trained import kept_epochs

    return round(median(kept_epochs(job) for job in jobs))


def _trained(
    job: FoldJob, curves: Mapping[str, Calibrator], epochs: int | None, console: Console
) -> Training:
    """A training behind its calibration, which undoes its own class weights first."""
    if epochs is None:
        from bcbm.baselines.folds import fit_baseline

        baseline, weights = fit_baseline(job)
        calibrators = {target: curve.behind(weights[target]) for target, curve in curves.items()}
        return TraditionalModel(replace(baseline, calibrators=calibrators), job.number, job.member, {})
    from bcbm.model.refit import refit_network

    title = "all patients" + f", seed {job.member}" * (job.config.members > 1)
    module = refit_network(job, epochs, title, console)
    criterion = module.criterion
    weighed = dict(zip(job.config.task.targets, criterion.pos_weight.tolist(), strict=True))
    module.calibrate(
        {target: curve.behind(weighed[target], criterion.gamma) for target, curve in curves.items()}
    )
    return TrainedNetwork(module, job.number, job.member, job.config.data.batch_size, {})


def _of_unseen(
    predictions: pd.DataFrame, folds: Sequence[Training], lesions: Lesions, split: Split, config: Config
) -> pd.DataFrame:
    """The prediction table of a run with what one training a fold says, class weights undone, no more."""
    tables = []
    for training in folds:
        unseen = lesions.among(split.rows(lesions.entering, training.fold)["test"])
        plain = {
            target: Calibrator("prior", own.weight, own.gamma) for target, own in training.calibrators.items()
        }
        prediction = training.predict(unseen, config, plain)
        rows = predictions[predictions["fold"] == training.fold]
        tables += [_restated(own, str(target), prediction, unseen) for target, own in rows.groupby("target")]
    return pd.concat(tables).loc[predictions.index]


def _restated(rows: pd.DataFrame, target: str, prediction: Prediction, lesions: Lesions) -> pd.DataFrame:
    probability = prediction.lesions[target].set_axis(lesions.entering["lesion_id"])
    return rows.assign(
        probability=probability[rows["lesion_id"]].to_numpy(),
        patient_probability=prediction.patients[target][rows["patient_id"]].to_numpy(),
    )


def _curves(config: Config, predictions: pd.DataFrame) -> dict[str, Calibrator]:
    """The calibration of each target, from patients that the folds had not seen."""
    return {
        target: fit_calibrator(config.calibration, rows["label"], rows["probability"], weight=1.0)
        for target, rows in _patients(predictions).items()
    }


def _calibrated(predictions: pd.DataFrame, curves: Mapping[str, Calibrator]) -> pd.DataFrame:
    table = predictions.copy()
    for target, curve in curves.items():
        own = table["target"] == target
        for column in ("probability", "patient_probability"):
            table.loc[own, column] = curve(table.loc[own, column])
    return table


def _thresholds(predictions: pd.DataFrame) -> dict[str, float]:
    return {
        target: youden_threshold(rows["label"], rows["probability"])
        for target, rows in _patients(predictions).items()
    }


def _patients(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The labelled patients of each target."""
    patients = patient_level(predictions, by_fold=True)
    return {target: patients[patients["target"] == target] for target in predictions["target"].unique()}
