"""What a shell, a notebook or a terminal has set, made harmless for every command."""

import codecs
import io
import os
import sys

# Our own signs where a terminal has none of them; anything else, such as a file's name, stands as its escape.
SIGNS = {
    "±": "+/-",
    "†": "*",
    "‡": "**",
    "³": "3",
    "²": "2",
    "é": "e",
    "\N{EN DASH}": "-",
    "…": "...",
    "─": "-",
    "━": "-",
}
NARROWEST = 10  # columns of a screen
ERRORS = "bcbm"  # how Python names this way of writing what a stream cannot encode


def any_surroundings() -> None:
    """Draw into files alone, and print on any terminal; to be called before anything is drawn or printed."""
    # A notebook leaves a backend there that this Python need not have, or one that opens windows.
    os.environ["MPLBACKEND"] = "agg"
    if (columns := os.environ.get("COLUMNS", "")).isdigit() and int(columns) < NARROWEST:
        del os.environ["COLUMNS"]  # 0, as some terminals say, would swallow every line
    any_terminal()


def any_terminal() -> None:
    """Let the screen take every text, also one of latin-1 or ASCII, and names that are no text at all."""
    codecs.register_error(ERRORS, _nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def _nearest(error: UnicodeError) -> tuple[str | bytes, int]:
    """What stands for one sign that cannot be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    sign = error.object[error.start]
    return SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode(), error.start + 1
