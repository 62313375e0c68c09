"""What the targets were in the primary tumour, as far as the clinical table says so."""

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
        names = [PRIMARY + target for target in lesions.config.task.targets]
        columns = lesions.table.reindex(columns=names).astype(np.float64).reset_index(drop=True)
        if absent := [name for name in names if columns[name].isna().all()]:
            reason = f"no status of the primary tumour: column {', '.join(absent)} is missing or empty"
            remedy = "add it, or leave its target out of task.targets, or primary out of task.modalities"
            raise AbsentColumns(Problem(lesions.clinical, reason, remedy))
        return columns


STATUS = Primary()
