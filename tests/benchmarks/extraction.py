"""Radiomics against the command line of PyRadiomics: `python tests/benchmarks/extraction.py [rounds]`.

Two studies, 512 x 512 x 160 voxels of 0.5 x 0.5 x 1 mm and 256 x 256 x 176 of 1 mm, of 8 lesions each (7 mm
median diameter), int16 and uint8 as .nii.gz. Time: both ways with two processes, interleaved, whole commands
from start to end (ours, theirs), and `extract_cohort` without the start of its Python (call). Every value is
compared. Memory: the largest resident size of a process that does all with one process, less that of one
that only imports.
"""

import csv
import gzip
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import Process
from pathlib import Path
from statistics import median

import nibabel as nib
import numpy as np
import pandas as pd

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
GRIDS = {"fine": ((512, 512, 160), (0.5, 0.5, 1.0)), "cubic": ((256, 256, 176), (1.0, 1.0, 1.0))}
OURS = """
import sys, time
from pathlib import Path
import pandas as pd
from bcbm.features.radiomics import extract_cohort
if __name__ == "__main__":
    table, start = pd.read_csv("cases.csv"), time.perf_counter()
    studies = [(Path(k), {m: Path(m) for m in part["Mask"]}) for k, part in table.groupby("Image")]
    values, failures = extract_cohort(studies[: int(sys.argv[2])], jobs=int(sys.argv[1]))
    print(time.perf_counter() - start)
    assert not failures
    values.to_csv("ours.csv")
"""
THEIRS = [str(Path(sys.executable).with_name("pyradiomics")), "cases.csv", "-f", "csv", "-o"]
IMPORTS = {
    "ours": "import pandas, radiomics.featureextractor, bcbm.features.radiomics",
    "theirs": "import radiomics.featureextractor, radiomics.scripts",
}


def write(folder: Path) -> None:
    """The two studies, and the list of cases for PyRadiomics."""
    rng = np.random.default_rng(0)
    rows = [("Image", "Mask")]
    for name, (grid, spacing) in GRIDS.items():
        axes = np.ogrid[tuple(slice(count) for count in grid)]
        extent = np.array(grid) * spacing

        def ball(centre, radii, axes=axes, spacing=spacing):
            parts = zip(axes, spacing, centre, radii, strict=True)
            return sum(((axis * step - c) / r) ** 2 for axis, step, c, r in parts) < 1

        def save(values, path, spacing=spacing):
            data = nib.Nifti1Image(values, np.diag([-spacing[0], -spacing[1], spacing[2], 1])).to_bytes()
            (folder / path).write_bytes(gzip.compress(data, 1))

        brain = ball(extent / 2, extent * 0.4)
        save(np.where(brain, rng.normal(300, 40, grid), 0).astype(np.int16), f"{name}.nii.gz")
        for number, radius in enumerate(np.exp(rng.normal(np.log(3.5), 0.4, 8))):
            centre = extent / 2 + extent * rng.uniform(-0.2, 0.2, 3)
            save(ball(centre, [radius] * 3).astype(np.uint8), f"{name}-{number}.nii.gz")
            rows.append((f"{name}.nii.gz", f"{name}-{number}.nii.gz"))
    with (folder / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def peak(command: list[str], folder: Path) -> int:
    """Largest resident size of a command, bytes."""
    with Path(os.devnull).open("w") as nowhere:
        process = subprocess.Popen(command, cwd=folder, stdout=nowhere, stderr=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return usage.ru_maxrss * 1024


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    writer = Process(target=write, args=[folder])  # children begin with this process's peak: keep it low
    writer.start()
    writer.join()
    (folder / "ours.py").write_text(OURS)
    ours = [sys.executable, "ours.py"]
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    times: dict[str, list[float]] = {"ours": [], "theirs": [], "call": []}
    for number in range(ROUNDS):
        start = time.perf_counter()
        run = subprocess.run([*ours, "2", "2"], cwd=folder, check=True, capture_output=True, text=True)
        times["ours"].append(time.perf_counter() - start)
        times["call"].append(float(run.stdout))
        start = time.perf_counter()
        command = [*THEIRS, f"theirs-{number}.csv", "--jobs", "2"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        times["theirs"].append(time.perf_counter() - start)
        print(f"round {number + 1}: " + ", ".join(f"{k} {v[-1]:.2f} s" for k, v in times.items()), flush=True)
    for way in ("ours", "call"):
        print(f"{way}: {median(times['theirs']) / median(times[way]):.0f} times as fast")

    wanted = pd.read_csv(folder / "theirs-0.csv").set_index("Mask")
    values = pd.read_csv(folder / "ours.csv", index_col=0)
    wanted.index = [Path(path).name for path in wanted.index]
    equal = values == wanted.loc[values.index, values.columns]
    print(f"{int(equal.to_numpy().sum())} of {equal.size} values equal")

    imports = {way: peak([sys.executable, "-c", text], folder) for way, text in IMPORTS.items()}
    above = {
        "ours": peak([*ours, "1", "2"], folder) - imports["ours"],
        "theirs": peak([*THEIRS, "memory.csv", "--jobs", "1"], folder) - imports["theirs"],
    }
    text = ", ".join(f"{way} {size / 2**20:.0f} MiB" for way, size in above.items())
    print(f"memory above the imports: {text}: {above['ours'] / above['theirs']:.0%}")
