"""What makes it doubtful that an image is a brain as the scanner has measured it, and what makes it none."""

import math

import numpy as np

from bcbm.cohort.measurements import (
    BROKEN_OFF,
    CUT_OFF,
    DOUBLED,
    NOT_STRIPPED,
    NOWHERE,
    RESCALED,
    SCRAP,
    SHUFFLED,
    SPIKED,
    STRETCHED,
    TOO_FINE,
    UNEVEN,
    WRAPPED,
)
from bcbm.features.geometry import Grid, VolumeError
from bcbm.features.volumes import Volume
from bcbm.system.words import counted

BIN_WIDTH = 25.0  # grey levels as PyRadiomics counts them by default
_HEAD = 2300.0  # ml above 0 beyond which more than a brain is left; the largest brains have 1900
_SCRAP = 500.0, 0.05  # ml above 0, and part of the voxels, below which both no brain is there
_FEW_BINS = 4.2  # grey levels of BIN_WIDTH in nearly all of a brain, of a range of 0 to 100; real ones have 8
_NEGATIVE = 0.01  # part of the voxels that resampling and bias correction bring below 0 at most
_SPIKE = 50.0  # times the brain's mean beyond which a voxel rules how it is scaled; real scans reach 8
_CUT = 0.005  # part of the brain with the brightest value, beyond which it was cut off; real scans reach 1e-5
_FEWEST_CUT = 100  # voxels of that value
_FINE = 0.15  # mm, an edge of a voxel below which its spacing is likely in centimetres
_LARGE, _ROWS = 0.5, 2  # part of the largest slice, and rows, that no brain loses from a slice to the next
_DIP = 0.25  # part of the largest slice by which none of 133 real brains shrinks before it grows again
_STEP = 2.0  # times the next one's mean that a large slice has at most; those of 133 real brains reach 1.6
_MEANT = 50  # voxels of a slice beyond which their mean says something of it
# Voxels across, front to back and up of MNI152's versions (FSL, SPM, 2009a, 2009c), and of the grids that
# SPM12 and CAT12 normalise to, and their edges, mm.
_TEMPLATES = {
    (182, 218, 182): 1.0,
    (181, 217, 181): 1.0,
    (197, 233, 189): 1.0,
    (193, 229, 193): 1.0,
    (91, 109, 91): 2.0,
    (364, 436, 364): 0.5,
    (79, 95, 79): 2.0,
    (157, 189, 156): 1.0,
    (105, 127, 105): 1.5,
    (121, 145, 121): 1.5,
    (113, 137, 113): 1.5,
    (169, 205, 169): 1.0,
}
_STANDARD = {"3": "Talairach's", "4": "MNI's"}  # what codes of a NIfTI header mean
_BYTE = 255.0  # the largest value of an image that was stretched to bytes; a scan has it by chance
_WRAP = 0.6, 0.002  # a step, in parts of the largest value, and part of such steps; real scans reach 0.0008


def require_brain(image: Volume) -> None:
    """VolumeError unless there is a brain in a known orientation."""
    values, low, high = image.values, float(image.values.min()), float(image.values.max())
    if not np.isfinite([low, high]).all():
        raise VolumeError("holds values that are not finite", "set them to 0 where they are the background")
    if high <= 0:
        raise VolumeError("holds no brain: nothing is above 0")
    if not (values[values > 0] < high).any():
        raise VolumeError(f"holds one intensity only ({high:g})")
    keys = [key for key in ("qform_code", "sform_code") if image.grid.HasMetaDataKey(key)]
    codes = [image.grid.GetMetaData(key) for key in keys]
    if codes and all(code == "0" for code in codes):
        text = "has no orientation (qform and sform code 0): left and right are unknown"
        raise VolumeError(text, "convert it again from what the scanner wrote")


