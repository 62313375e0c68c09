"""The ledger beside a prepared cohort: the configurations whose outer test patients have been looked at.

An entry is a file named by a run's identity and never written again, so that any number of processes may add
theirs. Who tries many configurations on the same patients and reports the best one reports chance with it.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bcbm.statistics.results import LedgerBlock
from bcbm.system.files import write_whole


def enter(ledger: Path, identity: str, experiment: str) -> LedgerBlock:
    """Enter a run, unless it is there already: reruns and resumes of a configuration count once.

    Args:
        ledger: the folder; it is made.
        identity: of the run, see `fingerprint`.
        experiment: its name, for whoever reads the ledger.

    Returns:
        The run's number in the order of the first looks, and how many configurations there are so far.
    """
    entry = ledger / f"{identity}.json"
    if not entry.is_file():
        latest = max(map(_looked, ledger.glob("*.json")), default="")
        looked = datetime.now(UTC)
        if latest >= looked.isoformat():  # clocks differ, or are set back: the order is that of the looks
            looked = datetime.fromisoformat(latest) + timedelta(microseconds=1)
        content = {"experiment": experiment, "looked": looked.isoformat()}
        write_whole(entry, json.dumps(content))
    order = sorted((_looked(path), path.stem) for path in ledger.glob("*.json"))
    number = [name for _, name in order].index(identity) + 1
    return {"number": number, "configurations": len(order)}


def _looked(entry: Path) -> str:
    """When an entry was made; one that cannot be read counts all the same."""
    try:
        return datetime.fromisoformat(json.loads(entry.read_text(encoding="utf-8"))["looked"]).isoformat()
    except (OSError, ValueError, KeyError, TypeError):
        return ""
