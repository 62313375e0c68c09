"""One lesion at a time, as a batch is made of."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bcbm.data.augmentation.draws import Changes
from bcbm.data.augmentation.mirror import Swaps, mirrored
from bcbm.features.crops import CropStore

if TYPE_CHECKING:
    from bcbm.data.augmentation.single import LesionAugment

Batch = dict[str, Tensor]
Crops = np.ndarray | CropStore  # read by a lesion's row
Item = int | tuple[int, int]


class LesionDataset(Dataset[Batch]):
    """Lesions of one part.

    An item is asked for by its place in `rows`, or by `(place, seed)` to have it augmented. It holds
    `row` (), the place in the lesion table; `patient` (), a number a patient; `image` (C, D, H, W) and the
    tensors of the other modalities, as far as they are given; `label` and `known` (R,), label 0 where it is
    not known; `weight` (), 1 / lesions of the patient in this part; `volume` () in mm3; `present` (M,), 1 for
    a modality that the lesion has, in the order of the modalities.

    With `LesionAugment` an item is augmented here, and the columns that `swaps` names follow a flip. With
    `Changes` its image stays as stored (float16: half the bytes for a worker to send and a GPU to receive),
    and `change` (Q,) and `seed` () tell `BatchAugment` what to do with it.

    A loader asks for all items of a batch at once and gets them as a batch: give it `collate_fn=as_it_is`.
    """

    def __init__(
        self,
        rows: np.ndarray,
        columns: Mapping[str, np.ndarray],
        crops: Crops | None = None,
        channels: int = 1,
        augment: "LesionAugment | Changes | None" = None,
        swaps: Swaps | None = None,
    ) -> None:
        self.rows, self.crops, self.channels, self.augment = rows, crops, channels, augment
        self.columns = {name: torch.from_numpy(values) for name, values in columns.items()}
        self.swaps = swaps or {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: Item) -> Batch:
        return {name: values[0] for name, values in self.__getitems__([item]).items()}

    def __getitems__(self, items: Sequence[Item]) -> Batch:
        """The items as one batch: column by column, which costs a quarter of item by item."""
        places = [item[0] if isinstance(item, tuple) else item for item in items]
        seeds = [item[1] for item in items if isinstance(item, tuple)]
        batch = {name: values[places] for name, values in self.columns.items()}
        if self.crops is None:
            return batch
        images = np.stack([self.crops[int(row)][: self.channels] for row in self.rows[places]])
        if seeds and isinstance(self.augment, Changes):
            change = torch.stack([self.augment(seed) for seed in seeds])
            return batch | {"image": torch.from_numpy(images), "change": change, "seed": torch.tensor(seeds)}
        image = torch.from_numpy(images.astype(np.float32))
        if seeds and self.augment is not None and not isinstance(self.augment, Changes):
            changed, flipped = zip(*map(self.augment, image, seeds), strict=True)
            image, batch = torch.stack(changed), mirrored(batch, torch.tensor(flipped), self.swaps)
        return batch | {"image": image}


def as_it_is(batch: Any) -> Any:
    """What is a batch already."""
    return batch
