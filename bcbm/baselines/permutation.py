"""The whole pipeline on permuted labels: what it finds where there is nothing to find."""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rich.console import Console

from bcbm.baselines.columns import table_columns
from bcbm.baselines.folds import patient_probabilities, predict_receptors
from bcbm.cohort.splits import Split, make_split
from bcbm.config.schema import RECEPTORS, Config
from bcbm.preparation.lesions import Lesions
from bcbm.statistics.metrics import auroc, mean_or_nan, patient_level
from bcbm.terminal.progress import progress_bar


def permuted_aurocs(
    config: Config, lesions: Lesions, split: Split, permutations: int, console: Console
) -> pd.DataFrame:
    """Patient-level AUROC of the whole pipeline under permuted labels.

    The labels of all receptors, missing ones among them, go together from one patient to another; folds are
    stratified anew and everything is fitted anew, so that p = (1 + permuted as good) / (1 + permutations) is
    exact (Ojala and Garriga, J Mach Learn Res 11:1833, 2010). Folds stratified over the true labels would
    favour those.

    Args:
        config: with a traditional model.
        lesions: what enters.
        split: the folds of the true labels; unit, repeats and seed are taken over.
        permutations: how many.
        console: for the progress bar.

    Returns:
        Columns receptor, permutation, auroc: permutations x receptors rows.
    """
    columns = table_columns(lesions, config.task.modalities, config.features.coordinates)
    work = Parallel(n_jobs=config.prepared.jobs, return_as="generator")
    task = delayed(_permuted)
    tasks = (task(config, columns, lesions.entering, split, number) for number in range(permutations))
    found = []
    with progress_bar(console, "permuting labels", permutations) as advance:
        for aurocs in work(tasks):
            found.append(aurocs)
            advance(1)
    rows = [
        (receptor, number, value) for number, aurocs in enumerate(found) for receptor, value in aurocs.items()
    ]
    return pd.DataFrame(rows, columns=["receptor", "permutation", "auroc"])


def pipeline_aurocs(
    config: Config, columns: pd.DataFrame, table: pd.DataFrame, split: Split
) -> dict[str, float]:
    """The headline of a run, patient-level AUROC by receptor, without what it takes for thresholds."""
    tables, receptors = [], config.task.receptors
    for number, fold in enumerate(split.folds):
        parts = split.rows(table, number)
        train = np.sort(np.concatenate([parts["train"], parts["validation"]]))
        predicted, _ = predict_receptors(config, columns, table, train, parts["test"], number)
        tested = table.iloc[parts["test"]]
        of_patients = patient_probabilities(config, tested, predicted)
        for receptor in receptors:
            of_lesions = pd.DataFrame(
                {
                    "patient_id": tested["patient_id"],
                    "fold": number,
                    "repeat": fold.repeat,
                    "receptor": receptor,
                    "patient_probability": of_patients.loc[tested["patient_id"], receptor].to_numpy(),
                    "threshold": np.nan,
                    "label": tested[receptor],
                }
            )
            tables.append(of_lesions)
    patients = patient_level(pd.concat(tables, ignore_index=True))
    return {
        str(receptor): mean_or_nan(
            [auroc(of["label"], of["probability"]) for _, of in rows.groupby("repeat")]
        )
        for receptor, rows in patients.groupby("receptor")
    }


def permute_labels(table: pd.DataFrame, seed: list[int]) -> pd.DataFrame:
    """The table with the receptor labels of its patients, (R) at a time, dealt out anew."""
    labels = table.groupby("patient_id")[list(RECEPTORS)].mean()
    order = np.random.default_rng(seed).permutation(len(labels))
    dealt = labels.iloc[order].set_axis(labels.index).loc[table["patient_id"]]
    return table.assign(**{receptor: dealt[receptor].to_numpy() for receptor in RECEPTORS})


def _permuted(
    config: Config, columns: pd.DataFrame, table: pd.DataFrame, split: Split, number: int
) -> dict[str, float]:
    table = permute_labels(table, [config.seed, number])
    again = make_split(
        table,
        unit=split.unit,
        folds=config.split.folds,
        repeats=config.split.repeats,
        validation=config.split.validation,
        seed=split.seed,
        receptors=config.task.receptors,
    )
    return pipeline_aurocs(config, columns, table, again)
