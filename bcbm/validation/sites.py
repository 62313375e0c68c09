"""A run that holds each site out, as a validation of a model of the other sites on the patients of each."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.splits import Split
from bcbm.config.compose import load
from bcbm.config.schema import Config
from bcbm.crossvalidation import results
from bcbm.modalities import MODALITIES
from bcbm.modalities.tables import Recorded
from bcbm.prediction.predict import lacking_columns
from bcbm.prediction.training import described, ranges_of
from bcbm.preparation.lesions import Lesions
from bcbm.preparation.prepare import prepare_as_fitted
from bcbm.runs.finished import SITE, SITES_PAGE, FinishedRun, read_run
from bcbm.runs.folder import RunFolder
from bcbm.terminal.progress import progress_bar
from bcbm.validation.cohorts import FrozenCohort
from bcbm.validation.validate import Validation, figures, write_validation


def validate_sites(folder: Path, console: Console) -> Validation | None:
    """Write the page of the sites into the folder of a run, and a link to it on the run's own page.

    The figures are those of `validate`, of the predictions in the run. There are no conformal sets: what
    they would be calibrated on, patients of the training that a model has not seen, no fold has.

    Args:
        folder: of the run.
        console: gets the figures.

    Returns:
        The figures; None where the run does not hold sites out, is not finished, or is a control of labels
        that were dealt out anew.

    Raises:
        InputError: the cohort of the run has changed since, or a file of the run cannot be used.
    """
    config = load(folder / "config.yaml")
    finished = (folder / "results.json").is_file()
    if config.split.holdout != SITE or config.task.random_labels is not None or not finished:
        return None
    run = read_run(folder)
    with progress_bar(console, "working out figures of the sites"):
        lesions, split = prepare_as_fitted(run, config)
        read = _read(config, lesions)
        cohorts = [_site(number, run, config, lesions, split, read) for number in range(len(split.folds))]
        validation: Validation = {
            "model": run.environment["identity"],
            "held_out": True,
            "leaky": run.results["leaky"],
            "unit": split.unit,
            "refitted": False,
            "invented": not config.cohort.root,
            "networks": config.members,
            "targets": list(config.task.targets),
            "coverage": config.predict.coverage,
            **figures(config.task.targets, cohorts),
        }
    place, linked = folder / SITES_PAGE, (folder / SITES_PAGE).is_file()
    write_validation(place.parent, validation, cohorts, console)
    if not linked:
        results.page(RunFolder(folder), run)
    return validation


def _site(
    number: int, run: FinishedRun, config: Config, lesions: Lesions, split: Split, read: set[str]
) -> FrozenCohort:
    """The site that a fold holds out, and what the fold's model, told by the columns `read`, says of it."""
    fold, rows = split.folds[number], split.rows(lesions.entering, number)
    training = lesions.among(np.sort(np.concatenate([rows["train"], rows["validation"]])))
    own = lesions.among(rows["test"])
    own = replace(own, table=lesions.table[lesions.table["patient_id"].isin(fold.test)])
    targets = config.task.targets
    return FrozenCohort(
        fold.name.removeprefix(f"{SITE} "),
        config,
        own,
        run.predictions[run.predictions["fold"] == number],
        patient_labels(own.entering[targets], own.entering["patient_id"]),
        {},
        described(training, targets),
        ranges_of(training),
        lacking_columns(read, own),
    )


def _read(config: Config, lesions: Lesions) -> set[str]:
    """The columns of the clinical table that the models of a run may be told by: those that vary."""
    data = lesions.data(config)
    rows = np.arange(len(lesions.entering))
    tables = [MODALITIES[name] for name in config.task.modalities]
    return {name for table in tables if isinstance(table, Recorded) for name in table.fit_columns(data, rows)}
