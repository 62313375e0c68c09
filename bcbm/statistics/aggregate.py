"""From the lesions of a patient to the patient."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bcbm.statistics.metrics import Floats

Rule = Callable[[Floats, Floats, Floats], Floats]


def _mean(probability: Floats, volume: Floats, score: Floats) -> Floats:
    """Every lesion counts alike; equal ones give their value to the last bit, so that patients can tie."""
    return np.clip(probability.mean(axis=0), probability.min(axis=0), probability.max(axis=0))


def _max(probability: Floats, volume: Floats, score: Floats) -> Floats:
    """The most suspicious lesion decides."""
    return probability.max(axis=0)


def _noisy_or(probability: Floats, volume: Floats, score: Floats) -> Floats:
    """One expressing lesion is enough, each with its own chance (Pearl, 1988); grows with their number."""
    return 1 - np.prod(1 - probability, axis=0)


def _largest(probability: Floats, volume: Floats, score: Floats) -> Floats:
    """The largest lesion decides; the first of equal ones, and of those without a volume."""
    return probability[int(np.argmax(np.nan_to_num(volume, nan=-1.0)))]


def _attention(probability: Floats, volume: Floats, score: Floats) -> Floats:
    """Logits weighed by the softmax of learnt scores (Ilse, Tomczak and Welling, ICML 2018)."""
    weight = np.exp(score - score.max(axis=0))
    return sigmoid((weight * _logit(probability)).sum(axis=0) / weight.sum(axis=0))


RULES: dict[str, Rule] = {
    "mean": _mean,
    "max": _max,
    "noisy_or": _noisy_or,
    "largest": _largest,
    "attention": _attention,
}


def aggregate(
    how: str,
    probability: npt.ArrayLike,
    patient: npt.ArrayLike,
    volume: npt.ArrayLike,
    score: npt.ArrayLike,
) -> tuple[np.ndarray, Floats]:
    """One probability a patient and target.

    Args:
        how: a key of RULES.
        probability: of each lesion, (N, R).
        patient: of each lesion, (N,).
        volume: of each lesion, (N,), any unit; read by `largest`.
        score: attention of each lesion before the softmax, (N, R); read by `attention`.

    Returns:
        The patients (P,), sorted, and their probabilities (P, R).
    """
    probability, score = np.asarray(probability, np.float64), np.asarray(score, np.float64)
    volume = np.asarray(volume, np.float64)
    patients, code = np.unique(np.asarray(patient), return_inverse=True)
    order = np.argsort(code, kind="stable")
    bags = np.split(order, np.flatnonzero(np.diff(code[order])) + 1) if len(order) else []
    rows = [RULES[how](probability[bag], volume[bag], score[bag]) for bag in bags]
    return patients, np.stack(rows) if rows else np.empty((0, probability.shape[1]))


def sigmoid(logit: Floats) -> Floats:
    """Logits to probabilities, without overflow."""
    return 0.5 * (1 + np.tanh(logit / 2))


def _logit(probability: Floats) -> Floats:
    inside = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.log(inside) - np.log1p(-inside)
