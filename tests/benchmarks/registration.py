"""Registration to MNI on warped brains: `python tests/benchmarks/registration.py [studies]`.

Prints error in mm against the known place, CPU seconds a study by 1 and by 2 processes (without reading),
what the search over all orientations costs (the same brains with and without it, in turns: the ratio of the
medians) and peak memory. Half the scans have 0.5 x 0.5 x 1 mm voxels; SimpleITK's filters run on one thread.
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

from bcbm.features import registration
from bcbm.features.registration import register, template


def prepare() -> None:
    """One thread, and what is loaded once a process."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    template()
    registration._points()


def timed(image: sitk.Image, search: bool) -> tuple[registration.Registration, float]:
    """A registration, with the search over orientations or from the upright head, and its CPU seconds."""
    orientation = registration._turn
    if not search:
        registration._turn = lambda *_: None
    try:
        begin = time.process_time()
        return register(image), time.process_time() - begin
    finally:
        registration._turn = orientation


def measure(seed: int) -> tuple[float, float, float, float, float]:
    """Seconds with and without the search, mean and 95th percentile error (mm), overlap of one brain."""
    scan = warped_brain(seed, grid=1 if seed % 2 else seed // 2 % len(GRIDS))
    order = (True, False) if seed // 2 % 2 else (False, True)
    attempts = {search: timed(scan.image, search) for search in order}
    (result, seconds), (_, upright) = attempts[True], attempts[False]
    error = scan.error(result.to_mni)
    return seconds, upright, float(error.mean()), float(np.percentile(error, 95)), result.overlap


def main() -> None:
    """Measure the same brains by 1 and by 2 processes and print a line each."""
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
    for processes in (1, 2):
        with get_context("spawn").Pool(processes, prepare) as pool:
            rows = np.array(pool.map(measure, seeds, chunksize=1))
        print(
            f"{processes} process(es): {np.median(rows[:, 0]):.2f} s a study (worst {rows[:, 0].max():.2f}), "
            f"{np.median(rows[:, 0]) / np.median(rows[:, 1]):.2f} times that from the upright head alone, "
            f"error {rows[:, 2].mean():.2f} mm (worst study {rows[:, 2].max():.2f}), "
            f"95th percentile {rows[:, 3].mean():.2f} mm (worst {rows[:, 3].max():.2f}), "
            f"least overlap {rows[:, 4].min():.3f}",
            flush=True,
        )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB a process, making the brains included")


if __name__ == "__main__":
    main()
