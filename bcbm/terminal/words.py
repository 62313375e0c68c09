"""Words on a screen."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text


def say(console: "Console", text: str) -> None:
    """Print a text as it stands: no markup in it, no colour by guess; see `print_line`."""
    print_line(console, text, markup=False)


def print_line(console: "Console", text: str, markup: bool = True, style: str = "") -> None:
    """Print a line: on a terminal broken between words, elsewhere, as in a log, not at all."""
    from rich.text import Text

    line = Text.from_markup(text, style=style) if markup else Text(text, style=style)
    console.print(Line(line), soft_wrap=True)


class Line:
    """A text that a terminal breaks between words; a word that is wider, such as a path, stays whole."""

    def __init__(self, text: "Text") -> None:
        self.text = text

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Text]":
        offsets, start = [], 0
        for word in re.finditer(r"\S+", self.text.plain) if console.is_terminal else ():
            if word.end() - start > console.width and self.text.plain[start : word.start()].strip():
                start = word.start()
                offsets.append(start)
        for part in self.text.divide(offsets):
            part.rstrip()
            yield part
