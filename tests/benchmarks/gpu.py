"""Training on a GPU against its model step alone: `python tests/benchmarks/gpu.py [key=value ...]`.

ResNet-18 of full width, crops of 64 cubed, bf16, batches of 64, augmentation on the device: lesions a second
of `train_fold`, as its Monitor logs them (median over the epochs but the first), against forward, backward
and optimiser step on a batch that already lies on the device, and against the same with its augmentation. As
many lesions as the full download has. To reach: 90 %. Without a GPU it says so; small settings try it on a
CPU: `lesions=64 trainer.accelerator=cpu features.crop_size=16 data.batch_size=8 model=small`.
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
    *("trainer.precision=bf16-mixed", "trainer.accelerator=gpu", "trainer.max_epochs=6", "split.folds=5"),
    *("task.modalities=[image,position]", "tracking=csv"),
]
STEPS = 30
words = dict(word.split("=", 1) for word in sys.argv[1:])
LESIONS = int(words.pop("lesions", 2821))
config = compose([*SETTINGS, *(f"{key}={value}" for key, value in words.items())])
on_gpu = config.trainer.accelerator != "cpu"
if on_gpu and not torch.cuda.is_available():
    raise SystemExit("there is no GPU here")


def lesions_of(folder: Path) -> Lesions:
    """Random crops of random lesions."""
    rng, size = np.random.default_rng(0), config.features.crop_size
    path = folder / "crops.npy"
    crops = np.lib.format.open_memmap(path, "w+", np.float16, (LESIONS, 2, size, size, size))
    for crop in crops:
        crop[:] = rng.random(crop.shape, np.float32)
    crops.flush()
    table = pd.DataFrame({"lesion_id": [f"L{i}" for i in range(LESIONS)]})
    table["patient_id"] = table["study_id"] = [f"P{i // 4}" for i in range(LESIONS)]
    table["content"], table["volume"], table["excluded"] = table["lesion_id"], 100.0, False
    table["hemisphere"], table["region"] = "left", "frontal"
    for target in config.task.targets:
        table[target] = np.repeat(rng.integers(0, 2, -(-LESIONS // 4)), 4)[:LESIONS].astype(float)
    store = CropStore([(path, row) for row in range(LESIONS)], size)
    return Lesions(table, table, {"crops": store}, np.ones((LESIONS, 2), bool), "random", folder)


def step_alone(job: FoldJob, augmented: bool) -> float:
    """Lesions a second of the model step."""
    data = fold_data(job)
    data.setup()
    device = torch.device("cuda" if on_gpu else "cpu")
    module = make_module(job, data).to(device)
    drawn = next(iter(data.train_dataloader()))
    batch = data.on_after_batch_transfer(data.transfer_batch_to_device(drawn, device, 0), 0)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    for step in range(2 * STEPS):
        if step == STEPS:  # warm by now
            if on_gpu:
                torch.cuda.synchronize()
            begun = time.perf_counter()
        if augmented:
            batch = data.on_after_batch_transfer(data.transfer_batch_to_device(drawn, device, 0), 0)
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
    waited = median(curves["train/data_wait"].dropna().iloc[1:])
    alone, augmented = step_alone(job, False), step_alone(job, True)
    print(f"the model step alone {alone:.0f} lesions/s, with augmentation {augmented:.0f}")
    print(f"fit {whole:.0f} lesions/s ({waited:.0%} waited for data): {whole / alone:.0%} of the step alone")
