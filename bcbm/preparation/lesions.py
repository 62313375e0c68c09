"""The lesions of a run, as preparation hands them to training."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcbm.config.schema import Config
from bcbm.modalities.base import LesionData
from bcbm.statistics.telling import Telling


@dataclass
class Lesions:
    """What training reads.

    Attributes:
        table: the whole lesion table, excluded rows with their reason; files from the cohort's root on.
        entering: the rows that enter, numbered anew.
        values: of `entering`, what a modality that is on needs: `radiomics` (N, 107) float64, `crops` a
            `CropStore`.
        present: (N, M) booleans of `entering`: which of `task.modalities` a lesion has.
        cohort: the content hash of the download, of corrected names and of own targets.
        folder: where the tables and crops are kept.
        ledger: the folder that counts looks at its test patients; None where nobody keeps one.
        clinical: the name of the table that labels and acquisition columns come from, for messages.
        tellings: how well each column of the modalities that are on tells each target alone.
        citation: how the cohort is cited and licensed; "" where nobody says.
        root: of the download, from which the tables name files.
        card: what is known of the pretrained network of `deep_features`, see `Card.described`; None without.
    """

    table: pd.DataFrame
    entering: pd.DataFrame
    values: dict[str, Any]
    present: np.ndarray
    cohort: str
    folder: Path
    clinical: str = "the clinical table"
    ledger: Path | None = None
    tellings: list[Telling] = field(default_factory=list)
    citation: str = ""
    root: Path | None = None
    card: dict[str, Any] | None = None

    def among(self, rows: np.ndarray) -> "Lesions":
        """The lesions of some rows of `entering`, and nothing of any other patient."""
        entering = self.entering.iloc[rows].reset_index(drop=True)
        own = self.table["patient_id"].isin(entering["patient_id"])
        return replace(
            self,
            table=self.table[own].reset_index(drop=True),
            entering=entering,
            values={name: value[rows] for name, value in self.values.items()},
            present=self.present[rows],
        )

    def data(self, config: Config) -> LesionData:
        """The lesions that enter, as modalities read them."""
        return LesionData(self.entering, self.values, config, self.clinical)
