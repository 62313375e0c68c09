"""What trained networks take their predictions from: each fold's test patients, with something taken away."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from bcbm.cohort.patient_labels import patient_labels
from bcbm.data.datamodule import LesionDataModule
from bcbm.model.module import LesionModule
from bcbm.statistics.aggregate import aggregate

Batch = dict[str, Tensor]


class EncodedLesions:
    """The test lesions of one fold, their crops encoded once, so that a change costs no convolution.

    Args:
        module: the fold's trained network.
        datamodule: the same fold's data, set up.
    """

    def __init__(self, module: LesionModule, datamodule: LesionDataModule) -> None:
        self.network = deepcopy(module.network).eval()  # whose encoder goes, and the module keeps its own
        self.task, self.calibrators = module.task, module.calibrators
        parts = []
        with torch.no_grad():
            for batch in datamodule.predict_dataloader()[1]:
                if "image" in batch:
                    batch["image"] = self.network.encoders["image"](batch["image"])
                parts.append(batch)
        self.batch: Batch = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        if "image" in self.batch:
            self.network.encoders["image"] = nn.Identity()  # its work is done
        self.rows = datamodule.lesions.iloc[self.batch["row"].numpy()]
        labels = patient_labels(self.rows[self.task.targets], self.rows["patient_id"])
        labels = labels.loc[np.unique(self.rows["patient_id"])].rename_axis("patient_id").reset_index()
        self.labels = labels.melt("patient_id", var_name="target", value_name="label")

    def patients(self, changed: Mapping[str, Tensor] | None = None) -> pd.DataFrame:
        """Patients with a label and their probability a target, with other tensors in the batch."""
        with torch.no_grad():
            logits, scores = self.network.with_scores({**self.batch, **(changed or {})})
        _, probability = aggregate(
            self.task.aggregate,
            logits.double().sigmoid().numpy(),
            self.rows["patient_id"],
            self.rows["volume"],
            scores.double().numpy(),
        )
        for column, target in enumerate(self.task.targets):
            if target in self.calibrators:
                probability[:, column] = self.calibrators[target](probability[:, column])
        return self.labels.assign(probability=probability.T.ravel()).dropna(subset="label")

    def without(self, modality: str) -> pd.DataFrame:
        """`patients` as if no lesion had that modality."""
        present = self.batch["present"].clone()
        present[:, self.task.modalities.index(modality)] = 0.0
        return self.patients({"present": present})

    def shuffled(
        self, modality: str, blocks: Mapping[str, Sequence[int]], draws: int, seed: int
    ) -> Iterator[tuple[str, int, pd.DataFrame]]:
        """`patients` with blocks of a modality's columns in the order of other lesions (Breiman, 2001).

        Args:
            modality: its tensor is (N, columns).
            blocks: columns that change place together, by name.
            draws: random orders, the same ones for every block.
            seed: of the orders.
        """
        rng = np.random.default_rng(seed)
        values = self.batch[modality]
        for draw in range(draws):
            order = torch.from_numpy(rng.permutation(len(values)))
            for name, columns in blocks.items():
                changed = values.clone()
                changed[:, list(columns)] = values[order][:, list(columns)]
                yield name, draw, self.patients({modality: changed})
