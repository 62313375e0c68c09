"""What lies in a folder of runs: every run with its figures, and the pages of everything else."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from yaml import YAMLError

from bcbm.config.compose import flattened, renamed
from bcbm.config.reading import read_value
from bcbm.runs.finished import SITES_PAGE, read_results
from bcbm.runs.folder import NAME
from bcbm.runs.identity import NOT_IDENTITY, PLACES
from bcbm.runs.tables import sum_of
from bcbm.system.files import read_json

PAGES = {
    "audit": "*/audit.html",
    "compare": "*/report.html",
    "leakcheck": "*/*/leakcheck.png",
    "sweeps": "*/*/report.html",
}  # what is no run: the folder beside those of experiments, and where its pages lie in it
VALIDATIONS = ("*/validation.json", "*/*/validation.json")  # which are written where one likes
READ_AGAIN = "fit its experiment again in another folder, or remove it"
SHOWN_APART = ("experiment", "seed", "split.unit")  # have columns of their own


@dataclass(frozen=True)
class RunLine:
    """A run of a folder of runs.

    Attributes:
        place: where it lies in that folder.
        begun: when its configuration was written first, as far as its name tells, else when last.
        experiment: its name.
        state: `finished`, how many folds it has, or why it cannot be read.
        cohort: content hash; empty where it is not known.
        unit: what its split keeps whole.
        leaky: whether parts of its folds share patients or lesions; None while that is not counted.
        blocks: by target and `mean`, AUROC with its ends; empty while it is not finished.
        settings: flat, without what makes no difference to a number.
        report: place of its page; None while there is none.
        sites: place of the page of the sites that it holds out, likewise.
    """

    place: str
    begun: datetime
    experiment: str
    state: str
    cohort: str = ""
    unit: str = ""
    seed: str = ""
    leaky: bool | None = None
    blocks: dict[str, dict[str, float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    report: str | None = None
    sites: str | None = None


@dataclass(frozen=True)
class PageLine:
    """A page of a folder of runs that is none of a run: its kind, its name, its place and its time."""

    kind: str
    name: str
    place: str
    written: datetime


def run_lines(root: Path) -> list[RunLine]:
    """Every run of a folder of runs, the newest first; one that is damaged is there with its damage."""
    lines = [_line(folder, root) for folder in _runs(root)]
    return sorted(lines, key=lambda line: (line.begun, line.place), reverse=True)


def page_lines(root: Path) -> list[PageLine]:
    """Every page that audit, compare, leakcheck, sweep and validate have written there, the newest first."""
    pages = [(kind, page, root / kind) for kind, where in PAGES.items() for page in (root / kind).glob(where)]
    records = (record for where in VALIDATIONS for record in root.glob(where))
    pages += [("validate", record.with_name("report.html"), root) for record in records]
    lines = []
    for kind, page, home in pages:
        name = "/".join(page.relative_to(home).parts[:-1])
        with suppress(FileNotFoundError):  # removed after it was listed
            written = datetime.fromtimestamp(page.stat().st_mtime)
            lines.append(PageLine(kind, name, page.relative_to(root).as_posix(), written))
    return sorted(lines, key=lambda line: (line.written, line.place), reverse=True)


def differences(lines: Sequence[RunLine]) -> dict[str, dict[str, Any]]:
    """By place, the settings in which a run is not as more of the runs are than have any other value.

    Where no value is more common than the others, every run has its own.
    """
    values = {name for line in lines for name in line.settings}
    usual: dict[str, str | None] = {}
    for name in values:
        written = Counter(json.dumps(line.settings[name]) for line in lines if name in line.settings)
        (value, count), *others = written.most_common(2)
        usual[name] = None if others and others[0][1] == count else value
    return {
        line.place: {name: value for name, value in line.settings.items() if json.dumps(value) != usual[name]}
        for line in lines
    }


def _runs(root: Path) -> Iterator[Path]:
    """Folders that hold a configuration; what lies in them is theirs."""
    for here, folders, files in os.walk(root):
        if "config.yaml" in files:
            folders.clear()
            yield Path(here)
        elif Path(here) == root:
            folders[:] = [name for name in folders if name not in PAGES]
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def _line(folder: Path, root: Path) -> RunLine:
    place = folder.relative_to(root).as_posix()
    begun = _begun(folder)
    try:
        content = renamed(read_value((folder / "config.yaml").read_text(encoding="utf-8")))
        surroundings = read_json(folder / "environment.json", READ_AGAIN)
        folds = len(read_json(folder / "split.json", READ_AGAIN)["folds"])
        line = RunLine(
            place,
            begun,
            str(content["experiment"]),
            f"{len(list(folder.glob('fold=*/predictions.parquet')))} of {folds} folds",
            cohort=str(surroundings["cohort"]),
            unit=str(content["split"]["unit"]),
            seed=str(content["seed"]),
            settings={name: value for name, value in flattened(content).items() if _counts(name)},
            report=f"{place}/report.html" if (folder / "report.html").is_file() else None,
            sites=f"{place}/{SITES_PAGE}" if (folder / SITES_PAGE).is_file() else None,
        )
        results = folder / "results.json"
        if not results.is_file():
            return line
        if not sum_of(results).is_file():
            return replace(line, state=f"of an earlier version: bcbm evaluate {place}")
        figures = read_results(folder, surroundings["identity"])
        blocks = {target: block["patient"] for target, block in figures["receptors"].items()}
        return replace(
            line,
            state="finished",
            leaky=figures["leaky"],
            blocks={
                name: {key: block[key] for key in ("auroc", "auroc_low", "auroc_high")}
                for name, block in {**blocks, "mean": figures["mean"]}.items()
            },
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, YAMLError) as error:
        damage = " ".join(str(error).split()).replace(str(folder), place)
        return RunLine(place, begun, folder.parent.name, f"cannot be read: {damage}")


def _begun(folder: Path) -> datetime:
    """When a run was begun, by its name; of one that was named otherwise, when its split was written.

    Of one that was removed after it was listed, the beginning of 1970.
    """
    with suppress(ValueError):
        return datetime.strptime(folder.name.rstrip("+"), NAME)
    for name in ("split.json", "config.yaml"):
        with suppress(OSError):
            return datetime.fromtimestamp((folder / name).stat().st_mtime)
    return datetime.fromtimestamp(0)


def _counts(name: str) -> bool:
    """Whether a dotted key can make a run another one, and has no column of its own."""
    section, _, key = name.partition(".")
    return section not in NOT_IDENTITY and key not in PLACES.get(section, ()) and name not in SHOWN_APART
