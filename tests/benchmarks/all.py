"""How fast all is, side by side with what others do it with: `python tests/benchmarks/all.py [name ...]`.

Runs the programs of this folder one after the other, each in a process of its own, and prints under what is
to be reached what they print: ratios of medians of ways that take turns. A name is that of a program.
"""

import subprocess
import sys
from pathlib import Path

ROWS = {
    "augmentation": (
        "augmentation of a lesion 6 times as fast as MONAI's, in at most 1.5 times the time of one "
        "interpolation; bias and motion 15 times as fast as TorchIO's",
        [],
    ),
    "fit_overhead": ("fit at most 1.5 % slower than a bare loop", []),
    "extraction": (
        "radiomics of 16 lesions 40 times as fast as `pyradiomics --jobs 2` with Python's start (ours), 60 "
        "times without (call), all values equal",
        [],
    ),
    "leakcheck": ("15 s of CPU for 165 patients, 120 s for 2,000", ["165", "2000"]),
    "sweep_workers": ("0.06 s of a trial beside its training", ["rounds=1"]),
    "scale": ("from 200 to 2,000 patients 1.5 times the memory and at most 10 times the time", ["tables"]),
}


def main(names: list[str]) -> int:
    """Run what is named, or all; the number of programs that failed."""
    failed = 0
    for name in names or ROWS:
        goal, words = ROWS[name]
        print(f"\n{name}: to reach {goal}", flush=True)
        program = Path(__file__).with_name(f"{name}.py")
        failed += subprocess.run([sys.executable, str(program), *words]).returncode != 0
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
