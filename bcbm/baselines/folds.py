"""One fold of a traditional model, from its patients to its prediction table."""

import json
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from safetensors.numpy import save

from bcbm.baselines.columns import columns_as_fitted, fit_columns, table_columns
from bcbm.baselines.fitted import FittedModel
from bcbm.baselines.models import class_weight, fit_model, training_weights
from bcbm.baselines.trained import ARRAYS, DESCRIPTION, TrainedBaseline
from bcbm.cohort.labels import PRIMARY
from bcbm.cohort.leaks import check_leak
from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.splits import UNITS
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.preparation.fold_job import FoldJob
from bcbm.statistics.aggregate import aggregate
from bcbm.statistics.metrics import auroc, mean_or_nan
from bcbm.system.files import write_whole
from bcbm.system.words import counted
from bcbm.terminal.words import say


def train_baseline(job: FoldJob, console: Console) -> None:
    """Fit a fold, one model a target, and hand in what it predicts.

    Fitted on train, it predicts validation, which gives the thresholds; nothing stops early, so it is then
    fitted again on train and validation, and predicts test. `fold=K/model.json` says what both have fitted;
    with `fold=K/model.safetensors` beside it, it is the model.

    Raises:
        LeakError: two parts share a patient or a lesion's content.
        InputError: a target has one class among the training patients, or a modality has no column.
    """
    config, lesions, split, number = job.config, job.lesions, job.split, job.number
    table, parts = lesions.entering, job.parts
    check_leak(table, parts, split.leaky)
    train, validation, test = parts["train"], parts["validation"], parts["test"]
    data = lesions.data(config)
    columns = table_columns(data, train)
    validation_predictions, for_threshold, _ = predict_targets(
        config, columns, table, train, validation, number, job.seed
    )
    fitting = np.sort(np.concatenate([train, validation]))
    columns = columns_as_fitted(data, fitted := fit_columns(data, fitting))
    test_predictions, for_test, models = predict_targets(
        config, columns, table, fitting, test, number, job.seed
    )
    predicted = pd.concat([validation_predictions, test_predictions], ignore_index=True)
    trained = TrainedBaseline(fitted, models, job.calibrators(predicted))
    content = trained.content
    described = {
        "kind": config.model.kind,
        "modalities": config.task.modalities,
        "fold": number,
        "split_hash": split.hash,
        "for_threshold": for_threshold,
        "for_test": for_test,
        "calibration": content.pop("calibration"),
        "fitted": content,
    }
    write_whole(job.home / ARRAYS, save(trained.arrays))
    write_whole(job.home / DESCRIPTION, json.dumps(described, indent=1))
    job.hand_in(predicted)
    say(
        console,
        f"{job.name}: {config.model.kind} on {counted(columns.shape[1], 'column')}, "
        f"validation AUROC {_mean_auroc(config, table, validation_predictions):.2f}, "
        f"{UNITS[split.unit]} tested: {len(split.folds[number].test)}",
    )


def fit_baseline(job: FoldJob) -> tuple[TrainedBaseline, dict[str, float]]:
    """Fit the training part of a job alone; nothing is written.

    Args:
        job: without validation and test patients.

    Returns:
        What was fitted, without calibration, and by target how much more than a negative a positive weighed.
    """
    config, lesions, train = job.config, job.lesions, job.parts["train"]
    data = lesions.data(config)
    columns = columns_as_fitted(data, fitted := fit_columns(data, train))
    weights, _, models = fit_targets(config, columns, lesions.entering, train, job.number, job.seed)
    return TrainedBaseline(fitted, models, {}), weights


def predict_targets(
    config: Config,
    columns: pd.DataFrame,
    table: pd.DataFrame,
    train: np.ndarray,
    test: np.ndarray,
    number: int,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, FittedModel]]:
    """Fit every target on `train` in fold `number`, predict `test`.

    Returns:
        `row`, and of each target a probability and the weight of a positive in training, `weight_<target>`,
        (T, 1 + 2 R), what was fitted in words, and the models, both by target.

    Raises:
        InputError: as `fit_model`, naming fold and target.
    """
    weights, described, models = fit_targets(config, columns, table, train, number, seed)
    predicted = pd.DataFrame({"row": test})
    for target, model in models.items():
        predicted[f"weight_{target}"] = weights[target]
        predicted[target] = model.predict(columns.iloc[test])
    return predicted, described, models


def fit_targets(
    config: Config, columns: pd.DataFrame, table: pd.DataFrame, train: np.ndarray, number: int, seed: int
) -> tuple[dict[str, float], dict[str, Any], dict[str, FittedModel]]:
    """Fit every target on `train` in fold `number`.

    Returns:
        By target the weight of a positive in training, what was fitted in words, and the model.

    Raises:
        InputError: as `fit_model`, naming fold and target.
    """
    positives: dict[str, float] = {}
    described, models = {}, {}
    kind = config.model.kind
    weighed = config.loss.class_weights and kind not in ("prevalence", "no_conversion")
    for target in config.task.targets:
        labels, patients = table[target], table["patient_id"]
        weights = training_weights(
            labels, patients, train, even=config.data.sampling == "even", class_weights=weighed
        )
        positives[target] = class_weight(labels, patients, train) if weighed else 1.0
        try:
            models[target], described[target] = fit_model(
                kind,
                config.baseline,
                columns[[PRIMARY + target]] if kind == "no_conversion" else columns,
                labels,
                weights,
                patients,
                seed,
            )
        except InputError as error:
            (problem,) = error.problems
            raise InputError(Problem(f"fold {number}, {target}", problem.found, problem.remedy)) from None
    return positives, described, models


def patient_probabilities(config: Config, lesions: pd.DataFrame, predicted: pd.DataFrame) -> pd.DataFrame:
    """A probability a target, by patient, of these lesions and their predictions, in the same order."""
    probability = predicted[config.task.targets].to_numpy()
    patients, values = aggregate(
        config.task.aggregate,
        probability,
        lesions["patient_id"],
        lesions["volume"],
        np.zeros_like(probability),
    )
    return pd.DataFrame(values, patients, config.task.targets)


def _mean_auroc(config: Config, table: pd.DataFrame, predicted: pd.DataFrame) -> float:
    """Patient-level AUROC, the mean over the targets that have one; NaN where none has."""
    lesions = table.iloc[predicted["row"]]
    probability = patient_probabilities(config, lesions, predicted)
    labels = patient_labels(lesions[config.task.targets], lesions["patient_id"]).loc[probability.index]
    labelled = labels.notna()
    aurocs = [auroc(labels[name][labelled[name]], probability[name][labelled[name]]) for name in labels]
    return mean_or_nan([value for value in aurocs if not np.isnan(value)])
