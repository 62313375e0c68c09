"""From a finished run to a model on disk."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from rich.console import Console

from bcbm.cohort.splits import Split
from bcbm.config.compose import load, plain
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.features.cards import Card, read_card
from bcbm.features.radiomics import provenance
from bcbm.prediction.bundle import (
    CARD,
    ENCODER,
    ENCODER_CARD,
    EXPERIMENT,
    METADATA,
    OUT_OF_FOLD,
    PREPARED,
    RANGES,
    RESULTS,
    TRAINING,
    network_files,
    require_absent,
    write_bundle,
)
from bcbm.prediction.card import model_card
from bcbm.prediction.doubt import fit_doubt
from bcbm.prediction.metadata import metadata_of
from bcbm.prediction.model import TraditionalModel, TrainedNetwork, Training
from bcbm.prediction.refit import refit_on_all
from bcbm.prediction.sets import apart_out_of_fold, out_of_fold
from bcbm.prediction.training import ranges_of, training_of
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.lesions import Lesions
from bcbm.preparation.prepare import prepare_as_fitted
from bcbm.preparation.steps import steps
from bcbm.report.words import RANDOM_WORDS
from bcbm.runs.finished import FOLD_ANEW, FinishedRun, read_run
from bcbm.runs.folder import RunFolder
from bcbm.runs.predictions import ensemble
from bcbm.system.files import bytes_of, strict_json
from bcbm.system.words import counted, listed, size
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import print_line, say


def export(folder: Path, out: Path, console: Console, *, leaky: bool = False, refit: bool = False) -> None:
    """Write what the folds of a run have trained as a model: an ensemble, with all that its use takes.

    Args:
        folder: of the run.
        out: of the model, which is made.
        console: gets a line of what was written.
        leaky: export a LEAKY run too, which the model then says for ever.
        refit: write one training on all patients in place of the ensemble, see `refit_on_all`.

    Raises:
        InputError: the run is not finished or LEAKY, its cohort has changed since, or there is something at
            `out`.
    """
    from safetensors.numpy import save

    require_absent(out)
    run, config = read_run(folder), load(folder / "config.yaml")
    _check(run, config, leaky)
    card = _encoder(run, config)
    with progress_bar(console, "exporting"):
        lesions, split = prepare_as_fitted(run, config, appearance=True)
        source = _radiomics_source(run, lesions)
        taken = steps(config, extracted=source.get("library") != "workbook")
        jobs = _jobs(run, _here(config), lesions, split)
        networks, predictions, described = _networks(run, jobs), run.predictions, None
        seen = _seen(networks.values(), jobs[0].config, lesions, split)
    if refit:
        refitted = refit_on_all(run, jobs, list(networks.values()), console)
        networks, predictions, described = refitted.networks, refitted.predictions, refitted.described
    with progress_bar(console, "exporting"):
        files: dict[str, bytes | str] = {}
        for name, network in networks.items():
            settings, arrays = network.files()
            weights, rest = network_files(name)
            files |= {weights: arrays, rest: strict_json(settings)}
        files |= _encoder_files(card)
        metadata = metadata_of(run, config, list(networks), source, run.card, taken, described)
        ranges = ranges_of(lesions)
        refitted_see = _encoded(networks.values(), lesions, jobs[0].config) if refit else []
        doubt = fit_doubt(lesions, seen, refitted_see)
        training = training_of(lesions, config, ranges) | {"scanners": doubt.kinds}
        files |= {
            METADATA: strict_json(metadata),
            EXPERIMENT: "# The configuration of a model that was exported; predict reads it.\n"
            + yaml.safe_dump(_prepared(config), sort_keys=False),
            TRAINING: strict_json(training),
            RANGES: bytes(save(ranges | doubt.arrays)),
            OUT_OF_FOLD: strict_json(
                {
                    "blocks": out_of_fold(predictions, len(split.folds) if refit else None),
                    "apart": apart_out_of_fold(predictions),
                }
            ),
            RESULTS: strict_json(run.results),
            CARD: model_card(metadata, training, run),
        }
        write_bundle(out, files)
    if run.results["leaky"]:
        print_line(console, "[bold red]LEAKY[/] the model says so wherever it is used")
    if config.model.kind == "svm":
        text = "an SVM holds the standardised values of training lesions, its support vectors"
        print_line(console, f"[yellow]note[/] {text}: whoever has the model has these")
    kind = "network" if config.model.kind == "network" else "model"
    say(console, f"model of {counted(len(networks), kind)}, {size(bytes_of(out))}: {out.absolute()}")


def _check(run: FinishedRun, config: Config, leaky: bool) -> None:
    if run.random_labels is not None:
        found = f"is a control: its labels were {RANDOM_WORDS}"
        raise InputError(Problem(str(run.folder), found, "export a run without task.random_labels"))
    if run.results["leaky"] and not leaky:
        found = "is LEAKY: its folds share patients or lesions, and its figures are no results"
        remedy = "fit with split.unit=patient, or write leaky=true, which the model will say for ever"
        raise InputError(Problem(str(run.folder), found, remedy))


def _prepared(config: Config) -> dict[str, Any]:
    content = plain(config)
    return {group: {name: content[group][name] for name in names} for group, names in PREPARED.items()}


def _radiomics_source(run: FinishedRun, lesions: Lesions) -> dict[str, str]:
    """What has made the radiomics: library, version and settings; empty where none are read.

    Raises:
        InputError: they were extracted by another version of the library than is installed now, so that
            those at hand are others.
    """
    if "radiomics" not in lesions.values:
        return {}
    table = pd.read_parquet(lesions.folder / "radiomics.parquet")
    published, made = bool((table["library"] == "workbook").any()), provenance()
    source = {"library": "workbook"} if published else made
    if published and "shells" not in lesions.values:
        return source
    fitted = run.environment["versions"].get(made["library"])
    if fitted != made["version"]:
        found = f"read radiomics of {made['library']} {fitted}, and {made['version']} is installed"
        remedy = f"install {made['library']}=={fitted}, or fit the experiment again"
        raise InputError(Problem(str(run.folder), found, remedy))
    return source


def _encoder(run: FinishedRun, config: Config) -> Card | None:
    """The pretrained network of a run's deep features; None where there are none.

    Raises:
        InputError: its weights are others than those that the run was fitted with.
    """
    if run.card is None:
        return None
    card = read_card(Path(str(config.features.encoder)).expanduser())
    if changed := [name for name, value in card.identity().items() if run.card.get(name) != value]:
        found = f"has not the {listed(changed)} that the run was fitted with"
        raise InputError(Problem(str(card.weights), found, "put the file of then back"))
    return card


def _encoder_files(card: Card | None) -> dict[str, bytes | str]:
    """A pretrained network and its card, as a model carries them."""
    if card is None:
        return {}
    from safetensors.torch import save

    from bcbm.model.pretrained import PretrainedNetwork

    tensors = {name: values.contiguous() for name, values in PretrainedNetwork(card).tensors().items()}
    return {ENCODER: bytes(save(tensors)), ENCODER_CARD: card.text()}


def _here(config: Config) -> Config:
    """The same on one device of this machine, whatever the run was trained on."""
    accelerator: Any = "cpu" if config.trainer.accelerator == "cpu" else "auto"
    trainer = replace(config.trainer, accelerator=accelerator, devices=1, num_nodes=1, profile=False)
    return replace(config, trainer=trainer)


def _jobs(run: FinishedRun, config: Config, lesions: Lesions, split: Split) -> list[FoldJob]:
    """Every training of a run's folds."""
    from bcbm.crossvalidation.trained import fold_jobs, members

    folds = fold_jobs(config, lesions, split, RunFolder(run.folder))
    return [member for job in folds for member in members(job)]


