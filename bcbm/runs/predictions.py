"""The prediction table: what training hands to the statistics, and all that they read."""

import numpy as np
import pandas as pd

from bcbm.cohort.splits import Split
from bcbm.errors import InputError, Problem
from bcbm.statistics.aggregate import aggregate
from bcbm.statistics.operating import youden_threshold

KEY = ["lesion_id", "repeat", "receptor"]  # a prediction table has each once


def prediction_table(
    predicted: pd.DataFrame, lesions: pd.DataFrame, split: Split, number: int, receptors: list[str], how: str
) -> pd.DataFrame:
    """The rows of a fold's test lesions, in the lesion table's order, receptor by receptor.

    A patient's probability comes from its test lesions, and the threshold of a receptor from the patients of
    the fold's validation part, where sensitivity + specificity is highest: neither looks at a test label.

    Args:
        predicted: every validation and test lesion once: its `row` in `lesions`, a probability under the
            name of each receptor and, where lesions are pooled by attention, its score under `score_<name>`.
        lesions: the lesions that enter.
        split: the folds.
        number: the fold.
        receptors: those predicted.
        how: the rule from lesions to patient, a key of `aggregate.RULES`.

    Returns:
        Columns lesion_id, patient_id, fold, repeat, receptor, probability, patient_probability, threshold,
        label, split_hash.

    Raises:
        RuntimeError: a lesion is missing, foreign or there twice.
        InputError: the model diverged.
    """
    parts = split.rows(lesions, number)
    predicted = predicted.set_index("row").sort_index()
    expected = np.sort(np.concatenate([parts["validation"], parts["test"]]))
    if not np.array_equal(predicted.index.to_numpy(), expected):
        raise RuntimeError(
            f"fold {number}: predicted {len(predicted)} rows, {len(expected)} lesions expected, each once"
        )
    if not predicted[receptors].notna().all(axis=None):
        lost = int(predicted[receptors].isna().any(axis=1).sum())
        found = f"fold {number} predicts no number for {lost} lesions"
        raise InputError(Problem("training", found, "it diverged: lower trainer.learning_rate"))
    held = lesions.iloc[parts["validation"]]
    tested = lesions.iloc[parts["test"]].reset_index(drop=True)
    of_held = _patients(predicted.loc[parts["validation"]], held, receptors, how)
    of_tested = _patients(predicted.loc[parts["test"]], tested, receptors, how)
    labels = held.groupby("patient_id")[receptors].first().reindex(of_held.index)
    tables = [
        pd.DataFrame(
            {
                "lesion_id": tested["lesion_id"],
                "patient_id": tested["patient_id"],
                "fold": number,
                "repeat": split.folds[number].repeat,
                "receptor": receptor,
                "probability": predicted.loc[parts["test"], receptor].to_numpy(np.float64),
                "patient_probability": of_tested.loc[tested["patient_id"], receptor].to_numpy(),
                "threshold": _threshold(labels[receptor], of_held[receptor]),
                "label": tested[receptor],
                "split_hash": split.hash,
            }
        )
        for receptor in receptors
    ]
    return pd.concat(tables, ignore_index=True)


def _patients(rows: pd.DataFrame, lesions: pd.DataFrame, receptors: list[str], how: str) -> pd.DataFrame:
    """A probability a receptor, by patient."""
    scores = rows.reindex(columns=[f"score_{receptor}" for receptor in receptors], fill_value=0.0)
    patients, probability = aggregate(how, rows[receptors], lesions["patient_id"], lesions["volume"], scores)
    return pd.DataFrame(probability, index=patients, columns=receptors)


def _threshold(labels: pd.Series, probability: pd.Series) -> float:
    known = labels.notna()
    return youden_threshold(labels[known].to_numpy(), probability[known].to_numpy())
