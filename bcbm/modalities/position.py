"""Where a lesion lies, as numbers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bcbm.cohort.measurements import MISSING, UNPLACED
from bcbm.cohort.names import HEMISPHERES, REGIONS
from bcbm.modalities.base import LesionData, Modality

LEFT, RIGHT = HEMISPHERES.index("left"), HEMISPHERES.index("right")  # where a position is one-hot


def position_onehot(hemisphere: Sequence[str], region: Sequence[str]) -> np.ndarray:
    """Hemisphere, then region, as (N, 12) float32 of 0 and 1.

    Raises:
        ValueError: a word outside HEMISPHERES or REGIONS.
    """
    blocks = []
    for column, given, known in (("hemisphere", hemisphere, HEMISPHERES), ("region", region, REGIONS)):
        codes = pd.Index(known).get_indexer(pd.Index(given, dtype=object))
        if (codes < 0).any():
            word = list(given)[int(np.argmin(codes))]
            raise ValueError(f"{column} '{word}' is not known; write one of {', '.join(known)}")
        blocks.append(np.eye(len(known), dtype=np.float32)[codes])
    return np.concatenate(blocks, axis=1)


def position_coordinates(lesions: pd.DataFrame) -> np.ndarray:
    """Distance from the midline, place forward and upward in MNI space (decimetres), known or not.

    (N, 4) float32, 0 where a lesion has no coordinates. The side is left to the one-hot hemisphere, so that a
    left-right flip changes nothing here.
    """
    points = lesions[["mni_x", "mni_y", "mni_z"]].to_numpy(np.float32) / 100
    points[:, 0] = np.abs(points[:, 0])
    known = np.isfinite(points).all(axis=1, keepdims=True)
    return np.hstack([np.where(known, points, 0), known]).astype(np.float32)


PLACES = [f"hemisphere={name}" for name in HEMISPHERES] + [f"region={name}" for name in REGIONS]
COORDINATES = ["from_midline", "mni_y", "mni_z", "mni_known"]


class Position(Modality):
    """Hemisphere and region, with features.coordinates the place in MNI space too."""

    registered = True
    encoder = "bcbm.model.encoders.position:build_position"
    swaps = ((LEFT, RIGHT),)

    def absent(self, lesions: LesionData) -> pd.Series:
        """The study could not be registered, and a position is to come from coordinates."""
        table = lesions.table
        missing = table["position_source"].eq(MISSING) & (lesions.config.cohort.position == "image")
        return pd.Series(np.where(missing, UNPLACED, ""), index=table.index)

    def fit(self, lesions: LesionData, weight: np.ndarray) -> int:
        """The width of the tensor."""
        return len(PLACES) + len(COORDINATES) * lesions.config.features.coordinates

    def tensor(self, lesions: LesionData) -> np.ndarray:
        """(N, 12), or (N, 16) with coordinates."""
        table = lesions.table
        places = position_onehot(table["hemisphere"].tolist(), table["region"].tolist())
        if lesions.config.features.coordinates:
            places = np.hstack([places, position_coordinates(table)])
        return places

    def columns(self, lesions: LesionData) -> pd.DataFrame:
        """The same as numbers of a table."""
        names = PLACES + COORDINATES * lesions.config.features.coordinates
        return pd.DataFrame(self.tensor(lesions).astype(np.float64), columns=names)


POSITION = Position()
