"""How the trainings of a run go, read from their `metrics.csv` while these are written."""

import csv
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOSS, VALIDATION_LOSS, AUROC = "train/loss", "val/loss", "val/auroc"
PLACE = re.compile(r"fold=(\d+)(?:/seed=(\d+))?/metrics\.csv")
PREDICTED = "predicted.parquet"  # of a training whose fold has others to come


@dataclass(frozen=True)
class Curve:
    """One training: of each epoch so far its losses and its validation AUROC, NaN where there is none.

    Nothing of it looks at test patients, whom a run looks at once, when all folds are there.
    """

    name: str
    loss: list[float]
    validation_loss: list[float]
    auroc: list[float]
    is_finished: bool


class RunCurves:
    """The curves of a run, of which only those are read again that have grown.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, tuple[tuple[int, int], Curve]] = {}

    def read(self) -> list[Curve]:
        """The trainings that have begun, in order; one whose file is just being written as it was before."""
        places = {}
        for path in (*self.folder.glob("fold=*/metrics.csv"), *self.folder.glob("fold=*/seed=*/metrics.csv")):
            if match := PLACE.fullmatch(path.relative_to(self.folder).as_posix()):
                places[int(match[1]), int(match[2] or 0)] = path
        seeds = any(seed for _, seed in places)
        curves = []
        for (fold, seed), path in sorted(places.items()):
            name = f"fold {fold}" + f", seed {seed}" * seeds
            if (curve := self._read(path, name)) is not None:
                curves.append(curve)
        return curves

    def _read(self, path: Path, name: str) -> Curve | None:
        known = self._known.get(path)
        with suppress(OSError, ValueError, KeyError):
            state = path.stat()
            version = state.st_mtime_ns, state.st_size
            fold = path.parents[path.parent.name.startswith("seed=")]
            is_finished = (fold / "predictions.parquet").is_file() or (path.parent / PREDICTED).is_file()
            if known is None or known[0] != version or known[1].is_finished != is_finished:
                self._known[path] = version, _parsed(path, name, is_finished)
        return self._known[path][1] if path in self._known else None


def _parsed(path: Path, name: str, is_finished: bool) -> Curve:
    """The curve that a file holds, whose rows of training and of validation stand apart.

    Raises:
        ValueError, KeyError: it is torn.
    """
    epochs: dict[int, dict[str, float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            numbers = {key: float(row[key]) for key in (LOSS, VALIDATION_LOSS, AUROC) if row.get(key)}
            epochs.setdefault(int(float(row["epoch"])), {}).update(numbers)
    rows = [numbers for _, numbers in sorted(epochs.items()) if LOSS in numbers]
    losses, validation, aurocs = (
        [numbers.get(key, math.nan) for numbers in rows] for key in (LOSS, VALIDATION_LOSS, AUROC)
    )
    return Curve(name, losses, validation, aurocs, is_finished)
