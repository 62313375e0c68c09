"""Augmented batches against TorchIO and MONAI on one CPU thread: `python tests/benchmarks/augmentation.py`.

Ours is the real LesionDataModule with augment.where=device and no workers: its training loader on a crop
store, then `on_after_batch_transfer`. The others, each in its fastest sensible settings:
- files: TorchIO transforms of a lesion's surroundings, read from its .nii.gz (512 x 512 x 160 voxels of
  0.5 x 0.5 x 1 mm) at a place known beforehand;
- MONAI: a CacheDataset of the crops in memory, metadata off, the grid of the affine cached;
- TorchIO: the same data module with augment.where=worker, that is TorchIO on crops of the same store;
- one interpolation: the kernel that turns an image, once a lesion, on crops in memory, and nothing else.

Same chances, sizes and batch size. The two ways of a row take turns; a round is a pass over all lesions (of
files: a batch), and the first is not counted. Ratios are of the medians, of CPU time and of wall time. The
goal of TorchIO without bias field and motion is only not to be slower, that of the interpolation at most 1.5
times its time: a ratio of 0.67.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"

import tempfile
import time
from collections.abc import Callable, Iterable
from math import exp, radians
from pathlib import Path
from statistics import median

import monai.transforms as mt
import numpy as np
import pandas as pd
import SimpleITK as sitk
import torch
import torchio as tio
from monai.data import CacheDataset, DataLoader, set_track_meta

from bcbm.config.schema import Config
from bcbm.config.schema.training import Augment, Data, Task
from bcbm.data.augmentation.draws import LOG_GAMMA, NOISE
from bcbm.data.augmentation.resample import about_centre, resampled, rotation
from bcbm.data.datamodule import LesionDataModule
from bcbm.features.crops import CropStore
from bcbm.modalities.base import LesionData

torch.set_num_threads(1)
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
set_track_meta(False)

LESIONS, BATCH, ROUNDS = 64, 16, 7
LIGHT, FULL = Augment(), Augment(bias=0.3, motion=0.3)
GRID, SPACING = (512, 512, 160), (0.5, 0.5, 1.0)
Way = Callable[[], int]  # makes batches and says how many lesions they held


def crops_of(folder: Path, size: int) -> CropStore:
    """A store of blurred noise with a ball as its mask, one file for all."""
    rng = np.random.default_rng(0)
    grid = np.ogrid[:size, :size, :size]
    ball = sum((axis - size / 2) ** 2 for axis in grid) < (size / 6) ** 2
    crops = np.zeros((LESIONS, 2, size, size, size), np.float16)
    for crop in crops:
        noise = sitk.GetImageFromArray(rng.normal(size=(size,) * 3).astype(np.float32))
        crop[0], crop[1] = 5 * sitk.GetArrayFromImage(sitk.DiscreteGaussian(noise, 2.0)), ball
    path = folder / f"{size}.npy"
    np.save(path, crops)
    return CropStore([(path, row) for row in range(LESIONS)], size)


def ours(store: CropStore, augment: Augment) -> Way:
    """The training batches of a fold."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "lesion_id": [f"L{i}" for i in range(LESIONS)],
            "patient_id": [f"P{i // 2}" for i in range(LESIONS)],
            "hemisphere": rng.choice(["left", "right"], LESIONS),
            "region": "frontal",
            "content": [f"hash{i}" for i in range(LESIONS)],
            "volume": 100.0,
            "ER": rng.integers(0, 2, LESIONS).astype(float),
        }
    )
    config = Config(task=Task(targets=["ER"]), data=Data(batch_size=BATCH, workers=0), augment=augment)
    values = {"radiomics": rng.normal(size=(LESIONS, 107)), "crops": store}
    module = LesionDataModule(LesionData(table, values, config), {"train": np.arange(LESIONS)}, seed=0)
    module.setup()
    loader = module.train_dataloader()

    def way() -> int:
        batches = (module.on_after_batch_transfer(batch, 0)["image"] for batch in loader)
        loader.batches.sampler.set_epoch(loader.batches.sampler.epoch + 1)
        return counted(batches)

    return way


def monai(store: CropStore) -> Way:
    """MONAI's nearest equals of the light augmentation."""
    crops = [torch.from_numpy(np.array(store[row][:1], np.float32)) for row in range(len(store))]
    size = (store.size,) * 3
    transforms = [
        mt.EnsureType(),
        mt.RandFlip(prob=LIGHT.flip, spatial_axis=2),
        mt.RandAffine(
            prob=LIGHT.affine,
            rotate_range=[radians(LIGHT.degrees)] * 3,
            translate_range=[LIGHT.shift] * 3,
            scale_range=[LIGHT.scale] * 3,
            spatial_size=size,
            padding_mode="zeros",
            cache_grid=True,
        ),
        mt.RandGaussianNoise(prob=LIGHT.noise, std=NOISE),
        mt.RandAdjustContrast(prob=LIGHT.gamma, gamma=(exp(-LOG_GAMMA), exp(LOG_GAMMA))),
    ]
    cached = CacheDataset(crops, mt.Compose(transforms), progress=False, num_workers=None, copy_cache=False)
    loader = DataLoader(cached, batch_size=BATCH, shuffle=True, num_workers=0)
    return lambda: counted(loader)


