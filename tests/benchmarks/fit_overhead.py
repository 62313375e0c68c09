"""What `fit` costs beside a bare PyTorch loop: `python tests/benchmarks/fit_overhead.py [rounds=N] [...]`.

Fold 0 of the embedded cohort, one thread, no workers, augmentation on the device: the training of
`train_fold` from its first step to its last, with its validation, curves, checkpoints and gradient norms,
against a loop over the same loader with the same network, loss, optimiser, schedule and validation, that
keeps the best weights in a file. The two take turns in one process; ratios are of the medians, to reach is
+1.5 %. Further words are settings.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from sklearn.metrics import roc_auc_score

from bcbm.cohort.splits import split_as
from bcbm.config.compose import compose
from bcbm.model.fold import fold_data, make_module, train_fold
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.prepare import prepare
from bcbm.runs.folder import RunFolder

SETTINGS = [
    *("features.crop_size=32", "features.crop_spacing=1", "data.batch_size=8", "data.workers=0"),
    *("augment=device", "trainer.max_epochs=8", "trainer.patience=8", "tracking=csv"),
]
words = sys.argv[1:]
rounds = int(words.pop(0).partition("=")[2]) if words and words[0].startswith("rounds=") else 5
config = compose([*SETTINGS, *words])
lesions = prepare(config, Console(quiet=True))
split = split_as(lesions.entering, config)


class Clock(Callback):
    """Times the training alone, and counts its steps."""

    def on_train_start(self, trainer, module):
        """Start."""
        self.begun = time.perf_counter(), time.process_time()

    def on_train_end(self, trainer, module):
        """Stop."""
        self.wall, self.cpu = time.perf_counter() - self.begun[0], time.process_time() - self.begun[1]
        self.steps = trainer.global_step


def job(folder: Path) -> FoldJob:
    """Fold 0, written into a folder."""
    return FoldJob(config, lesions, split, 0, RunFolder(folder))


def ours(folder: Path) -> tuple[float, float, int]:
    """Wall and CPU seconds, and steps."""
    clock = Clock()
    train_fold(job(folder), (), Console(quiet=True), [clock])
    return clock.wall, clock.cpu, clock.steps


def bare(folder: Path) -> tuple[float, float, int]:
    """The same of the loop."""
    folder.mkdir()
    data = fold_data(job(folder))
    data.setup()
    module = make_module(job(folder), data)
    loader, held, epochs = data.train_dataloader(), data.val_dataloader(), config.trainer.max_epochs
    decayed = [p for p in module.parameters() if p.ndim > 1]
    rest = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=2e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * len(loader))
    best, steps, begun = -1.0, 0, (time.perf_counter(), time.process_time())
    for epoch in range(epochs):
        loader.batches.sampler.set_epoch(epoch)
        module.train()
        for batch in loader:
            batch = data.on_after_batch_transfer(batch, 0)
            loss, _ = module.criterion(module.network(batch), batch["label"], batch["known"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            steps += 1
        module.eval()
        with torch.no_grad():
            found = [(module.network(batch), batch["label"]) for batch in held]
        logits, labels = (torch.cat(values) for values in zip(*found, strict=True))
        score = float(roc_auc_score(labels.nan_to_num().numpy(), logits.numpy()))
        if score > best:
            best = score
            torch.save(module.state_dict(), folder / "best.pt")
    return time.perf_counter() - begun[0], time.process_time() - begun[1], steps


times: dict[str, list[tuple[float, float]]] = {"fit": [], "bare": []}
with tempfile.TemporaryDirectory() as home:
    for number in range(rounds + 1):
        for name, way in (("fit", ours), ("bare", bare)):
            wall, cpu, steps = way(Path(home) / f"{name}-{number}")
            if number:  # the first is not counted
                times[name].append((1e3 * wall / steps, 1e3 * cpu / steps))
for place, kind in enumerate(("wall", "CPU")):
    a, b = (median(one[place] for one in times[name]) for name in ("fit", "bare"))
    print(f"{kind}, ms a step: fit {a:.1f}, bare loop {b:.1f}: {a / b - 1:+.1%}")
