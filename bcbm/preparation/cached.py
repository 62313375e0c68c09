"""What lies in the cache: embedded cohorts, and cohorts that were prepared."""

import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from bcbm.errors import InputError, Problem, readable
from bcbm.preparation.lists import is_corrected
from bcbm.system.files import bytes_of

KINDS = ("prepared-", "synthetic-")  # how the names of ours begin
LEDGER = "ledger"


@dataclass(frozen=True)
class CachedFolder:
    """A folder of the cache.

    Attributes:
        name: of the folder.
        cohort: what is in it, in words.
        size: bytes.
        used: when a command last read or wrote its table.
    """

    name: str
    cohort: str
    size: int
    used: datetime


def cached_folders(cache: Path) -> list[CachedFolder]:
    """What commands have written into the cache, the one that was used last first."""
    folders = [path for path in cache.glob("*") if path.is_dir() and path.name.startswith(KINDS)]
    rows = [CachedFolder(path.name, _cohort(path), bytes_of(path), _used(path)) for path in folders]
    return sorted(rows, key=lambda row: (row.used, row.name), reverse=True)


def remove_cached(cache: Path, names: list[str]) -> None:
    """Remove folders of the cache, all but their ledgers and lists that a person has corrected; the rest is
    made again when it is needed.

    Raises:
        InputError: one of the names is none of a folder that commands have written there; nothing is removed.
    """
    there = [row.name for row in cached_folders(cache)]
    remedy = "write a name that bcbm cache lists"
    if strangers := [name for name in names if name not in there]:
        raise InputError(
            *(Problem(str(cache), f"holds no '{name}' of bcbm's own", remedy) for name in strangers)
        )
    for name in names:
        with readable(cache / name, "remove it by hand"):
            for path in (cache / name).iterdir():
                if path.is_file() and not is_corrected(path):
                    path.unlink()
                elif path.is_dir() and path.name != LEDGER:  # looks at test patients stay counted
                    shutil.rmtree(path)
            if not any((cache / name).iterdir()):
                (cache / name).rmdir()


def _cohort(folder: Path) -> str:
    table = folder / "lesions.parquet"
    if table.is_file():
        with readable(table, "prepare the cohort again"):
            rows = pd.read_parquet(table, columns=["patient_id"])
        return f"{rows['patient_id'].nunique()} patients, {len(rows)} segmentations"
    if (folder / "cohort.json").is_file():
        with readable(folder / "cohort.json", "remove it"):
            content = json.loads((folder / "cohort.json").read_text())
        return f"embedded: {content['patients']} patients"
    return "its ledger alone" if (folder / LEDGER).is_dir() else "not finished"


def _used(folder: Path) -> datetime:
    files = [folder / name for name in ("lesions.parquet", "cohort.json")]
    times = [path.stat().st_mtime for path in [folder, *files] if path.exists()]
    return datetime.fromtimestamp(max(times))
