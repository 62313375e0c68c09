"""Where the voxels of a file lie: the two forms of a NIfTI header, and whether two grids are one.

A header may say twice how voxels lie in the patient: in its qform (shift, rotation, spacing) and in its sform
(any affine). Programs differ in which they believe; ITK takes the sform, and where that is sheared the qform.
"""

import gzip
import zlib
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import SimpleITK as sitk

if TYPE_CHECKING:
    from nibabel import Nifti1Header

FORMS_APART = "qform and sform disagree"  # a kind of problem
Form = Literal["agree", "qform", "sform"]
Grid = sitk.Image | sitk.ImageFileReader  # whatever knows size, spacing, origin and direction
_DRIFT = 0.01  # part of a voxel that origins and spacings may differ by
_CORNER = 0.5  # part of a voxel that a corner may lie apart: beyond it, the nearest voxel is another
_ROUNDED = 1.0  # voxels that the forms' corners may lie apart: near half a turn, quaternions are this coarse
_SHEAR = 1e-4  # cosine between two axes, 0 at right angles; ITK refuses more
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's axes point to the right, to the front and up


class VolumeError(ValueError):
    """A volume that cannot be used: its `kind` in a few words, "" where there is none, and the `remedy`."""

    def __init__(self, text: str, remedy: str = "download it again", kind: str = "") -> None:
        self.remedy, self.kind = remedy, kind
        super().__init__(text)


def stored_grid(path: Path, form: Form = "agree") -> np.ndarray | None:
    """Where a NIfTI file's voxels lie (4, 4), voxel numbers to LPS mm, if `form` has to say; else None.

    Args:
        path: of the file; one of another format has no forms.
        form: which of the two to believe where they disagree.

    Raises:
        VolumeError: they disagree and `form` is `agree`, or the axes are not at right angles.
    """
    size, forms = _forms(path)
    text = _apart(size, forms)
    if text and form == "agree":
        remedy = "look which is right and set cohort.form=qform or cohort.form=sform"
        raise VolumeError(f"{path.name}: {text}", remedy, FORMS_APART)
    believed = {form: forms[form]} if text else forms
    if believed and all(_sheared(affine) for affine in believed.values()):
        words = f"the axes of its {' and '.join(believed)} are sheared, not at right angles"
        remedy = "resample it onto axes at right angles, image and masks alike"
        raise VolumeError(f"{path.name}: {words}", remedy)
    return _TO_LPS @ forms[form] if text else None


def forms_apart(path: Path) -> str:
    """How qform and sform of a file disagree beyond rounding, in words; "" where they do not."""
    return _apart(*_forms(path))


def placed(image: sitk.Image, affine: np.ndarray) -> sitk.Image:
    """The image with its voxels where `affine` (4, 4), voxel numbers to LPS mm, puts them."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def require_same_grid(image: Grid, mask: Grid, name: str = "the mask") -> None:
    """Refuse a mask on another grid than its image.

    First voxels and spacings may differ by a hundredth of a voxel, and corners by half of one: headers are
    rounded, and quaternions most.

    Raises:
        VolumeError: the grids differ; what differs is said.
    """
    spacing = np.array(image.GetSpacing())
    drift = np.abs(np.subtract([mask.GetSpacing(), mask.GetOrigin()], [spacing, image.GetOrigin()]))
    far, same_size = 0.0, mask.GetSize() == image.GetSize()
    if same_size and (drift <= _DRIFT * spacing.min()).all():
        far = max(_distances(image.GetSize(), _affine(image), _affine(mask)))
        if far <= _CORNER * spacing.min():
            return
    grids = {
        "size": (mask.GetSize(), image.GetSize()),
        "spacing": (mask.GetSpacing(), spacing.tolist()),
        "origin": (mask.GetOrigin(), image.GetOrigin()),
        "direction": (mask.GetDirection(), image.GetDirection()),
    }
    words = [
        f"{what} {_numbers(own)} and {_numbers(other)}"
        for what, (own, other) in grids.items()
        if not np.allclose(own, other, rtol=0, atol=1e-6)
    ]
    if far:
        words.append(f"corners up to {far:.2f} mm apart")
    raise VolumeError(f"{name} is on another grid than its image ({', '.join(words)})", "correct the mask")


def _numbers(values: tuple[float, ...] | list[float]) -> str:
    return f"({', '.join(f'{value:.6g}' for value in values)})"


def _affine(grid: Grid) -> np.ndarray:
    """Voxel numbers to LPS mm (4, 4)."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(grid.GetDirection(), (3, 3)) * grid.GetSpacing()
    affine[:3, 3] = grid.GetOrigin()
    return affine


def _distances(size: tuple[int, ...], first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far the eight corners of a volume lie apart under two affines, mm."""
    corners = np.array([[*corner, 1] for corner in product(*((0, count - 1) for count in size))])
    return np.linalg.norm(corners @ (first - second).T[:, :3], axis=1)


def _sheared(affine: np.ndarray) -> bool:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > _SHEAR)


def _apart(size: tuple[int, ...], forms: dict[str, np.ndarray]) -> str:
    if len(forms) < 2:
        return ""
    from nibabel import aff2axcodes  # slow to import, and a cohort without images needs none of it

    apart = _distances(size, *forms.values()).max()
    if apart <= _ROUNDED * np.linalg.norm(forms["qform"][:3, :3], axis=0).min():
        return ""
    axes = {name: "".join(code or "?" for code in aff2axcodes(affine)) for name, affine in forms.items()}
    words = f"axes {axes['qform']} and {axes['sform']}, " if axes["qform"] != axes["sform"] else ""
    return f"its qform and sform disagree: {words}corners up to {apart:.1f} mm apart"


def _forms(path: Path) -> tuple[tuple[int, ...], dict[str, np.ndarray]]:
    """The size of a file, and its forms as far as their code says that they count: affines (4, 4), voxel
    numbers to RAS mm."""
    from nibabel.spatialimages import HeaderDataError

    header = _header(path)
    forms: dict[str, np.ndarray] = {}
    if header is None or len(header.get_data_shape()) < 3:
        return (), forms
    if header["pixdim"][0] not in (1, -1):  # readers take what is no sign for 1
        header["pixdim"][0] = 1
    for name, read in (("qform", header.get_qform), ("sform", header.get_sform)):
        with suppress(
            ValueError, ArithmeticError, HeaderDataError
        ):  # no rotation, no spacing: for ITK to say
            affine, code = read(coded=True)
            if code > 0 and np.isfinite(affine).all() and np.linalg.det(affine[:3, :3]):
                forms[name] = affine
    return header.get_data_shape()[:3], forms


def _header(path: Path) -> "Nifti1Header | None":
    """nibabel's header of a NIfTI file, None of any other."""
    from nibabel import Nifti1Header, Nifti2Header

    if not path.is_file():
        return None
    with suppress(OSError, EOFError, zlib.error):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            start = file.read(Nifti2Header.template_dtype.itemsize)
        for kind in (Nifti1Header, Nifti2Header):
            head = start[: kind.template_dtype.itemsize]
            if len(head) == kind.template_dtype.itemsize and kind.may_contain_header(head):
                header = kind(head, check=False)
                return header if header["magic"].item()[:1] == b"n" else None
    return None
