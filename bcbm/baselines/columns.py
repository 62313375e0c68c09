"""What a traditional model reads: the columns of each modality, a row a lesion, nothing fitted yet."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bcbm.cohort.names import HEMISPHERES, REGIONS
from bcbm.cohort.problems import InputError, Problem
from bcbm.cohort.tcia import CLINICAL_WORKBOOK
from bcbm.data.inputs import position_coordinates, position_onehot
from bcbm.data.lesions import Lesions
from bcbm.features.radiomics import FEATURES

# As text in the lesion table. Age and sex belong to the patient, the rest to how the image was taken.
NUMBERS = {"clinical": ("age",), "acquisition": ("year", "pixel_spacing", "field_strength")}
KINDS = {"clinical": ("sex",), "acquisition": ("manufacturer",)}
PLACES = [f"hemisphere={name}" for name in HEMISPHERES] + [f"region={name}" for name in REGIONS]
COORDINATES = ["from_midline", "mni_y", "mni_z", "mni_known"]


class AbsentColumns(InputError):
    """No column of a modality tells two lesions apart: `found` says which columns, `where` the file."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.where, self.found = problem.where, problem.found


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
            blocks.append(_recorded(table, modality))
    return pd.concat(blocks, axis=1)


def _burden(table: pd.DataFrame) -> pd.DataFrame:
    """How many lesions enter and how large they are together, of a study and of a patient."""
    patient = table.groupby("patient_id")["volume"]
    return pd.DataFrame(
        {
            "lesions_of_study": table.groupby("study_id")["volume"].transform("size").astype(np.float64),
            "lesions_of_patient": patient.transform("size").astype(np.float64),
            "total_volume": patient.transform("sum"),
            "largest_volume": patient.transform("max"),
        }
    )


def _recorded(table: pd.DataFrame, modality: str) -> pd.DataFrame:
    """Columns of the clinical workbook, of which pixel spacings such as "0.5\\0.5" count with the first."""
    wanted = (*NUMBERS[modality], *KINDS[modality])
    text = table.reindex(columns=list(wanted), fill_value="").astype(str)
    text = text.apply(lambda cells: cells.str.strip())
    telling = [name for name in wanted if text[name].nunique() > 1]
    if not telling:
        found = f"the columns {', '.join(wanted)} are missing, empty or the same everywhere"
        remedy = f"take the full clinical workbook, or leave {modality} out of task.modalities"
        raise AbsentColumns(Problem(CLINICAL_WORKBOOK[0], found, remedy))
    columns = {}
    for name in telling:
        if name in KINDS[modality]:
            columns[name] = text[name]
        else:
            digits = text[name].str.extract(r"(\d+(?:\.\d+)?)")[0]
            columns[name] = pd.to_numeric(digits).astype(np.float64)
    return pd.DataFrame(columns)
