"""Registration to MNI on warped brains: `python tests/benchmarks/registration.py [studies]`.

Prints error in mm against the known place, seconds a study by 1 and by 2 processes (reading not included) and
peak memory. Half the scans have 0.5 x 0.5 x 1 mm voxels; SimpleITK's filters run on one thread.
"""

import resource
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import SimpleITK as sitk

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from warped import GRIDS, warped_brain

from bcbm.features.registration import register, template


def prepare() -> None:
    """One thread, and what is loaded once a process."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    template()


def measure(seed: int) -> tuple[float, float, float, float]:
    """Seconds, mean and 95th percentile error (mm), overlap of one brain."""
    scan = warped_brain(seed, grid=1 if seed % 2 else seed // 2 % len(GRIDS))
    begin = time.perf_counter()
    found = register(scan.image)
    seconds = time.perf_counter() - begin
    error = scan.error(found.to_mni)
    return seconds, float(error.mean()), float(np.percentile(error, 95)), found.overlap


def main() -> None:
    """Measure the same brains by 1 and by 2 processes and print a line each."""
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
    for processes in (1, 2):
        with get_context("spawn").Pool(processes, prepare) as pool:
            rows = np.array(pool.map(measure, seeds, chunksize=1))
        print(
            f"{processes} process(es): {np.median(rows[:, 0]):.2f} s a study (worst {rows[:, 0].max():.2f}), "
            f"error {rows[:, 1].mean():.2f} mm (worst study {rows[:, 1].max():.2f}), "
            f"95th percentile {rows[:, 2].mean():.2f} mm (worst {rows[:, 2].max():.2f}), "
            f"least overlap {rows[:, 3].min():.3f}",
            flush=True,
        )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB a process, making the brains included")


if __name__ == "__main__":
    main()
