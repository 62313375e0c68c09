"""What the cohort can show, said before anything is trained."""

import math
import shutil
from pathlib import Path

from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.splits import Split
from bcbm.config.schema import Config
from bcbm.crossvalidation.at_once import AtOnce
from bcbm.modalities import MODALITIES
from bcbm.preparation.lesions import Lesions
from bcbm.statistics.power import given_area, planned_area, sample_size, smallest_auroc
from bcbm.system.files import bytes_of
from bcbm.system.processes import most_memory
from bcbm.system.words import counted, duration, size
from bcbm.terminal.progress import LONG

HOPED = 0.75  # AUROC at which the sample size is asked for


def outlook(config: Config, lesions: Lesions, split: Split) -> list[str]:
    """The least AUROC that this run can tell from chance, and the patients that a new model asks for.

    The first by the run's own test, folds, repeats and correction (`statistics.power`); the second by the
    criteria of Riley (BMJ 368:m441, 2020), with every column of the tables as a candidate.
    """
    targets = config.task.targets
    patients = patient_labels(lesions.entering[targets], lesions.entering["patient_id"])
    repeats = 1 + max(fold.repeat for fold in split.folds)
    smallest, asked = [], []
    described = lesions.data(config)
    tabular = [name for name in config.task.modalities if MODALITIES[name].tabular]
    parameters = sum(MODALITIES[name].columns(described).shape[1] for name in tabular)
    for target in targets:
        positives, negatives = int((patients[target] == 1).sum()), int((patients[target] == 0).sum())
        area = planned_area(positives, negatives, len(split.folds) // repeats, repeats)
        if split.folds[0].name:
            tested = [patients.loc[list(fold.test), target] for fold in split.folds]
            counts = [[int((labels == value).sum()) for labels in tested] for value in (1, 0)]
            area = given_area(*counts)
        least = smallest_auroc(area, len(targets))
        smallest.append(f"{target} {'none' if math.isnan(least) else f'{least:.2f}'}")
        size = sample_size(positives / (positives + negatives), parameters, HOPED)
        asked.append(f"{target} {size:,} (here {positives + negatives:,})")
    corrected = f", corrected over {len(targets)} targets" if len(targets) > 1 else ""
    lines = [f"least AUROC that this run can tell from chance (power 80 %{corrected}): {', '.join(smallest)}"]
    if parameters:
        model = f"a model on {counted(parameters, 'column')}"
        lines.append(f"patients that {model} asks for at AUROC {HOPED} (Riley 2020): {', '.join(asked)}")
    return lines


def remaining(fold: Path, seconds: float, others: int, at_once: AtOnce) -> str:
    """What the folds that are still to be trained take, by the first; empty where that is soon over.

    Args:
        fold: the folder of the first.
        seconds: that it took.
        others: how many folds have not begun.
        at_once: how many are trained side by side.
    """
    ahead = seconds * math.ceil(others / at_once.then) * at_once.then / at_once.first
    if ahead < LONG:
        return ""
    written = bytes_of(fold)
    memory = most_memory() if at_once.first == 1 else None  # others train in processes of their own
    taken = [duration(seconds), f"{size(written)} on disk"]
    taken += [f"{size(memory)} of memory"] if memory else []
    free = shutil.disk_usage(fold).free
    return (
        f"the first fold took {', '.join(taken)}: {counted(others, 'more fold')} in about {duration(ahead)}, "
        f"{size(written * others)} on disk ({size(free)} are free)"
    )
