"""What was measured on the volumes of a cohort: features/ writes it, the lesion table reads it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bcbm.errors import Problem

SPREAD = ("xx", "yy", "zz", "xy", "xz", "yz")
MASK_COLUMNS = (
    *("voxels", "volume", "x", "y", "z", "outside", "grey_levels", "mean", "brain_share", "drawn"),
    *SPREAD,
)
NOT_STRIPPED, RESCALED = "not skull-stripped", "intensities rescaled"  # kinds of doubt in an image
SCRAP, SPIKED, TOO_FINE = "next to no brain", "intensities ruled by a spike", "voxels too fine"
CUT_OFF, NOWHERE = "intensities cut off", "header that says nothing"
BROKEN_OFF, SHUFFLED = "voxels that end inside a slice", "slices that do not follow each other"
DOUBLED, WRAPPED = "slices twice in a row", "intensities that begin again at 0"
UNEVEN, STRETCHED = "slices of another scale", "image in a template's space"
UNPLACED, TURNED = "not registered", "head turned in its header"
MISSING = "missing"  # the source of a position that coordinates should have given
MNI_COLUMNS = ("mni_x", "mni_y", "mni_z", "mni_overlap")


SPLIT, SEVERAL = "split into its parts", "several lesions in one mask"  # reasons of a mask that is no lesion


def spread_matrix(spread: np.ndarray) -> np.ndarray:
    """Covariance matrices (..., 3, 3) of SPREAD's columns (..., 6)."""
    return spread[..., [[0, 3, 4], [3, 1, 5], [4, 5, 2]]]


def spread_columns(matrix: np.ndarray) -> np.ndarray:
    """SPREAD's columns (..., 6) of covariance matrices (..., 3, 3)."""
    return matrix[..., [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


@dataclass(frozen=True)
class Division:
    """How a mask falls into parts that do not touch.

    Attributes:
        parts: what each measures (MASK_COLUMNS), the largest first, or why it is unusable.
        strays: how many voxels belong to none, in pieces too small to be a lesion.
    """

    parts: list[dict[str, float] | Problem]
    strays: int


class Brain(NamedTuple):
    """A registered brain: the file that `features.brains` keeps it in, its overlap with the template's."""

    file: Path
    overlap: float


@dataclass
class Survey:
    """Measurements of a cohort's images and masks.

    Attributes:
        masks: a row a readable mask, by lesion_id: `voxels`, `volume` (mm3), centroid `x, y, z` (LPS mm of
            the scan), `outside` (part of it beyond the stripped brain), `grey_levels` (bins of 25 inside it),
            `mean` (intensity), `brain_share` (part of the voxels above 0 that it takes), covariances of
            its points about the centroid, `xx` to `yz` (SPREAD, mm2),
            `drawn` (voxels above 0.5 in the file; with more than `voxels` the lesion is a part of the mask).
        overlaps: a row a pair of masks of one study that share voxels: `one, other` (lesion ids, or with
            a number behind them those of parts), `shared` (part of the smaller one), `dice`.
        unusable: the reason of every lesion without a usable image and mask.
        problems: one a file that cannot be used; for an image, one a study.
        divisions: of each mask in more than one piece, by lesion_id; see `bcbm.cohort.parts.divide`.
        notes: what a person has decided, such as which label value or which form of a header counts.
        doubts: kinds of what is doubtful, by the image's path.
        points: centroids in the template, `mni_x, mni_y, mni_z` (RAS mm), `mni_overlap`, the Dice of the
            brain with the template's, and the covariances there (SPREAD, mm2), by lesion_id; none where
            studies were not or could not be registered.
        brains: of every study that was laid on the template, in doubt or not, by the image's path.
    """

    masks: pd.DataFrame
    overlaps: pd.DataFrame
    unusable: dict[str, str]
    problems: list[Problem]
    divisions: dict[str, Division] = field(default_factory=dict)
    notes: list[Problem] = field(default_factory=list)
    doubts: dict[str, list[str]] = field(default_factory=dict)
    points: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=[*MNI_COLUMNS, *SPREAD], dtype=float)
    )
    brains: dict[str, Brain] = field(default_factory=dict)
