"""A page that needs nothing else: pictures inside, no script, no network; written whole or not at all."""

import base64
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from bcbm.cohort.splits import UNITS
from bcbm.errors import InputError, Problem, readable
from bcbm.report.words import figure, interval, number, share, signed, thousands
from bcbm.system.files import write_whole
from bcbm.system.words import counted

PNG = b"\x89PNG\r\n\x1a\n"  # how every one begins


def write_html(template: str, path: Path, **content: Any) -> None:
    """Fill a template of this folder and write it.

    Args:
        template: file name of the template.
        path: the HTML file to write; its folder is made.
        content: what the template calls by name; a name that is missing is an error.

    Raises:
        InputError: something that the template calls is not there, or is of another kind.
    """
    try:
        page = _environment().get_template(template).render(**content)
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        found = f"cannot be written: a record that it shows is not what was recorded ({error})"
        raise InputError(
            Problem(str(path), found, "run the commands again that wrote the records")
        ) from error
    write_whole(path, page)


@cache
def _environment() -> Environment:
    """Templates and what they call; a template is read once, as a page that is renewed asks for it often."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=True,  # names come from file names, workbooks and configurations
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        thousands=thousands, share=share, number=number, signed=signed, counted=counted
    )
    environment.filters.update(figure=figure, interval=interval, plural=UNITS.__getitem__)
    return environment


def embedded(folder: Path, name: str, remedy: str = "draw it anew") -> str:
    """A PNG as the address of an `img` that holds it.

    What a page holds is passed on with it, so that no other file may get in, whoever has named it.

    Args:
        folder: where it lies.
        name: of the file in that folder.
        remedy: what to do where it is no picture.

    Raises:
        InputError: the name leads out of the folder, or the file is a link or no PNG.
    """
    file = folder / str(name)
    if file.parent != folder or file.name != name or file.is_symlink():
        raise InputError(Problem(str(folder), f"'{name}' is not the name of a file in this folder", remedy))
    with readable(file, remedy):
        content = file.read_bytes() if file.is_file() else b""
    if not content.startswith(PNG):
        raise InputError(Problem(str(file), "is not a PNG, and would be in the page", remedy))
    return "data:image/png;base64," + base64.b64encode(content).decode()
