"""What the clinical workbook and the lesion table say of a patient and a study."""

import numpy as np
import pandas as pd

from bcbm.errors import InputError, Problem

# As text in the lesion table. Age and sex belong to the patient, the rest to how the image was taken.
NUMBERS = {"clinical": ("age",), "acquisition": ("year", "pixel_spacing", "field_strength")}
KINDS = {"clinical": ("sex",), "acquisition": ("manufacturer",)}


class AbsentColumns(InputError):
    """No column of a modality tells two lesions apart: `found` says which columns, `where` the file."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.where, self.found = problem.where, problem.found


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


def _recorded(table: pd.DataFrame, modality: str, clinical: str) -> pd.DataFrame:
    """Columns of the table named `clinical`; of pixel spacings such as "0.5\\0.5" the first counts."""
    wanted = (*NUMBERS[modality], *KINDS[modality])
    text = table.reindex(columns=list(wanted), fill_value="").astype(str)
    text = text.apply(lambda cells: cells.str.strip())
    telling = [name for name in wanted if text[name].nunique() > 1]
    if not telling:
        found = f"the columns {', '.join(wanted)} are missing, empty or the same everywhere"
        remedy = f"take the full table, or leave {modality} out of task.modalities"
        raise AbsentColumns(Problem(clinical, found, remedy))
    columns = {}
    for name in telling:
        if name in KINDS[modality]:
            columns[name] = text[name]
        else:
            digits = text[name].str.extract(r"(\d+(?:\.\d+)?)")[0]
            columns[name] = pd.to_numeric(digits).astype(np.float64)
    return pd.DataFrame(columns)
