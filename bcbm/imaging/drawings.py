"""Structure sets (RTSTRUCT) and segmentations (SEG) as masks on the grid of the image they are drawn on."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import SimpleITK as sitk

from bcbm.cohort.names import is_denied, is_of_the_field, plain_name, read_name
from bcbm.imaging.headers import STRUCTURES, Drawing, Series

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_OFF = 0.1  # part of the distance between slices that a contour may lie off one
_ALIGNED = 0.01  # voxels that the grid of a segmentation may lie off the image's
_CROSSED = 0.05  # part of what a contour encloses that may lie where it runs around twice
_OTHER = """
    external body skin patient outline outercontour head skull bone normalbrain couch table bolus support air
    mask frame isocenter isocentre marker markers haut körper koerper aussenkontur schädel knochen tisch
"""
_NO_LESION = frozenset(_OTHER.split())
_BRAIN = frozenset({"brain", "wholebrain", "brainmask", "hirn", "gehirn"})
_TUMOUR = re.compile(r"gtv|(?<![a-z])mets?(?![a-z])|metasta|tumou?r|lesion", re.IGNORECASE)
# What planning makes of a target: a ring around it, and a brain without it, which a dash says there (TG-263).
_AID = re.compile(
    r"(?=.*[gpc]tv)(?:.*(?<![a-z])z?(?:ring|shell)\d*(?![a-z])(?![\W_]*enh)|.*(?:hot ?spot|overlap)|"
    r".*(?:(?:brain|hirn|chiasma?|optic\w*|skin|body|external)[\s_]*[-\u2212]|minus|ohne|without|"
    r"(?:ptv|ctv(?=.*gtv))\w*[\s_]*[-\u2212](?!\s*ptv))"
    r"[\s_]*[gpc]tv)",
    re.IGNORECASE,
)
_TUMOUR_TYPES = {"", "GTV", "CTV", "PTV", "TREATED_VOLUME", "IRRAD_VOLUME"}  # of RTROIInterpretedType
_ANATOMY = {("SCT", "123037004"), ("SCT", "91723000"), ("SRT", "T-D0050")}  # categories of a segment


class Region(NamedTuple):
    """One region as it is drawn.

    Attributes:
        name: in words of the field; nothing else of the free text that it was.
        role: `lesion`, `brain`, or `other` for organs and aids.
        mask: booleans (z, y, x) on the image's grid; None where it is refused or not a lesion's.
        refused: why, in words; "" where it is read.
        named: whether a word of its name is the field's; a lesion without one is so only as it is drawn.
        called: whether its name, or its type, says that it is a tumour or a target.
    """

    name: str
    role: str
    mask: np.ndarray | None
    refused: str = ""
    named: bool = True
    called: bool = True


class DrawingError(ValueError):
    """A structure set or segmentation of which no region is read."""


def read_drawing(drawing: Drawing, series: Series, image: sitk.Image, brain: bool = False) -> list[Region]:
    """The regions of a structure set or a segmentation.

    Args:
        drawing: its file.
        series: that the image is.
        image: whose grid the masks get.
        brain: read the brain's mask too.

    Raises:
        DrawingError: it lies in another frame of reference, or in several, was rejected, or cannot be read.
    """
    from pydicom import dcmread

    frames = drawing.frames_of_reference
    if len(frames) > 1:
        raise DrawingError(f"its regions lie in {len(frames)} frames of reference")
    if frames and series.frame_of_reference and series.frame_of_reference not in frames:
        raise DrawingError("it lies in another frame of reference than the image")
    reader = _structures if drawing.kind == STRUCTURES else _segments
    try:
        content = dcmread(drawing.path)
        if content.get("ApprovalStatus") == "REJECTED":
            raise DrawingError("its approval status is REJECTED")
        return list(reader(content, image, brain))
    except DrawingError:
        raise
    except Exception as error:  # whatever the libraries make of a damaged file
        raise DrawingError(f"it cannot be read ({type(error).__name__})") from None


def _role(name: str, organ: bool) -> str:
    """What a region is by its name, and by what the file says of it."""
    letters = "".join(filter(str.isalnum, name.lower()))
    if letters in _BRAIN:
        return "brain"
    if _AID.match(name) or is_denied(name):
        return "other"
    if _TUMOUR.search(name) and read_name(name).category != "structure":
        return "lesion"  # planning systems give what is drawn any type
    return "other" if organ or letters in _NO_LESION or read_name(name).category == "structure" else "lesion"


def _region(text: str, role: str, mask: np.ndarray | None, refused: str, kind: str = "") -> Region:
    """A region by the free text that names it, and by its type, where that is a target's."""
    tumour = bool(_TUMOUR.search(text))
    called = tumour or read_name(text).category == "target" or kind in _TUMOUR_TYPES - {""}
    return Region(plain_name(text), role, mask, refused, tumour or is_of_the_field(text), called)


