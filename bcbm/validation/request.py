"""What the words of `validate`, and of `compare` with models, ask for: models, and cohorts with labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bcbm.cohort.pooled import site_names
from bcbm.config.compose import compose
from bcbm.config.schema import Config
from bcbm.errors import ConfigError
from bcbm.prediction.bundle import SUMS
from bcbm.prediction.request import COHORT, base_settings, check_settings

GROUPS = ("cohort", "prepared", "predict", "validate", "bootstrap", "seed")
ROOT = "cohort.root="


@dataclass(frozen=True)
class Request:
    """Models and cohorts.

    Attributes:
        models: their folders.
        cohorts: the words that name each cohort, with all that is said of any, by its name.
    """

    models: tuple[Path, ...]
    cohorts: dict[str, list[str]]

    def config(self, model: Path, cohort: str) -> Config:
        """The configuration in which a model meets a cohort."""
        return compose([*base_settings(model), *self.cohorts[cohort]])


def names_models(words: Sequence[str]) -> bool:
    """Whether a word is the folder of a model."""
    return any((Path(word).expanduser() / SUMS).is_file() for word in words)


def requested(verb: str, words: Sequence[str], models: int) -> Request:
    """What the words of a command line ask for; each `cohort.root=` is a cohort of its own.

    Args:
        verb: of the command.
        words: behind it.
        models: how many it takes.

    Raises:
        ConfigError: another number of models, no cohort, or a setting that is the model's.
    """
    places = [Path(word).expanduser() for word in words if "=" not in word or Path(word).is_dir()]
    settings = [word for word in words if "=" in word and not Path(word).is_dir()]
    settings = [f"validate.{word}" if word.startswith("out=") else word for word in settings]
    if len(places) != models:
        raise ConfigError(
            f"{verb}: {len(places)} folders are named; name {models} of models, written by bcbm export"
        )
    if not any(word.startswith(COHORT) for word in settings):
        raise ConfigError(f"{verb}: say whom to test on: cohort.root=DIR")
    check_settings(verb, settings, GROUPS)
    roots = [word for word in settings if word.startswith(ROOT)]
    others = [word for word in settings if word not in roots]
    if len(set(roots)) < len(roots):
        raise ConfigError(f"{verb}: a cohort is named twice; name each cohort.root= once")
    if not roots:
        return Request(tuple(places), {"embedded": others})
    names = site_names([Path(word.removeprefix(ROOT)).expanduser() for word in roots])
    return Request(tuple(places), {name: [*others, root] for name, root in zip(names, roots, strict=True)})
