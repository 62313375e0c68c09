"""Lesions as batches: what is checked, what is fitted and what a batch holds."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from bcbm.cohort.leaks import PARTS, check_leak
from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.splits import patient_weight
from bcbm.data.augmentation.batch import BatchAugment
from bcbm.data.augmentation.draws import Changes, part
from bcbm.data.augmentation.mirror import mirrored
from bcbm.data.dataset import Batch, Crops, LesionDataset, as_it_is
from bcbm.data.loading import FORK, TrainingLoader, end_quietly, loading_plan
from bcbm.data.sampler import EpochBatches, LesionSampler, ShardSampler
from bcbm.modalities import MODALITIES
from bcbm.modalities.base import LesionData

IMAGE = "image"  # the modality that no tensor holds: its crops are read, cut and augmented batch by batch

if TYPE_CHECKING:
    from bcbm.data.augmentation.single import LesionAugment


class LesionDataModule(LightningDataModule):
    """Batches of one fold.

    Give the Trainer `use_distributed_sampler=False`: the samplers here know the ranks.

    Args:
        lesions: a RangeIndex and columns `lesion_id, patient_id, content, volume` (mm3) and a column
            0 / 1 / NaN a target, besides what the modalities read; crops also as an array, float16
            (N, C, S, S, S), axes z, y, x, the mask last; the configuration says the rest.
        parts: rows of `lesions` under `train`, `validation` and `test`.
        seed: seed of the draw and of the augmentation.
        present: (N, M) 0 / 1, which of `task.modalities` a lesion has; None: all have all.
        leaky: the split shares patients on purpose.
        beside: folds or ranks that this machine trains at once.

    Raises:
        LeakError: at set-up, see `check_leak`.
        ValueError: a modality without its values.
    """

    def __init__(
        self,
        lesions: LesionData,
        parts: Mapping[str, np.ndarray],
        *,
        seed: int,
        present: np.ndarray | None = None,
        leaky: bool = False,
        beside: int = 1,
    ) -> None:
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # a rank may have nothing to predict
        config, table = lesions.config, lesions.table
        self.targets, self.modalities = list(config.task.targets), list(config.task.modalities)
        for name in self.modalities:
            for need in MODALITIES[name].needs:
                if need not in lesions.values:
                    raise ValueError(
                        f"task.modalities names {name} but this cohort has no {need}; leave it out"
                    )
        for name, values in lesions.values.items():
            if len(values) != len(table):
                raise ValueError(f"{len(values)} rows of {name} for {len(table)} lesions; align them")
        everything = np.ones((len(table), len(self.modalities)))
        self.present = everything if present is None else np.asarray(present)
        if self.present.shape != everything.shape:
            raise ValueError(f"present is {self.present.shape}; give a row a lesion, a column a modality")
        self.described, self.lesions = lesions, table
        self.parts = {part: np.asarray(parts.get(part, ()), dtype=np.int64) for part in PARTS}
        self.data, self.seed, self.leaky, self.beside = config.data, seed, leaky, beside
        self.bag = config.data.bag if config.task.aggregate == "attention" else 1
        self.crops: Crops | None = lesions.values["crops"] if IMAGE in self.modalities else None
        sequences = len(config.task.sequences)
        self.channels = sequences + config.model.mask_channel
        self.swaps = {name: swaps for name in self.modalities if (swaps := MODALITIES[name].swaps)}
        augment, spacing = config.augment, config.features.crop_spacing
        self.augment: Changes | LesionAugment = Changes(augment)
        if self.crops is not None and augment.where == "worker":
            from bcbm.data.augmentation import single  # TorchIO, where it is used

            self.augment = single.LesionAugment(augment, spacing, sequences)
        self.batch_augment = BatchAugment(spacing, sequences)

    def setup(self, stage: str = "fit") -> None:
        """Check the parts against each other and make their data sets."""
        check_leak(self.lesions, self.parts, self.leaky)
        self.datasets = {name: self._dataset(name) for name in PARTS}

    def fitted(self, class_weights: bool = True) -> dict[str, Any]:
        """All that is fitted, from the training rows alone, every patient weighing the same; plain lists.

        Under the name of a modality lies what its encoder is built with, from the lesions that have it;
        `positives` and `negatives` count the patients a target, and `pos_weight` is negatives / positives, 1
        if one is absent. A patient of both labels counts for each by its lesions, in bags as positive.
        """
        check_leak(self.lesions, self.parts, self.leaky)
        train = self.lesions.iloc[self.parts["train"]]
        result: dict[str, Any] = {"targets": list(self.targets), "modalities": list(self.modalities)}
        labels, owners = train[self.targets], train["patient_id"]
        pooled = self.described.config.task.aggregate == "attention"
        patients = patient_labels(labels, owners) if pooled else labels.groupby(owners).mean()
        result["positives"] = [float(patients[target].sum()) for target in self.targets]
        result["negatives"] = [float((1 - patients[target]).sum()) for target in self.targets]
        counts = zip(result["positives"], result["negatives"], strict=True)
        result["pos_weight"] = [
            negative / positive if class_weights and positive and negative else 1.0
            for positive, negative in counts
        ]
        for name, has in zip(self.modalities, self.present[self.parts["train"]].T > 0, strict=True):
            weight = patient_weight(train["patient_id"][has])
            fit = MODALITIES[name].fit(self.described.among(self.parts["train"][has]), weight)
            if fit is not None:
                result[name] = fit
        return result

    def train_dataloader(self) -> DataLoader[Batch]:
        """Drawn, augmented batches; the same global batches for any number of ranks.

        An epoch reads as many lesions as there are or, in bags, a bag of each patient: no batch then holds a
        patient twice.
        """
        rank, world = self._place()
        size, left = divmod(self.data.batch_size, world)
        if left or size % self.bag or not size:
            raise ValueError(
                f"data.batch_size={self.data.batch_size} is not a multiple of {world * self.bag}, the "
                f"devices ({world}) times data.bag ({self.bag}); choose one that is"
            )
        dataset = self.datasets["train"]
        patients = self.lesions["patient_id"].iloc[dataset.rows].tolist()
        count = len(set(patients)) * self.bag if self.bag > 1 else len(dataset)
        # Whole batches only, as soon as there is one: a small last batch is noise, and could miss a rank.
        length = count - count % self.data.batch_size if count > self.data.batch_size else count
        sampler = LesionSampler(patients, self.data.sampling, self.seed, rank, world, length, self.bag)
        if self.trainer is not None:  # workers ask for the first batches before Lightning sets the epoch
            progress = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)  # type: ignore[attr-defined]
        plan = loading_plan(self.described.config, self.beside)
        torch.multiprocessing.set_sharing_strategy(plan.strategy)
        return TrainingLoader(
            dataset,
            EpochBatches(sampler, size),
            collate_fn=as_it_is,
            num_workers=plan.workers,
            persistent_workers=plan.workers > 0,
            # A process that talks to other ranks has threads, and a fork of it can inherit a lock for good.
            multiprocessing_context=("forkserver" if world > 1 else FORK) if plan.workers else None,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=partial(end_quietly, strategy=plan.strategy),
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """All validation lesions on every rank, so that each knows the same loss without talking."""
        return DataLoader(self.datasets["validation"], batch_size=self.data.batch_size, collate_fn=as_it_is)

    def predict_dataloader(self) -> list[DataLoader[Batch]]:
        """Validation and test lesions, each on one rank."""
        datasets = [self.datasets["validation"], self.datasets["test"]]
        return [
            DataLoader(
                dataset,
                batch_size=self.data.batch_size,
                sampler=ShardSampler(len(dataset), *self._place()),
                collate_fn=as_it_is,
            )
            for dataset in datasets
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
        image = self.batch_augment(batch["image"], change, seed)
        # The crops came as stored; the other numbers already have the type that the network is to see.
        changed = batch | {"image": image.to(batch["weight"].dtype)}
        return mirrored(changed, part(change, "flip")[:, 0] > 0, self.swaps)

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)

    def _dataset(self, name: str) -> LesionDataset:
        rows = self.parts[name]
        lesions = self.lesions.iloc[rows]
        label = lesions[self.targets].to_numpy(np.float32)
        columns = {
            "row": rows,
            "patient": pd.factorize(lesions["patient_id"])[0],
            "label": np.nan_to_num(label, nan=0.0),
            "known": (~np.isnan(label)).astype(np.float32),
            "weight": patient_weight(lesions["patient_id"]).astype(np.float32),
            "volume": lesions["volume"].to_numpy(np.float32),
            "present": self.present[rows].astype(np.float32),
        }
        described = self.described.among(rows)
        tables = [modality for modality in self.modalities if modality != IMAGE]
        columns |= {modality: MODALITIES[modality].tensor(described) for modality in tables}
        return LesionDataset(
            rows,
            columns,
            crops=self.crops,
            channels=self.channels,
            augment=self.augment if name == "train" else None,
            swaps=self.swaps,
        )
