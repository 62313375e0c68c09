"""What was measured on the volumes of a cohort: features/ writes it, the lesion table reads it."""

from dataclasses import dataclass, field

import pandas as pd

from bcbm.errors import Problem

MASK_COLUMNS = ("voxels", "volume", "x", "y", "z", "outside", "grey_levels")
MNI_COLUMNS = ("mni_x", "mni_y", "mni_z", "mni_overlap")


@dataclass
class Survey:
    """Measurements of a cohort's images and masks.

    Attributes:
        masks: a row a readable mask, by lesion_id: `voxels`, `volume` (mm3), centroid `x, y, z` (LPS mm of
            the scan), `outside` (part of it beyond the stripped brain), `grey_levels` (bins of 25 inside it).
        overlaps: a row a pair of masks of one study that share voxels: `one, other` (lesion ids), `shared`
            (part of the smaller one), `dice`.
        unusable: the reason of every lesion without a usable image and mask.
        problems: one a file that cannot be used; for an image, one a study.
        points: centroids in the template, `mni_x, mni_y, mni_z` (RAS mm) and `mni_overlap`, the Dice of the
            brain with the template's, by lesion_id; none where studies were not or could not be registered.
    """

    masks: pd.DataFrame
    overlaps: pd.DataFrame
    unusable: dict[str, str]
    problems: list[Problem]
    points: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(MNI_COLUMNS), dtype=float))
