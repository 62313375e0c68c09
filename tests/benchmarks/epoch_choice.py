"""What the choice of the epoch costs: `python tests/benchmarks/epoch_choice.py [cohorts=N] [key=value ...]`.

Networks on the tables of synthetic cohorts of 100 patients, three folds each, without a signal and with the
usual one. Each is trained once to the end, its test patients predicted behind every epoch; then each rule
chooses among the epochs by the validation patients alone. To reach: with the shipped rule no less than the
last epoch minus 0.002, and 0.5 without a signal.
"""

import logging
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from bcbm.cohort.splits import split_as
from bcbm.config.compose import compose
from bcbm.config.schema.training import Trainer
from bcbm.model.checkpoints import Interruption, Keeper
from bcbm.model.epoch_choice import EpochChoice
from bcbm.model.fold import fold_data, make_module
from bcbm.model.trainer import make_trainer, quiet
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.prepare import prepare
from bcbm.runs.folder import RunFolder
from bcbm.statistics.aggregate import aggregate
from bcbm.statistics.metrics import auroc

RULES = {
    "last epoch": {"min_epochs": 999},
    "best epoch (smoothing 1, no floor)": {"smoothing": 1, "min_epochs": 1},
    "smoothed, no floor": {"min_epochs": 1},
    "smoothing 1, floor": {"smoothing": 1},
    "shipped: smoothed, floor": {},
}
SETTINGS = [
    *("cohort.synthetic.images=false", "cohort.synthetic.patients=100", "split.folds=3", "tracking.to=[]"),
    *("task.modalities=[radiomics,position]", "trainer.accelerator=cpu", "data.workers=0", "prepared.jobs=1"),
]


class Curve(Callback):
    """Validation AUROC and mean test AUROC behind every epoch."""

    def __init__(self, data, targets):
        self.data, self.targets, self.epochs = data, targets, []

    def on_train_epoch_end(self, trainer, module):
        module.eval()
        with torch.no_grad():
            batches = list(self.data.predict_dataloader()[1])
            probability = torch.cat([module(batch) for batch in batches]).double().sigmoid().numpy()
        module.train()
        rows = self.data.lesions.iloc[torch.cat([batch["row"] for batch in batches]).numpy()]
        score = np.zeros_like(probability)
        patients, values = aggregate("mean", probability, rows["patient_id"], rows["volume"], score)
        labels = rows.groupby("patient_id")[self.targets].first().loc[patients].to_numpy()
        aurocs = [
            auroc(label[known], value[known])
            for label, value in zip(labels.T, values.T, strict=True)
            for known in [~np.isnan(label)]
        ]
        self.epochs.append((float(trainer.callback_metrics["val/auroc"]), float(np.nanmean(aurocs))))


def curves(words, home):
    """Validation and test AUROC of each fold and epoch, and the settings of the trainer."""
    config = compose([*SETTINGS, f"prepared.root={home}", f"run.root={home}", *words])
    lesions = prepare(config, Console(quiet=True))
    split = split_as(lesions.entering, config)
    folds = []
    for number in range(len(split.folds)):
        job = FoldJob(config, lesions, split, number, RunFolder(home / "run"))
        data = fold_data(job)
        torch.manual_seed(data.seed)
        module, curve = make_module(job, data), Curve(data, config.task.targets)
        to_the_end = EpochChoice(Trainer(max_epochs=config.trainer.max_epochs, patience=999))
        keeper = Keeper(home / "checkpoints", Interruption(), to_the_end)
        make_trainer(config, [curve, keeper], [], home).fit(module, data)
        folds.append(curve.epochs)
    return folds, config.trainer


def kept(fold, settings):
    """Test and validation AUROC of the epoch that a rule keeps, and how many were trained for it."""
    choice = EpochChoice(settings)
    for score, _ in fold:
        choice.better(score)
        if choice.exhausted:
            break
    return fold[choice.epoch][1], fold[choice.epoch][0], len(choice.scores)


quiet()
torch.set_num_threads(1)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")
words = sys.argv[1:]
count = int(words.pop(0).partition("=")[2]) if words and words[0].startswith("cohorts=") else 20
for signal in (0.0, 1.0):
    figures = {name: [] for name in RULES}
    for seed in range(count):
        drawn = [f"cohort.synthetic.signal={signal}", f"cohort.synthetic.seed={seed}"]
        drawn += [f"split.seed={seed}", f"seed={seed}"]
        with tempfile.TemporaryDirectory() as folder:
            folds, trainer = curves([*drawn, *words], Path(folder))
        for name, changes in RULES.items():
            settings = Trainer(max_epochs=trainer.max_epochs, patience=trainer.patience, **changes)
            figures[name].append(np.mean([kept(fold, settings) for fold in folds], axis=0))
    last = np.array(figures["last epoch"])[:, 0]
    print(f"signal {signal}, {count} cohorts, {trainer.max_epochs} epochs: test AUROC, less the last epoch's")
    for name, rows in figures.items():
        value, validation, trained = np.mean(rows, axis=0)
        gain = np.array(rows)[:, 0] - last
        error = gain.std(ddof=1) / np.sqrt(count)
        figures_of_rule = f"  {name:36}{value:.3f}  {gain.mean():+.4f} ± {error:.4f}"
        print(f"{figures_of_rule}  validation {validation:.3f}  {trained:.1f} epochs", flush=True)
