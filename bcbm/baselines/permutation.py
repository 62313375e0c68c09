"""The whole pipeline on permuted labels: what it finds where there is nothing to find."""

import numpy as np
import pandas as pd
from joblib import delayed
from rich.console import Console

from bcbm.baselines.columns import table_columns
from bcbm.baselines.folds import patient_probabilities, predict_targets
from bcbm.cohort.patient_labels import permute_labels
from bcbm.cohort.splits import Split, make_split
from bcbm.cohort.targets import known_targets
from bcbm.config.schema import Config
from bcbm.modalities.base import LesionData
from bcbm.preparation.lesions import Lesions
from bcbm.runs.predictions import ensemble
from bcbm.statistics.area import cross_validated_area
from bcbm.statistics.metrics import patient_level
from bcbm.system.pool import workers
from bcbm.system.seeds import fold_seed
from bcbm.terminal.progress import progress_bar


def permuted_aurocs(
    config: Config, lesions: Lesions, split: Split, permutations: int, console: Console
) -> pd.DataFrame:
    """Patient-level AUROC of the whole pipeline under permuted labels.

    The labels of all targets, missing ones among them, go together from one patient to another; folds are
    stratified anew and everything is fitted anew, so that p = (1 + permuted as good) / (1 + permutations) is
    exact (Ojala and Garriga, J Mach Learn Res 11:1833, 2010), but for patients of both labels, whose patterns
    do not fit every patient (`permute_labels`). Folds stratified over the true labels would favour those.

    Args:
        config: with a traditional model.
        lesions: what enters.
        split: the folds of the true labels; unit, repeats and seed are taken over.
        permutations: how many.
        console: for the progress bar.

    Returns:
        Columns target, permutation, auroc: permutations x targets rows.
    """
    data = lesions.data(config)
    table_columns(data)  # what it lacks is said here, before processes are started
    work = workers(config.prepared.jobs, return_as="generator")
    task = delayed(_permuted)
    tasks = (task(config, data, lesions.entering, split, number) for number in range(permutations))
    results = []
    with progress_bar(console, "permuting labels", permutations) as advance:
        for aurocs in work(tasks):
            results.append(aurocs)
            advance(1)
    rows = [
        (target, number, value) for number, aurocs in enumerate(results) for target, value in aurocs.items()
    ]
    return pd.DataFrame(rows, columns=["target", "permutation", "auroc"])


def pipeline_aurocs(
    config: Config, lesions: LesionData, table: pd.DataFrame, split: Split
) -> dict[str, float]:
    """The headline of a run, patient-level AUROC by target, without what it takes for thresholds.

    Calibration is left out: it changes no order inside a fold.

    Args:
        config: with a traditional model.
        lesions: those that enter.
        table: their lesion table, with the labels to be learned.
        split: the folds.
    """
    tables, targets = [], config.task.targets
    for number, fold in enumerate(split.folds):
        parts = split.rows(table, number)
        train = np.sort(np.concatenate([parts["train"], parts["validation"]]))
        columns = table_columns(lesions, train)
        tested = table.iloc[parts["test"]]
        drawn = []
        for member in range(config.members):
            seed = fold_seed(config.seed, number, member)
            predicted, *_ = predict_targets(config, columns, table, train, parts["test"], number, seed)
            drawn.append(patient_probabilities(config, tested, predicted))
        probability = ensemble(drawn)
        for target in targets:
            lesion_rows = pd.DataFrame(
                {
                    "patient_id": tested["patient_id"],
                    "fold": number,
                    "repeat": fold.repeat,
                    "target": target,
                    "patient_probability": probability.loc[tested["patient_id"], target].to_numpy(),
                    "threshold": np.nan,
                    "label": tested[target],
                }
            )
            tables.append(lesion_rows)
    patients = patient_level(pd.concat(tables, ignore_index=True), by_fold=True)
    return {str(target): cross_validated_area(rows).auroc for target, rows in patients.groupby("target")}


def _permuted(
    config: Config, lesions: LesionData, table: pd.DataFrame, split: Split, number: int
) -> dict[str, float]:
    known = [target for target in known_targets(config.cohort.targets) if target in table]
    table = permute_labels(table, known, [config.seed, number], config.cohort.labels)
    if config.split.holdout or config.split.file:  # folds that no label has had a say in
        return pipeline_aurocs(config, lesions, table, split)
    permuted_split = make_split(
        table,
        unit=split.unit,
        folds=config.split.folds,
        repeats=config.split.repeats,
        validation=config.split.validation,
        seed=split.seed,
        targets=config.task.targets,
        known=known,
        least=0,  # nothing is validated here, so these train too
    )
    return pipeline_aurocs(config, lesions, table, permuted_split)
