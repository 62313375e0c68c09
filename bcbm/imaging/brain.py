"""The brain of a whole head, its bias field taken away, and whether the outcome can be believed."""

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import SimpleITK as sitk

from bcbm.features.registration import register

SMALLEST, LARGEST = 700.0, 2000.0  # ml that an adult's brain with its ventricles has
PLACED = 0.87  # overlap (Dice) with the template below which a mask is looked at
INSIDE = 0.5  # part of a lesion that has to lie in the brain
_SHRINK = 4  # of the grid on which the bias field is fitted
_STEPS = [30, 30, 20, 20]
_THRESHOLD = 0.5


def available() -> bool:
    """Whether deepbet is installed."""
    return find_spec("deepbet") is not None


@lru_cache(maxsize=1)
def _network() -> Any:
    from deepbet import BrainExtraction  # its graphical part stays unopened

    return BrainExtraction(no_gpu=True)


def brain_mask(image: sitk.Image) -> sitk.Image:
    """The brain of a whole head as 0 and 1, by deepbet (Fisch et al., Medical Image Analysis 2024).

    Args:
        image: T1, any orientation and spacing.

    Raises:
        ValueError: it finds no brain.
    """
    network = _network()
    head = sitk.DICOMOrient(sitk.Cast(image, sitk.sitkFloat32), "RAS")
    values = np.ascontiguousarray(sitk.GetArrayViewFromImage(head).T)  # x, y, z: right, front, up
    try:
        mask = network.postprocess(network.run_model(values) > _THRESHOLD)
    except (AssertionError, IndexError, ValueError):
        raise ValueError("no brain is found in it") from None
    result = sitk.GetImageFromArray(np.ascontiguousarray(mask.T).astype(np.uint8))
    result.CopyInformation(head)
    return sitk.Resample(result, image, sitk.Transform(), sitk.sitkNearestNeighbor)


def bias_corrected(image: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """The brain, float32, 0 outside, its bias field taken away by N4 (Tustison et al., IEEE TMI 2010).

    The field is fitted on every fourth voxel along each axis, by one thread: the same bits anywhere.
    """
    image = sitk.Cast(image, sitk.sitkFloat32)
    factors = [min(_SHRINK, max(1, size // 8)) for size in image.GetSize()]
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetNumberOfThreads(1)
    method.SetMaximumNumberOfIterations(_STEPS)
    small = sitk.Shrink(image, factors)
    method.Execute(sitk.Cast(sitk.Clamp(small, lowerBound=0.0), sitk.sitkFloat32), sitk.Shrink(mask, factors))
    field = sitk.Exp(method.GetLogBiasFieldAsImage(image))
    return sitk.Mask(image / sitk.Cast(field, sitk.sitkFloat32), mask)


def volume(mask: sitk.Image) -> float:
    """Of a mask, ml."""
    return float(sitk.GetArrayViewFromImage(mask).sum() * np.prod(mask.GetSpacing()) / 1000)


def doubts(brain: sitk.Image, mask: sitk.Image) -> tuple[list[str], dict[str, float | None]]:
    """What speaks against a brain, in words, and what was measured.

    Args:
        brain: extracted and corrected, 0 outside.
        mask: of it.

    Returns:
        Doubts, and `volume` (ml) and `overlap` (Dice with the template's brain, registered; None where the
        volume is no brain's, or the registration fails).
    """
    size = volume(mask)
    if not SMALLEST <= size <= LARGEST:
        text = f"the brain has {size:.0f} ml; adults have {SMALLEST:.0f} to {LARGEST:.0f}"
        return [text], {"volume": size, "overlap": None}
    try:
        overlap = register(sitk.Clamp(brain, lowerBound=0.0)).overlap
    except ValueError:
        return ["the brain cannot be laid on the template"], {"volume": size, "overlap": None}
    texts = []
    if overlap < PLACED:
        texts.append(f"the brain overlaps the template's by {overlap:.2f}; brains do by {PLACED} or more")
    return texts, {"volume": size, "overlap": overlap}
