"""From a finished run to a model on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml
from rich.console import Console

from bcbm.cohort.splits import Split
from bcbm.config.compose import load, override, plain
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.features.radiomics import provenance
from bcbm.prediction.bundle import (
    CARD,
    EXPERIMENT,
    METADATA,
    OUT_OF_FOLD,
    RANGES,
    RESULTS,
    TRAINING,
    network_files,
    require_absent,
    write_bundle,
)
from bcbm.prediction.card import model_card
from bcbm.prediction.metadata import metadata_of
from bcbm.prediction.sets import out_of_fold
from bcbm.prediction.training import ranges_of, training_of
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.lesions import Lesions
from bcbm.preparation.prepare import prepare_as_fitted
from bcbm.preparation.steps import steps
from bcbm.report.words import RANDOM_WORDS
from bcbm.runs.finished import FinishedRun, read_run
from bcbm.runs.folder import RunFolder
from bcbm.system.files import bytes_of, strict_json
from bcbm.system.words import counted, size
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import print_line, say

if TYPE_CHECKING:
    from bcbm.model.module import LesionModule

# Of the configuration, what preparation and batches read; no place of a file is among it.
PREPARED = {
    "cohort": ("policy", "position", "overlap", "form", "parts", "label_value", "targets"),
    "features": (
        *("radiomics", "axes", "crop_size", "crop_spacing", "crop_margin", "crop_intensity"),
        *("harmonise", "coordinates"),
    ),
    "task": ("targets", "modalities", "sequences", "missing", "aggregate"),
    "model": ("kind", "encoder", "stem", "stem_stride", "max_pool", "widen", "mask_channel"),
}


def export(folder: Path, out: Path, console: Console, leaky: bool = False) -> None:
    """Write the networks of a run as a model: an ensemble, and all that it takes to use it elsewhere.

    Args:
        folder: of the run.
        out: of the model, which is made.
        console: gets a line of what was written.
        leaky: export a LEAKY run too, which the model then says for ever.

    Raises:
        InputError: the run is not finished, LEAKY or a traditional model's, its cohort has changed since, or
            there is something at `out`.
    """
    require_absent(out)
    run, config = read_run(folder), load(folder / "config.yaml")
    _check(run, config, leaky)
    with progress_bar(console, "exporting"):
        lesions, split = prepare_as_fitted(run, config)
        source = _radiomics_source(run, lesions)
        networks = _networks(run, config, lesions, split)
        files: dict[str, bytes | str] = {}
        for name, (module, settings) in networks.items():
            weights, rest = network_files(name)
            files[weights] = _weights(module)
            files[rest] = strict_json(settings)
        taken = steps(config, extracted=source.get("library") != "workbook")
        metadata = metadata_of(run, config, list(networks), source, taken)
        training = training_of(lesions, config)
        files |= {
            METADATA: strict_json(metadata),
            EXPERIMENT: "# The configuration of a model that was exported; predict reads it.\n"
            + yaml.safe_dump(_prepared(config), sort_keys=False),
            TRAINING: strict_json(training),
            RANGES: ranges_of(lesions),
            OUT_OF_FOLD: strict_json({"blocks": out_of_fold(run.predictions)}),
            RESULTS: strict_json(run.results),
            CARD: model_card(metadata, training, run),
        }
        write_bundle(out, files)
    if run.results["leaky"]:
        print_line(console, "[bold red]LEAKY[/] the model says so wherever it is used")
    say(console, f"model of {counted(len(networks), 'network')}, {size(bytes_of(out))}: {out.absolute()}")


def _check(run: FinishedRun, config: Config, leaky: bool) -> None:
    if config.model.kind != "network":
        found = f"is a run of model.kind={config.model.kind}, and only networks are exported"
        raise InputError(Problem(str(run.folder), found, "export a run of model.kind=network"))
    if config.features.shells or config.features.encoder:
        found = "reads shells or vectors of a pretrained network, which predict does not make yet"
        raise InputError(
            Problem(str(run.folder), found, "export a run without features.shells and features.encoder")
        )
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
    if (table["library"] == "workbook").any():
        return {"library": "workbook"}
    own = provenance()
    fitted = run.environment["versions"].get(own["library"])
    if fitted != own["version"]:
        found = f"read radiomics of {own['library']} {fitted}, and {own['version']} is installed"
        remedy = f"install {own['library']}=={fitted}, or fit the experiment again"
        raise InputError(Problem(str(run.folder), found, remedy))
    return own


def _networks(
    run: FinishedRun, config: Config, lesions: Lesions, split: Split
) -> dict[str, tuple["LesionModule", dict[str, Any]]]:
    """Each trained network by name, with all that it is beside its weights."""
    from bcbm.crossvalidation.trained import members, require_checkpoints, trained_module

    folder = RunFolder(run.folder)
    thresholds = run.predictions.groupby(["fold", "target"])["threshold"].first()
    jobs = [
        member
        for number in range(len(split.folds))
        for member in members(
            FoldJob(override(config, run.chosen.get(number, {})), lesions, split, number, folder)
        )
    ]
    require_checkpoints(jobs)
    networks = {}
    for job in jobs:
        module = trained_module(job)
        settings = {
            "fold": job.number,
            "seed": job.member,
            "batch_size": job.config.data.batch_size,
            "thresholds": {name: float(thresholds[job.number, name]) for name in config.task.targets},
            "network": _without_places(module.hparams),
        }
        networks[f"fold={job.number}" + f"-seed={job.member}" * (job.config.members > 1)] = module, settings
    return networks


def _without_places(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a network, without where its first weights lay."""
    names = ("task", "model", "loss", "trainer", "fitted", "provenance", "calibration")
    content = json.loads(json.dumps({name: hparams[name] for name in names}))
    content["model"] |= {"weights": None, "encoder_training": "full"}
    return dict(content)


def _weights(module: "LesionModule") -> bytes:
    from safetensors.torch import save

    return bytes(save({name: value.contiguous() for name, value in module.state_dict().items()}))
