"""A long run while it goes: a table above the line of progress of a terminal, and `live.html`."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from bcbm.config.schema import Config
from bcbm.report.pages.page import write_html
from bcbm.report.words import number
from bcbm.runs.curves import Curve, RunCurves

PAGE = "live.html"
EVERY = 10.0  # seconds between two pages, so that they cost nothing beside a training
ROWS = 12  # trainings that a terminal shows
BARS = "▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 420, 160  # of a chart


class LiveRun:
    """The trainings of a run, as far as they have come.

    Args:
        folder: of the run.
        title: its experiment.
        trainings: how many there will be.
        epochs: at most, of each.
    """

    def __init__(self, folder: Path, title: str, trainings: int, epochs: int) -> None:
        self.folder, self.title, self.trainings, self.epochs = folder, title, trainings, epochs
        self.curves = RunCurves(folder)

    def table(self) -> Table | None:
        """A row a training: those that go on, and the last that have ended; None before the first epoch."""
        curves = [curve for curve in self.curves.read() if curve.loss]
        if not curves:
            return None
        going = [curve for curve in curves if not curve.is_finished]
        ended = [curve for curve in curves if curve.is_finished]
        shown = [*ended[len(ended) - max(0, ROWS - len(going)) :][:ROWS], *going][-ROWS:]
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
        table.add_column("training", no_wrap=True)
        for heading in ("epoch", "loss", "valid.", "AUROC"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("by epoch")
        for curve in shown:
            style = "dim" if curve.is_finished else ""
            table.add_row(*_row(curve, self.epochs), _Spark(curve.auroc), style=style)
        return table

    def renew(self) -> None:
        """Write the page, unless one was written a moment ago, by this process or another of the run."""
        page = self.folder / PAGE
        with suppress(FileNotFoundError):
            if time.time() - page.stat().st_mtime < EVERY:
                return
        self._write(is_final=False)

    def finish(self) -> None:
        """Write the page for good, where anything was trained by epochs."""
        if any(self.folder.glob("fold=*/metrics.csv")):
            self._write(is_final=True)

    def _write(self, is_final: bool) -> None:
        curves = [curve for curve in self.curves.read() if curve.loss]
        losses = [curve.loss for curve in curves] + [curve.validation_loss for curve in curves]
        finite = [value for values in losses for value in values if math.isfinite(value)]
        low, high = min(finite, default=0.0), max(finite, default=1.0)
        epochs = max([2, *(len(curve.loss) for curve in curves)])
        write_html(
            "live.html.j2",
            self.folder / PAGE,
            title=self.title,
            is_final=is_final,
            every=math.ceil(EVERY),
            now=datetime.now().strftime("%H:%M:%S"),
            finished=sum(curve.is_finished for curve in curves),
            trainings=self.trainings,
            rows=[(_row(curve, self.epochs), curve.is_finished) for curve in curves],
            size=(WIDTH, HEIGHT),
            charts=[
                ("training loss", (low, high), _lines(curves, "loss", epochs, low, high)),
                ("validation loss", (low, high), _lines(curves, "validation_loss", epochs, low, high)),
                ("validation AUROC", (0.0, 1.0), _lines(curves, "auroc", epochs, 0, 1)),
            ],
            epochs=epochs,
        )


def live_run(config: Config, folder: Path, folds: int) -> LiveRun:
    """The run of an experiment in a folder."""
    return LiveRun(folder, config.experiment, folds * config.members, config.trainer.max_epochs)


def _row(curve: Curve, epochs: int) -> list[str]:
    latest = [number(values[-1], digits) for values, digits in ((curve.loss, 3), (curve.validation_loss, 3))]
    done = f"{len(curve.loss)}" if curve.is_finished else f"{len(curve.loss)}/{epochs}"
    return [curve.name, done, *latest, number(curve.auroc[-1])]


class _Spark:
    """Values between 0 and 1 as bars, the mean of several in one where there are more than columns."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = values

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        places = min(options.max_width, len(self.values))
        edges = [round(place * len(self.values) / places) for place in range(places + 1)]
        bars = "".join(_bar(self.values[start:end]) for start, end in pairwise(edges))
        yield Text("" if options.ascii_only else bars, no_wrap=True)


def _bar(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    return BARS[min(7, int(8 * sum(known) / len(known)))] if known else " "


def _lines(curves: Sequence[Curve], name: str, epochs: int, low: float, high: float) -> list[dict[str, Any]]:
    """Of each training the points of its line in a chart; it breaks where a value is missing."""
    return [
        {"points": points, "is_finished": curve.is_finished, "name": curve.name}
        for curve in curves
        for points in _points(getattr(curve, name), epochs, low, high)
    ]


def _points(values: Sequence[float], epochs: int, low: float, high: float) -> Iterator[str]:
    part: list[str] = []
    for epoch, value in enumerate([*values, math.nan]):
        if math.isfinite(value):
            x, y = epoch / (epochs - 1), (value - low) / ((high - low) or 1)
            part.append(f"{WIDTH * x:.1f},{HEIGHT * (1 - y):.1f}")
        elif part:
            yield " ".join(part)
            part = []
