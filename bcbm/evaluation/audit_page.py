"""The audit as one page that needs nothing else: pictures inside, no script, no network."""

import base64
import math
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SHOWN = 20  # rows of a long table that are open at once
MARKED = 0.05  # false discovery rate of the marked confounders
FEW_LEVELS = 4  # kinds of a column that need no unfolding
CAPTIONS = {
    "burden": "A figure pooled over lesions is a figure of the patients on the left; that is why patients, "
    "not lesions, are split and counted.",
    "volumes": "Volumes of all segmentations by category. Under 10 mm³ a lesion is a handful of voxels, too "
    "few for a shape or a texture; under 100 mm³ most of a crop is surroundings.",
    "places": "Where the lesions that enter lie, by region.",
    "examples": "Slices with the outline of the mask. Look for outlines beside the lesion, mirrored, or on "
    "another structure.",
}


def write_page(audit: dict[str, Any], figures: dict[str, Path], path: Path) -> None:
    """Write the page of an audit, whole or not at all.

    Args:
        audit: the content of `audit.json`.
        figures: PNG files by name, of flow, burden, volumes, places and examples; others are ignored.
        path: the HTML file to write; its folder is made.
    """
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here),
        autoescape=True,  # names come from file names and workbooks
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(whole=_whole, share=_share, number=_number)
    page = environment.get_template("audit_page.html.j2").render(
        audit=audit,
        groups=group_findings(audit["findings"]),
        marked=sum(test["q"] < MARKED for test in audit["confounders"]),
        pictures={name: _embedded(file) for name, file in figures.items()},
        captions={name: text for name, text in CAPTIONS.items() if name in figures},
        shown=SHOWN,
        limit=MARKED,
        few_levels=FEW_LEVELS,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # A file name that is not UTF-8 reaches us with lone surrogates, which cannot be written as such.
        partial.write_text(page, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def group_findings(findings: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Findings by kind, the largest group first: kind, rows, and the remedy where all rows share it."""
    kinds: dict[str, list[dict[str, str]]] = {}
    for finding in findings:
        kinds.setdefault(finding["kind"], []).append(finding)
    groups = []
    for kind, rows in sorted(kinds.items(), key=lambda item: -len(item[1])):
        remedies = {row["remedy"] for row in rows}
        groups.append({"kind": kind, "rows": rows, "remedy": remedies.pop() if len(remedies) == 1 else ""})
    return groups


def _embedded(file: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def _whole(value: int) -> str:
    return f"{value:,}"


def _share(part: float, of: float = 1) -> str:
    return f"{100 * part / of:.0f}\N{NO-BREAK SPACE}%" if of else "n/a"


def _number(value: float | None, digits: int = 2) -> str:
    """A fixed number of digits; what would round to zero is said to be less than the last one."""
    if value is None or math.isnan(value):
        return "n/a"
    least = 10**-digits
    return f"< {least:.{digits}f}" if 0 < value < least else f"{value:.{digits}f}"
