"""Where the voxels of a file lie: the two forms of a NIfTI header, and whether two grids are one.

A header may say twice how voxels lie in the patient: in its qform (shift, rotation, and the spacing of its
pixdim) and in its sform (any affine). Programs differ in which they believe; ITK takes the sform's axes and
the spacing of the pixdim, and where the sform is sheared the qform.
"""

import gzip
import zlib
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import SimpleITK as sitk

if TYPE_CHECKING:
    from nibabel import Nifti1Header

SINGLE = 352  # bytes before the voxels of a single NIfTI file without extensions
FARTHEST = 2**24  # bytes before the voxels, with extensions; those of real files have some thousand
FORMS_APART = "qform and sform disagree"  # a kind of problem
Form = Literal["agree", "qform", "sform"]
Grid = sitk.Image | sitk.ImageFileReader  # whatever knows size, spacing, origin and direction
_DRIFT = 0.01  # part of a voxel that origins and spacings may differ by
_CORNER = 0.5  # part of a voxel that a corner may lie apart: beyond it, the nearest voxel is another
_ROUNDED = 1.0  # voxels that the forms' corners may lie apart: near half a turn, quaternions are this coarse
_SCANNED = (0.01, 50.0)  # mm: an edge of a voxel that a scanner has made
_UNITS = {
    1: ("metres", 1000.0),
    3: ("microns", 0.001),
}  # of lengths other than mm, by xyzt_units, and their mm
_SHEAR = 1e-4  # cosine between two axes, 0 at right angles; ITK refuses more
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's axes point to the right, to the front and up


class VolumeError(ValueError):
    """A volume that cannot be used: its `kind` in a few words, "" where there is none, and the `remedy`."""

    def __init__(self, text: str, remedy: str = "download it again", kind: str = "") -> None:
        self.remedy, self.kind = remedy, kind
        super().__init__(text)


def nifti_header(path: Path) -> "Nifti1Header | None":
    """nibabel's header of a NIfTI-1 file, None of any other.

    Raises:
        VolumeError: NIfTI-2, or it does not say where the voxels begin, which readers then differ in.
    """
    from nibabel import Nifti2Header

    header = _header(path)
    if isinstance(header, Nifti2Header):
        raise VolumeError(f"{path.name} is NIfTI-2, which ITK does not read", "save it as NIfTI-1")
    if header is not None and path.name.endswith((".nii", ".nii.gz")):
        first = float(header["vox_offset"])
        if not (SINGLE <= first <= FARTHEST and first.is_integer()):
            text = f"its voxels begin at byte {first:g}, where its header or none is (vox_offset)"
            raise VolumeError(f"{path.name}: {text}", "save it again with a tool that writes NIfTI-1")
    return header


def stored_grid(name: str, header: "Nifti1Header | None", form: Form = "agree") -> np.ndarray | None:
    """Where a NIfTI file's voxels lie (4, 4), voxel numbers to LPS mm, if `form` has to say; else None.

    Args:
        name: of the file.
        header: of the file; one of another format has no forms.
        form: which of the two to believe where they disagree; of a file without a qform, `qform` is its
            sform with the spacing of its pixdim.

    Raises:
        VolumeError: they disagree, or one of them is no grid, and `form` does not name one that is; or the
            axes are not at right angles.
    """
    forms = _forms(header)
    text = forms.fault or _apart(forms)
    if text and form not in forms.grids:
        choice = [f"cohort.form={other}" for other in ("qform", "sform") if other in forms.grids]
        remedy = f"set {' or '.join(choice)}" if choice else "correct its header"
        remedy = f"look which is right and {remedy}" if len(choice) > 1 else remedy
        raise VolumeError(f"{name}: {text}", remedy, FORMS_APART if choice else "")
    believed = {form: forms.grids[form]} if text else forms.grids
    if believed and all(_sheared(affine) for affine in believed.values()):
        words = f"the axes of its {' and '.join(believed)} are sheared, not at right angles"
        remedy = "resample it onto axes at right angles, image and masks alike"
        raise VolumeError(f"{name}: {words}", remedy)
    return _TO_LPS @ forms.grids[form] if text else None


def forms_apart(path: Path) -> str:
    """How qform and sform of a file disagree beyond rounding, in words; "" where they do not."""
    forms = _forms(_header(path))
    return forms.fault or _apart(forms)