def _networks(run: FinishedRun, jobs: Sequence[FoldJob]) -> dict[str, Training]:
    """What the folds of a run have trained, by name."""
    network = run.config["model"]["kind"] == "network"
    trainings = _of_networks(jobs, run) if network else _of_baselines(jobs, run)
    names = [f"fold={job.number}" + f"-seed={job.member}" * (job.config.members > 1) for job in jobs]
    return dict(zip(names, trainings, strict=True))


def _thresholds(run: FinishedRun, fold: int) -> dict[str, float]:
    """Those of a fold, by target."""
    rows = run.predictions[run.predictions["fold"] == fold].drop_duplicates("target")
    return {str(target): float(own) for target, own in zip(rows["target"], rows["threshold"], strict=True)}


def _of_networks(jobs: Sequence[FoldJob], run: FinishedRun) -> list[Training]:
    from bcbm.crossvalidation.trained import trained_modules

    return [
        TrainedNetwork(
            module, job.number, job.member, job.config.data.batch_size, _thresholds(run, job.number)
        )
        for job, module in zip(jobs, list(trained_modules(jobs)), strict=True)
    ]


def _of_baselines(jobs: Sequence[FoldJob], run: FinishedRun) -> list[Training]:
    """Each held against what its run said of the test lesions of its fold.

    Raises:
        InputError: it says something else.
    """
    from bcbm.baselines.trained import trained_baseline

    trained = [trained_baseline(job) for job in jobs]
    by_fold: dict[int, list[pd.DataFrame]] = {}
    for job, baseline in zip(jobs, trained, strict=True):
        probability, _ = baseline.predict(job.lesions.data(job.config))
        by_fold.setdefault(job.number, []).append(probability)
    for number, tables in by_fold.items():
        own = ensemble(tables).set_index(jobs[0].lesions.entering["lesion_id"])
        for target, rows in run.predictions[run.predictions["fold"] == number].groupby("target"):
            if not np.array_equal(own.loc[rows["lesion_id"], str(target)], rows["probability"]):
                found = f"its model of {target} says other things of its test lesions than its predictions"
                raise InputError(Problem(f"{run.folder / f'fold={number}'}", found, FOLD_ANEW))
    return [
        TraditionalModel(baseline, job.number, job.member, _thresholds(run, job.number))
        for job, baseline in zip(jobs, trained, strict=True)
    ]


def _seen(
    networks: Collection[Training], config: Config, lesions: Lesions, split: Split
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What each network sees in the lesions, and the rows that it was trained on and tested on."""
    folds, seen = [network.fold for network in networks], []
    for fold, encoded in zip(folds, _encoded(networks, lesions, config), strict=False):  # none without images
        parts = split.rows(lesions.entering, fold)
        train = np.sort(np.concatenate([parts["train"], parts["validation"]]))
        seen.append((encoded, train, parts["test"]))
    return seen


def _encoded(networks: Collection[Training], lesions: Lesions, config: Config) -> list[np.ndarray]:
    """What each network sees in the lesions; nothing where they read no images."""
    if "image" not in config.task.modalities:
        return []
    predictions = [network.predict(lesions, config) for network in networks]
    return [prediction.encoded for prediction in predictions if prediction.encoded is not None]
