"""What a finished run looks at: beside its tables and in its report."""

import json
import warnings
from typing import Any

import pandas as pd
from rich.console import Console

from bcbm.config.compose import load
from bcbm.config.schema import Config
from bcbm.crossvalidation.results import page
from bcbm.errors import InputError, Note, Problem
from bcbm.explanation.drops import changed, drops, patients_of
from bcbm.explanation.pictures import draw, examples_of
from bcbm.runs.finished import read_run
from bcbm.runs.folder import RunFolder
from bcbm.runs.identity import versions_apart
from bcbm.runs.tables import RUN
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import say


def explain(folder: RunFolder, console: Console) -> None:
    """Write `explanations.json` and `explanations/*.png` of a finished run, then its report again.

    Raises:
        InputError: the run is not finished or a traditional model's, its cohort has changed since, or a table
            or checkpoint is not what it says.
    """
    from bcbm.crossvalidation.trained import fold_jobs, members, require_checkpoints, trained_module
    from bcbm.explanation.ablation import EncodedLesions
    from bcbm.model.fold import fold_data
    from bcbm.preparation.prepare import prepare_as_fitted

    config = load(folder.path / "config.yaml")
    _check(folder, config)
    finished = read_run(folder.path)
    if apart := versions_apart(finished.environment):
        text = f"{folder.path} was fitted with {apart}: its networks may answer otherwise here"
        warnings.warn(text, Note, stacklevel=2)
    lesions, split = prepare_as_fitted(finished, config)
    examples = examples_of(finished.predictions, config)
    tables: list[pd.DataFrame] = []
    pictures: list[dict[str, Any]] = []
    jobs = fold_jobs(config, lesions, split, folder)
    require_checkpoints([member for job in jobs for member in members(job)])
    with progress_bar(console, "explaining folds", len(split.folds)) as advance:
        for number, (job, fold) in enumerate(zip(jobs, split.folds, strict=True)):
            modules = [trained_module(member) for member in members(job)]
            datamodule = fold_data(job)
            datamodule.setup()
            if "image" in config.task.modalities:
                shown = examples[examples["fold"] == number]
                networks = [module.eval().network for module in modules]
                pictures += draw(folder, networks, datamodule, shown, config.task.targets)
            place = {"repeat": fold.repeat, "fold": number}
            for module in modules:  # `patients_of` makes their mean, the ensemble's probability
                encoded = EncodedLesions(module, datamodule)
                tables += [table.assign(**place) for table in changed(encoded, config, number)]
            advance(1)
    patients = patients_of(pd.concat(tables, ignore_index=True))
    content = {
        "modalities": drops(patients, "modality", config.task.targets),
        "radiomics": drops(patients, "feature", config.task.targets),
        "saliency": pictures,
        RUN: folder.identity,
    }
    folder.write("explanations.json", json.dumps(content, indent=1))
    report = page(folder)
    say(console, f"report: {report.absolute()}")


def _check(folder: RunFolder, config: Config) -> None:
    if config.model.kind != "network":
        problem = f"is a run of model.kind={config.model.kind}"
        raise InputError(
            Problem(str(folder.path), problem, "only networks are explained; read its fold=K/model.json")
        )
    if not (folder.path / "results.json").is_file():
        raise InputError(Problem(str(folder.path), "is not finished", "run the same fit command again"))