def require_scale(name: str, spacing: np.ndarray, header: "Nifti1Header | None") -> None:
    """Refuse voxels whose edges, mm, no scanner has made: a header in another unit, or one that is wrong.

    Raises:
        VolumeError: the spacing is said, and the unit of the header where it is not the millimetre.
    """
    if (spacing < _SCANNED[0]).any() or (spacing > _SCANNED[1]).any():
        unit = _unit(header)[0]
        says = f"its header in {unit} (xyzt_units)" if unit else "its header"
        text = f"{name} has voxels of {_numbers(spacing.tolist())} mm by {says}, which no scanner makes"
        raise VolumeError(text, "correct spacing and unit in the header, of image and masks alike")


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


class _Forms(NamedTuple):
    """The size of a file, its forms that count, affines (4, 4) from voxel numbers to RAS mm, and why one that
    should count is none, in words."""

    size: tuple[int, ...]
    grids: dict[str, np.ndarray]
    fault: str
    quaternion: bool = True  # whether there is a qform of its own

    def lengths(self) -> list[np.ndarray]:
        return [np.linalg.norm(affine[:3, :3], axis=0) for affine in self.grids.values()]


def _apart(forms: _Forms) -> str:
    if len(forms.grids) < 2:
        return ""
    from nibabel import aff2axcodes  # slow to import, and a cohort without images needs none of it

    apart = _distances(forms.size, *forms.grids.values()).max()
    first, second = forms.lengths()
    rounded = (np.abs(first - second) <= _DRIFT * first).all()
    if rounded and apart <= _ROUNDED * first.min():
        return ""
    axes = ["".join(code or "?" for code in aff2axcodes(affine)) for affine in forms.grids.values()]
    words = f"axes {axes[0]} and {axes[1]}, " if axes[0] != axes[1] else ""
    if not rounded:
        words += f"voxels of {_numbers(first.tolist())} and {_numbers(second.tolist())} mm, "
    names = f"{'qform' if forms.quaternion else 'pixdim (which stands for a qform)'} and sform"
    return f"its {names} disagree: {words}corners up to {apart:.1f} mm apart"


def _unit(header: "Nifti1Header | None") -> tuple[str, float]:
    """The unit of a header's lengths where it is not the millimetre, and how many mm it has."""
    return _UNITS.get(int(header["xyzt_units"]) & 7, ("", 1.0)) if header is not None else ("", 1.0)


def _forms(header: "Nifti1Header | None") -> _Forms:
    """What a header says of where its voxels lie, as far as the codes of its forms say that they count."""
    from nibabel.spatialimages import HeaderDataError

    if header is None or len(header.get_data_shape()) < 3:
        return _Forms((), {}, "")
    if header["pixdim"][0] not in (1, -1):  # readers take what is no sign for 1
        header["pixdim"][0] = 1
    scale = np.diag([*[_unit(header)[1]] * 3, 1.0])
    grids: dict[str, np.ndarray] = {}
    fault, spacing = "", header["pixdim"][1:4].astype(float)
    counts = {name: int(header[f"{name}_code"]) > 0 for name in ("qform", "sform")}
    for name, read in (("qform", header.get_qform), ("sform", header.get_sform)):
        with suppress(ValueError, ArithmeticError, HeaderDataError):  # no rotation, no spacing
            affine = scale @ read(coded=True)[0] if counts[name] else np.zeros((4, 4))
            if np.isfinite(affine).all() and np.linalg.det(affine[:3, :3]):
                grids[name] = affine
        if counts[name] and name not in grids:
            fault = f"its {name} is no grid: zeros, or not finite"
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        fault = f"its pixdim says voxels of {_numbers(spacing.tolist())} mm"
        grids.pop("qform", None)
    elif "sform" in grids and not counts["qform"] and not _sheared(grids["sform"]):
        lengths = np.linalg.norm(grids["sform"][:3, :3], axis=0)
        affine = grids["sform"] @ np.diag([*(spacing * scale[0, 0] / lengths), 1.0])
        grids = {"qform": affine, "sform": grids["sform"]}
    return _Forms(header.get_data_shape()[:3], grids, fault, counts["qform"])


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
