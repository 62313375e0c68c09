"""What the targets were in the primary tumour, as far as the clinical table says so."""

from typing import Any

import numpy as np
import pandas as pd

from bcbm.cohort.labels import PRIMARY
from bcbm.errors import Problem
from bcbm.modalities.base import LesionData, Modality
from bcbm.modalities.tables import AbsentColumns


class Primary(Modality):
    """A column `primary_<target>` for each target of the run: 1, 0, or NaN where it is not known."""

    def columns(self, lesions: LesionData) -> pd.DataFrame:
        """The columns of the targets.

        Raises:
            AbsentColumns: the cohort does not say it of one of them.
        """
        columns = self.columns_as_fitted(lesions, None)
        if absent := [str(name) for name in columns if columns[name].isna().all()]:
            reason = f"no status of the primary tumour: column {', '.join(absent)} is missing or empty"
            remedy = "add it, or leave its target out of task.targets, or primary out of task.modalities"
            raise AbsentColumns(Problem(lesions.clinical, reason, remedy))
        return columns

    def columns_as_fitted(self, lesions: LesionData, fitted: Any) -> pd.DataFrame:
        """The same, whether or not anything is known."""
        names = [PRIMARY + target for target in lesions.config.task.targets]
        return lesions.table.reindex(columns=names).astype(np.float64).reset_index(drop=True)


STATUS = Primary()
