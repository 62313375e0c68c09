"""One crop from the store against a cropped .nii.gz pair through TorchIO: `python tests/benchmarks/crops.py`.

24 lesions in 6 studies, 64-cubed at 1 mm: float32 tensors (2, 64, 64, 64) of image and mask, from the crop
store (float16), and from one image and one mask file a lesion, as TorchIO loads a Subject. Files are in the
page cache both ways; the ways take turns, the median is over all samples of all rounds. Both ways must give
the same numbers up to float16.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import SimpleITK as sitk
import torch
import torchio as tio

from bcbm.features.crops import CropSettings, CropStore, prepare_crops
from bcbm.features.records import Study

ROUNDS, STUDIES, LESIONS, SIZE = 3, 6, 4, 64


def write_study(folder: Path, name: str, rng: np.random.Generator) -> Study:
    """A volume of noise and its masks, balls of 4 to 10 voxels."""
    grid = np.ogrid[:96, :96, :96]
    image = folder / f"{name}.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(rng.normal(300, 40, (96,) * 3).astype(np.float32)), str(image))
    masks = {}
    for number in range(LESIONS):
        centre, radius = rng.integers(32, 64, 3), rng.uniform(2, 5)
        ball = sum((axis - place) ** 2 for axis, place in zip(grid, centre, strict=True)) <= radius**2
        path = folder / f"{name}-{number}.nii.gz"
        sitk.WriteImage(sitk.GetImageFromArray(ball.astype(np.uint8)), str(path))
        masks[f"{name}-{number}"] = path
    return Study(image, masks)


def from_store(number: int) -> torch.Tensor:
    """A sample as the data set reads it."""
    return torch.from_numpy(np.array(store[number], dtype=np.float32))


def from_files(number: int) -> torch.Tensor:
    """The same sample by way of a Subject."""
    image, mask = files[number]
    subject = tio.Subject(image=tio.ScalarImage(image), mask=tio.LabelMap(mask))
    return torch.cat([subject["image"].data.float(), subject["mask"].data.float()])


with tempfile.TemporaryDirectory() as name:
    folder, rng = Path(name), np.random.default_rng(0)
    studies = [write_study(folder, f"S{number}", rng) for number in range(STUDIES)]
    where, problems = prepare_crops(studies, folder / "kept", CropSettings(SIZE, 1.0), jobs=1)
    assert not problems
    store = CropStore(list(where.values()), SIZE)
    files = []
    for number in range(len(store)):
        image, mask = (folder / f"{kind}{number}.nii.gz" for kind in ("crop", "mask"))
        sitk.WriteImage(sitk.GetImageFromArray(store[number][0].astype(np.float32)), str(image))
        sitk.WriteImage(sitk.GetImageFromArray(store[number][1].astype(np.uint8)), str(mask))
        files.append((image, mask))
        expected = from_files(number).transpose(1, 3)  # TorchIO's axes are x, y, z
        assert torch.equal(from_store(number), expected)
    ways = {"store": from_store, "files": from_files}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for number in rng.permutation(len(store)):
            for way, read in ways.items():
                start = time.perf_counter()
                read(int(number))
                times[way].append(time.perf_counter() - start)
    for way, each in times.items():
        print(f"{way}: {median(each) * 1e3:.2f} ms a sample")
    print(f"{median(times['files']) / median(times['store']):.0f} times as fast")
