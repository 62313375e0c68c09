"""What every cohort format returns: a download as read, nothing judged yet."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bcbm.cohort.cells import READERS, OddCell
from bcbm.cohort.labels import LabelReading
from bcbm.errors import Problem

# Columns of a study that say how and of whom it was taken: text, "" where missing. Never features unless
# an experiment asks for them.
ACQUISITION_COLUMNS = tuple(READERS)
FEATURE = "original_"  # how the heading of a feature begins
LABEL = "label_"  # before a target's name: the label that a segmentation's own row has

DASH = "[-\u2010-\u2015\u2212]"  # as programs make one of another


@dataclass
class Download:
    """A download as read: nothing judged yet but its form.

    Attributes:
        root: its folder.
        clinical: the name of the table that labels and acquisition columns come from, for messages.
        images: the folder where images and masks lie, or would.
        has_images: whether that is there.
        segmentations: one row a segmentation: study_id, name, image_path, mask_path and, for every further
            sequence of `task.sequences`, image_<sequence> ("" without a file); in_workbook (whether
            `features` has a row of it); of a format with `lesion_labels` also label_<target>, and
            label_ER_low and its like.
        features: published `original_*` columns, same rows as `segmentations`, NaN without a row.
        studies: one row a study: study_id, patient_id, what `labels.read_labels` gives (a column a target
            first; 1, 0, NaN), acquisition columns.
        targets: the label columns of `studies`, in order.
        problems: what was wrong.
        disagreements: labels on which the rows of a study disagree, missing in `studies`; they are problems
            unless every lesion has its own.
        odd_cells: cells of the tables that are not read as plain values; they are problems too.
        label_readings: every spelling of a label, and how it is read.
        further: columns of the clinical table that nothing reads, where `studies` is without them.
        citation: how the cohort is cited and licensed; "" where it does not say.
    """

    root: Path
    clinical: str
    images: Path
    has_images: bool
    segmentations: pd.DataFrame
    features: pd.DataFrame
    studies: pd.DataFrame
    targets: list[str]
    problems: list[Problem] = field(default_factory=list)
    disagreements: list[Problem] = field(default_factory=list)
    odd_cells: list[OddCell] = field(default_factory=list)
    label_readings: list[LabelReading] = field(default_factory=list)
    further: pd.DataFrame | None = None
    citation: str = ""


def patient_of(study_id: str) -> str:
    """The patient of a study: the folder is a session, `...-<patient>-<session>`, so the last number goes."""
    return re.sub(rf"({DASH}\s*\d+)\s*{DASH}\s*\d+$", r"\1", study_id)
