"""What is kept of a cohort: crops and records that a disk has damaged are made anew."""

from pathlib import Path

import numpy as np

from damage.kind import ANEW, IMAGES, REFUSED, kind

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


@kind("two records of crops of one size, exchanged", **KEPT)
def _(folder: Path) -> None:
    by_size: dict[int, list[Path]] = {}
    for crops in sorted(folder.glob("crops/*.npy")):
        by_size.setdefault(crops.stat().st_size, []).append(crops)
    first, second = next(same for same in by_size.values() if len(same) > 1)[:2]
    for ending in (".npy", ".json"):
        one, other = first.with_suffix(ending), second.with_suffix(ending)
        content = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)


@kind("a record of the survey in place of one of a crop", **KEPT)
def _(folder: Path) -> None:
    _first(folder, "crops/*.json").write_bytes(_first(folder, "survey/*.json").read_bytes())


@kind(
    "a prepared lesion table that is a folder",
    "lesions.parquet",
    "remove the folder",
    **KEPT | {"end": REFUSED},
)
def _(folder: Path) -> None:
    (folder / "lesions.parquet").unlink()
    (folder / "lesions.parquet").mkdir()


@kind("a prepared lesion table cut short", **KEPT)
def _(folder: Path) -> None:
    _cut(folder / "lesions.parquet")


def _first(folder: Path, pattern: str) -> Path:
    return min(folder.glob(pattern))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
