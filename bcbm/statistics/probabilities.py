"""How good are probabilities, beside those of a model that knows the training prevalence and nothing else?"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.cohort.patient_labels import patient_labels
from bcbm.statistics.calibration import EDGE
from bcbm.statistics.metrics import brier, mean_or_nan
from bcbm.statistics.results import ProbabilityBlock


def log_loss(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean negative log-likelihood of labels under probabilities, both (N,); NaN without rows (Good, 1952).

    Probabilities are kept within [1e-6, 1 - 1e-6], so that one sure mistake costs 14 and not everything.
    """
    positive = np.asarray(labels) == 1
    if not len(positive):
        return math.nan
    p = np.clip(np.asarray(probabilities, dtype=np.float64), EDGE, 1 - EDGE)
    return float(-np.log(np.where(positive, p, 1 - p)).mean())


def log_loss_score(rows: pd.DataFrame) -> float:
    """`log_loss` of the columns label and probability."""
    return log_loss(rows["label"], rows["probability"])


def scaled_brier(rows: pd.DataFrame) -> float:
    """1 - Brier / Brier of the column prevalence: 1 is perfect, 0 no better than prevalence, below 0 worse.

    Steyerberg et al., Epidemiology 21:128, 2010. NaN where the prevalence is not known, or right about all.
    """
    reference = brier(rows["label"], rows["prevalence"])
    return 1 - brier(rows["label"], rows["probability"]) / reference if reference > 0 else math.nan


def probability_block(rows: pd.DataFrame) -> ProbabilityBlock:
    """Mean probability, share of positives, and the prevalence model's figures, each the mean over repeats.

    Args:
        rows: of one target and level, with the columns repeat, label, probability and prevalence.
    """
    repeats = [repeat for _, repeat in rows.groupby("repeat")]
    return {
        "predicted": mean_or_nan([float(repeat["probability"].mean()) for repeat in repeats]),
        "observed": mean_or_nan([float(repeat["label"].mean()) for repeat in repeats]),
        "prevalence": mean_or_nan([float(repeat["prevalence"].mean()) for repeat in repeats]),
        "prevalence_brier": mean_or_nan([brier(repeat["label"], repeat["prevalence"]) for repeat in repeats]),
        "prevalence_log_loss": mean_or_nan(
            [log_loss(repeat["label"], repeat["prevalence"]) for repeat in repeats]
        ),
    }


def training_labels(predictions: pd.DataFrame) -> pd.DataFrame:
    """Labels of the patients that each fold was trained on, as far as a prediction table tells.

    These are the patients that the other folds of its repeat test: all of them in a cross-validation.

    Returns:
        Column fold, a column a target, a row a fold and training patient, validation among them.
    """
    key = ["repeat", "patient_id"]
    owners = [predictions[name] for name in (*key, "target")]
    labels = patient_labels(predictions["label"], owners).unstack("target")
    tested = predictions.groupby(key)["fold"].min()
    repeats = predictions.groupby("fold")["repeat"].first()
    tables = [
        labels[(tested != fold) & (tested.index.get_level_values("repeat") == repeat)].assign(fold=fold)
        for fold, repeat in repeats.items()
    ]
    return pd.concat(tables, ignore_index=True) if tables else labels.assign(fold=0)


def with_prevalence(rows: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """Rows (columns fold, target) with the share of positives among the training patients of their fold.

    Args:
        rows: patients or lesions.
        training: of `training_labels`.
    """
    shares = training.groupby("fold").mean().stack()
    places = pd.MultiIndex.from_frame(rows[["fold", "target"]])
    return rows.assign(prevalence=shares.reindex(places).to_numpy(np.float64))