def _require_distinct(numbers: Iterable[object]) -> None:
    """DrawingError for two regions of one number, by which their outlines are found."""
    if twice := [number for number, count in Counter(map(str, numbers)).items() if count > 1]:
        raise DrawingError(f"several of its regions have the number {twice[0]}")


def _require_whole(mask: np.ndarray) -> None:
    """DrawingError for a slice that is left out of a lesion."""
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    for before in slices[:-1][np.diff(slices) == 2]:
        if (mask[before] & mask[before + 2]).any():
            raise DrawingError(f"nothing is drawn on slice {before + 2}, between two that it covers")


def _structures(content: "Dataset", image: sitk.Image, brain: bool) -> Iterator[Region]:
    for items, keyword in (
        (content.get("StructureSetROISequence"), "ROINumber"),
        (content.get("ROIContourSequence"), "ReferencedROINumber"),
    ):
        _require_distinct(item[keyword].value for item in items or ())
    kinds = {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType") or "").upper()
        for item in content.get("RTROIObservationsSequence") or ()
    }
    contours = {
        int(item.ReferencedROINumber): item.get("ContourSequence") or ()
        for item in content.get("ROIContourSequence") or ()
    }
    for region in content.get("StructureSetROISequence") or ():
        number, name = int(region.ROINumber), str(region.get("ROIName") or "")
        role = _role(name, kinds.get(number, "") not in _TUMOUR_TYPES)
        mask, refused = None, ""
        if role == "lesion" or (role == "brain" and brain):
            try:
                mask = contour_mask(contours.get(number, ()), image)
            except DrawingError as error:
                refused = str(error)
        yield _region(name, role, mask, refused, kinds.get(number, ""))


def contour_mask(contours: "Sequence[Dataset]", image: sitk.Image) -> np.ndarray:
    """The voxels whose centres lie within the contours of a region, booleans (z, y, x).

    A contour inside another one cuts a hole (even-odd rule, PS3.3 C.8.8.6.3); one that is written twice, with
    the same points or others, counts once.

    Args:
        contours: items of a ContourSequence, points in LPS mm.
        image: whose slices they are drawn on.

    Raises:
        DrawingError: there are none, some are not closed or cross themselves, two overlap in part, or they
            lie between slices, on other planes, outside the image, or leave slices out.
    """
    mask = np.zeros(image.GetSize()[::-1], bool)
    to_index = np.linalg.inv(np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing())
    if not contours:
        raise DrawingError("it has no contour")
    areas: dict[int, dict[frozenset[tuple[float, ...]], np.ndarray]] = {}
    for contour in contours:
        if not str(contour.ContourGeometricType).startswith("CLOSED"):
            raise DrawingError("it has a contour that is not closed")
        points = np.reshape(np.array(contour.ContourData, float), (-1, 3))
        index = (points - image.GetOrigin()) @ to_index.T
        number = round(float(index[:, 2].mean()))
        if np.ptp(index[:, 2]) > 2 * _OFF:
            raise DrawingError("its contours lie on other planes than the image's slices")
        if abs(index[:, 2] - number).max() > _OFF:
            raise DrawingError(f"a contour lies between slices {math.floor(index[0, 2]) + 1} and the next")
        size = np.array(image.GetSize())
        if not 0 <= number < size[2] or (index[:, :2] < -1).any() or (index[:, :2] > size[:2]).any():
            raise DrawingError("a contour lies outside the image")
        others, corners = areas.setdefault(number, {}), frozenset(map(tuple, index.round(3).tolist()))
        if corners in others:
            continue
        times = _wound(index[:, :2], mask.shape[1:])
        area, enclosed = times % 2 == 1, times != 0
        if any(np.array_equal(area, other) for other in others.values()):
            continue
        if (enclosed & ~area).sum() > max(1, _CROSSED * enclosed.sum()):
            raise DrawingError(f"a contour crosses itself on slice {number + 1}")
        for other in others.values():
            if 0 < (area & other).sum() < min(area.sum(), other.sum()):
                raise DrawingError(f"two of its contours overlap in part on slice {number + 1}")
        others[corners] = area
        mask[number] ^= area
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    if not slices.size:
        raise DrawingError("no voxel's centre lies within its contours")
    if slices.size > 2 and (apart := int(np.diff(slices).min())) > 1:
        raise DrawingError(f"its contours lie {apart} slices apart: it was drawn on another series")
    _require_whole(mask)
    return mask


