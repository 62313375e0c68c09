"""A series of frames as one volume: its slices in order at one distance, or refused in words."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from bcbm.features.geometry import placed
from bcbm.imaging.headers import Frame, Series

_SAME = 1e-3  # direction cosines and mm that slices of one volume may differ by
_STEP = 0.05  # part of the distance between slices that one may lie off its place
_TILT = 0.1, 0.1  # degrees and mm that slices may be sheared by: positions are rounded
_GAP = 0.1  # part of a slice's thickness that may lie between two slices


class SeriesError(ValueError):
    """A series that is not read as a volume; the message says what is wrong with it."""


class Stack(NamedTuple):
    """Frames of a volume in order, and where their voxels lie: (4, 4), voxel numbers x, y, z to LPS mm."""

    frames: list[Frame]
    affine: np.ndarray


def stack(frames: Sequence[Frame], thickness: float = math.nan) -> Stack:
    """Order the slices of a series.

    Args:
        frames: in any order.
        thickness: of a slice, mm, where the header says it.

    Raises:
        SeriesError: slices in several orientations, sizes or spacings, two in one place, missing ones,
            uneven distances, a gap between slices, or a gantry tilt.
    """
    if not frames:
        raise SeriesError("none of its slices can be read")
    if not all(map(_is_placed, frames)):
        raise SeriesError("the header of a slice does not say where it lies or how large its voxels are")
    if len(frames) < 2:
        raise SeriesError("has one slice, which is no volume")
    _require_alike(frames)
    first = frames[0].orientation
    row, column = _at_right_angles(np.array(first[:3]), np.array(first[3:]))
    normal = np.cross(row, column)
    order = sorted(frames, key=lambda frame: float(normal @ frame.position))
    positions = np.array([frame.position for frame in order])
    along = positions @ normal
    steps = np.diff(along)
    step = float(np.sort(steps)[(len(steps) - 1) // 2])  # the lower median: a gap is wider
    if double := int((steps < _SAME).sum()):
        raise SeriesError(
            f"{double} of {len(frames)} slices lie where another does: it holds several images, such as "
            "echoes, time points, or before and after contrast, or copies of its files"
        )
    if abs(steps - step).max() > _STEP * step:
        place = int(abs(steps - step).argmax())
        missing = steps[place] / step - 1
        words = f"{round(missing)} missing" if abs(missing - round(missing)) < _STEP and missing > 0 else ""
        raise SeriesError(
            f"slices {place + 1} and {place + 2} are {steps[place]:.2f} mm apart, and others {step:.2f} mm"
            + (f": {words}" if words else ": the increments are mixed")
        )
    shear = positions - positions[0] - np.outer(along - along[0], normal)
    drift = float(np.linalg.norm(shear, axis=1).max())
    degrees = math.degrees(math.atan2(drift, along[-1] - along[0]))
    if degrees > _TILT[0] and drift > _TILT[1]:
        raise SeriesError(f"its slices are sheared by {degrees:.1f} degrees, as under a gantry tilt")
    if thickness > 0 and step > thickness * (1 + _GAP):
        raise SeriesError(
            f"its slices are {thickness:.2f} mm thick and {step:.2f} mm apart: {step - thickness:.2f} mm "
            "between them were never imaged"
        )
    step = float((along[-1] - along[0]) / (len(order) - 1))  # the mean has the least rounding
    between_rows, between_columns = order[0].spacing
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * between_columns, column * between_rows, normal * step], axis=1)
    affine[:3, 3] = positions[0]
    return Stack(order, affine)


def _is_placed(frame: Frame) -> bool:
    """Whether a slice says where it lies and how large its voxels are."""
    parts = (frame.position, frame.orientation, frame.spacing)
    whole = [len(part) for part in parts] == [3, 6, 2]
    return whole and bool(np.isfinite(np.concatenate(parts)).all()) and min(frame.spacing) > 0


def _require_alike(frames: Sequence[Frame]) -> None:
    """Refuse slices of several orientations, sizes or spacings."""
    for what, values in (
        ("orientations", [frame.orientation for frame in frames]),
        ("sizes", [frame.shape for frame in frames]),
        ("pixel spacings", [frame.spacing for frame in frames]),
    ):
        if any(len(value) != len(values[0]) for value in values) or np.ptp(values, axis=0).max() > _SAME:
            raise SeriesError(f"its slices have mixed {what}, as a localiser's")


def _at_right_angles(row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest two unit vectors at right angles; headers are rounded.

    Raises:
        SeriesError: they are far from that.
    """
    left, size, right = np.linalg.svd(np.stack([row, column]), full_matrices=False)
    if abs(size - 1).max() > 0.01:
        raise SeriesError("the directions of its rows and columns are not at right angles")
    nearest = left @ right
    return nearest[0], nearest[1]


def read_series(series: Series) -> sitk.Image:
    """The volume of a series, slope and intercept applied: whole numbers where all values are, else float32.

    Raises:
        SeriesError: it is no volume, or its pixels cannot be read.
    """
    order, affine = stack(series.frames, series.thickness)
    try:
        values = _single(order) if all(not frame.number for frame in order) else _multiple(order)
    except MemoryError:
        raise
    except Exception:  # whatever GDCM and pydicom say of such a file: it may hold a name
        text = "its pixels cannot be read: files are cut short, damaged, or packed in a way not known here"
        raise SeriesError(text) from None
    if not np.isfinite(values).all():
        raise SeriesError("it has voxels that are not finite")
    if (values == np.round(values)).all() and abs(values).max() < 2**31 - 1:
        values = values.astype(np.int16 if abs(values).max() < 2**15 else np.int32)
    return placed(sitk.GetImageFromArray(values), affine)


def _single(order: Sequence[Frame]) -> np.ndarray:
    """The values of files with a slice each, as GDCM reads and scales them."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([frame.path for frame in order])
    reader.SetOutputPixelType(sitk.sitkFloat32)  # the first slice's own type would cut the others' fractions
    warned = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # of distances, which `stack` has looked at
    try:
        return sitk.GetArrayFromImage(reader.Execute())
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(warned)


def _multiple(order: Sequence[Frame]) -> np.ndarray:
    """The values of multi-frame files, whose frames may lie in any order and have scales of their own."""
    from pydicom import dcmread

    stored = {path: dcmread(path).pixel_array for path in dict.fromkeys(frame.path for frame in order)}
    frames = (stored[frame.path][frame.number] * frame.scale[0] + frame.scale[1] for frame in order)
    return np.stack([np.asarray(frame, np.float32) for frame in frames])
