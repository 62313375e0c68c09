"""Brains whose place in MNI is known: the template, warped, recoloured, spoilt and resampled."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from nilearn.datasets import MNI152_FILE_PATH
from scipy.ndimage import gaussian_filter

GRIDS = [  # spacing in mm, orientation
    ((1.0, 1.0, 1.5), "LPS"),
    ((0.5, 0.5, 1.0), "LPS"),
    ((1.0, 1.0, 1.0), "RAS"),
    ((0.9, 1.2, 0.9), "PIR"),
]
_FLIP = np.array([-1.0, -1.0, 1.0])  # LPS to RAS and back


@dataclass(frozen=True)
class Warped:
    """A scan, float32, and its exact place: `truth` maps points (N, 3) from its LPS mm to MNI RAS mm."""

    image: sitk.Image
    truth: Callable[[np.ndarray], np.ndarray]

    def points(self, count: int, seed: int = 0) -> np.ndarray:
        """Random points (count, 3) inside the brain, LPS mm."""
        inside = np.argwhere(sitk.GetArrayViewFromImage(self.image).T > 0)
        picked = inside[np.random.default_rng(seed).integers(0, len(inside), count)]
        return np.array([self.image.TransformIndexToPhysicalPoint(p.tolist()) for p in picked])

    def error(self, to_mni: np.ndarray, count: int = 1000) -> np.ndarray:
        """Distance in mm (count,) between where `to_mni` (4, 4) puts points and where they belong."""
        points = self.points(count)
        return np.linalg.norm(points @ to_mni[:3, :3].T + to_mni[:3, 3] - self.truth(points), axis=1)


def _field(rng: np.random.Generator, peak: float) -> sitk.Transform:
    """A smooth displacement (20 mm Gaussian on noise), at most `peak` mm long."""
    parts = [gaussian_filter(rng.standard_normal((48, 56, 48)), 4.0, mode="wrap") for _ in range(3)]
    moves = np.stack(parts, -1)
    moves *= peak / np.linalg.norm(moves, axis=-1).max()
    field = sitk.GetImageFromArray(moves, isVector=True)
    field.SetSpacing((5.0, 5.0, 5.0))  # 240 x 280 x 240 mm around MNI
    field.SetOrigin((-120.0, -120.0, -120.0))
    return sitk.DisplacementFieldTransform(field)


def warped_brain(seed: int, grid: int = 0, bend: float = 4.0) -> Warped:
    """A brain turned by up to 15 degrees, scaled by 0.85-1.15 an axis, moved by up to 30 mm and bent.

    Args:
        seed: of everything random.
        grid: which of GRIDS it is stored on.
        bend: longest displacement of the nonlinear part, mm.
    """
    rng = np.random.default_rng(seed)
    template = sitk.ReadImage(MNI152_FILE_PATH, sitk.sitkFloat32)
    turn = sitk.Euler3DTransform((0, 0, 0), *np.deg2rad(rng.uniform(-15, 15, 3)))
    matrix = np.reshape(turn.GetMatrix(), (3, 3)) @ np.diag(1 / rng.uniform(0.85, 1.15, 3))
    matrix = matrix @ (np.eye(3) + np.triu(rng.uniform(-0.05, 0.05, (3, 3)), 1))
    affine = sitk.AffineTransform(matrix.ravel(), (0, 0, 0))  # scan to template
    shift = rng.uniform(-30, 30, 3)
    affine.SetCenter(shift)
    affine.SetTranslation(-shift + [0, 18, 6])  # the scan's centre lies in the middle of MNI's brain
    to_template = sitk.CompositeTransform([_field(rng, bend), affine])  # the last is applied first

    spacing, orientation = GRIDS[grid]
    size = [round(length / step) for length, step in zip((200, 240, 220), spacing, strict=True)]
    empty = sitk.Image(size, sitk.sitkFloat32)
    empty.SetSpacing(spacing)
    empty.SetOrigin([s - n * step / 2 for s, n, step in zip(shift, size, spacing, strict=True)])
    plain = sitk.GetArrayFromImage(sitk.Resample(template, empty, to_template, sitk.sitkLinear))
    image = sitk.GetImageFromArray(_recoloured(plain, spacing, rng))
    image.CopyInformation(empty)
    image = sitk.DICOMOrient(image, orientation)

    def truth(points: np.ndarray) -> np.ndarray:
        return np.array([to_template.TransformPoint(point.tolist()) for point in points]) * _FLIP

    return Warped(image, truth)


def _recoloured(plain: np.ndarray, spacing: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Other contrast, 3-8 metastases, bias and noise on an array (z, y, x); 0 outside the brain."""
    brain = plain > 0
    values = 100 + 500 * (plain / 255) ** rng.uniform(0.5, 2.0)
    axes = [np.arange(n) * step for n, step in zip(plain.shape, spacing[::-1], strict=True)]
    inside = np.argwhere(brain)
    for _ in range(rng.integers(3, 9)):
        centre = inside[rng.integers(len(inside))] * spacing[::-1]
        radius = rng.uniform(4, 12)
        near = [np.abs(axis - c) <= radius for axis, c in zip(axes, centre, strict=True)]
        offsets = [(axis[n] - c) ** 2 for axis, c, n in zip(axes, centre, near, strict=True)]
        ball = sum(np.meshgrid(*offsets, indexing="ij")) <= radius**2
        block = np.ix_(*near)
        values[block] = np.where(ball, rng.uniform(800, 1400), values[block])
    slopes = [np.linspace(-1, 1, n) for n in plain.shape]
    bias = [1 + rng.uniform(-0.2, 0.2) * s + rng.uniform(-0.15, 0.15) * s**2 for s in slopes]
    values *= bias[0][:, None, None] * bias[1][:, None] * bias[2]
    values += rng.normal(0, 20, values.shape)
    return np.where(brain, np.maximum(values, 1), 0).astype(np.float32)
