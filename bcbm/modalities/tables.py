"""What the clinical workbook and the lesion table say of a patient and a study."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bcbm.cohort.cells import READERS
from bcbm.cohort.spelling import folded
from bcbm.errors import InputError, Problem
from bcbm.modalities.base import LesionData, Modality


class AbsentColumns(InputError):
    """No column of a modality tells two lesions apart: `found` says which columns, `where` the file."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.where, self.found = problem.where, problem.found


class Recorded(Modality):
    """Columns of the clinical workbook that tell any two lesions apart; text in the lesion table.

    Args:
        name: of the modality, for the message that none does.
        numbers: read as numbers, of which pixel spacings such as "0.5\\0.5" count with the first.
        kinds: read as text.
    """

    def __init__(self, name: str, numbers: Sequence[str], kinds: Sequence[str]) -> None:
        self.name, self.numbers, self.kinds = name, numbers, kinds

    def columns(self, lesions: LesionData) -> pd.DataFrame:
        """The columns that vary.

        Raises:
            AbsentColumns: none does.
        """
        return self.columns_as_fitted(lesions, self._varying(lesions))

    def fit_columns(self, lesions: LesionData, train: np.ndarray) -> list[str]:
        """The names of the columns that vary in the cohort.

        Raises:
            AbsentColumns: none does.
        """
        return self._varying(lesions)

    def columns_as_fitted(self, lesions: LesionData, fitted: Sequence[str]) -> pd.DataFrame:
        """The columns of these names; those that the cohort lacks are missing."""
        text = self._text(lesions)
        columns = {}
        for name in fitted:
            if name in self.kinds:
                columns[name] = text[name]
            else:
                columns[name] = (
                    text[name].map(lambda cell, read=READERS[name]: read(cell).value).astype(np.float64)
                )
        return pd.DataFrame(columns)

    def _varying(self, lesions: LesionData) -> list[str]:
        text = self._text(lesions)
        known = [*self.numbers, *self.kinds]
        varying = [name for name in known if text[name].nunique() > 1]
        if not varying:
            reason = f"the columns {', '.join(known)} are missing, empty or the same everywhere"
            remedy = f"take the full table, or leave {self.name} out of task.modalities"
            raise AbsentColumns(Problem(lesions.clinical, reason, remedy))
        return varying

    def _text(self, lesions: LesionData) -> pd.DataFrame:
        known = [*self.numbers, *self.kinds]
        text = lesions.table.reindex(columns=known, fill_value="").astype(str)
        text = text.apply(lambda cells: cells.str.strip())
        for name in self.kinds:  # GE and ge are one kind, under the name that comes first
            text[name] = text[name].groupby(text[name].map(folded)).transform("first")
        return text


class Burden(Modality):
    """How many lesions enter and how large (mm3) they are together, of a study and of a patient; how large is
    missing of a patient of whom a lesion has no volume."""

    def columns(self, lesions: LesionData) -> pd.DataFrame:
        """Four numbers."""
        table = lesions.table
        patient = table.groupby("patient_id")["volume"]
        complete = patient.transform("count") == patient.transform("size")
        return pd.DataFrame(
            {
                "lesions_of_study": table.groupby("study_id")["volume"].transform("size").astype(np.float64),
                "lesions_of_patient": patient.transform("size").astype(np.float64),
                "total_volume": patient.transform("sum").where(complete),
                "largest_volume": patient.transform("max").where(complete),
            }
        )


# Age and sex belong to the patient, the rest to how the image was taken.
CLINICAL = Recorded("clinical", ("age",), ("sex",))
ACQUISITION = Recorded(
    "acquisition", ("year", "pixel_spacing", "field_strength", "tr", "te"), ("manufacturer",)
)
BURDEN = Burden()
