"""Readers of cohorts, a file a format."""

import os
from pathlib import Path

from bcbm.cohort.formats.base import Format
from bcbm.errors import InputError, Problem
from bcbm.system.registry import Registry
from bcbm.system.words import listed

FORMATS = Registry(
    Format,
    {
        "tcia": "bcbm.cohort.formats.tcia:TCIA",
        "manifest": "bcbm.cohort.formats.manifest:MANIFEST",
        "bids": "bcbm.cohort.formats.bids:BIDS",
    },
    group="bcbm.formats",
)
SHOWN = 8  # names of files that a message lists
LEVELS = 3  # that a root may lie too deep: a file of a study in the folder of images of a download


def format_name(name: str, root: Path) -> str:
    """The format of a cohort: the one that is named, or with `auto` the one that knows it.

    Raises:
        InputError: no such folder; no format, or more than one, recognises it. Where a cohort lies a few
            levels above or one below, it says so.
    """
    if not root.is_dir() and not any(form.recognises(root) for form in FORMATS.values()):
        found = "is a file" if root.exists() else "no such folder"
        remedy = _nearby(root) or "set cohort.root to the folder of a cohort"
        raise InputError(Problem(str(root), found, remedy))
    if name != "auto":
        if not FORMATS[name].recognises(root) and (remedy := _nearby(root)):
            raise InputError(Problem(str(root), f"is no folder of {name}", remedy))
        return name
    fitting = [known for known, form in FORMATS.items() if form.recognises(root)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        shown = f"looks like {' and '.join(fitting)}"
        raise InputError(Problem(str(root), shown, f"write cohort.format={' or '.join(fitting)}"))
    files = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    shown = listed(files, SHOWN) or "nothing"
    known = "; ".join(f"{name} ({form.words})" for name, form in FORMATS.items())
    remedy = f"known formats: {known}; set cohort.root to such a folder, or name one with cohort.format"
    remedy = _nearby(root) or remedy
    raise InputError(Problem(str(root), f"holds {shown}, which no cohort format recognises", remedy))


def _nearby(root: Path) -> str:
    """The cohort that a root misses by a few levels, in words; empty unless there is exactly one."""
    above = [folder for folder in list(root.absolute().parents)[:LEVELS] if folder.is_dir()]
    inside = sorted(root.iterdir()) if root.is_dir() else []
    below = [path for path in inside if path.is_dir() and os.access(path, os.R_OK | os.X_OK)]
    for folders, direction in ((above, "too deep"), (below, "too high")):
        cohorts = [path for path in folders if any(form.recognises(path) for form in FORMATS.values())]
        if len(cohorts) == 1:
            return f"it lies {direction}: set cohort.root={cohorts[0]}"
    return ""
