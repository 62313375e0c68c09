"""A model on disk: a folder that is there whole or not at all, laid out as MONAI's bundles are.

| file | what is in it |
|---|---|
| `configs/metadata.json` | what MONAI's tools read of a bundle, and ours under `bcbm` |
| `configs/experiment.yaml` | the configuration that preparation needs |
| `models/NAME.safetensors`, `.json` | the arrays of a network or traditional model, and all else of it |
| `models/encoder.safetensors`, `.yaml` | of a pretrained network that encodes crops: weights and card |
| `training.json`, `ranges.safetensors` | what the training lesions were like, taken together |
| `out-of-fold.json` | probabilities of patients that a fold had not seen, by class, for conformal sets |
| `results.json` | the figures of its run |
| `docs/README.md` | the model card |
| `checksums.txt` | the SHA-256 of every other file, as `sha256sum --check` reads it |
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bcbm.errors import InputError, Problem, readable
from bcbm.system.content import file_sum
from bcbm.system.files import read_json, write_whole
from bcbm.system.version import __version__

FORMAT = 3  # counts up whenever another version could not read what is written
METADATA, EXPERIMENT = "configs/metadata.json", "configs/experiment.yaml"
TRAINING, RANGES, RESULTS = "training.json", "ranges.safetensors", "results.json"
OUT_OF_FOLD = "out-of-fold.json"
ENCODER, ENCODER_CARD = "models/encoder.safetensors", "models/encoder.yaml"
REFITTED = "all"  # the name of a training on all patients
CARD, SUMS = "docs/README.md", "checksums.txt"
ALWAYS = (EXPERIMENT, TRAINING, RANGES, OUT_OF_FOLD, RESULTS, CARD)  # in every model, beside its networks
PLACE = 66  # where the name of a file begins in its line of SUMS
AGAIN = "copy the model again from where it was exported, or export its run again"
# Of the configuration, what preparation and batches read; no place of a file is among it.
PREPARED = {
    "cohort": ("policy", "position", "overlap", "form", "parts", "label_value", "targets"),
    "features": (
        *("radiomics", "axes", "crop_size", "crop_spacing", "crop_margin", "crop_intensity"),
        *("harmonise", "shells", "coordinates"),
    ),
    "task": ("targets", "modalities", "sequences", "missing", "aggregate"),
    "model": (
        "kind",
        "encoder",
        "stem",
        "stem_stride",
        "max_pool",
        "widen",
        "mask_channel",
        "shell_channels",
    ),
}


def network_files(name: str) -> tuple[str, str]:
    """The files of a network: weights, and all else."""
    return f"models/{name}.safetensors", f"models/{name}.json"


def write_bundle(folder: Path, files: Mapping[str, bytes | str]) -> None:
    """Write a model in one step.

    Args:
        folder: to be made.
        files: content by its place in the folder.

    Raises:
        InputError: as `require_absent`.
        OSError: the disk refuses; nothing is left behind.
    """
    require_absent(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        for name, content in files.items():
            write_whole(partial / name, content)
        write_whole(partial / SUMS, "".join(_line(partial, name) for name in sorted(files)))
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_absent(folder: Path) -> None:
    """Refuse to write a model over something.

    Raises:
        InputError: there is something of that name.
    """
    if folder.exists():
        raise InputError(Problem(str(folder), "is there already", "remove it, or give another out="))


def check_bundle(folder: Path) -> dict[str, Any]:
    """Hold every file of a model against its sum, then its format against this version.

    Returns:
        What `configs/metadata.json` holds.

    Raises:
        InputError: it is not a model, a file is missing or has a byte changed, or a newer version wrote it.
    """
    if not (folder / SUMS).is_file():
        found = f"is not a model: it has no {SUMS}"
        raise InputError(Problem(str(folder), found, "give the folder that bcbm export has written"))
    names = set()
    with readable(folder / SUMS, AGAIN):
        lines = (folder / SUMS).read_bytes().decode().splitlines(keepends=True)
    for line in lines:
        name = line[PLACE:].removesuffix("\n")
        names.add(name)
        with readable(folder / name, AGAIN):
            if line != _line(folder, name):
                found = f"is damaged or was changed: its SHA-256 is not the one in {SUMS}"
                raise InputError(Problem(str(folder / name), found, AGAIN))
    metadata: dict[str, Any] = read_json(folder / METADATA, AGAIN)
    with readable(folder / METADATA, AGAIN):
        version, author = metadata["bcbm"]["format"], metadata["bcbm"]["version"]
        if type(version) is not int or type(metadata["bcbm"].get("leaky", False)) is not bool:
            raise ValueError("its format is no number, or whether it is leaky no yes or no")
        networks = [file for name in metadata["bcbm"]["networks"] for file in network_files(name)]
        networks += [ENCODER, ENCODER_CARD] if metadata["bcbm"].get("encoder") else []
    if version > FORMAT:
        found = f"is a model of format {version}, written by bcbm {author}, and bcbm {__version__} reads "
        raise InputError(Problem(str(folder), f"{found}format {FORMAT}", f"install bcbm {author} or later"))
    if version < FORMAT:
        found = f"is a model of format {version}, and bcbm {__version__} reads format {FORMAT}"
        raise InputError(Problem(str(folder), found, "export its run again"))
    if absent := {METADATA, *ALWAYS, *networks} - names:
        raise InputError(Problem(str(folder / SUMS), f"does not name {min(absent)}", AGAIN))
    return metadata


def bundle_sum(folder: Path) -> str:
    """The identity of a model: a sum of its sums."""
    return file_sum(folder / SUMS)[:16]


def read_part(folder: Path, name: str) -> dict[str, Any]:
    """What a JSON file of a model holds."""
    part: dict[str, Any] = read_json(folder / name, AGAIN)
    return part


def _line(folder: Path, name: str) -> str:
    """The line of a file in the list of sums."""
    return f"{file_sum(folder / name)}  {name}\n"
