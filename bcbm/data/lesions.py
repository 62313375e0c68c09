"""The lesions of a run, as preparation hands them to training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass
class Lesions:
    """What training reads.

    Attributes:
        table: the whole lesion table, excluded rows with their reason.
        entering: the rows that enter, numbered anew, with their row in the crop store.
        radiomics: (N, 107) float64 of `entering`, or None when that modality is off.
        crops: path of the crop store, or None when the image modality is off.
        cohort: the content hash of the download.
    """

    table: pd.DataFrame
    entering: pd.DataFrame
    radiomics: np.ndarray | None
    crops: Path | None
    cohort: str
