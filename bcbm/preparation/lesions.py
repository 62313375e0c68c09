"""The lesions of a run, as preparation hands them to training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.features.crops import CropStore


@dataclass
class Lesions:
    """What training reads.

    Attributes:
        table: the whole lesion table, excluded rows with their reason.
        entering: the rows that enter, numbered anew.
        radiomics: (N, 107) float64 of `entering`, or None when that modality is off.
        crops: of `entering`, by row, or None when the image modality is off.
        present: (N, M) booleans of `entering`: which of `task.modalities` a lesion has.
        cohort: the content hash of the download, of corrected names and of own targets.
        folder: where the tables and crops are kept.
        clinical: the name of the table that labels and acquisition columns come from, for messages.
    """

    table: pd.DataFrame
    entering: pd.DataFrame
    radiomics: np.ndarray | None
    crops: CropStore | None
    present: np.ndarray
    cohort: str
    folder: Path
    clinical: str = "the clinical table"
