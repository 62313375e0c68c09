"""A frozen model on one or several cohorts, from its words to its page."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from rich.console import Console

from bcbm.prediction.model import TrainedModel, read_model
from bcbm.report.figures.points import primary_status, with_primary
from bcbm.statistics.area import cross_validated_area, holding_models_fixed
from bcbm.statistics.external import (
    Conversion,
    ExternalResults,
    SetShares,
    against_primary,
    external_results,
    held_shares,
)
from bcbm.statistics.pooling import Pooled, random_effects
from bcbm.statistics.results import AurocBlock
from bcbm.statistics.subtype import labels_of
from bcbm.statistics.updating import Updated, cross_validated_update
from bcbm.system.files import free_folder, read_json, strict_json, write_whole
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import print_line, say
from bcbm.validation.cohorts import FrozenCohort, frozen_cohort, require_apart
from bcbm.validation.page import write_page
from bcbm.validation.request import requested
from bcbm.validation.screen import print_validation
from bcbm.validation.shift import Shift, cohorts_told_apart, training_shift

CONTENT, PAGE = "validation.json", "report.html"


class CohortValidation(TypedDict):
    """One cohort: who is in it, every figure, and by target what recalibration, sets and the primary give.

    `training`: positive and negative patients that its model was trained on, by target; `lacking`: columns
    that the model reads and some lesions have not, in words.
    """

    name: str
    content: str
    patients: int
    lesions: int
    lacking: list[str]
    training: dict[str, dict[str, int]]
    results: ExternalResults
    recalibrated: dict[str, dict[str, Updated]]
    sets: dict[str, dict[str, SetShares]]
    primary: dict[str, Conversion]
    shift: Shift


class Figures(TypedDict):
    """What is worked out of cohorts: the figures of each, and of several, over them."""

    cohorts: list[CohortValidation]
    pooled: NotRequired[dict[str, Pooled]]
    told_apart: NotRequired[list[dict[str, Any]]]


class Validation(Figures):
    """The content of `validation.json`.

    `model`: the identity of a model, or of a run whose folds hold a site out each, which `held_out` then
    says; `unit`: what its split kept whole; `networks`: whose mean a prediction is; `training`: the AUROC of
    the model's own run, of a model alone.
    """

    model: str
    held_out: bool
    leaky: bool
    unit: str
    refitted: bool
    invented: bool
    networks: int
    targets: list[str]
    coverage: float
    training: NotRequired[dict[str, AurocBlock]]


def validate(words: Sequence[str], console: Console) -> Validation:
    """Do what the words of a command line ask for; writes `validation.json` and `report.html`.

    Raises:
        ConfigError: they do not name a model and a cohort, or change a setting of the model.
        InputError: the model or a cohort cannot be used, or the model was trained on some of it.
    """
    request = requested("validate", words, models=1)
    model = read_model(request.models[0])
    if model.leaky:
        print_line(console, "[bold red]LEAKY[/] this model was exported from a LEAKY run")
    cohorts = []
    for name in request.cohorts:
        say(console, f"cohort {name}")
        cohorts.append(frozen_cohort(model, request.config(request.models[0], name), name, console))
    require_apart(cohorts)
    with progress_bar(console, "working out figures"):
        validation = validated(model, cohorts)
    out = Path(cohorts[0].config.validate.out).expanduser()
    write_validation(free_folder(out, CONTENT, partial(_same, validation)), validation, cohorts, console)
    return validation


def _same(validation: Validation, path: Path) -> bool:
    """Whether a validation and one in a file are of one model and the same cohorts."""
    other = read_json(path, f"remove {path.parent}")
    contents = [{cohort["content"] for cohort in each["cohorts"]} for each in (validation, other)]
    return other["model"] == validation["model"] and contents[0] == contents[1]


def write_validation(
    out: Path, validation: Validation, cohorts: Sequence[FrozenCohort], console: Console
) -> None:
    """Write page and figures into a folder, and print them."""
    page = write_page(out / PAGE, validation, cohorts)
    write_whole(out / CONTENT, strict_json(validation))
    print_validation(validation, console)
    say(console, f"report: {page.absolute()}, with {CONTENT} beside it")


def validated(model: TrainedModel, cohorts: Sequence[FrozenCohort]) -> Validation:
    """Every figure of a model on cohorts."""
    blocks = {target: model.results["receptors"][target]["patient"] for target in model.targets}
    return {
        "model": model.identity,
        "held_out": False,
        "leaky": model.leaky,
        "unit": model.results["split"]["unit"],
        "refitted": model.refitted,
        "invented": bool(model.training["invented"]),
        "networks": len(model.networks),
        "targets": list(model.targets),
        "coverage": cohorts[0].config.predict.coverage,
        "training": {
            target: {
                "auroc": block["auroc"],
                "auroc_low": block["auroc_low"],
                "auroc_high": block["auroc_high"],
            }
            for target, block in blocks.items()
        },
        **figures(model.targets, cohorts),
    }


def figures(targets: Sequence[str], cohorts: Sequence[FrozenCohort]) -> Figures:
    """Every figure of a model, or of one a cohort, on cohorts."""
    blocks = [_cohort(cohort, targets) for cohort in cohorts]
    if len(cohorts) < 2:
        return {"cohorts": blocks}
    pooled = _pooled(targets, cohorts, blocks)
    return {"cohorts": blocks, "pooled": pooled, "told_apart": cohorts_told_apart(list(cohorts))}


def training_shares(labels: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """The share of positives among training patients, by target; NaN where none has a label."""
    return {
        target: counts["positive"] / total if (total := sum(counts.values())) else math.nan
        for target, counts in labels.items()
    }


def _cohort(cohort: FrozenCohort, targets: Sequence[str]) -> CohortValidation:
    config, predictions, entering = cohort.config, cohort.predictions, cohort.lesions.entering
    draws, seed = config.bootstrap, config.seed
    trained = {target: dict(cohort.training["labels"][target]) for target in targets}
    shares = training_shares(trained)
    signs = cohort.training.get("receptors")  # which models of before do not tell
    training = None if signs is None else labels_of(signs)
    results = external_results(predictions, shares, entering, training, resamples=draws, seed=seed)
    known = [target for target, block in results["receptors"].items() if "patient" in block]
    patients = cohort.patients
    own = {target: patients[patients["target"] == target] for target in known}
    primaries = with_primary(predictions, entering)
    statuses = {target: primary_status(primaries[primaries["target"] == target]) for target in known}
    conversions = {target: against_primary(own[target], statuses[target]) for target in known}
    return {
        "name": cohort.name,
        "content": cohort.lesions.cohort,
        "patients": int(entering["patient_id"].nunique()),
        "lesions": len(entering),
        "lacking": list(cohort.lacking),
        "training": trained,
        "results": results,
        "recalibrated": {target: cross_validated_update(own[target], draws, seed) for target in known},
        "sets": {
            target: held_shares(labels, sets)
            for target in cohort.sets
            if len(labels := cohort.labels[target].dropna())
            and len(sets := cohort.sets[target].loc[labels.index])
        },
        "primary": {target: block for target, block in conversions.items() if block is not None},
        "shift": training_shift(cohort),
    }


def _pooled(
    targets: Sequence[str], cohorts: Sequence[FrozenCohort], blocks: Sequence[CohortValidation]
) -> dict[str, Pooled]:
    """The mean AUROC over cohorts of each target that two of them have figures of."""
    pooled = {}
    for target in targets:
        aurocs, variances = [], []
        for cohort, block in zip(cohorts, blocks, strict=True):
            if "patient" not in block["results"]["receptors"][target]:
                continue
            rows = cohort.patients[cohort.patients["target"] == target]
            area = holding_models_fixed(cross_validated_area(rows))
            aurocs.append(area.auroc)
            # An AUROC of 1 has no variance at itself, and a cohort is weighed by it.
            variances.append(area.variance(min(max(area.auroc, 0.02), 0.98)))
        if len(aurocs) > 1:
            pooled[target] = random_effects(aurocs, variances)
    return pooled
