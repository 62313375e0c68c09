"""Whether the files of a model belong together: their sums say only that each is as somebody wrote it."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from bcbm.cohort.download import FEATURE
from bcbm.errors import InputError, Problem
from bcbm.features.radiomics import FEATURES
from bcbm.prediction.bundle import AGAIN, REFITTED
from bcbm.statistics.subtype import NEEDED, SIGNS

if TYPE_CHECKING:
    from bcbm.prediction.model import ModelRecord, TrainedModel

TRAINING = ("invented", "labels", "volume", "acquisition", "scanners", "salt", "contents")
OWN_TASK = ("targets", "sequences", "missing", "aggregate")  # of a network, as its configuration has them
CLASSES = ("positive", "negative")


def require_agreement(model: "TrainedModel", names: Sequence[str], experiment: Mapping[str, Any]) -> None:
    """Refuse a model whose networks contradict its other files, or hold what no export writes.

    Args:
        model: as it was read.
        names: of its networks, in their order.
        experiment: what its configuration holds.

    Raises:
        InputError: the first contradiction, and how many more there are.
    """
    _refuse(model, [*_of_networks(model, names, experiment)])


def require_sound(record: "ModelRecord") -> None:
    """Refuse a model that says of itself what no export writes.

    Raises:
        InputError: the first such thing, and how many more there are.
    """
    _refuse(record, [*_of_records(record)])


def _refuse(record: "ModelRecord", texts: Sequence[str]) -> None:
    if texts:
        more = f", and {len(texts) - 1} more" * (len(texts) > 1)
        found = f"has files that do not belong together: {texts[0]}{more}"
        raise InputError(Problem(str(record.folder), found, AGAIN))


def _of_networks(model: "TrainedModel", names: Sequence[str], experiment: Mapping[str, Any]) -> Iterator[str]:
    targets, task = list(model.targets), experiment["task"]
    if list(task["targets"]) != targets:
        yield f"its configuration predicts {task['targets']}, and its description {targets}"
    if not model.networks:
        yield "it has no network"
    places = [(network.fold, network.seed) for network in model.networks]
    if len(set(places)) < len(places):
        yield "a network stands in it twice"
    if len({type(network) for network in model.networks}) > 1:
        yield "it has networks and traditional models"
    for name, network in zip(names, model.networks, strict=True):
        if name.partition("-seed=")[0] != (REFITTED if model.refitted else f"fold={network.fold}"):
            yield f"{name} is of fold {network.fold}"
        if sorted(network.targets) != sorted(targets):
            yield f"{name} predicts {list(network.targets)}, and the model {targets}"
        if sorted(network.modalities) != sorted(task["modalities"]):
            yield f"{name} reads {list(network.modalities)}, and its configuration {task['modalities']}"
        if (network.task is None) == (experiment["model"]["kind"] == "network"):
            yield f"{name} is none of the kind {experiment['model']['kind']} of its configuration"
        own = network.task or task
        yield from (
            f"{name} was trained with task.{key}={own[key]}, and its configuration says {task[key]}"
            for key in OWN_TASK
            if own[key] != task[key]
        )
        if sorted(network.calibrated) != sorted(targets):
            yield f"{name} is calibrated for {sorted(network.calibrated)}, and the model predicts {targets}"
        if set(network.thresholds) != set(targets):
            yield f"{name} has thresholds of {sorted(network.thresholds)}, and the model predicts {targets}"
        yield from (
            f"the threshold of {target} in {name} is {value!r}, and none from 0 to 1"
            for target, value in network.thresholds.items()
            if not isinstance(value, int | float) or not (isnan(value) or 0 <= value <= 1)
        )
        yield from (f"{name} {text}" for text in network.faults)
    blocks = [(block["fold"], block["target"]) for block in model.out_of_fold]
    expected = {(network.fold, target) for network in model.networks for target in targets}
    if set(blocks) != expected or (len(blocks) > len(expected) and not model.refitted):
        yield "its predictions out of fold are not those of its networks and targets"


def _of_records(model: "ModelRecord") -> Iterator[str]:
    signs = model.training.get("receptors", {})
    if any(len(key) != len(NEEDED) or set(key) - set(SIGNS) for key in signs) or not all(
        isinstance(count, int) and count >= 0 for count in signs.values()
    ):
        yield "its training patients by receptors are no counts of signs"
    if absent := [name for name in TRAINING if name not in model.training]:
        yield f"what it tells of its training lacks {', '.join(absent)}"
    for target in model.targets:
        for words, record in (
            ("results", model.results["receptors"]),
            ("training labels", model.training.get("labels", {})),
            ("distances of lesions", model.apart),
        ):
            if target not in record:
                yield f"it has no {words} of {target}"
    values = [value for block in model.out_of_fold for name in CLASSES for value in block[name]]
    if not all(0 <= value <= 1 for value in values):
        yield "a prediction out of fold is no probability"
    if "doubt/panel" not in model.ranges:
        yield "its ranges lack what doubt is measured by"
    if any(not np.isfinite(array).all() for array in model.ranges.values()):
        yield "its ranges hold what is no number"
    if "projection" in model.ranges and not {"mean", "covariance", "quantiles"} <= set(model.ranges):
        yield "its ranges lack a part"


def column_faults(columns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with the columns of a traditional model, see `FittedModel`."""
    names = [(column["name"], column["kind"]) for column in columns]
    if len(set(names)) < len(names):
        yield "reads a column twice"
    for column in columns:
        if column["name"].startswith(FEATURE) and column["name"] not in FEATURES:
            yield f"reads {column['name']}, which is no feature"
        numbers = [column[name] for name in ("mean", "scale")]
        if not all(isinstance(value, int | float) and isfinite(value) for value in numbers) or not numbers[1]:
            yield f"has no mean or scale of {column['name']}"
