"""Training on a GPU against its model step alone: `python tests/benchmarks/gpu.py [key=value ...]`.

ResNet-18 of full width, crops of 64 cubed, bf16, batches of 64, augmentation on the device: lesions a second
of `train_fold`, as its Monitor logs them (median over the epochs but the first), against forward, backward
and optimiser step on a batch that already lies on the device. To reach: 90 %. Without a GPU it says so, and
small settings try it on a CPU: `trainer.accelerator=cpu features.crop_size=16 data.batch_size=8 model=small`.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from bcbm.cohort.splits import split_as
from bcbm.config.compose import compose
from bcbm.features.crops import CropStore
from bcbm.model.fold import fold_data, make_module, train_fold
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.lesions import Lesions
from bcbm.runs.folder import RunFolder

SETTINGS = [
    *("model=paper", "augment=device", "features.crop_size=64", "data.batch_size=64", "data.workers=8"),
    *("trainer.precision=bf16-mixed", "trainer.accelerator=gpu", "trainer.max_epochs=5", "split.folds=2"),
    *("task.modalities=[image,position]", "tracking=csv"),
]
LESIONS, STEPS = 1024, 30
config = compose([*SETTINGS, *sys.argv[1:]])
on_gpu = config.trainer.accelerator != "cpu"
if on_gpu and not torch.cuda.is_available():
    raise SystemExit("there is no GPU here")


def lesions_of(folder: Path) -> Lesions:
    """Random crops of random lesions."""
    rng, size = np.random.default_rng(0), config.features.crop_size
    path = folder / "crops.npy"
    crops = np.lib.format.open_memmap(path, "w+", np.float16, (LESIONS, 2, size, size, size))
    for crop in crops:
        crop[:] = rng.normal(size=crop.shape)
    crops.flush()
    table = pd.DataFrame({"lesion_id": [f"L{i}" for i in range(LESIONS)]})
    table["patient_id"] = table["study_id"] = [f"P{i // 4}" for i in range(LESIONS)]
    table["content"], table["volume"], table["excluded"] = table["lesion_id"], 100.0, False
    table["hemisphere"], table["region"] = "left", "frontal"
    for target in config.task.targets:
        table[target] = np.repeat(rng.integers(0, 2, LESIONS // 4), 4).astype(float)
    store = CropStore([(path, row) for row in range(LESIONS)], size)
    return Lesions(table, table, {"crops": store}, np.ones((LESIONS, 2), bool), "random", folder)


def step_alone(job: FoldJob) -> float:
    """Lesions a second of the model step."""
    data = fold_data(job)
    data.setup()
    device = torch.device("cuda" if on_gpu else "cpu")
    module = make_module(job, data).to(device)
    batch = data.transfer_batch_to_device(next(iter(data.train_dataloader())), device, 0)
    batch = data.on_after_batch_transfer(batch, 0)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    for step in range(2 * STEPS):
        if step == STEPS:  # warm by now
            if on_gpu:
                torch.cuda.synchronize()
            begun = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled="bf16" in config.trainer.precision):
            loss, _ = module.criterion(module(batch), batch["label"], batch["known"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if on_gpu:
        torch.cuda.synchronize()
    return STEPS * config.data.batch_size / (time.perf_counter() - begun)


with tempfile.TemporaryDirectory() as name:
    lesions = lesions_of(Path(name))
    split = split_as(lesions.entering, config)
    job = FoldJob(config, lesions, split, 0, RunFolder(Path(name) / "run"))
    train_fold(job, (), Console())
    curves = pd.read_csv(Path(name) / "run" / "fold=0" / "metrics.csv")
    whole = median(curves["train/lesions_per_second"].dropna().iloc[1:])
    alone = step_alone(job)
    print(f"fit {whole:.0f} lesions/s, the model step alone {alone:.0f}: {whole / alone:.0%}")
