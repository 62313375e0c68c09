"""A page that needs nothing else: pictures inside, no script, no network; written whole or not at all."""

import base64
import math
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bcbm.evaluation.summary import UNDEFINED


def write_html(template: str, path: Path, **content: Any) -> None:
    """Fill a template of this folder and write it.

    Args:
        template: file name of the template.
        path: the HTML file to write; its folder is made.
        content: what the template calls by name; a name that is missing is an error.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names come from file names, workbooks and configurations
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(whole=whole, share=share, number=number, signed=signed)
    environment.filters.update(figure=figure, interval=interval)
    page = environment.get_template(template).render(**content)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # A file name that is not UTF-8 reaches us with lone surrogates, which cannot be written as such.
        partial.write_text(page, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def embedded(file: Path) -> str:
    """A PNG as the address of an `img` that holds it."""
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def whole(value: int) -> str:
    """A count with separated thousands."""
    return f"{value:,}"


def share(part: float, of: float = 1) -> str:
    """A part in percent; none of nothing."""
    return f"{100 * part / of:.0f}\N{NO-BREAK SPACE}%" if of else "n/a"


def number(value: float | None, digits: int = 2) -> str:
    """A fixed number of digits; what would round to zero is said to be less than the last one."""
    if value is None or math.isnan(value):
        return "n/a"
    least = 10**-digits
    return f"< {least:.{digits}f}" if 0 < value < least else f"{value:.{digits}f}"


def signed(value: float) -> str:
    """A difference with its sign, also where it rounds to 0.00: only what is 0 has none."""
    if math.isnan(value):
        return "n/a"
    nothing = abs(value) < 1e-12  # equal but for the last digits of its sums
    return "0.00" if nothing else f"{value:+.2f}"


def figure(value: float, digits: int = 2) -> str:
    """A figure of a receptor, or why there is none."""
    return UNDEFINED if math.isnan(value) else f"{value:.{digits}f}"


def interval(block: dict[str, Any], name: str = "auroc") -> str:
    """A figure of a block with its interval, as in `0.81 [0.70, 0.90]`."""
    if math.isnan(block[name]):
        return UNDEFINED
    low, high = block.get(f"{name}_low", math.nan), block.get(f"{name}_high", math.nan)
    bounds = "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]"
    return f"{block[name]:.2f}{bounds}"
