"""Progress of long work: a line that is kept up to date on a terminal, one every half minute elsewhere."""

import math
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bcbm.system.files import bytes_of
from bcbm.system.words import duration, size
from bcbm.terminal.words import say

EVERY = 30.0  # seconds between two lines where there is no terminal
LONG = 60.0  # seconds of work from which on it is said beforehand how long it will take
PROMPT = 2.0  # seconds: what is done sooner was there before
LOGGED = 1000  # columns of a line where there is no terminal
BAR = 8  # columns of a terminal below which a bar says nothing


class LiveLine:
    """A line of text with a bar behind it; without a terminal the text alone, every half minute.

    Args:
        console: where; nothing is shown on a quiet one.
        text: makes the line, of at most so many columns.
        share: how much is done, from 0 to 1; None where nobody knows.
        alone: a thread prints it; else `tick` does, which whoever starts processes by fork has to call.
        above: what a terminal shows above it, if anything.
    """

    def __init__(
        self,
        console: Console,
        text: Callable[[int], str],
        share: Callable[[], float | None],
        alone: bool = True,
        above: Callable[[], RenderableType | None] = lambda: None,
    ) -> None:
        self.console, self.text, self.share, self.above = console, text, share, above
        self.ended, self.printed = threading.Event(), perf_counter()
        self.live: Live | None = None
        self.thread: threading.Thread | None = None
        if console.is_terminal and not console.quiet:
            self.live = Live(
                get_renderable=self._rendered, console=console, transient=True, refresh_per_second=4
            )
        elif alone and not console.quiet:
            self.thread = threading.Thread(target=self._print, daemon=True)

    def start(self) -> None:
        """Show it from now on."""
        if self.live:
            self.live.start()
        elif self.thread:
            self.thread.start()

    def tick(self) -> None:
        """Print it where there is no terminal and the last line is half a minute old."""
        if not self.live and perf_counter() - self.printed >= EVERY:
            self.printed = perf_counter()
            say(self.console, self.text(LOGGED))

    def stop(self) -> None:
        """Take it away."""
        self.ended.set()
        if self.live:
            self.live.stop()
        elif self.thread and self.thread.is_alive():
            self.thread.join()

    def _print(self) -> None:
        while not self.ended.wait(EVERY):
            say(self.console, self.text(LOGGED))

    def _rendered(self) -> Group:
        width = self.console.width
        text = Text(self.text(width), no_wrap=True)
        table = Table.grid(padding=(0, 1, 0, 0))
        room, share = width - text.cell_len - 1, self.share()
        bar = [ProgressBar(1, share or 0, width=room, pulse=share is None)] if room >= BAR else []
        table.add_row(text, *bar)
        above = self.above()
        return Group(table) if above is None else Group(above, table)


class Course:
    """How far work has come, and how long it will take.

    Args:
        description: what is done.
        total: of how many; None where nobody knows.
        folder: what is written into it is counted as the disk that the work takes.
    """

    def __init__(
        self, description: str, total: int | None, folder: Path | None = None, at_once: int = 1
    ) -> None:
        self.description, self.total, self.folder, self.at_once = description, total, folder, at_once
        self.began, self.done, self.before = perf_counter(), 0, 0
        self.taken = bytes_of(folder) if folder else 0

    def advance(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        if self.seconds < PROMPT:
            self.before = self.done

    @property
    def seconds(self) -> float:
        """Since it began."""
        return perf_counter() - self.began

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def left(self) -> float | None:
        """Seconds that are left, at the pace so far; None where it is not known."""
        worked = math.ceil((self.done - self.before) / self.at_once) * self.at_once
        ahead = max(0, self.total - self.before - worked) if self.total else 0
        return self.seconds / worked * ahead if self.total and worked else None

    def text(self, width: int) -> str:
        """The line of now."""
        count = f"{self.done:,} of {self.total:,}" if self.total else ""
        ahead = left(self.left) if self.left is not None else f"{duration(self.seconds)} so far"
        return fitting(self.description, [ahead, count], [count, ahead], width)

    def outlook(self) -> str:
        """What all of it takes: time, disk and the memory of now; empty where that is not long."""
        if self.left is None or self.total is None or self.seconds + self.left < LONG:
            return ""
        text = f"{self.description}: {self.total:,} in about {duration(self.seconds + self.left)}"
        if self.folder and (written := bytes_of(self.folder) - self.taken) > 0:
            disk = written / (self.done - self.before) * (self.total - self.before)
            free = shutil.disk_usage(self.folder).free
            text += f", {size(disk)} on disk ({size(free)} are free)"
        return f"{text}, {size(_memory())} of memory"


@contextmanager
def progress_bar(
    console: Console,
    description: str,
    total: int | None = None,
    folder: Path | None = None,
    at_once: int = 1,
    above: Callable[[], RenderableType | None] = lambda: None,
) -> Iterator[Callable[[int], None]]:
    """Show how work goes; yields what moves it on. Long work says what it will take as soon as that is known.

    Args:
        console: where.
        description: what is done.
        total: of how many; None where nobody knows.
        folder: where it is written.
        at_once: how many come to their end at about the same time, as they are done side by side.
        above: what a terminal shows above it, if anything.
    """
    course, foreseen = Course(description, total, folder, at_once), False

    def advance(count: int) -> None:
        nonlocal foreseen
        course.advance(count)
        if not foreseen and course.left is not None:
            foreseen = True
            if outlook := course.outlook():
                say(console, outlook)

    line = LiveLine(console, course.text, lambda: course.share, above=above)
    line.start()
    try:
        yield advance
    finally:
        line.stop()


def fitting(head: str, by_weight: Sequence[str], in_order: Sequence[str], width: int) -> str:
    """A line of a head and those parts, the weightiest first, that are whole within a width.

    Example:
        >>> fitting("fold 3", ["5 min left", "loss 0.61"], ["loss 0.61", "5 min left"], 20)
        'fold 3: 5 min left'
    """
    chosen: list[str] = []
    line = head
    for part in filter(None, by_weight):
        parts = [name for name in in_order if name in [*chosen, part]]
        if len(longer := f"{head}: {', '.join(parts)}") <= width:
            chosen, line = parts, longer
    return line


def left(seconds: float) -> str:
    """Time that is left, in words."""
    return f"{duration(seconds) if round(seconds) >= 60 else 'under 1 min'} left"


def _memory() -> int:
    """The memory of this process and of those that it has started, bytes."""
    import psutil

    total = 0
    process: Any = psutil.Process()
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.Error:  # it has ended
            continue
    return total