def interpolation(store: CropStore) -> Way:
    """Each image turned by 10 degrees and shifted by a voxel, and nothing else."""
    crops = torch.from_numpy(np.stack([np.array(store[row][0], np.float32) for row in range(len(store))]))
    turn = rotation(torch.full((1, 3), 10.0, dtype=torch.float64))
    matrix = about_centre(turn, torch.ones(1, 3, dtype=torch.float64), crops.shape)
    nothing = torch.zeros(1)
    return lambda: counted(resampled(crop[None], matrix, nothing) for crop in crops)


def files(folder: Path, size: int) -> Way:
    """TorchIO from full-size files, two of them in turn: more would only fill the disk."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(2):
        z, y, x = (np.linspace(-1, 1, count, dtype=np.float32) for count in reversed(GRID))
        brain = (
            x**2 + y[:, None] ** 2 + z[:, None, None] ** 2
        ) < 0.6  # about a third of the grid, the rest 0
        values = np.zeros(brain.shape, np.int16)
        values[brain] = rng.normal(400, 60, int(brain.sum()))
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(SPACING)
        paths.append(folder / f"{number}.nii.gz")
        sitk.WriteImage(image, str(paths[-1]))
    reach = [round(size / 2 / edge) for edge in SPACING]
    margins = [(count // 2 - half,) * 2 for count, half in zip(GRID, reach, strict=True)]
    transform = tio.Compose(
        [
            tio.Crop(tuple(voxels for margin in margins for voxels in margin), copy=False),
            tio.Resample(1.0, copy=False),
            tio.RandomFlip(axes=0, flip_probability=1.0, p=LIGHT.flip, copy=False),
            tio.RandomAffine(
                scales=LIGHT.scale,
                degrees=LIGHT.degrees,
                translation=LIGHT.shift,
                isotropic=True,
                default_pad_value=0.0,
                p=LIGHT.affine,
                copy=False,
            ),
            tio.RandomNoise(std=(0.0, NOISE), p=LIGHT.noise, copy=False),
            tio.RandomGamma(log_gamma=LOG_GAMMA, p=LIGHT.gamma, copy=False),
        ]
    )
    subjects = [tio.Subject(image=tio.ScalarImage(paths[row % 2])) for row in range(BATCH)]
    loader = tio.SubjectsLoader(tio.SubjectsDataset(subjects, transform), batch_size=BATCH, shuffle=True)
    return lambda: counted(batch["image"]["data"] for batch in loader)


def counted(batches: Iterable[torch.Tensor]) -> int:
    """Lesions in all batches."""
    return sum(len(batch) for batch in batches)


def race(title: str, goal: float, ours: Way, theirs: Way) -> None:
    """Let two ways take turns and print a row."""
    times: dict[Way, list[tuple[float, float]]] = {ours: [], theirs: []}
    for number in range(ROUNDS + 1):
        for way, taken in times.items():
            cpu, wall = time.process_time(), time.perf_counter()
            count = way()
            one = (time.process_time() - cpu) / count, (time.perf_counter() - wall) / count
            if number:
                taken.append(one)
    (cpu, wall), (other_cpu, other_wall) = (
        [1e3 * median(values) for values in zip(*taken, strict=True)] for taken in times.values()
    )
    print(
        f"{title:<34}{cpu:>9.3f}{wall:>9.3f}{other_cpu:>11.3f}{other_wall:>11.3f}"
        f"{other_cpu / cpu:>9.2f}{other_wall / wall:>9.2f}{goal:>7.3g}",
        flush=True,
    )


with tempfile.TemporaryDirectory() as name:
    stores = {size: crops_of(Path(name), size) for size in (32, 48)}
    light, full = (Augment(where="device", bias=each.bias, motion=each.motion) for each in (LIGHT, FULL))
    print(f"{'ms a lesion':<34}{'ours':>18}{'theirs':>22}{'ratio':>18}{'goal':>7}")
    print(f"{'':<34}" + f"{'cpu':>9}{'wall':>9}{'cpu':>11}{'wall':>11}{'cpu':>9}{'wall':>9}")
    race("light, 48 cubed: MONAI", 6, ours(stores[48], light), monai(stores[48]))
    race("light, 32 cubed: MONAI", 6, ours(stores[32], light), monai(stores[32]))
    race("light, 48: one interpolation", 1 / 1.5, ours(stores[48], light), interpolation(stores[48]))
    race("light, 48 cubed: TorchIO", 1, ours(stores[48], light), ours(stores[48], LIGHT))
    race("bias and motion, 48: TorchIO", 15, ours(stores[48], full), ours(stores[48], FULL))
    race("light, 48 cubed: files", 150, ours(stores[48], light), files(Path(name), 48))
