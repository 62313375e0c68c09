"""The prediction table: what training hands to the statistics, and all that they read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.splits import Split
from bcbm.errors import InputError, Problem
from bcbm.runs.tables import REMEDY, read_table
from bcbm.statistics.aggregate import aggregate
from bcbm.statistics.operating import youden_threshold
from bcbm.statistics.recalibration import FITTED, Calibrator, fit_calibrator

KEY = ["lesion_id", "repeat", "target"]  # a prediction table has each once
COLUMNS = ["lesion_id", "patient_id", "fold", "repeat", "target", "probability", "patient_probability"]
COLUMNS += ["threshold", "label", "split_hash"]


def read_predictions(path: Path, remedy: str = REMEDY) -> pd.DataFrame:
    """A table of a run; version 0.1 called the column `target` of its predictions `receptor`.

    Args:
        path: of the table.
        remedy: what to do where it cannot be believed.

    Raises:
        InputError: it is damaged, or was changed since it was written.
    """
    return read_table(path, remedy).rename(columns={"receptor": "target"})


def training_labels(lesions: pd.DataFrame, split: Split, targets: list[str]) -> pd.DataFrame:
    """Labels of the patients that each fold was trained on, validation among them.

    Returns:
        Column fold and a column a target, a row a fold and patient.
    """
    owner, labels = pd.factorize(lesions["patient_id"], sort=True)[0], lesions[targets]
    tables = []
    for number in range(len(split.folds)):
        parts = split.rows(lesions, number)
        rows = np.concatenate([parts["train"], parts["validation"]])
        tables.append(patient_labels(labels.iloc[rows], owner[rows]).assign(fold=number))
    return pd.concat(tables, ignore_index=True)


def fit_calibrators(
    kind: str,
    predicted: pd.DataFrame,
    lesions: pd.DataFrame,
    split: Split,
    number: int,
    targets: list[str],
    how: str,
) -> dict[str, Calibrator]:
    """The calibrator of each target for the model that predicts the test part, from validation patients.

    Args:
        kind: a value of `calibration`.
        predicted: of one training, as of `prediction_table`, and so are the next five.
    """
    parts = split.rows(lesions, number)
    predicted = predicted.set_index("row")
    gamma = float(predicted["gamma"].iloc[0]) if "gamma" in predicted else 0.0
    weights = {target: _weight(predicted, parts["test"], target) for target in targets}
    if kind not in FITTED:
        return {target: fit_calibrator(kind, [], [], weight, gamma) for target, weight in weights.items()}
    validation = lesions.iloc[parts["validation"]]
    patients = _patients(predicted.loc[parts["validation"]], validation, targets, how)
    labels = patient_labels(validation[targets], validation["patient_id"]).reindex(patients.index)
    return {
        target: fit_calibrator(
            kind, labels[target], patients[target], _weight(predicted, parts["validation"], target), gamma
        ).behind(weight)
        for target, weight in weights.items()
    }


def prediction_table(
    predicted: Sequence[pd.DataFrame],
    lesions: pd.DataFrame,
    split: Split,
    number: int,
    targets: list[str],
    how: str,
    calibration: str = "none",
) -> pd.DataFrame:
    """The rows of a fold's test lesions, in the lesion table's order, target by target.

    A patient's probability comes from its test lesions, and the threshold of a target from the patients of
    the fold's validation part, where sensitivity + specificity is highest: neither looks at a test label.
    Several trainings are an ensemble: the probability of a lesion, and that of a patient, is their mean
    (Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017), each behind its own calibrator. That maps lesions
    and patients alike, behind the step from the one to the other, so that it changes the order of neither.

    Args:
        predicted: of each training every validation and test lesion once: its `row` in `lesions`, a
            probability under the name of each target, where lesions are pooled by attention its score under
            `score_<name>`, and what its loss weighed: `weight_<name>`, a positive over a negative, and
            `gamma` of the focal loss.
        lesions: the lesions that enter.
        split: the folds.
        number: the fold.
        targets: those predicted.
        how: the rule from lesions to patient, a key of `aggregate.RULES`.
        calibration: the kind of calibrator.

    Returns:
        Columns lesion_id, patient_id, fold, repeat, target, probability, patient_probability, threshold,
        label, split_hash.

    Raises:
        RuntimeError: a lesion is missing, foreign or there twice.
        InputError: the model diverged.
    """
    parts = split.rows(lesions, number)
    expected = np.sort(np.concatenate([parts["validation"], parts["test"]]))
    members = [rows.set_index("row").sort_index() for rows in predicted]
    for rows in members:
        _check(rows, expected, targets, number)
    validation = lesions.iloc[parts["validation"]]
    test = lesions.iloc[parts["test"]].reset_index(drop=True)
    fold = (lesions, split, number, targets, how)
    probability, validation_patients, test_patients = (
        ensemble(tables)
        for tables in zip(
            *(
                _calibrated(fit_calibrators(calibration, table, *fold), rows, parts, lesions, targets, how)
                for table, rows in zip(predicted, members, strict=True)
            ),
            strict=True,
        )
    )
    labels = patient_labels(validation[targets], validation["patient_id"]).reindex(validation_patients.index)
    tables = [
        pd.DataFrame(
            {
                "lesion_id": test["lesion_id"],
                "patient_id": test["patient_id"],
                "fold": number,
                "repeat": split.folds[number].repeat,
                "target": target,
                "probability": probability[target].to_numpy(np.float64),
                "patient_probability": test_patients.loc[test["patient_id"], target].to_numpy(),
                "threshold": _threshold(labels[target], validation_patients[target]),
                "label": test[target],
                "split_hash": split.hash,
            }
        )
        for target in targets
    ]
    return pd.concat(tables, ignore_index=True)


def ensemble(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The mean of tables of the same rows and columns; one table is its own mean, to the last bit."""
    mean = np.mean([table.to_numpy(np.float64) for table in tables], axis=0)
    return pd.DataFrame(mean, tables[0].index, tables[0].columns)


