"""One lesion at a time, as a batch is made of."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bcbm.data.augment import LesionAugment
from bcbm.data.changes import Changes
from bcbm.features.crops import CropStore

Batch = dict[str, Tensor]
Crops = np.ndarray | CropStore  # read by a lesion's row


class LesionDataset(Dataset[Batch]):
    """Lesions of one part.

    An item is asked for by its place in `rows`, or by `(place, seed)` to have it augmented. It holds
    `row` (), the place in the lesion table; `patient` (), a number a patient; `image` (C, D, H, W),
    `radiomics` (107,), `position` (12 or 16,), as far as they are given; `label` and `known` (R,), label 0
    where it is not known; `weight` (), 1 / lesions of the patient in this part; `volume` () in mm3; `present`
    (M,), 1 for a modality that the lesion has, in the order of the modalities.

    With `LesionAugment` an item is augmented here. With `Changes` its image stays as stored (float16: half
    the bytes for a worker to send and a GPU to receive), and `change` (Q,) and `seed` () tell `BatchAugment`
    what to do with it.
    """

    def __init__(
        self,
        rows: np.ndarray,
        columns: Mapping[str, np.ndarray],
        position: np.ndarray,
        crops: Crops | None,
        channels: int,
        augment: LesionAugment | Changes | None,
    ) -> None:
        self.rows, self.crops, self.channels, self.augment = rows, crops, channels, augment
        self.columns = {name: torch.from_numpy(values) for name, values in columns.items()}
        self.position = torch.from_numpy(position)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int | tuple[int, int]) -> Batch:
        place, seed = item if isinstance(item, tuple) else (item, None)
        row = int(self.rows[place])
        batch = {name: values[place] for name, values in self.columns.items()}
        if self.crops is None:
            return batch
        stored = self.crops[row][: self.channels]
        if seed is not None and isinstance(self.augment, Changes):
            image = torch.from_numpy(np.array(stored))
            return batch | {"image": image, "change": self.augment(seed), "seed": torch.tensor(seed)}
        image, position = torch.from_numpy(np.array(stored, dtype=np.float32)), self.position[place]
        if seed is not None and isinstance(self.augment, LesionAugment):
            image, position = self.augment(image, position, seed)
        batch["image"] = image
        if "position" in batch:
            batch["position"] = position
        return batch
