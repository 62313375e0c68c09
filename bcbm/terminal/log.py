"""`log.txt` of a run: what its commands have printed, each line with its time, and how they ended."""

import io
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleRenderable, RenderHook
from rich.control import Control
from rich.text import Text

from bcbm.errors import ConfigError, InputError, Note
from bcbm.system.version import __version__

FILE = "log.txt"
WIDTH = 110  # columns of a table; lines are not broken


class RunLog(RenderHook):
    """Writes down what a console prints, a quiet one too; what came before it has a folder, first.

    A log that cannot be written stops nothing.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.waiting: list[str] = []

    def keep_in(self, folder: Path) -> None:
        """Write into the log of this folder, behind what is there."""
        self.path, waiting = folder / FILE, self.waiting
        self.waiting = []
        self._append("".join(waiting))

    def write(self, text: str) -> None:
        """Write lines with the time of now; blanks alone are none."""
        if not text.strip():
            return
        now = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
        self._append("".join(f"{now} {line.rstrip()}\n" for line in text.splitlines()))

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Take what is about to be printed, as it would stand in a file."""
        text = io.StringIO()
        console = Console(file=text, width=WIDTH, highlight=False, color_system=None)
        for item in renderables:
            if not isinstance(item, Control):  # of a line that is kept up to date
                console.print(item, end=item.end if isinstance(item, Text) else "", soft_wrap=True)
        self.write(text.getvalue())
        return renderables

    def _append(self, text: str) -> None:
        if self.path is None:
            self.waiting.append(text)
            return
        with suppress(OSError), self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)


@contextmanager
def logged(console: Console, folder: Path | None = None) -> Iterator[RunLog]:
    """Log what is printed inside, notes too, and an error that ends it.

    Args:
        console: what is printed to.
        folder: of the run; None: it is not known before `keep_in`.
    """
    log, others = RunLog(), warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        log.write(f"{'note' if issubclass(category, Note) else category.__name__} {message}")
        others(message, category, *place, **more)

    log.write(f"bcbm {__version__} {' '.join(sys.argv[1:])}")
    if folder:
        log.keep_in(folder)
    console.push_render_hook(log)
    warnings.showwarning = show
    try:
        yield log
    except (ConfigError, InputError) as error:
        log.write("\n".join(f"error {line}" for line in str(error).splitlines()))
        raise
    except KeyboardInterrupt:
        log.write("interrupted")
        raise
    except BaseException:
        log.write(traceback.format_exc())
        raise
    finally:
        warnings.showwarning = others
        console.pop_render_hook()
