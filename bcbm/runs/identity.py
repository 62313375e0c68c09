"""What makes two starts the same run, and what it takes to run it again."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bcbm.config.compose import plain, to_yaml
from bcbm.config.places import checkout
from bcbm.config.reading import read_value
from bcbm.config.schema import Config
from bcbm.errors import ConfigError
from bcbm.features.cards import read_card
from bcbm.system.version import __version__

PACKAGES = (
    *("lightning", "torch", "torchio", "monai", "pyradiomics-bhklab", "SimpleITK"),
    *("numpy", "pandas", "scikit-learn", "wandb"),
)


# What may differ between two starts of the same run.
NOT_IDENTITY = (
    *("run", "tracking", "fold", "prepared", "bootstrap", "experiments"),
    *("ingest", "export", "predict", "validate", "figures"),
)
PLACES = {
    "cohort": ("root", "names", "readings", "exclude", "radiomics", "citation"),
    "split": ("file",),
    "model": ("weights",),
    "features": ("encoder",),
}  # files that move


def fingerprint(config: Config, cohort: str, split_hash: str) -> str:
    """What makes two starts the same run: configuration, cohort content and split."""
    content = {name: value for name, value in plain(config).items() if name not in NOT_IDENTITY}
    for name in ("format", "targets", "same_patients", "labels", *PLACES["cohort"]):
        content["cohort"].pop(name)  # their content is in `cohort`
    content["split"].pop("file")  # its content is in the hash of the split
    _leave_out_hardware(content["trainer"])
    if weights := content["model"].pop("weights"):  # a file counts for what it holds
        try:
            with Path(weights).expanduser().open("rb") as file:
                content["model"]["weights"] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError(f"model.weights={weights}: cannot be read ({error.strerror})") from None
    if encoder := content["features"].pop("encoder"):
        content["features"]["encoder"] = read_card(Path(encoder).expanduser()).identity()
    text = json.dumps([content, cohort, split_hash], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def settings_sum(content: Mapping[str, Any]) -> str:
    """A sum of what a run's `config.yaml` holds, without what may differ between two starts of the run.

    Args:
        content: as the file has it, whatever version wrote it.
    """
    parts = {name: dict(value) if isinstance(value, Mapping) else value for name, value in content.items()}
    for name in NOT_IDENTITY:
        parts.pop(name, None)
    for section, names in {**PLACES, "cohort": ("format", "same_patients", *PLACES["cohort"])}.items():
        for name in names:
            dict.pop(parts.get(section, {}), name, None)
    _leave_out_hardware(parts.get("trainer", {}))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _leave_out_hardware(trainer: dict[str, Any]) -> None:
    """Take out of the settings of a trainer, in place, what changes no number."""
    trainer.pop("profile", None)
    if trainer.pop("parallel", None) == "folds" or trainer.get("devices") is None:
        trainer["devices"] = 1  # how many folds stand side by side


def environment(config: Config, cohort: str, split_hash: str, identity: str) -> dict[str, Any]:
    """Versions, commit, seed and hashes: what it takes to run it again."""
    return {
        **surroundings(),
        "seed": config.seed,
        "cohort": cohort,
        "split": split_hash,
        "identity": identity,
        "settings": settings_sum(read_value(to_yaml(config))),
        "checksums": "sha256",  # beside every table
    }


def versions_apart(environment: Mapping[str, Any]) -> str:
    """What a run was made with in another version than is installed, in words; "" where there is nothing.

    Args:
        environment: of the run; what it does not tell counts for nothing.
    """
    made, own = environment.get("versions") or {}, _versions()
    return ", ".join(
        f"{name} {made[name]} (here {own[name]})" for name in own if made.get(name, own[name]) != own[name]
    )


def _versions() -> dict[str, str]:
    return {"bcbm": __version__, **{name: version(name) for name in PACKAGES}}


def surroundings() -> dict[str, Any]:
    """Versions, commit and machine that a run is trained with."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": _versions(),
        "commit": _commit(),
    }


def lock_file() -> str:
    """The exact versions of bcbm and of all that it stands on, as `pip install -r` takes them.

    A version of a build alone, as in `2.8.0+cpu`, is on no public index: it stands behind its line.
    """
    lines = [f"# Python {platform.python_version()}", f"bcbm=={__version__}"]
    for name, exact in sorted(_below("bcbm").items()):
        public, _, build = exact.partition("+")
        lines.append(f"{name}=={public}" + (f"  # built as {exact}" if build else ""))
    return "\n".join(lines) + "\n"


def _below(root: str) -> dict[str, str]:
    """By name, the versions of what a distribution needs, of those that are installed, itself left out."""
    versions: dict[str, str] = {}
    waiting = [(name, "") for name in PACKAGES] + [(root, extra) for extra in ["", *_extras(root)]]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        with suppress(PackageNotFoundError):
            about = distribution(name).metadata
            versions[canonicalize_name(name)] = about["Version"]
            for text in about.get_all("Requires-Dist") or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    further = {(needed.name, of) for of in ["", *needed.extras]} - seen
                    seen |= further
                    waiting += further
    versions.pop(canonicalize_name(root), None)
    return versions


def _extras(name: str) -> list[str]:
    try:
        return distribution(name).metadata.get_all("Provides-Extra") or []
    except PackageNotFoundError:  # run from a checkout that is not installed
        return []


def _commit() -> str:
    """The commit of the checkout that this code runs from; a wheel knows none."""
    if (root := checkout()) is None:
        return "unknown"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return "unknown"
    return answer.stdout.strip() or "unknown"
