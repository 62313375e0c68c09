"""Small lesions, their batches, and networks on them."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import lightning as L
import numpy as np
import pandas as pd
import torch
from torch import nn

from bcbm.cohort.names import HEMISPHERES, REGIONS
from bcbm.config.schema import Config
from bcbm.config.schema.cohort import Features
from bcbm.config.schema.training import Augment, Data, Loss, Model, Task, Trainer
from bcbm.data.datamodule import LesionDataModule
from bcbm.modalities.base import LesionData
from bcbm.model.module import LesionModule

RECEPTORS, MODALITIES = ["ER", "PR", "HER2"], ["image", "radiomics", "position"]
FITTED = {
    "targets": RECEPTORS,
    "modalities": MODALITIES,
    "pos_weight": [1.0, 2.0, 0.5],
    "positives": [10.0, 10.0, 20.0],
    "negatives": [10.0, 20.0, 10.0],
    "position": 12,
    "radiomics": {"median": [0.0] * 107, "mean": [0.0] * 107, "scale": [1.0] * 107},
}
STILL = Augment(flip=0, affine=0, noise=0, gamma=0)


def batch_of(count=4, size=12, channels=1):
    generator = torch.Generator().manual_seed(0)
    return {
        "row": torch.arange(count),
        "image": torch.randn(count, channels, size, size, size, generator=generator),
        "radiomics": torch.randn(count, 107, generator=generator),
        "position": torch.eye(12)[torch.arange(count) % 12],
        "label": torch.randint(0, 2, (count, 3), generator=generator).float(),
        "known": torch.ones(count, 3),
        "weight": torch.ones(count),
        "volume": torch.ones(count),
        "patient": torch.arange(count),
    }


def lesions_of(count=30, size=10, signal=3.0):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "lesion_id": [f"L{i}" for i in range(count)],
            "patient_id": [f"P{i}" for i in range(count)],
            "hemisphere": rng.choice(HEMISPHERES, count),
            "region": rng.choice(REGIONS, count),
            "content": [f"hash{i}" for i in range(count)],
            "volume": rng.uniform(50, 5000, count),
        }
    )
    for target in RECEPTORS:
        table[target] = rng.integers(0, 2, count).astype(float)
    crops = rng.normal(size=(count, 2, size, size, size))
    radiomics = rng.normal(size=(count, 107))
    crops[:, 0, 3:7, 3:7, 3:7] += signal * table["ER"].to_numpy()[:, None, None, None]
    radiomics[:, 0] += signal * table["PR"]
    radiomics[:, 1] -= signal * table["HER2"]
    return table, radiomics, crops.astype(np.float16)


def data_of(table, radiomics, crops, parts, *, present=None, leaky=False, **changes):
    """The batches of a fold; changes of the configuration by their last name."""
    values = {"radiomics": radiomics, "crops": crops}
    values = {name: value for name, value in values.items() if value is not None}
    return LesionDataModule(
        LesionData(table, values, config_of(**changes)), parts, seed=0, present=present, leaky=leaky
    )


def config_of(
    *,
    targets=RECEPTORS,
    modalities=MODALITIES,
    data=None,
    augment=STILL,
    mask_channel=False,
    coordinates=False,
    bag=None,
):
    data = data or Data(batch_size=8)
    return Config(
        task=Task(targets=targets, modalities=modalities, aggregate="attention" if bag else "mean"),
        data=replace(data, bag=bag or data.bag),
        augment=augment,
        model=Model(mask_channel=mask_channel),
        features=Features(coordinates=coordinates),
    )


def module_of(data, seed=0, trainer=None, loss=None, aggregate="mean", **model):
    return LesionModule(
        task=asdict(Task(targets=data.targets, modalities=data.modalities, aggregate=aggregate)),
        model=asdict(Model(**{"widen": 0.125, **model})),
        loss=asdict(loss or Loss()),
        trainer=asdict(trainer or Trainer()),
        fitted=data.fitted(),
        provenance={"seed": seed},
    )


def trainer_of(folder, epochs=2, **changes):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return L.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        use_distributed_sampler=False,
        **{**quiet, "enable_checkpointing": False, **changes},
    )


def place_of(rank, world):
    """All that batches ask of a trainer: which of how many ranks this is, and the epoch."""
    progress = SimpleNamespace(current=SimpleNamespace(processed=0))
    loop = SimpleNamespace(epoch_progress=progress)
    return SimpleNamespace(global_rank=rank, world_size=world, fit_loop=loop)


def parts_of(count):
    third = count // 3
    return {
        "train": np.arange(third, count - third // 2),
        "validation": np.arange(count - third // 2, count),
        "test": np.arange(third),
    }


def shallow_encoder(model, channels):
    """An image encoder of one convolution."""
    convolution = nn.Conv3d(channels, 4, kernel_size=3, stride=2)
    return nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten()), 4


def predicted(batches, name="logit"):
    """What the test lesions were given, in the order of their rows."""
    test = batches[1]
    return torch.cat([batch[name] for batch in test])[torch.cat([batch["row"] for batch in test]).argsort()]
