"""The prediction table: what training hands to the statistics, and all that they read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.splits import Split
from bcbm.errors import InputError, Problem
from bcbm.runs.tables import REMEDY, read_table
from bcbm.statistics.aggregate import aggregate
from bcbm.statistics.operating import youden_threshold

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


def prediction_table(
    predicted: Sequence[pd.DataFrame],
    lesions: pd.DataFrame,
    split: Split,
    number: int,
    targets: list[str],
    how: str,
) -> pd.DataFrame:
    """The rows of a fold's test lesions, in the lesion table's order, target by target.

    A patient's probability comes from its test lesions, and the threshold of a target from the patients of
    the fold's validation part, where sensitivity + specificity is highest: neither looks at a test label.
    Several trainings are an ensemble: the probability of a lesion, and that of a patient, is their mean
    (Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017).

    Args:
        predicted: of each training every validation and test lesion once: its `row` in `lesions`, a
            probability under the name of each target and, where lesions are pooled by attention, its score
            under `score_<name>`.
        lesions: the lesions that enter.
        split: the folds.
        number: the fold.
        targets: those predicted.
        how: the rule from lesions to patient, a key of `aggregate.RULES`.

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
    validation_patients, test_patients = (
        ensemble([_patients(rows.loc[parts[part]], part_lesions, targets, how) for rows in members])
        for part, part_lesions in (("validation", validation), ("test", test))
    )
    probability = ensemble([rows.loc[parts["test"], targets] for rows in members])
    labels = validation.groupby("patient_id")[targets].first().reindex(validation_patients.index)
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


def _patients(rows: pd.DataFrame, lesions: pd.DataFrame, targets: list[str], how: str) -> pd.DataFrame:
    """A probability a target, by patient."""
    scores = rows.reindex(columns=[f"score_{target}" for target in targets], fill_value=0.0)
    patients, probability = aggregate(how, rows[targets], lesions["patient_id"], lesions["volume"], scores)
    return pd.DataFrame(probability, index=patients, columns=targets)


def _threshold(labels: pd.Series, probability: pd.Series) -> float:
    known = labels.notna()
    return youden_threshold(labels[known].to_numpy(), probability[known].to_numpy())
