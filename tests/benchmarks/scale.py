"""Ten times the cohort: ten times the time, the same memory.

`python tests/benchmarks/scale.py` writes synthetic cohorts of 8 and of 80 patients and prepares each (survey,
radiomics, crops) in a process of its own. Printed: seconds and peak memory a cohort, and their ratios.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bcbm.cohort.synthetic import write_cohort
from bcbm.features.radiomics import extract_cohort

SIZES = (8, 80)


def prepared(root: Path, out: Path) -> tuple[float, float]:
    """Seconds and peak MiB of one preparation."""
    words = [f"cohort.root={root}", f"prepared.root={out}", "prepared.jobs=1", "features.radiomics=extract"]
    begin = time.perf_counter()
    run = subprocess.Popen([sys.executable, "-m", "bcbm.prepare", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def main() -> None:
    """Prepare both cohorts and print what they took."""
    took = []
    with TemporaryDirectory() as folder:
        for patients in SIZES:
            root = Path(folder) / f"cohort-{patients}"
            write_cohort(root, patients=patients, signal=1.0, images=True, seed=0, extract=extract_cohort)
            masks = len(list(root.rglob("*_mask_*")))
            took.append((masks, *prepared(root, Path(folder) / f"prepared-{patients}")))
            print("{} patients, {} masks: {:.1f} s, {:.0f} MiB".format(patients, *took[-1]), flush=True)
    (few, fast, small), (many, slow, large) = took
    print(f"masks x {many / few:.1f}: time x {slow / fast:.1f}, memory x {large / small:.2f}")


if __name__ == "__main__":
    main()
