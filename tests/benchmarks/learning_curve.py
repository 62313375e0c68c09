"""What more patients give the fused network: `python tests/benchmarks/learning_curve.py`.

    learning_curve.py [draws=3] [key=value ...]

Trains it on a quarter, half, three quarters and all of each fold's training and validation patients, the
smaller part of a draw inside the larger; the folds, and with them the test patients, are the same for all.
Prints, as they come and as a table over draws, the patient AUROC (mean of folds) by target: mean and spread
of the draws. Words are settings; without any it is the embedded cohort, on one core four minutes a draw; for
real images `experiment=real cohort.root=DIR`, eight.
"""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import torch
from rich.console import Console

from bcbm.cohort.splits import Fold, Split, split_as
from bcbm.config.compose import compose
from bcbm.crossvalidation.dispatch import train
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.prepare import prepare
from bcbm.runs.folder import RunFolder
from bcbm.statistics.metrics import auroc, patient_level

SHARES = 0.25, 0.5, 0.75, 1.0
QUIET = Console(quiet=True)


def part(fold: Fold, share: float, draw: int, number: int) -> Fold:
    """The fold with a share of its training and of its validation patients."""
    rng = np.random.default_rng([draw, number])
    train, validation = (rng.permutation(sorted(names)) for names in (fold.train, fold.validation))
    kept = (tuple(names[: round(share * len(names))]) for names in (train, validation))
    return Fold(fold.repeat, *kept, fold.test, fold.name)


def figures(config, lesions, split: Split) -> np.ndarray:
    """Patient AUROC of each target, mean of the folds that have both classes, (R,)."""
    rows = []
    with tempfile.TemporaryDirectory() as home:
        folder = RunFolder(Path(home))
        for number in range(len(split.folds)):
            train(FoldJob(config, lesions, split, number, folder), QUIET)
            by_target = dict(iter(patient_level(folder.predictions(number)).groupby("target")))
            rows.append(
                [auroc(by_target[t]["label"], by_target[t]["probability"]) for t in config.task.targets]
            )
    return np.nanmean(rows, axis=0)


def main(words: list[str]) -> None:
    """Prepare, train and print."""
    own = {"draws": "3"}
    own |= dict(word.split("=", 1) for word in words if word.partition("=")[0] in own)
    settings = [word for word in words if word.partition("=")[0] not in own]
    torch.set_num_threads(1)
    config = compose(["tracking.to=[]", "data.workers=0", "trainer.accelerator=cpu", *settings])
    lesions = prepare(config, QUIET)
    whole = split_as(lesions.entering, config)
    found: dict[float, list[np.ndarray]] = {share: [] for share in SHARES}
    for draw in range(int(own["draws"])):
        for share, values in found.items():
            folds = tuple(part(fold, share, draw, number) for number, fold in enumerate(whole.folds))
            values.append(figures(replace(config, seed=draw), lesions, replace(whole, folds=folds)))
            line = " ".join(f"{value:.3f}" for value in values[-1])
            print(f"draw {draw}, {share:.0%}: {line}", flush=True)
    patients = np.mean([len(fold.train) + len(fold.validation) for fold in whole.folds])
    print(f"patients  {'  '.join(f'{target:13}' for target in config.task.targets)}  mean")
    for share, values in found.items():
        table = np.array(values)
        table = np.c_[table, table.mean(axis=1)]
        spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.full(table.shape[1], np.nan)
        cells = [f"{mean:.3f} ± {std:.3f}" for mean, std in zip(table.mean(axis=0), spread, strict=True)]
        print(f"{share * patients:8.0f}  {'  '.join(cells)}")


if __name__ == "__main__":
    main(sys.argv[1:])
