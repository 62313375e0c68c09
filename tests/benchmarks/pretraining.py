"""What an encoder gains that has first seen crops without labels: `python tests/benchmarks/pretraining.py`.

    pretraining.py [draws=N] [first=K] [steps=S] [arms=masked,views,lesions] [key=value ...]

Of one embedded cohort each draw takes 20 patients whose labels are known to it and 100 whose are not, and is
tested on 500 others. The encoder learns on the crops of the 120 by

- masked: half of the crop's blocks of 4 voxels are 0, a small decoder fills them in,
- views: two augmentations of a crop are to lie nearer than other patients' (SimCLR, Chen et al. 2020),
- lesions: the same, of two lesions of a patient where there are two,

and is then trained on the 20 as `fit` trains, to the last epoch, with the seeds and steps of the network from
scratch beside it. To reach: 0.03 more than from scratch. Settings are the demo's with 24 epochs; further
words are settings. Making the cohort takes five minutes of one core, a draw with two arms 71 s.
"""

import copy
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import torch
from rich.console import Console
from torch import nn

from bcbm.cohort.splits import Fold, Split
from bcbm.config.compose import compose
from bcbm.config.schema.training import Augment
from bcbm.data.augmentation.batch import BatchAugment
from bcbm.data.augmentation.draws import Changes
from bcbm.model.fold import fold_data, make_module
from bcbm.model.refit import refit_network
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.prepare import prepare
from bcbm.runs.folder import RunFolder
from bcbm.statistics.aggregate import aggregate
from bcbm.statistics.metrics import auroc

LABELLED, UNLABELLED, TESTED = 20, 100, 500
BATCH, BLOCK, TEMPERATURE = 64, 4, 0.2
NETWORKS = {"image": "task.modalities=[image]", "fused": "task.modalities=[image,radiomics,position]"}
SETTINGS = [
    *("cohort.synthetic.patients=740", "cohort.synthetic.seed=700", "tracking.to=[]", "data.workers=0"),
    *("trainer.accelerator=cpu", "trainer.max_epochs=24"),
]
VIEWS = Augment(where="device", affine=1, noise=1, gamma=1)
QUIET = Console(quiet=True)


class Pairs:
    """Pairs of augmented crops, a pair of each of as many patients as a batch holds.

    Args:
        crops: of all lesions, (N, C, S, S, S).
        rows: of each patient.
        spacing: edge of a voxel, mm.
        seed: of the draw.
    """

    def __init__(self, crops, rows, spacing, seed):
        self.crops, self.rows, self.rng = crops, rows, np.random.default_rng(seed)
        self.changes, self.augment = Changes(VIEWS), BatchAugment(spacing)

    def drawn(self, of_patient):
        """(2 B, 1, S, S, S): two views of one lesion of each patient, or of two; pair b is b and b + B."""
        patients = self.rng.permutation(len(self.rows))[:BATCH]
        lesions = [self.rng.permutation(self.rows[patient]) for patient in patients]
        first = [rows[0] for rows in lesions]
        rows = np.array(first + ([rows[1 % len(rows)] for rows in lesions] if of_patient else first))
        seeds = self.rng.integers(2**31, size=len(rows))
        change = torch.stack([self.changes(seed) for seed in seeds])
        return self.augment(torch.from_numpy(self.crops[rows][:, :1]), change, torch.from_numpy(seeds))


def reconstruction(pairs, width, size):
    """The decoder, and the loss of filling in what is masked."""
    edge, channels = size // BLOCK, 32
    decoder = nn.Sequential(
        nn.Linear(width, channels * edge**3),
        nn.Unflatten(1, (channels, edge, edge, edge)),
        *(nn.GELU(), nn.ConvTranspose3d(channels, channels, 2, 2)),
        *(nn.GELU(), nn.ConvTranspose3d(channels, 1, 2, 2)),
    )

    def loss(body):
        image = pairs.drawn(of_patient=True)
        masked = torch.rand(len(image), 1, edge, edge, edge) < 0.5
        for axis in (2, 3, 4):
            masked = masked.repeat_interleave(BLOCK, axis)
        return ((decoder(body(image.masked_fill(masked, 0.0))) - image)[masked] ** 2).mean()

    return decoder, loss


