"""Preparation at the real size: `python tests/benchmarks/preparation.py [folder=DIR] [studies=20]`.

Real studies of `../shared/data/bcbm-images`, of few masks and of many as they are spread there, are brought
to the grid of the download, 512 x 512 x 160 voxels of 0.5 x 0.5 x 1 mm, with 3 % of noise, which what was
interpolated lacks and a file is packed by. They are written to `folder` (else to one that is removed) and
prepared whole (survey, registration, radiomics, crops of 32 voxels at 1 mm): every other one, the others, and
all. Printed, for one core and for two: seconds of the whole command, wall clock and CPU, the most memory of a
process, and what the plane through the three says of a start, a study and a mask, and of the download's 268
studies and 2,825 masks; then, by one process, how often files are read and each step's share. To reach: 3 s
of CPU a study, 0.75 GB, 8 minutes on two cores.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from multiprocessing import Process
from pathlib import Path

import numpy as np
import SimpleITK as sitk

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "bcbm-images"
IMAGES = "BCBM-RadioGenomics_Images_Masks_Dec2024"
SIZE, SPACING, NOISE = (512, 512, 160), (0.5, 0.5, 1.0), 0.03
ALL = 268, 2825  # studies and masks of the download
SETTINGS = [
    *("cohort=tcia", "features.radiomics=extract", "cohort.position=image"),
    *("features.crop_size=32", "features.crop_spacing=1"),
]
STEPS = {"survey": "survey_study", "registration": "register_study"}
STEPS |= {"radiomics": "extract_study", "crops": "crop_study"}


def chosen(count: int) -> list[Path]:
    """Studies of few masks and of many, as they are spread over the real ones."""
    studies = sorted((DATA / IMAGES).iterdir(), key=lambda study: (len(list(study.iterdir())), study.name))
    return [studies[round(place)] for place in np.linspace(0, len(studies) - 1, count + 2)[1:-1]]


def write(count: int, folder: Path) -> None:
    """Write so many studies on the grid of the download."""
    for study in chosen(count):
        home = folder / IMAGES / study.name
        home.mkdir(parents=True)
        for path in sorted(study.iterdir()):
            sitk.WriteImage(upsampled(path), str(home / path.name), useCompression=True)
    for table in DATA.glob("*.xlsx"):
        shutil.copy(table, folder)


def upsampled(path: Path) -> sitk.Image:
    """An image or a mask on the fine grid about its own centre."""
    volume = sitk.ReadImage(str(path))
    grid = sitk.ResampleImageFilter()
    grid.SetSize(SIZE)
    grid.SetOutputSpacing(SPACING)
    grid.SetOutputDirection(volume.GetDirection())
    middle = [(count - 1) / 2 for count in volume.GetSize()]
    axes = np.reshape(volume.GetDirection(), (3, 3))
    reach = axes @ ((np.array(SIZE) - 1) / 2 * SPACING)
    grid.SetOutputOrigin((np.array(volume.TransformContinuousIndexToPhysicalPoint(middle)) - reach).tolist())
    inside = grid.Execute(sitk.Cast(volume > 0, sitk.sitkFloat32)) > 0.5
    if "_mask_" in path.name:
        return sitk.Cast(inside, sitk.sitkUInt8)
    fine = grid.Execute(sitk.Cast(volume, sitk.sitkFloat32))
    values, brain = sitk.GetArrayFromImage(fine), sitk.GetArrayViewFromImage(inside) > 0
    values[brain] += np.random.default_rng(0).normal(0, NOISE * values[brain].mean(), int(brain.sum()))
    result = sitk.GetImageFromArray(np.where(brain, np.maximum(values, 1), 0).round().astype(np.int16))
    result.CopyInformation(fine)
    return result


def prepared(root: Path, cores: int) -> tuple[float, float, float]:
    """Wall and CPU seconds and peak MB a process of one preparation on so many cores."""
    os.sched_setaffinity(0, sorted(ALLOWED)[:cores])
    with tempfile.TemporaryDirectory() as out:
        words = [f"cohort.root={root}", f"prepared.root={out}", f"prepared.jobs={cores}", *SETTINGS]
        command = [sys.executable, "-m", "bcbm.prepare", *words]
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)  # its own and its workers', not who wrote the studies
        wall = time.perf_counter() - begin
    os.sched_setaffinity(0, ALLOWED)
    assert status == 0
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def shares(root: Path) -> None:
    """Prepare by this process, and print the reading of files and each step, CPU seconds a study."""
    from rich.console import Console

    from bcbm.config.compose import compose
    from bcbm.features import crops, files, radiomics, survey
    from bcbm.preparation.prepare import prepare

    seconds: Counter[str] = Counter()
    readings: Counter[Path] = Counter()

    def timed(step, work):
        def run(*words, **settings):
            begin, inner = time.process_time(), seconds["reading"]
            result = work(*words, **settings)
            seconds[step] += time.process_time() - begin - (seconds["reading"] - inner)
            if step == "reading":
                readings[words[0]] += 1
            return result

        return run

    for name in ("open_volume", "open_box"):
        setattr(files, name, timed("reading", getattr(files, name)))
    for step, name in STEPS.items():
        module = {"survey": survey, "registration": survey, "radiomics": radiomics, "crops": crops}[step]
        setattr(module, name, timed(step, getattr(module, name)))
    begin = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        words = [f"cohort.root={root}", f"prepared.root={out}", "prepared.jobs=1", *SETTINGS]
        prepare(compose(words), Console(quiet=True))
    seconds["tables, imports"] = time.process_time() - begin - sum(seconds.values())
    count = len(list((root / IMAGES).iterdir()))
    print(f"{len(readings)} files, read {sum(readings.values())} times; CPU s a study:")
    print(", ".join(f"{step} {value / count:.2f}" for step, value in seconds.items()))


def main() -> None:
    """Write the studies, measure and print."""
    words = dict(word.split("=") for word in sys.argv[1:])
    with tempfile.TemporaryDirectory() as passing:
        home = Path(words.get("folder", passing))
        if not (home / "all").is_dir():  # by another process: a child begins with the peak of its parent
            writer = Process(target=write, args=[int(words.get("studies", 20)), home / "all"])
            writer.start()
            writer.join()
        studies = sorted((home / "all" / IMAGES).iterdir(), key=lambda study: (masks_in(study), study.name))
        roots = {"few": studies[::2], "many": studies[1::2], "all": studies}
        for name in ("few", "many"):
            (home / name / IMAGES).mkdir(parents=True, exist_ok=True)
            for study in roots[name]:
                (home / name / IMAGES / study.name).symlink_to(study)
            for table in DATA.glob("*.xlsx"):
                shutil.copy(table, home / name)
        sizes = [(1, len(part), sum(map(masks_in, part))) for part in roots.values()]
        for cores in sorted({1, min(2, len(ALLOWED))}):
            figures = []
            for name, (_, count, masks) in zip(roots, sizes, strict=True):
                wall, cpu, peak = prepared(home / name, cores)
                figures.append((wall, cpu))
                text = f"wall {wall:.1f} s, {wall / count:.2f} a study; CPU {cpu:.1f} s, {cpu / count:.2f}"
                print(f"{cores} core(s), {count} studies, {masks} masks: {text}; {peak:.0f} MB", flush=True)
            for kind, seconds in zip(("wall", "CPU"), np.array(figures).T, strict=True):
                start, study, mask = np.linalg.solve(sizes, seconds)
                total = (start + ALL[0] * study + ALL[1] * mask) / 60
                text = f"{start:.1f} s, {study:.2f} a study, {mask:.3f} a mask: {total:.1f} min for {ALL[0]}"
                print(f"{cores} core(s), {kind}: {text} studies and {ALL[1]} masks", flush=True)
        shares(home / "few")


def masks_in(study: Path) -> int:
    """How many masks a study has."""
    return len(list(study.glob("*_mask_*")))


if __name__ == "__main__":
    ALLOWED = os.sched_getaffinity(0)
    main()
