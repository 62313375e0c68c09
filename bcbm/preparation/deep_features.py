"""The crops of a cohort as a pretrained network sees them."""

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.console import Console

from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.features.cards import Card, read_card
from bcbm.features.records import Step, Study, each_study
from bcbm.preparation.reading import SurveyedCohort
from bcbm.preparation.studies import count_masks
from bcbm.system.lazy import imported
from bcbm.terminal.progress import progress_bar

LOAD = "bcbm.model.pretrained:load_network"
ENCODE = "bcbm.model.pretrained:encode_study"
RECORD = 1  # counts up whenever a record would look different


def usable_card(config: Config) -> Card:
    """The card of features.encoder, whose weights are tried on an empty crop before any work.

    Raises:
        ConfigError: the weights, or the size of the crops, are not for its network.
    """
    card = read_card(Path(str(config.features.encoder)).expanduser())
    imported(LOAD)(card, config.features.crop_size)
    return card


def deep_features(
    config: Config,
    cohort: SurveyedCohort,
    card: Card,
    studies: list[Study],
    where: Mapping[str, tuple[Path, int]],
    console: Console,
) -> np.ndarray:
    """The vectors of the table's lesions, (N, F) float32, NaN of one without a crop.

    Args:
        card: of the network.
        studies: whose crops were cut.
        where: the file and the row of each crop, as `prepare_crops` gives them.

    Raises:
        InputError: a vector is not finite.
    """
    cropped = [
        study._replace(others={"crops": file})
        for study in studies
        if (file := next((where[lesion][0] for lesion in study.masks if lesion in where), None))
    ]
    identity, size, place = card.identity(), config.features.crop_size, cohort.folder / "deep_features"
    settings = {"deep_features": RECORD, **identity} | {name: version(name) for name in ("torch", "monai")}
    work = partial(imported(ENCODE), weights=card.weights, digest=identity["weights"], size=size)
    step = Step(work, place, settings)
    vectors: dict[str, list[float]] = {}
    with progress_bar(console, "encoding crops", count_masks(cropped), place) as advance:
        for _, _, record in each_study(cropped, step, jobs=config.prepared.jobs, progress=advance):
            vectors |= record["values"]
    if broken := sorted(lesion for lesion, vector in vectors.items() if not np.isfinite(vector).all()):
        text = f"{card.network} gives numbers that are not finite for {len(broken)} crops"
        raise InputError(Problem(broken[0], text, "name other weights with features.encoder"))
    nothing = [np.nan] * len(next(iter(vectors.values()), [0.0]))
    return np.array([vectors.get(lesion, nothing) for lesion in cohort.table["lesion_id"]], np.float32)