def image_doubts(image: Volume, brain: int) -> list[list[str]]:
    """What makes it doubtful that an image is a brain, of so many voxels, as the scanner has measured it:
    kind, text, remedy."""
    doubts, values = [], image.values
    inside = values > 0
    below = int((values < 0).sum())
    high = float(values.max())
    millilitres = brain * float(np.prod(image.grid.GetSpacing())) / 1000
    if millilitres > _HEAD:
        text = f"is not skull-stripped: {millilitres:.0f} ml lie above 0, a brain has less than {_HEAD:.0f}"
        remedy = "strip the skull and set the background to 0, or correct its spacing; its positions and "
        remedy += "intensities are off"
        doubts.append([NOT_STRIPPED, text, remedy])
    elif millilitres < _SCRAP[0] and brain < _SCRAP[1] * values.size:
        text = (
            f"holds {millilitres:.3g} ml above 0, {brain / values.size:.2%} of its voxels: next to no brain"
        )
        remedy = "strip the skull again, or correct its spacing; intensities are scaled by what is left"
        doubts.append([SCRAP, text, remedy])
    finest = float(min(image.grid.GetSpacing()))
    if finest < _FINE:
        text = f"has voxels of {finest:.3g} mm: no head is scanned so finely, they may be centimetres"
        doubts.append([TOO_FINE, text, "correct the spacing in the header, of image and masks alike"])
    if _says_nothing(image.grid):
        text = "lies from 0 mm on in voxels of 1 mm, as in a file whose writer has lost the header"
        remedy = "look at what the scanner wrote; its spacing may be another, and left be right"
        doubts.append([NOWHERE, text, remedy])
    if text := _on_template(image.grid):
        remedy = "give it as it was scanned: of one that was stretched volumes and shapes are the template's"
        doubts.append([STRETCHED, text, remedy])
    if broken := _broken_off(inside):
        text = f"is 0 from row {broken[1]} of slice {broken[0]} on, as a copy that was broken off leaves it"
        doubts.append([BROKEN_OFF, text, "copy the file again"])
    if (peaks := max(_peaks(inside, axis) for axis in range(3))) > 1:
        text = f"its brain grows and shrinks {peaks} times from slice to slice"
        remedy = "look at the image: its slices are out of order, or some were lost"
        doubts.append([SHUFFLED, text, remedy])
    if doubled := _doubled(values):
        text = f"{counted(doubled, 'slice')} of its brain repeat the one before, voxel by voxel"
        remedy = "look at the image: slices were written twice, or it was enlarged; sizes may be off"
        doubts.append([DOUBLED, text, remedy])
    if any(0.98 * 2**bits <= high < 2**bits for bits in (8, 16)) and (share := _wrapped(values)) > _WRAP[1]:
        text = f"{share:.1%} of the steps in its brain go over most of its range, to {high:.5g}: what lay "
        text += "above began again at 0"
        doubts.append([WRAPPED, text, "convert it again, to numbers of more bits"])
    mean = float(np.sum(values, where=inside, dtype=np.float64) / brain)
    if high > _SPIKE * mean:
        text = f"its brightest voxel has {high / mean:.0f} times the mean of the brain, and rules its scale"
        doubts.append([SPIKED, text, "look at the image; features.crop_intensity=percentile heeds no spike"])
    elif (step := max(_steps(values, inside, axis) for axis in range(3))) > _STEP:
        text = f"a slice of its brain is {step:.1f} times as bright as the next"
        remedy = "convert it again, each slice by its own slope, or look whether one is another scan's"
        doubts.append([UNEVEN, text, remedy])
    remedy = "give it as it was before; its radiomics are not those of other images"
    cut = int((values == high).sum())
    if cut > max(_CUT * brain, _FEWEST_CUT):
        text = f"{cut / brain:.1%} of what is above 0 has its largest value, {high:.3g}: it was cut off there"
        doubts.append([CUT_OFF, text, remedy])
    if below > _NEGATIVE * (brain + below):
        lowest, share = float(values.min()), below / (brain + below)
        text = f"{share:.0%} of its voxels lie below 0, and count as no brain: it was normalised before"
        if (values == lowest).sum() == below:
            text = f"{share:.0%} of its voxels are {lowest:g} in place of 0: its background was set to that"
        doubts.append([RESCALED, text, remedy])
    elif (usual := _usual(values, inside)) < _FEW_BINS * BIN_WIDTH:
        text = f"99% of its intensities lie below {usual:.3g}, {_FEW_BINS:.0f} grey levels of"
        doubts.append([RESCALED, f"{text} {BIN_WIDTH:g} or fewer: it was rescaled before", remedy])
    elif high == _BYTE:
        text = f"its largest value is {_BYTE:g}, as where one was stretched to bytes: it was rescaled before"
        doubts.append([RESCALED, text, remedy])
    return doubts


