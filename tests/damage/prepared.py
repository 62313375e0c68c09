"""What is kept of a cohort: crops and records that a disk has damaged are made anew."""

from pathlib import Path

import numpy as np

from damage.kind import ANEW, IMAGES, kind

KEPT = {"given": "prepared", "end": ANEW, "words": IMAGES}


@kind("a crop file that is not there", **KEPT)
def _(folder: Path) -> None:
    _first(folder, "crops/*.npy").unlink()


@kind("a crop file cut short", **KEPT)
def _(folder: Path) -> None:
    _cut(_first(folder, "crops/*.npy"))


@kind("a record of a crop cut short", **KEPT)
def _(folder: Path) -> None:
    _cut(_first(folder, "crops/*.json"))


@kind("a crop with a voxel that is not finite", **KEPT)
def _(folder: Path) -> None:
    path = _first(folder, "crops/*.npy")
    crop = np.load(path)
    crop.flat[0] = np.nan
    np.save(path, crop)


@kind("a record of a crop that is no record", **KEPT)
def _(folder: Path) -> None:
    _first(folder, "crops/*.json").write_text("{}")


@kind("a record of the survey that is no record", **KEPT)
def _(folder: Path) -> None:
    _first(folder, "survey/*.json").write_text("null")


@kind("a record of the survey cut short", **KEPT)
def _(folder: Path) -> None:
    _cut(_first(folder, "survey/*.json"))


@kind("a prepared lesion table cut short", **KEPT)
def _(folder: Path) -> None:
    _cut(folder / "lesions.parquet")


def _first(folder: Path, pattern: str) -> Path:
    return min(folder.glob(pattern))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
