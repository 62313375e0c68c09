"""What a traditional model reads: the columns of each modality, a row a lesion, nothing fitted yet."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bcbm.features.radiomics import FEATURES
from bcbm.modalities.position import COORDINATES, PLACES, position_coordinates, position_onehot
from bcbm.modalities.tables import _burden, _recorded
from bcbm.preparation.lesions import Lesions


def table_columns(lesions: Lesions, modalities: Sequence[str], coordinates: bool = False) -> pd.DataFrame:
    """The columns of these modalities for the lesions that enter, no label among them.

    Args:
        lesions: `radiomics` is needed if that modality is named.
        modalities: any of radiomics, position, clinical (age, sex), acquisition (year, pixel spacing,
            manufacturer, field strength) and burden (lesions of the study and of the patient, total and
            largest volume, mm3).
        coordinates: add the MNI coordinates to the position.

    Returns:
        N rows; numbers as float64 with NaN where missing, kinds as text with "" where missing.

    Raises:
        AbsentColumns: none of the columns of clinical or acquisition tells two lesions apart.
    """
    table = lesions.entering
    blocks = []
    for modality in modalities:
        if modality == "radiomics":
            blocks.append(pd.DataFrame(lesions.radiomics, columns=list(FEATURES)))
        elif modality == "position":
            places = position_onehot(table["hemisphere"].tolist(), table["region"].tolist())
            blocks.append(pd.DataFrame(places.astype(np.float64), columns=PLACES))
            if coordinates:
                points = position_coordinates(table).astype(np.float64)
                blocks.append(pd.DataFrame(points, columns=COORDINATES))
        elif modality == "burden":
            blocks.append(_burden(table))
        else:
            blocks.append(_recorded(table, modality, lesions.clinical))
    return pd.concat(blocks, axis=1)
