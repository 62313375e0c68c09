"""What is kept of a cohort: crops and records that a disk has damaged are made anew."""

from pathlib import Path

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
