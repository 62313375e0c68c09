"""A scan with its lesions as a page to scroll through, by niivue, where bcbm[viewer] is installed."""

import base64
import gzip
import hashlib
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote_to_bytes

import nibabel
import numpy as np
import SimpleITK as sitk

from bcbm.errors import Note
from bcbm.features.volumes import bounding_box
from bcbm.report.pages.page import write_html

PACKAGE = "ipyniivue"  # brings niivue along (BSD-2-Clause): in its widget, as the text of a module,
LEAST = 1_000_000  # characters, percent-encoded, for pages that it saves; nothing else in quotes is as long
SCRIPT = Path(__file__).parents[1] / "templates" / "viewer.js"
FINEST = 1.0  # mm; of finer voxels so many are taken together
GREYS = (1.0, 99.5)  # percentiles of the voxels above 0 that are black and white


@cache
def niivue() -> str | None:
    """The module of niivue as base64 of gzip; None where it is not installed, or not as it is known here.

    Warns:
        Note: it is installed in a version that has it elsewhere.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    widget = Path(spec.origin).parent / "static" / "widget.js"
    quoted = widget.read_text(encoding="utf-8").split('"') if widget.is_file() else [""]
    if len(module := max(quoted, key=len)) < LEAST or "\\" in module:
        text = f"{widget} does not hold niivue where bcbm looks for it: predictions get no viewers; "
        text += "pip install 'bcbm[viewer]' brings a version that does"
        warnings.warn(text, Note, stacklevel=2)
        return None
    return _packed(unquote_to_bytes(module))


def write_viewer(
    path: Path, name: str, image: sitk.Image, masks: Mapping[str, np.ndarray], module: str
) -> None:
    """Write the page of a scan, whole or not at all.

    Args:
        path: the HTML file.
        name: of the study.
        image: any orientation.
        masks: booleans (z, y, x) on its grid, by lesion.
        module: of `niivue`.
    """
    lesions = np.zeros(image.GetSize()[::-1], np.float32)
    for mask in masks.values():
        lesions[mask] = 1
    drawn = sitk.GetImageFromArray(lesions)
    drawn.CopyInformation(image)
    factors = [max(1, int(FINEST / spacing + 0.01)) for spacing in image.GetSpacing()]
    scan = sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), factors)
    outlined = sitk.BinShrink(drawn, factors)
    script = SCRIPT.read_text(encoding="utf-8").rstrip("\n")
    write_html(
        "viewer.html.j2",
        path,
        name=name,
        lesions=[
            {"name": lesion.rpartition("/")[2], "place": _middle(image, mask)}
            for lesion, mask in sorted(masks.items(), key=lambda item: -np.count_nonzero(item[1]))
            if mask.any()
        ],
        coarser=max(factors) > 1,
        niivue=module,
        version=version(PACKAGE),
        scan=_nifti(scan, _greys(sitk.GetArrayViewFromImage(scan))),
        masks=_nifti(outlined, (sitk.GetArrayViewFromImage(outlined) > 0).astype(np.uint8)),
        script_sum=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _greys(values: np.ndarray) -> np.ndarray:
    """Intensities as 0 to 255, of the same shape."""
    low, high = np.percentile(values[values > 0], GREYS) if (values > 0).any() else (0.0, 1.0)
    return (255 * np.clip((values - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)


def _nifti(image: sitk.Image, values: np.ndarray) -> str:
    """Values (z, y, x) on the grid of an image as a packed NIfTI file."""
    axes = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI counts to the right and to the front, ITK the other way
    affine = affine @ np.block([[axes, np.reshape(image.GetOrigin(), (3, 1))], [np.zeros((1, 3)), 1.0]])
    return _packed(nibabel.Nifti1Image(values.T, affine).to_bytes())


def _middle(image: sitk.Image, mask: np.ndarray) -> list[float]:
    """The voxel of a mask that is nearest to its centre, in mm to the right, front and top."""
    box = bounding_box(mask.view(np.uint8))
    assert box is not None
    voxels = np.argwhere(mask[box]) + [span.start for span in box]
    nearest = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
    x, y, z = image.TransformIndexToPhysicalPoint([int(place) for place in nearest[::-1]])
    return [round(-x, 1), round(-y, 1), round(z, 1)]


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()
