"""What a traditional model reads: the columns of each modality, a row a lesion, nothing fitted yet."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bcbm.modalities import MODALITIES
from bcbm.modalities.base import LesionData, Modality


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
    if train is None:
        return pd.concat([modality.columns(lesions) for _, modality in _modalities(lesions)], axis=1)
    return columns_as_fitted(lesions, fit_columns(lesions, train))


def fit_columns(lesions: LesionData, train: np.ndarray) -> dict[str, Any]:
    """What the columns of each modality need to know of the rows `train`, plain, by modality."""
    return {name: modality.fit_columns(lesions, train) for name, modality in _modalities(lesions)}


def columns_as_fitted(lesions: LesionData, fitted: Mapping[str, Any]) -> pd.DataFrame:
    """`table_columns` with what `fit_columns` gave of a fold, of the same lesions or of others."""
    columns = [MODALITIES[name].columns_as_fitted(lesions, own) for name, own in fitted.items()]
    return pd.concat(columns, axis=1)


def _modalities(lesions: LesionData) -> list[tuple[str, Modality]]:
    return [(name, MODALITIES[name]) for name in lesions.config.task.modalities]
