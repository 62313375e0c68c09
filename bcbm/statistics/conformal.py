"""Sets of labels that hold the true one with a chosen frequency, for each class by itself."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bcbm.statistics.metrics import Floats

WORDS = {
    (True, False): "positive",
    (False, True): "negative",
    (True, True): "undecided",
    (False, False): "neither",
}
_ROUNDING = 1e-9  # of a share of patients, which is no difference


def conformal_p(calibration: Sequence[npt.ArrayLike], scores: npt.ArrayLike) -> Floats:
    """How usual patients would be among those of one class: the share of these that are as odd, or more.

    The patients of each fold are compared with the new ones as the model saw them that was not trained on
    them (cross-conformal prediction; Vovk, Ann Math Artif Intell 74:9, 2015, equation 9), those of one class
    alone (Vovk, ACML 2012). With one fold it is split-conformal prediction, and patients of the class have a
    p of at most a with a chance of at most a, if they are exchangeable with those of calibration. Over
    several folds that chance is proved to be at most about 2 a (Barber, Candès, Ramdas and Tibshirani, Ann
    Stat 49:486, 2021); in simulated cohorts it is a or less (`tests/benchmarks/conformal.py`).

    Args:
        calibration: how odd the K folds' own patients of the class are, e.g. 1 - probability of the class.
        scores: how odd the new patients are to the models of the same folds, (K, N).

    Returns:
        Shape (N,), from 1 / (patients + 1) to 1.

    Example:
        >>> conformal_p([[0.1, 0.4, 0.7]], [[0.05, 0.5, 0.9]]).tolist()
        [1.0, 0.5, 0.25]
    """
    own = [np.sort(np.asarray(fold, dtype=np.float64)) for fold in calibration]
    rows = np.asarray(scores, dtype=np.float64)
    odder = [len(fold) - np.searchsorted(fold, row) for fold, row in zip(own, rows, strict=True)]
    return np.asarray((1 + np.sum(odder, axis=0)) / (1 + sum(map(len, own))), dtype=np.float64)


def label_sets(positive: npt.ArrayLike, negative: npt.ArrayLike, coverage: float) -> list[str]:
    """The set of each patient: positive, negative, undecided (both fit) or neither (none does).

    Args:
        positive: p of being positive, see `conformal_p`, and `negative`, of being negative; (N,).
        coverage: how often a set is to hold the true label, of positive patients and of negative ones.
    """
    fits = np.stack([positive, negative]) > 1 - coverage + _ROUNDING
    return [WORDS[bool(plus), bool(minus)] for plus, minus in fits.T]
