"""What `leakcheck` takes: `python tests/benchmarks/leakcheck.py [patients ...]`, by default 165.

Tables of patients with ten lesions each. CPU seconds of the whole command, start included, and beside it what
the same cross-validations would take with a forest of scikit-learn for each label, draw and fold, by the
median of FITS of them, which take turns with the command. To reach: 15 s at 165 patients, 120 s at 2,000.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from large import write_large
from sklearn.ensemble import ExtraTreesClassifier

from bcbm.baselines.leak import TREES
from bcbm.baselines.leakcheck import DRAWS, REPEATS, SHARES, UNITS
from bcbm.features.radiomics import FEATURES
from bcbm.statistics.leakage import random_labels

GOALS = {165: 15, 2000: 120}
FITS, FOLDS, TARGETS = 6, 5, 3
FORESTS = FOLDS * (len(UNITS) * (DRAWS + REPEATS * TARGETS) + len(SHARES) * REPEATS * TARGETS / 2)


def forests(root: Path) -> float:
    """CPU seconds of a forest on the training part of a fold, the median of half the FITS."""
    table = pd.read_parquet(root / "manifest.parquet")
    train = np.arange(len(table)) % FOLDS > 0
    values, labels = np.log(table[[*FEATURES]].to_numpy()), random_labels(table["patient"], 0)
    taken = []
    for seed in range(FITS // 2):
        start = time.process_time()
        ExtraTreesClassifier(TREES, random_state=seed).fit(values[train], labels[train])
        taken.append(time.process_time() - start)
    return median(taken)


def checked(root: Path, home: Path) -> float:
    """CPU seconds of the command."""
    words = [f"cohort.root={root}", f"prepared.root={home / 'prepared'}", f"run.root={home / 'runs'}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "bcbm.leakcheck", "experiment=tcia_tabular", *words]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(sizes: list[int]) -> None:
    """A line a size."""
    for patients in sizes:
        with tempfile.TemporaryDirectory() as name:
            root = write_large(Path(name) / "cohort", patients)
            first, ours = forests(root), checked(root, Path(name))
            theirs = FORESTS * median([first, forests(root)])
        goal = f" (goal {GOALS[patients]} s)" if patients in GOALS else ""
        print(
            f"leakcheck of {patients:,} patients, {10 * patients:,} lesions: {ours:.1f} s of CPU{goal}; "
            f"{FORESTS:.0f} forests alone {theirs:.0f} s, {theirs / ours:.1f} times as much",
            flush=True,
        )


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [165])
