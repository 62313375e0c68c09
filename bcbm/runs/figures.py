"""The figures of a run whose tables are checked: all that `results.json` says of predictions."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bcbm.cohort.leaks import LeakFold
from bcbm.runs.joins import RunTables
from bcbm.runs.predictions import read_predictions, training_labels
from bcbm.statistics.leakage import split_block
from bcbm.statistics.results import Results


def figures_of(
    folder: Path,
    tables: RunTables,
    leaks: list[LeakFold],
    targets: Sequence[str],
    resamples: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Results:
    """`summarise` of a run's predictions, with all that the run holds beside them.

    Args:
        folder: of the run.
        tables: its own, checked.
        leaks: what the parts of its folds share.
        targets: those to report, in order.
        resamples: bootstrap draws of patients.
        seed: of those.
        progress: as `summarise` calls it.
    """
    from bcbm.statistics.summary import summarise

    entering = tables.lesions[~tables.lesions["excluded"].astype(bool)]
    permuted = folder / "permutations.parquet"
    return summarise(
        tables.predictions,
        split=split_block(tables.split, leaks),
        targets=list(targets),
        resamples=resamples,
        seed=seed,
        best=tables.environment.get("best"),
        permuted=read_predictions(permuted) if permuted.is_file() else None,
        lesions=entering,
        training=training_labels(entering, tables.split, list(targets)),
        progress=progress,
    )
