"""Seconds a study and the peak memory of `bcbm ingest`: `python ingest.py HEAD.nii.gz [N ...]`.

HEAD is a whole head, such as ch2.nii.gz of Debian's package mricron-data; it is written as N studies, each a
DICOM series with a structure set, and read by one process on one core.
"""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pydicom.uid import generate_uid
from rich.console import Console
from scans import ball, mask_contours, write_series, write_structures

from bcbm.config.compose import compose
from bcbm.imaging.ingest import ingest
from bcbm.system.processes import most_memory


def measure(head: Path, studies: int) -> float:
    """Seconds that so many studies take."""
    image = sitk.DICOMOrient(sitk.ReadImage(str(head)), "LPS")
    values = sitk.GetArrayFromImage(image).astype(np.uint16)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    lesion = ball(np.array(image.GetSize()) * 0.6, 6, image.GetSize(), image.GetSpacing())
    with TemporaryDirectory() as folder:
        for number in range(studies):
            place = Path(folder) / "dicom" / str(number)
            series = write_series(place, values, affine, patient=f"M{number}", study=generate_uid())
            write_structures(place / "rt.dcm", {"GTV": mask_contours(lesion, affine)}, series)
        config = compose([f"ingest.out={folder}/out", "prepared.jobs=1"])
        began = time.perf_counter()
        ingest(Path(folder) / "dicom", config, Console(quiet=True))
        return time.perf_counter() - began


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    for count in [int(word) for word in sys.argv[2:]] or [1, 3]:
        seconds = measure(Path(sys.argv[1]), count)
        memory = (most_memory() or 0) / 1e9
        print(f"{count} studies: {seconds:.1f} s, {seconds / count:.1f} s each, {memory:.2f} GB")
