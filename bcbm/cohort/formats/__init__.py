"""Readers of cohorts, a file a format."""

from pathlib import Path

from bcbm.cohort.formats.base import Format
from bcbm.errors import InputError, Problem
from bcbm.system.registry import Registry

FORMATS = Registry(Format, {"tcia": "bcbm.cohort.formats.tcia:TCIA"}, group="bcbm.formats")
SHOWN = 8  # names of files that a message lists


def format_name(name: str, root: Path) -> str:
    """The format of a folder: the one that is named, or with `auto` the one that recognises it.

    Raises:
        InputError: no such folder; no format, or more than one, recognises it.
    """
    if not root.is_dir():
        raise InputError(Problem(str(root), "no such folder", "set cohort.root to the folder of a cohort"))
    if name != "auto":
        return name
    fitting = [known for known, form in FORMATS.items() if form.recognises(root)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        shown = f"looks like {' and '.join(fitting)}"
        raise InputError(Problem(str(root), shown, f"write cohort.format={' or '.join(fitting)}"))
    files = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    shown = f"{', '.join(files[:SHOWN])}{' ...' * (len(files) > SHOWN)}" if files else "nothing"
    known = "; ".join(f"{name} ({form.words})" for name, form in FORMATS.items())
    remedy = f"known formats: {known}; set cohort.root to such a folder, or name one with cohort.format"
    raise InputError(Problem(str(root), f"holds {shown}, which no cohort format recognises", remedy))
