"""All runs of a folder as one page that is sorted and filtered where it is read."""

import base64
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from bcbm.cohort.targets import in_order
from bcbm.report.pages.page import write_html
from bcbm.runs.overview import PageLine, RunLine, differences, page_lines, run_lines

SCRIPT = Path(__file__).parents[1] / "templates" / "overview.js"
SHOWN = 4  # settings of a run that are open at once


def write_overview(root: Path) -> Path:
    """Write `index.html` into a folder of runs; returns the page."""
    return write_lines(root, run_lines(root), page_lines(root))


def write_lines(root: Path, runs: list[RunLine], pages: list[PageLine]) -> Path:
    """Write `index.html` from what `run_lines` and `page_lines` have read of the same folder."""
    page = root / "index.html"
    script = SCRIPT.read_text(encoding="utf-8").rstrip("\n")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    write_html(
        "overview.html.j2",
        page,
        runs=runs,
        pages=pages,
        targets=targets_of(runs),
        differences={place: _words(values) for place, values in differences(runs).items()},
        leaky=sum(bool(run.leaky) for run in runs),
        shown=SHOWN,
        written=datetime.now(),
        script_sum=digest,  # the only script that a browser runs on this page
    )
    return page


def targets_of(runs: list[RunLine]) -> list[str]:
    """The targets that any of the runs predicts."""
    return in_order({name for run in runs for name in run.blocks} - {"mean"})


def _words(values: dict[str, Any]) -> list[str]:
    """Settings as `key=value`."""
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in sorted(values.items())
    ]
