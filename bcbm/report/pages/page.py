"""A page that needs nothing else: pictures inside, no script, no network; written whole or not at all."""

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bcbm.cohort.splits import UNITS
from bcbm.report.words import figure, interval, number, share, signed, thousands
from bcbm.system.files import write_whole


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
    environment.filters.update(thousands=thousands, share=share, number=number, signed=signed)
    environment.filters.update(figure=figure, interval=interval, plural=UNITS.__getitem__)
    page = environment.get_template(template).render(**content)
    write_whole(path, page)


def embedded(file: Path) -> str:
    """A PNG as the address of an `img` that holds it."""
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()
