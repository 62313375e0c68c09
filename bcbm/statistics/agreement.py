"""How far repeated measurements of the same thing agree."""

import numpy as np
import numpy.typing as npt


def icc(values: npt.ArrayLike, weight: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The intraclass correlation ICC(1,1) of every column: one-way random, single measurements.

    The share of the variance that is between lesions (Shrout and Fleiss, Psychological Bulletin 86:420, 1979,
    case 1), for measurements that are exchangeable, as random contours are.

    Args:
        values: (N, K, F), K measurements of N lesions; a lesion with a NaN is left out of that column.
        weight: of the lesions, (N,); with equal weights it is the published coefficient.

    Returns:
        (F,), at most 1; NaN where fewer than two lesions are left or nothing varies.
    """
    values, weight = np.asarray(values, np.float64), np.asarray(weight, np.float64)
    count = values.shape[1]
    complete = np.isfinite(values).all(axis=1)  # (N, F)
    values = np.where(complete[:, None], values, 0.0)
    shares = np.where(complete, weight[:, None], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        lesions = complete.sum(axis=0)
        shares = shares * (lesions / shares.sum(axis=0))
        means = values.mean(axis=1)
        grand = (shares * means).sum(axis=0) / lesions
        between = count * (shares * (means - grand) ** 2).sum(axis=0) / (lesions - 1)
        within = (shares * ((values - means[:, None]) ** 2).sum(axis=1)).sum(axis=0) / (lesions * (count - 1))
        result = (between - within) / (between + (count - 1) * within)
    scale = 1e-12 * (1 + grand**2)  # constant up to rounding
    return np.where((lesions >= 2) & (between + within > scale), result, np.nan)
