"""Deep features: what a pretrained network makes of the crop, and what is fitted of it in training."""

from typing import Any

import numpy as np
import pandas as pd

from bcbm.modalities.base import LesionData, Modality
from bcbm.modalities.image import IMAGE

MOST = 32  # components that enter the network: a patient has few lesions, and a vector hundreds of numbers
HELD = 0.95  # part of the variance that components hold together at most


def fit_components(vectors: np.ndarray, weight: np.ndarray) -> dict[str, list[Any]]:
    """Principal components of standardised vectors, each with mean 0 and standard deviation 1.

    Args:
        vectors: (N, F), finite; without any, all components are 0.
        weight: of each, (N,).

    Returns:
        `mean` (F,) and `projection` (F, K): a vector v has the components (v - mean) @ projection. Of numbers
        that do not vary there is one component, 0.
    """
    if not len(vectors):
        return {"mean": [0.0] * vectors.shape[1], "projection": [[0.0]] * vectors.shape[1]}
    values, share = np.asarray(vectors, np.float64), np.asarray(weight) / np.sum(weight)
    mean = share @ values
    scale = np.sqrt(share @ (values - mean) ** 2)
    inverse = np.where(scale > 1e-6 * (1 + np.abs(mean)), 1 / np.maximum(scale, 1e-300), 0.0)
    standard = (values - mean) * inverse
    _, spread, axes = np.linalg.svd(standard * np.sqrt(share)[:, None], full_matrices=False)
    variance = spread**2
    held = np.cumsum(variance) / max(variance.sum(), 1e-300)
    count = max(1, min(MOST, int(np.searchsorted(held, HELD)) + 1, int((spread > 1e-6).sum())))
    axes = axes[:count] * np.sign(axes[np.arange(count), np.abs(axes[:count]).argmax(axis=1)])[:, None]
    projection = inverse[:, None] * axes.T / np.where(spread[:count] > 1e-6, spread[:count], np.inf)
    return {"mean": mean.tolist(), "projection": projection.tolist()}


class DeepFeatures(Modality):
    """A vector a lesion, of the network that features.encoder names."""

    needs = ("crops", "deep_features")
    encoder = "bcbm.model.encoders.deep_features:build_deep_features"

    def absent(self, lesions: LesionData) -> pd.Series:
        """What an image lacks, of which a crop is cut."""
        return IMAGE.absent(lesions)

    def fit(self, lesions: LesionData, weight: np.ndarray) -> dict[str, list[Any]]:
        """The components that enter the network, see `fit_components`."""
        return fit_components(lesions.values["deep_features"], weight)

    def tensor(self, lesions: LesionData) -> np.ndarray:
        """(N, F)."""
        values: np.ndarray = lesions.values["deep_features"].astype(np.float32)
        return values

    def columns(self, lesions: LesionData) -> pd.DataFrame:
        """A column a number of the vector; traditional models choose among them in the fold."""
        values = np.asarray(lesions.values["deep_features"], np.float64)
        return pd.DataFrame(values, columns=[f"deep_{number}" for number in range(values.shape[1])])


DEEP_FEATURES = DeepFeatures()
