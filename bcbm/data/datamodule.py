"""Lesions as batches: what is checked, what is fitted and what a batch holds."""

import multiprocessing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from bcbm.cohort.leaks import PARTS, check_leak
from bcbm.cohort.names import HEMISPHERES, REGIONS
from bcbm.cohort.splits import patient_weight
from bcbm.config.schema import Augment, Data
from bcbm.data.augmentation.batch import BatchAugment
from bcbm.data.augmentation.draws import Changes
from bcbm.data.dataset import Batch, Crops, LesionDataset, as_it_is
from bcbm.data.sampler import LesionSampler, ShardSampler
from bcbm.modalities.position import position_coordinates, position_onehot
from bcbm.modalities.radiomics import fit_radiomics

if TYPE_CHECKING:
    from bcbm.data.augmentation.single import LesionAugment

# Named: a process that was itself started by a fork server would start its workers from nothing, in seconds.
FORK = "fork" if "fork" in multiprocessing.get_all_start_methods() else None


class LesionDataModule(LightningDataModule):
    """Batches of one fold.

    Give the Trainer `use_distributed_sampler=False`: the samplers here know the ranks.

    Arguments:
        lesions: one row a lesion, RangeIndex, columns `lesion_id, patient_id, hemisphere, region, content,
            volume` (mm3), a column 0 / 1 / NaN a target.
        radiomics: (N, 107) raw values aligned with `lesions`, NaN where missing; None without radiomics.
        crops: by row of `lesions`, float16 (2, S, S, S), image and mask, axes z, y, x; None without images.
        parts: rows of `lesions` under `train`, `validation` and `test`.
        targets: columns to predict.
        modalities: which of image, radiomics and position a batch holds.
        data: batch size (over all devices), workers, sampling.
        augment: augmentation of the training crops, by `LesionAugment` where they are loaded or by
            `BatchAugment` behind the transfer to the device; the position follows a flip.
        crop_spacing: edge of a crop voxel, mm.
        seed: seed of the draw and of the augmentation.
        leaky: the split shares patients on purpose.
        mask_channel: `image` has the mask as its second channel.
        coordinates: `position` has the MNI coordinates too, of columns `mni_x, mni_y, mni_z` (mm).
        present: (N, M) 0 / 1, which of `modalities` a lesion has; None: all have all.
        bag: training lesions of one patient that follow each other in a batch; 1 draws lesions one by one.

    Raises:
        LeakError: at set-up, see `check_leak`.
        ValueError: a modality without its values.
    """

    def __init__(
        self,
        *,
        lesions: pd.DataFrame,
        radiomics: np.ndarray | None,
        crops: Crops | None,
        parts: Mapping[str, np.ndarray],
        targets: Sequence[str],
        modalities: Sequence[str],
        data: Data,
        augment: Augment,
        crop_spacing: float,
        seed: int,
        leaky: bool = False,
        mask_channel: bool = False,
        coordinates: bool = False,
        present: np.ndarray | None = None,
        bag: int = 1,
    ) -> None:
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # a rank may have nothing to predict
        for name, values in (("image", crops), ("radiomics", radiomics)):
            if name in modalities and values is None:
                raise ValueError(f"task.modalities names {name} but this cohort has no {name}; leave it out")
            if values is not None and len(values) != len(lesions):
                raise ValueError(f"{len(values)} rows of {name} for {len(lesions)} lesions; align them")
        everything = np.ones((len(lesions), len(modalities)))
        self.present = everything if present is None else np.asarray(present)
        if self.present.shape != everything.shape:
            raise ValueError(f"present is {self.present.shape}; give a row a lesion, a column a modality")
        self.lesions, self.radiomics, self.crops, self.bag = lesions, radiomics, crops, bag
        self.parts = {part: np.asarray(parts.get(part, ()), dtype=np.int64) for part in PARTS}
        self.targets, self.modalities = list(targets), list(modalities)
        self.data, self.seed, self.leaky = data, seed, leaky
        self.channels, self.coordinates = 2 if mask_channel else 1, coordinates
        self.augment: Changes | LesionAugment = Changes(augment)
        if "image" in modalities and augment.where == "worker":
            from bcbm.data.augmentation import single  # TorchIO, where it is used

            self.augment = single.LesionAugment(augment, crop_spacing)
        self.batch_augment = BatchAugment(crop_spacing)

    def setup(self, stage: str = "fit") -> None:
        """Check the parts against each other and make their data sets."""
        check_leak(self.lesions, self.parts, self.leaky)
        self.datasets = {part: self._dataset(part) for part in PARTS}

    def fitted(self, class_weights: bool = True) -> dict[str, Any]:
        """All that is fitted, from the training rows alone, every patient weighing the same; plain lists.

        `radiomics` holds `median`, `mean` and `scale` (standard deviation; 0 for a constant column) of the
        signed log; `position` its width; `positives` and `negatives` count the patients a target, and
        `pos_weight` is negatives / positives, 1 if one is absent.
        """
        check_leak(self.lesions, self.parts, self.leaky)
        train = self.lesions.iloc[self.parts["train"]]
        result: dict[str, Any] = {"targets": list(self.targets), "modalities": list(self.modalities)}
        patients = train.groupby("patient_id")[self.targets].mean()
        result["positives"] = [float(patients[target].sum()) for target in self.targets]
        result["negatives"] = [float((1 - patients[target]).sum()) for target in self.targets]
        counts = zip(result["positives"], result["negatives"], strict=True)
        result["pos_weight"] = [
            negative / positive if class_weights and positive and negative else 1.0
            for positive, negative in counts
        ]
        if "position" in self.modalities:
            result["position"] = len(HEMISPHERES) + len(REGIONS) + 4 * self.coordinates
        if "radiomics" in self.modalities and self.radiomics is not None:
            has = self.present[self.parts["train"], self.modalities.index("radiomics")] > 0
            result["radiomics"] = fit_radiomics(
                self.radiomics[self.parts["train"][has]], patient_weight(train["patient_id"][has])
            )
        return result

    def train_dataloader(self) -> DataLoader[Batch]:
        """Drawn, augmented batches; the same global batches for any number of ranks.

        An epoch reads as many lesions as there are or, in bags, a bag of each patient: no batch then holds a
        patient twice.
        """
        rank, world = self._place()
        size, left = divmod(self.data.batch_size, world)
        if left or size % self.bag or not size:
            wanted = f"the {world} devices" + f" times data.bag={self.bag}" * (self.bag > 1)
            raise ValueError(f"data.batch_size={self.data.batch_size} is no multiple of {wanted}")
        dataset = self.datasets["train"]
        patients = self.lesions["patient_id"].iloc[dataset.rows].tolist()
        count = len(set(patients)) * self.bag if self.bag > 1 else len(dataset)
        # Whole batches only, as soon as there is one: a small last batch is noise, and could miss a rank.
        length = count - count % self.data.batch_size if count > self.data.batch_size else count
        sampler = LesionSampler(patients, self.data.sampling, self.seed, rank, world, length, self.bag)
        if self.trainer is not None:  # workers ask for the first batches before Lightning sets the epoch
            progress = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)  # type: ignore[attr-defined]
        return DataLoader(
            dataset,
            batch_size=size,
            sampler=sampler,
            collate_fn=as_it_is,
            num_workers=self.data.workers,
            persistent_workers=self.data.workers > 0,
            # A process that talks to other ranks has threads, and a fork of it can inherit a lock for good.
            multiprocessing_context=("forkserver" if world > 1 else FORK) if self.data.workers else None,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """All validation lesions on every rank, so that each knows the same loss without talking."""
        return DataLoader(self.datasets["validation"], batch_size=self.data.batch_size, collate_fn=as_it_is)

    def predict_dataloader(self) -> list[DataLoader[Batch]]:
        """Validation and test lesions, each on one rank."""
        held = [self.datasets["validation"], self.datasets["test"]]
        return [
            DataLoader(
                dataset,
                batch_size=self.data.batch_size,
                sampler=ShardSampler(len(dataset), *self._place()),
                collate_fn=as_it_is,
            )
            for dataset in held
        ]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch, except for what is to happen to its crops: that is read on the CPU."""
        stays = {name: batch[name] for name in ("change", "seed") if name in batch}
        goes = {name: values for name, values in batch.items() if name not in stays}
        moved: Batch = super().transfer_batch_to_device(goes, device, dataloader_idx)
        return moved | stays

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment crops that carry changes: with `augment.where=device` those of training, and only those."""
        if "change" not in batch:
            return batch
        change, seed = batch.pop("change"), batch.pop("seed")
        image, position = self.batch_augment(batch["image"], batch.get("position"), change, seed)
        # The crops came as stored; the other numbers already have the type that the network is to see.
        changed = {"image": image.to(batch["weight"].dtype)}
        return batch | changed | ({} if position is None else {"position": position})

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)

    def _dataset(self, part: str) -> LesionDataset:
        rows = self.parts[part]
        lesions = self.lesions.iloc[rows]
        label = lesions[self.targets].to_numpy(np.float32)
        position = position_onehot(lesions["hemisphere"].tolist(), lesions["region"].tolist())
        if self.coordinates:
            position = np.hstack([position, position_coordinates(lesions)])
        columns = {
            "row": rows,
            "patient": pd.factorize(lesions["patient_id"])[0],
            "label": np.nan_to_num(label, nan=0.0),
            "known": (~np.isnan(label)).astype(np.float32),
            "weight": patient_weight(lesions["patient_id"]).astype(np.float32),
            "volume": lesions["volume"].to_numpy(np.float32),
            "present": self.present[rows].astype(np.float32),
        }
        if "position" in self.modalities:
            columns["position"] = position
        if "radiomics" in self.modalities and self.radiomics is not None:
            columns["radiomics"] = self.radiomics[rows].astype(np.float32)
        return LesionDataset(
            rows,
            columns,
            position,
            crops=self.crops if "image" in self.modalities else None,
            channels=self.channels,
            augment=self.augment if part == "train" else None,
        )
