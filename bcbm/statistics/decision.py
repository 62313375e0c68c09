"""Is it worth acting on a model?"""

import numpy as np
import numpy.typing as npt
import pandas as pd


def net_benefit(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, thresholds: npt.ArrayLike
) -> pd.DataFrame:
    """Decision curve: true positives less false ones at their price (Vickers and Elkin, 2006).

    Who acts from a probability t on says that one false positive costs t / (1 - t) of a true one, so the net
    benefit is TP/N - FP/N t / (1 - t). Source: Med Decis Making 26:565.

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: shape (N,).
        thresholds: at or above 0 and below 1, shape (T,).

    Returns:
        Columns threshold, model, all (everybody is called positive) and none (nobody), T rows; NaN without
        rows to count.

    Raises:
        ValueError: a threshold is outside [0, 1).
    """
    positive = np.asarray(labels) == 1
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if not ((thresholds >= 0) & (thresholds < 1)).all():
        raise ValueError(f"thresholds of a decision curve lie in [0, 1), found {thresholds}")
    price = thresholds / (1 - thresholds)
    rows = len(positive) or np.nan
    called = np.asarray(probabilities)[:, None] >= thresholds
    model = (called[positive].sum(axis=0) - called[~positive].sum(axis=0) * price) / rows
    everybody = (positive.sum() - (~positive).sum() * price) / rows
    return pd.DataFrame({"threshold": thresholds, "model": model, "all": everybody, "none": 0.0})
