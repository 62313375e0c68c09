"""Small images and masks on disk, sound ones and hostile ones, and their survey."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from bcbm.cohort.measurements import Survey
from bcbm.features.records import Study
from bcbm.features.survey import survey_cohort

SHAPE, SPACING = (20, 24, 16), (1.0, 1.0, 2.0)
LPS = np.diag([-1.0, -1.0, 2.0, 1.0])
DIMENSIONS = 40  # byte of a NIfTI header where they stand, 16 bits each


def save(path: Path, array: np.ndarray, affine: np.ndarray = LPS, big_endian: bool = False) -> Path:
    header = nib.Nifti1Header(endianness=">" if big_endian else "<")
    header.set_data_dtype(array.dtype)
    nib.save(nib.Nifti1Image(array, affine, header), path)
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


def claiming(size: tuple[int, int, int], path: Path, scaled: bool = False) -> Path:
    """A NIfTI file whose header claims more voxels than the thousand that it holds."""
    content = bytearray(nib.Nifti1Image(np.ones((10, 10, 10), np.uint8), LPS).to_bytes())
    struct.pack_into("<3h", content, DIMENSIONS + 2, *size)
    if scaled:  # read by ITK in place of us
        struct.pack_into("<2f", content, 112, 2.0, 0.0)
    path.write_bytes(gzip.compress(content))
    return path


def endless(path: Path, content: bytes) -> Path:
    """A gzip file that goes on for 256 MB of zeros."""
    packer = zlib.compressobj(1, wbits=31)
    zeros = bytes(2**24)
    with path.open("wb") as file:
        file.write(packer.compress(content))
        for _ in range(16):
            file.write(packer.compress(zeros))
        file.write(packer.flush())
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def device(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path
