"""Small images and masks on disk, and their survey."""

from pathlib import Path

import nibabel as nib
import numpy as np

from bcbm.cohort.measurements import Survey
from bcbm.features.records import Study
from bcbm.features.survey import survey_cohort

SHAPE, SPACING = (20, 24, 16), (1.0, 1.0, 2.0)
LPS = np.diag([-1.0, -1.0, 2.0, 1.0])


def save(path: Path, array: np.ndarray, affine: np.ndarray = LPS) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def box(start: tuple[int, int, int], size: int = 4, value: float = 1) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[tuple(slice(a, a + size) for a in start)] = value
    return mask


def brain() -> np.ndarray:
    image = np.zeros(SHAPE, np.float32)
    image[2:-2, 2:-2, 2:-2] = np.random.default_rng(0).uniform(100, 900, tuple(n - 4 for n in SHAPE))
    return image


def surveyed(
    folder: Path, image: np.ndarray | Path, masks: dict[str, np.ndarray | Path], affine=LPS
) -> Survey:
    """The survey of one study whose files are written here, where they are not yet."""
    image_path = image if isinstance(image, Path) else save(folder / "image.nii.gz", image, affine)
    paths = {
        name: mask if isinstance(mask, Path) else save(folder / f"{name}.nii.gz", mask, affine)
        for name, mask in masks.items()
    }
    return survey_cohort([Study(image_path, paths)], folder / "kept", jobs=1)
