"""What every cohort format returns: a download as read, nothing judged yet."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bcbm.errors import Problem

ACQUISITION = {
    "Age": "age",
    "Year": "year",
    "Pixel Spacing": "pixel_spacing",
    "Manufacturer": "manufacturer",
    "Magnetic Field Strength ID": "field_strength",
    "Sex": "sex",
}


@dataclass
class Download:
    """A download as read: nothing judged yet but its form.

    Attributes:
        segmentations: one row a segmentation: study_id, name, image_path, mask_path, in_workbook, and
            image_<sequence> for every further sequence of `task.sequences`; paths are "" without a file.
        features: the workbook's `original_*` columns, same rows as `segmentations`, NaN without a row.
        studies: one row a study: study_id, patient_id, ER, PR, HER2 (1, 0, NaN), acquisition columns.
        problems: what was wrong.
    """

    root: Path
    has_images: bool
    segmentations: pd.DataFrame
    features: pd.DataFrame
    studies: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)


def patient_of(study_id: str) -> str:
    """The patient of a study: the folder is a session, `...-<patient>-<session>`, so the last number goes."""
    return re.sub(r"(-\d+)-\d+$", r"\1", study_id)
