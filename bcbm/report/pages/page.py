"""A page that needs nothing else: pictures inside, no script, no network; written whole or not at all."""

import base64
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bcbm.report.words import figure, interval, number, share, signed, whole


def write_html(template: str, path: Path, **content: Any) -> None:
    """Fill a template of this folder and write it.

    Args:
        template: file name of the template.
        path: the HTML file to write; its folder is made.
        content: what the template calls by name; a name that is missing is an error.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
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
