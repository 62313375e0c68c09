"""What a traditional model reads: the columns of each modality, a row a lesion, nothing fitted yet."""

import numpy as np
import pandas as pd

from bcbm.modalities import MODALITIES
from bcbm.modalities.base import LesionData


def table_columns(lesions: LesionData, train: np.ndarray | None = None) -> pd.DataFrame:
    """The columns of `task.modalities`, no label among them.

    Args:
        lesions: N lesions.
        train: rows of a fold that whatever a modality fits is fitted on; None: nothing is fitted.

    Returns:
        N rows; numbers as float64 with NaN where missing, kinds as text with "" where missing.

    Raises:
        AbsentColumns: none of the columns of clinical or acquisition tells two lesions apart.
    """
    modalities = [MODALITIES[name] for name in lesions.config.task.modalities]
    if train is None:
        return pd.concat([modality.columns(lesions) for modality in modalities], axis=1)
    return pd.concat([modality.fold_columns(lesions, train) for modality in modalities], axis=1)
