"""The columns that the modalities of a run read, looked at one by one before anything is trained."""

from collections.abc import Iterable

import pandas as pd

from bcbm.errors import Problem
from bcbm.modalities import MODALITIES
from bcbm.modalities.base import LesionData, Modality
from bcbm.modalities.tables import AbsentColumns
from bcbm.statistics.telling import Telling, telling_columns

RECORDS = ("clinical", "acquisition", "burden")  # what every cohort may have, whatever a run reads


def tellings(lesions: LesionData, modalities: Iterable[str], targets: list[str]) -> list[Telling]:
    """How well each column of these modalities alone tells each target; of the image none is asked."""
    tables = []
    for name in dict.fromkeys(modalities):
        modality = MODALITIES[name]
        if modality.tabular and type(modality).columns is not Modality.columns:
            try:
                tables.append(modality.columns(lesions))
            except AbsentColumns:  # what it takes to go without is decided where a model needs them
                continue
    if not tables:
        return []
    columns = pd.concat(tables, axis=1)
    return telling_columns(columns, lesions.table["patient_id"], lesions.table[targets])


def telling_problems(results: Iterable[Telling]) -> list[Problem]:
    """One a column that tells a target alone."""
    return [
        Problem(
            f"{row['column']} and {telling['target']}",
            f"alone it has an AUROC of {row['auroc']:.2f} over {telling['patients']} patients (p = "
            f"{row['p']:.3f} over {telling['columns']} columns)",
            "find out whether it is known before the label is; if not, leave its modality out",
            "a column tells the label",
        )
        for telling in results
        for row in telling["telling"]
    ]
