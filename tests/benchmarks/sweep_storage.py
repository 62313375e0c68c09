"""Trials that cost nothing from four parents on one study: `python .../sweep_storage.py [trials]`.

Prints for the journal and for PostgreSQL how many trials are finished, under how many numbers, and the time.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from postgres import Postgres, binaries  # noqa: E402
from sweep_trials import COUNTS, plan, searches  # noqa: E402

PARENTS = 4
trials = int(sys.argv[1]) if len(sys.argv) > 1 else 500


def search(home: Path, address: str | None) -> str:
    """Run four parents to the end of the budget and say what is there."""
    start = time.perf_counter()
    words = [sys.executable, TESTS / "sweep_trials.py", home, "quick", str(trials), "1", address or ""]
    parents = [subprocess.Popen(words) for _ in range(PARENTS)]
    assert [parent.wait() for parent in parents] == [0] * PARENTS
    seconds = time.perf_counter() - start
    (final,) = searches(home, "quick", plan(trials), address)
    counted = final.trials(*COUNTS)
    numbers, owners = (
        {trial.number for trial in counted},
        {trial.user_attrs["owner"]["process"] for trial in counted},
    )
    return f"{len(counted)} finished, {len(numbers)} numbers, {len(owners)} parents, {seconds:.0f} s"


with tempfile.TemporaryDirectory() as folder:
    print("journal   ", search(Path(folder) / "journal", None), flush=True)
    if binaries() is None:
        print("PostgreSQL: no server is installed")
    else:
        server = Postgres()
        try:
            print("PostgreSQL", search(Path(folder) / "postgres", server.address("trials")))
        finally:
            server.remove()