def filled(polygon: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels whose centres lie within a polygon, by the even-odd rule.

    Args:
        polygon: (N, 2), column and row of its corners; pixel centres are whole numbers.
        shape: rows and columns of the result.

    Example:
        >>> filled(np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 1.5], [0.5, 1.5]]), (3, 4)).astype(int).tolist()
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    return _wound(polygon, shape) % 2 == 1


def _wound(polygon: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """How often, and in which direction, a polygon runs around each pixel's centre; arguments as `filled`."""
    rows, columns = shape
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
    toggles = np.zeros((rows, columns + 1), int)
    for row in range(max(0, math.ceil(y0.min())), min(rows - 1, math.floor(y0.max())) + 1):
        crossed = (y0 <= row) != (y1 <= row)
        x = x0[crossed] + (row - y0[crossed]) / (y1 - y0)[crossed] * (x1 - x0)[crossed]
        steps = np.where((y1 > y0)[crossed], 1, -1)
        np.add.at(toggles[row], np.clip(np.ceil(x), 0, columns).astype(int), steps)
    return toggles.cumsum(axis=1)[:, :-1]


def _segments(content: "Dataset", image: sitk.Image, brain: bool) -> Iterator[Region]:
    from highdicom.seg import Segmentation

    _require_distinct(item.SegmentNumber for item in content.SegmentSequence)
    segmentation = Segmentation.from_dataset(content, copy=False)
    for number in segmentation.segment_numbers:
        item = segmentation.get_segment_description(number)
        category = item.segmented_property_category
        name = str(item.segment_label)
        role = _role(name, (category.scheme_designator, category.value) in _ANATOMY)
        mask, refused = None, ""
        if role == "lesion" or (role == "brain" and brain):
            volume = segmentation.get_volume(segment_numbers=[number], combine_segments=False)
            try:
                mask = _on_grid(np.squeeze(volume.array, -1) > 0.5, volume.affine, image)
                _require_whole(mask)
            except DrawingError as error:
                mask, refused = None, str(error)
        yield _region(name, role, mask, refused)


def _on_grid(values: np.ndarray, affine: np.ndarray, image: sitk.Image) -> np.ndarray:
    """A mask on the grid of an image, of which its own is a part.

    Args:
        values: booleans; their axes are those of `affine`.
        affine: (4, 4), voxel numbers to LPS mm.
        image: whose grid the result (z, y, x) has.

    Raises:
        DrawingError: its voxels are not voxels of the image, or some lie outside it, or there is none.
    """
    grid = np.eye(4)
    grid[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    grid[:3, 3] = image.GetOrigin()
    places = np.argwhere(values) @ affine[:3, :3].T + affine[:3, 3]
    if not len(places):
        raise DrawingError("it has no voxel")
    index = (places - grid[:3, 3]) @ np.linalg.inv(grid[:3, :3]).T
    edges = np.linalg.inv(grid[:3, :3]) @ affine[:3, :3]
    if abs(index - index.round()).max() > _ALIGNED or abs(abs(np.linalg.det(edges)) - 1) > _ALIGNED:
        raise DrawingError("it is on another grid than the image")
    x, y, z = index.round().astype(int).T
    if min(x.min(), y.min(), z.min()) < 0 or (np.array([x.max(), y.max(), z.max()]) >= image.GetSize()).any():
        raise DrawingError("it reaches out of the image")
    mask = np.zeros(image.GetSize()[::-1], bool)
    mask[z, y, x] = True
    return mask


def as_image(mask: np.ndarray, image: sitk.Image) -> sitk.Image:
    """A mask (z, y, x) as 0 and 1 on the grid of an image."""
    result = sitk.GetImageFromArray(mask.astype(np.uint8))
    result.CopyInformation(image)
    return result
