"""Ten times the cohort: ten times the time, nearly the same memory.

`python tests/benchmarks/scale.py [images] [tables [patients ...]]`, by default both. Printed: CPU seconds and
peak memory of a command, and their ratios.

- images: synthetic cohorts of 8 and of 80 patients are prepared (survey, radiomics, crops).
- tables: cohorts of 200 and of 2,000 patients, or as many as are named, with ten lesions each, are prepared,
  and then fitted for two epochs of two folds, with report. To reach: 1.5 times the memory; 10,000 patients in
  4 GB.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from large import LESIONS, write_large

from bcbm.cohort.synthetic import write_cohort
from bcbm.features.radiomics import extract_cohort

IMAGES, TABLES = (8, 80), (200, 2000)
FIT = ("tracking.to=[]", "trainer.max_epochs=2", "split.folds=2", "split.repeats=1")


def measured(verb: str, *words: str) -> tuple[float, float]:
    """CPU seconds of a command and MiB of its largest process."""
    command = [sys.executable, "-m", f"bcbm.{verb}", "prepared.jobs=1", *words]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def compared(kind: str, work: str, took: list[tuple[int, float, float]]) -> None:
    """Print a line a cohort, and how the last stands to the first."""
    for count, seconds, size in took:
        print(f"{kind}, {count:,} lesions: {seconds:.1f} s of CPU, {size:.0f} MiB to {work}", flush=True)
    (few, fast, small), (many, slow, large) = took[0], took[-1]
    if many > few:
        print(f"lesions x {many / few:.1f}: time x {slow / fast:.1f}, memory x {large / small:.2f}")


def images(home: Path) -> None:
    """Prepare both cohorts."""
    took = []
    for patients in IMAGES:
        root = home / f"images-{patients}"
        write_cohort(root, patients=patients, signal=1.0, images=True, seed=0, extract=extract_cohort)
        words = (f"cohort.root={root}", f"prepared.root={home / f'crops-{patients}'}")
        took.append(
            (len(list(root.rglob("*_mask_*"))), *measured("prepare", *words, "features.radiomics=extract"))
        )
    compared("images", "prepare", took)


def tables(home: Path, sizes: tuple[int, ...]) -> None:
    """Prepare all cohorts, then fit them."""
    took: dict[str, list[tuple[int, float, float]]] = {"prepare": [], "fit": []}
    for patients in sizes:
        root = write_large(home / f"tables-{patients}", patients)
        words = ["experiment=tcia_tabular", f"cohort.root={root}", f"prepared.root={root}-prepared"]
        for verb, further in (("prepare", ()), ("fit", (*FIT, f"run.root={root}-runs"))):
            took[verb].append((LESIONS * patients, *measured(verb, *words, *further)))
    for verb, rows in took.items():
        compared("tables", verb, rows)


if __name__ == "__main__":
    words = sys.argv[1:] or ["images", "tables"]
    with TemporaryDirectory() as folder:
        if "images" in words:
            images(Path(folder))
        if "tables" in words:
            tables(Path(folder), tuple(int(word) for word in words if word.isdigit()) or TABLES)