def _check(rows: pd.DataFrame, expected: np.ndarray, targets: list[str], number: int) -> None:
    """Refuse a training that has not predicted every lesion once, or a number that is none."""
    if not np.array_equal(rows.index.to_numpy(), expected):
        raise RuntimeError(
            f"fold {number}: predicted {len(rows)} rows, {len(expected)} lesions expected, each once"
        )
    if not rows[targets].notna().all(axis=None):
        count = int(rows[targets].isna().any(axis=1).sum())
        problem = f"fold {number} predicts NaN for {count} {'lesion' if count == 1 else 'lesions'}"
        raise InputError(Problem("training", problem, "the training diverged: lower trainer.learning_rate"))


def _calibrated(
    calibrators: Mapping[str, Calibrator],
    rows: pd.DataFrame,
    parts: Mapping[str, np.ndarray],
    lesions: pd.DataFrame,
    targets: list[str],
    how: str,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Probabilities of test lesions, of validation patients and of test patients, a column a target."""
    test, validation = parts["test"], parts["validation"]
    of_validation = {
        target: calibrator.behind(_weight(rows, validation, target))
        for target, calibrator in calibrators.items()
    }
    _, patients = calibrated(of_validation, rows.loc[validation], lesions.iloc[validation], targets, how)
    lesion, patient = calibrated(calibrators, rows.loc[test], lesions.iloc[test], targets, how)
    return lesion, patients, patient


def calibrated(
    calibrators: Mapping[str, Calibrator],
    rows: pd.DataFrame,
    lesions: pd.DataFrame,
    targets: list[str],
    how: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Probabilities of lesions, and of their patients, from what one training predicts.

    Args:
        calibrators: of that training, by target.
        rows: what it predicts, a row a lesion, as of `prediction_table`.
        lesions: `patient_id` and `volume` of the same lesions, in their order.
        targets: those predicted.
        how: the rule from lesions to patient.

    Returns:
        A column a target each: a row a lesion, on the index of `rows`; a row a patient, by `patient_id`.
    """
    probability = rows[targets].astype(np.float64)
    patients = _patients(rows, lesions, targets, how)
    for target, calibrator in calibrators.items():
        probability[target] = calibrator(probability[target])
        patients[target] = calibrator(patients[target])
    return probability, patients


def _patients(rows: pd.DataFrame, lesions: pd.DataFrame, targets: list[str], how: str) -> pd.DataFrame:
    """A probability a target, by patient."""
    scores = rows.reindex(columns=[f"score_{target}" for target in targets], fill_value=0.0)
    patients, probability = aggregate(how, rows[targets], lesions["patient_id"], lesions["volume"], scores)
    return pd.DataFrame(probability, index=patients, columns=targets)


def _weight(predicted: pd.DataFrame, rows: np.ndarray, target: str) -> float:
    """How much more than a negative a positive weighed when the model behind these rows was trained."""
    name = f"weight_{target}"
    return float(predicted.loc[rows[0], name]) if name in predicted else 1.0


def _threshold(labels: pd.Series, probability: pd.Series) -> float:
    known = labels.notna()
    return youden_threshold(labels[known].to_numpy(), probability[known].to_numpy())