def _usual(values: np.ndarray, brain: np.ndarray) -> float:
    """The intensity that 99 % of a brain lie below, in every fourth slice."""
    thin = values[::4][brain[::4]]
    return float(np.percentile(thin if thin.size else values[brain], 99))


def _says_nothing(grid: Grid) -> bool:
    """Whether a grid is what nibabel and SimpleITK give an array about which they are told nothing."""
    turn = np.reshape(grid.GetDirection(), (3, 3))
    usual = any(np.array_equal(turn, np.diag([side, side, 1])) for side in (1, -1))
    return usual and not any(grid.GetOrigin()) and np.array_equal(grid.GetSpacing(), np.ones(3))


def _on_template(grid: Grid) -> str:
    """How a volume lies on a template, by its grid or by either form of its header, in words; "" for not."""
    size, edges = grid.GetSize(), grid.GetSpacing()
    if np.allclose(edges, _TEMPLATES.get(size, 0.0), atol=1e-3):
        return f"has the grid of an MNI template, {' x '.join(map(str, size))} voxels of {edges[0]:g} mm"
    keys = [key for key in ("sform_code", "qform_code") if grid.HasMetaDataKey(key)]
    spaces = [_STANDARD[code] for key in keys if (code := grid.GetMetaData(key)) in _STANDARD]
    return f"lies in {spaces[0]} space by its header, as what was normalised to a template" if spaces else ""


def _doubled(values: np.ndarray) -> int:
    """How many slices, of the axis with the most, are what the one before is, and hold more than 0."""
    middles = [size // 2 for size in values.shape]
    most = 0
    for axis in range(3):
        across = (axis + 1) % 3
        plane = np.moveaxis(values.take(middles[across], across), axis if axis < across else axis - 1, 0)
        alike = (plane[1:] == plane[:-1]).all(axis=1) & (plane[1:] > 0).any(axis=1)
        pairs = [[values.take(place + step, axis) for step in (0, 1)] for place in np.flatnonzero(alike)]
        most = max(most, sum(np.array_equal(one, other) for one, other in pairs))
    return most


def _wrapped(values: np.ndarray) -> float:
    """The part of the steps from voxel to voxel along rows of a brain that are most of its largest value."""
    values = values[::4].astype(np.float32)  # of some slices: it is a share
    brain = values > 0
    steps = np.abs(np.diff(values, axis=2))[brain[..., 1:] & brain[..., :-1]]
    return float((steps > _WRAP[0] * values.max()).mean()) if steps.size else 0.0


def _peaks(brain: np.ndarray, axis: int) -> int:
    """How often a brain grows and shrinks again along an axis, in slices: once, as whole ones do, or more."""
    areas = brain.sum(axis=tuple(other for other in range(3) if other != axis), dtype=float)
    least, extreme, grows, peaks = _DIP * areas.max(), 0.0, True, 1
    for area in areas:
        if (extreme - area if grows else area - extreme) > least:
            grows, extreme = not grows, area
            peaks += grows
        extreme = max(extreme, area) if grows else min(extreme, area)
    return peaks


def _steps(values: np.ndarray, brain: np.ndarray, axis: int) -> float:
    """The largest factor between the means of a brain's large slices along an axis and of the next ones."""
    thin = np.s_[:, ::4] if axis == 0 else np.s_[::4]  # some rows of each slice: they are means
    values, brain = values[thin], brain[thin]
    others = tuple({0, 1, 2} - {axis})
    areas = brain.sum(axis=others)
    large = areas > max(_LARGE * areas.max(), _MEANT)
    sums = values.sum(axis=others, where=brain, dtype=np.float64)
    means = np.divide(sums, areas, out=np.full(len(areas), np.nan), where=large)
    steps = np.abs(np.diff(np.log(means)))
    return math.exp(np.nanmax(steps)) if np.isfinite(steps).any() else 1.0


def _broken_off(brain: np.ndarray) -> tuple[int, int] | None:
    """The slice, and its row, as they are stored, behind which nothing is left of a brain that was still
    large before it; None where it ends as brains do."""
    areas = brain.sum(axis=(1, 2))
    last = int(areas.nonzero()[0][-1])
    if not 0 < last < len(areas) - 1 or areas[last - 1] < _LARGE * areas.max():
        return None
    rows, before = (int(brain[place].any(axis=1).nonzero()[0][-1]) for place in (last, last - 1))
    return (last, rows + 1) if before - rows > _ROWS else None
