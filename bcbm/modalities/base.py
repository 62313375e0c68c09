"""What a modality is: one way to describe a lesion, to the network and to traditional models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the names of the modalities are listed where nothing heavy may be loaded
    import numpy as np
    import pandas as pd

    from bcbm.config.schema import Config


@dataclass(frozen=True)
class LesionData:
    """Lesions as their modalities read them.

    Attributes:
        table: a row a lesion, N rows, the columns of the lesion table.
        values: what preparation made of their files, in the same order, as far as a modality of the run
            needs it: `radiomics` (N, 107) and with features.shells `shells` (N, 93 K) float64, NaN where
            missing; `crops`, a `CropStore`; `deep_features` (N, F) float32.
        config: the run's.
        clinical: the name of the table that labels and acquisition columns come from, for messages.
    """

    table: pd.DataFrame
    values: Mapping[str, Any]
    config: Config
    clinical: str = "the clinical table"

    def among(self, rows: np.ndarray) -> LesionData:
        """The lesions of these rows alone."""
        values = {name: value[rows] for name, value in self.values.items()}
        return replace(self, table=self.table.iloc[rows].reset_index(drop=True), values=values)


class Modality:
    """One way to describe a lesion: a subclass says what differs, and an instance stands in `MODALITIES`.

    Its name is the one that it has there, also in `task.modalities`, batches and checkpoints.

    Attributes:
        needs: what preparation has to make, of `crops`, `radiomics` and `deep_features`; the lesion table is
            always there.
        registered: it reads where a lesion lies, so that cohort.position=image has to register its study.
        tabular: it has columns for traditional models.
        encoder: address `module:builder`, empty if it is for traditional models only. The builder gets
            `config.Model` and what `fit` gave (None from a checkpoint without it), and returns an nn.Module,
            tensor (B, ...) -> features (B, width), and the width.
        swaps: pairs of columns of its tensor that change places where a crop is flipped left to right.
    """

    needs: Sequence[str] = ()
    registered: bool = False
    tabular: bool = True
    encoder: str = ""
    swaps: Sequence[tuple[int, int]] = ()

    def absent(self, lesions: LesionData) -> pd.Series:
        """Why a lesion lacks this modality, N texts on the table's index, empty where it has it.

        Called before crops are cut, with `radiomics` alone in `values`.
        """
        import pandas as pd

        return pd.Series("", index=lesions.table.index)

    def fit(self, lesions: LesionData, weight: np.ndarray) -> Any:
        """What the encoder needs to know of the training lesions that have this modality.

        Args:
            lesions: N training lesions.
            weight: of each, (N,); those of a patient sum to 1.

        Returns:
            Plain lists, numbers and dictionaries, as a checkpoint holds them.
        """
        return None

    def tensor(self, lesions: LesionData) -> np.ndarray:
        """What a batch holds, (N, ...) float32; a lesion that lacks the modality may have NaN."""
        raise TypeError(f"{type(self).__name__} has an encoder and no tensor; write one")

    def columns(self, lesions: LesionData) -> pd.DataFrame:
        """What a traditional model reads, N rows from 0 on, nothing fitted yet.

        Numbers are float64 with NaN where missing, kinds text with "" where missing.
        """
        raise TypeError(f"{type(self).__name__} has no columns; write them, or tabular = False")

    def fit_columns(self, lesions: LesionData, train: np.ndarray) -> Any:
        """What `columns_as_fitted` needs to know of the cohort and of a fold's rows `train`; plain lists,
        numbers and dictionaries."""
        return None

    def columns_as_fitted(self, lesions: LesionData, fitted: Any) -> pd.DataFrame:
        """`columns` as a model reads them that was fitted on other lesions, which a single one has too.

        Args:
            lesions: N lesions, of the cohort of the fold or of another.
            fitted: what `fit_columns` has given.
        """
        return self.columns(lesions)

    def blocks(self, config: Config) -> dict[str, list[int]]:
        """Columns of the tensor that `explain` shuffles together, by a name for them."""
        return {}
