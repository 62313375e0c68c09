"""What a traditional model reads: the columns of each modality, a row a lesion, nothing fitted yet."""

import pandas as pd

from bcbm.modalities import MODALITIES
from bcbm.modalities.base import LesionData


def table_columns(lesions: LesionData) -> pd.DataFrame:
    """The columns of `task.modalities`, no label among them.

    Returns:
        N rows; numbers as float64 with NaN where missing, kinds as text with "" where missing.

    Raises:
        AbsentColumns: none of the columns of clinical or acquisition tells two lesions apart.
    """
    return pd.concat([MODALITIES[name].columns(lesions) for name in lesions.config.task.modalities], axis=1)