def contrast(pairs, width, of_patient):
    """The projection, and the loss of telling a pair from the other patients' crops."""
    projection = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 64))

    def loss(body):
        found = nn.functional.normalize(projection(body(pairs.drawn(of_patient))))
        alike = (found @ found.T / TEMPERATURE).fill_diagonal_(-torch.inf)
        return nn.functional.cross_entropy(alike, torch.arange(len(found)).roll(len(found) // 2))

    return projection, loss


def pretrained(arm, body, pairs, steps):
    """Weights of the encoder when it has learnt without labels."""
    body, size = copy.deepcopy(body).train(), pairs.crops.shape[-1]
    with torch.no_grad():
        width = body(torch.zeros(1, 1, size, size, size)).shape[1]
    if arm == "masked":
        head, loss = reconstruction(pairs, width, size)
    else:
        head, loss = contrast(pairs, width, of_patient=arm == "lesions")
    parameters = [*body.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(body).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
        optimizer.step()
        schedule.step()
    return body.state_dict()


def aurocs(module, job, patients):
    """Patient AUROC of each target among these patients."""
    data = fold_data(replace(job, split=one_fold((), patients)))
    data.setup()
    module.eval()
    with torch.no_grad():
        batches = [(batch["row"], module(batch).sigmoid()) for batch in data.predict_dataloader()[1]]
    rows, probability = (torch.cat(values).numpy() for values in zip(*batches, strict=True))
    table = job.lesions.entering.iloc[rows]
    named, values = aggregate("mean", probability, table["patient_id"], table["volume"], probability)
    labels = table.groupby("patient_id")[job.config.task.targets].first().loc[named].to_numpy()
    return [
        auroc(label[known], value[known])
        for label, value in zip(labels.T, values.T, strict=True)
        for known in [~np.isnan(label)]
    ]


def one_fold(train, test):
    """A split of one fold without validation."""
    return Split("patient", 0, (Fold(0, tuple(train), (), tuple(test)),))


def in_memory(lesions):
    """The lesions with their crops as one array."""
    crops = lesions.values["crops"]
    whole = np.stack([crops[row] for row in range(len(lesions.entering))])
    return replace(lesions, values={**lesions.values, "crops": whole})


def figures_of(draw, lesions, arms, steps, words, home):
    """AUROCs by network and arm, (R,) each."""
    owner = lesions.entering["patient_id"].to_numpy()
    patients = np.random.default_rng([7, draw]).permutation(sorted(set(owner)))
    rows = [np.flatnonzero(owner == patient) for patient in patients[: LABELLED + UNLABELLED]]
    split, file, weights, figures = one_fold(patients[:LABELLED], ()), home / "encoder.pth", {}, {}
    for network, modalities in NETWORKS.items():
        config = compose([*SETTINGS, modalities, f"seed={draw}", *words])
        own = replace(lesions, present=lesions.present[:, : len(config.task.modalities)])
        job = FoldJob(config, own, split, 0, RunFolder(home))
        if not weights:
            torch.manual_seed(draw)
            body = make_module(job, fold_data(job)).network.image.body
            for arm in arms:
                pairs = Pairs(lesions.values["crops"], rows, config.features.crop_spacing, draw)
                weights[arm] = pretrained(arm, body, pairs, steps)
        for arm in ["scratch", *arms]:
            config.model.weights = None
            if arm in weights:
                torch.save(weights[arm], file)
                config.model.weights = str(file)
            module = refit_network(job, config.trainer.max_epochs, "", QUIET)
            figures[network, arm] = aurocs(module, job, patients[-TESTED:])
    return figures


def summary(draws):
    """Print a line a network and arm: AUROCs, their mean, and what it gains."""
    for network, arm in draws[0]:
        values, scratch = (np.array([draw[network, one] for draw in draws]) for one in (arm, "scratch"))
        gain = (values - scratch).mean(axis=1)
        error = gain.std(ddof=1) / np.sqrt(len(draws)) if len(draws) > 1 else np.nan
        targets = " ".join(f"{value:.3f}" for value in values.mean(axis=0))
        print(f"{network:6}{arm:8}{targets}  mean {values.mean():.3f}  {gain.mean():+.3f} ± {error:.3f}")


def main(words):
    """Draw, train and print."""
    own = {"draws": "20", "first": "0", "steps": "100", "arms": "masked,views,lesions"}
    for word in [word for word in words if word.partition("=")[0] in own]:
        words.remove(word)
        own.update([word.split("=", 1)])
    torch.set_num_threads(1)
    lesions = in_memory(prepare(compose([*SETTINGS, *words]), QUIET))
    first, arms, draws = int(own["first"]), own["arms"].split(","), []
    with tempfile.TemporaryDirectory() as home:
        for draw in range(first, first + int(own["draws"])):
            draws.append(figures_of(draw, lesions, arms, int(own["steps"]), words, Path(home)))
            line = [f"{network} {arm} {np.mean(row):.3f}" for (network, arm), row in draws[-1].items()]
            print(f"draw {draw}: {', '.join(line)}", flush=True)
    summary(draws)


if __name__ == "__main__":
    main(sys.argv[1:])
