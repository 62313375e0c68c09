"""Registered brains, small: each as it lies on the template, 3 mm a voxel, to be looked at and compared."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from bcbm.features.volumes import shrunk
from bcbm.system.files import writing_whole

SPACING = 3.0  # mm
SHAPE = (61, 73, 61)  # z, y, x
ORIGIN = (-90.0, -126.0, -72.0)  # x, y, z of the first voxel, MNI RAS mm: left and right of 0 are as far
ENDING = ".npz"  # of the file that belongs with a registration's record
_TEMPLATE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
_BRIGHT = 99.0  # percentile of the brain that is white: metastases and vessels are brighter


def small_brain(image: sitk.Image, to_mni: np.ndarray) -> np.ndarray:
    """A scan on the template, uint8 (SHAPE), axes z, y, x of MNI RAS: 0 outside, 1 to 255 in the brain.

    Args:
        image: any orientation and spacing, background 0.
        to_mni: (4, 4), as `Registration` has it.
    """
    factors = [min(max(1, int(SPACING / 2 / step)), size) for step, size in _sizes(image)]
    small = shrunk(image, factors)  # averages: no aliasing
    to_scan = np.linalg.inv(to_mni) @ np.diag([-1.0, -1.0, 1.0, 1.0])  # from the template's LPS mm
    place = sitk.AffineTransform(to_scan[:3, :3].ravel().tolist(), to_scan[:3, 3].tolist())
    values = sitk.GetArrayFromImage(sitk.Resample(small, _grid(), place, sitk.sitkLinear))
    inside = values > 0
    white = float(np.percentile(values[inside], _BRIGHT)) if inside.any() else 1.0
    grey = 1 + 254 * np.clip(values / max(white, 1e-9), 0, 1)
    return np.where(inside, grey, 0).astype(np.uint8)


def save_brain(path: Path, brain: np.ndarray) -> None:
    """Keep a small brain, packed."""
    with writing_whole(path) as file:
        np.savez_compressed(file, brain=brain)


def load_brain(path: Path) -> np.ndarray:
    """What `save_brain` has kept, uint8 (SHAPE)."""
    with np.load(path, allow_pickle=False) as content:
        brain: np.ndarray = content["brain"]
    return brain


def likeness(brain: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """How alike two small brains are as they lie, and with the first one flipped left to right.

    The template is its own mirror image, so that a flipped scan would come to lie as the flipped brain does:
    nothing has to be registered again.

    Returns:
        Two correlations of grey levels, over the voxels that are brain in both, flipped or not; NaN without.
    """
    flipped = brain[..., ::-1]
    inside = (brain > 0) & (flipped > 0) & (other > 0)
    if not inside.any():
        return float("nan"), float("nan")
    grey = [volume[inside].astype(float) for volume in (brain, flipped, other)]
    as_is, turned = np.corrcoef(grey)[:2, 2]
    return float(as_is), float(turned)


def template_path() -> Path:
    """The file of the template, `nilearn.datasets.MNI152_FILE_PATH`, whose import would take a second."""
    package = find_spec("nilearn")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "datasets" / "data" / _TEMPLATE


@lru_cache(maxsize=1)
def template_brain() -> np.ndarray:
    """The template itself, likewise."""
    image = sitk.ReadImage(str(template_path()), sitk.sitkFloat32)
    return small_brain(image, np.diag([-1.0, -1.0, 1.0, 1.0]))


def _sizes(image: sitk.Image) -> list[tuple[float, int]]:
    """Spacing (mm) and voxels of each axis."""
    return list(zip(image.GetSpacing(), image.GetSize(), strict=True))


def _grid() -> sitk.Image:
    """An empty image of the template's grid in LPS, as ITK has it."""
    grid = sitk.Image(list(SHAPE[::-1]), sitk.sitkUInt8)
    grid.SetSpacing([SPACING] * 3)
    grid.SetOrigin((-ORIGIN[0], -ORIGIN[1], ORIGIN[2]))
    grid.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    return grid
