"""The brain of a head: found however the head lies, its bias field taken away, and the outcome doubted."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nilearn.datasets import MNI152_FILE_PATH

from bcbm.imaging.brain import available, bias_corrected, brain_mask, doubts

HEADS = Path("/usr/share/mricron/templates")  # of Debian's package mricron-data


def dice(one, other):
    one, other = (sitk.GetArrayFromImage(mask) > 0 for mask in (one, other))
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.fixture(scope="module")
def template():
    """The template's brain on 2 mm."""
    image = sitk.ReadImage(str(MNI152_FILE_PATH), sitk.sitkFloat32)
    return sitk.BinShrink(image, [2, 2, 2])


def biased(image):
    """A smooth field from 0.6 to 1.4 or so across an image."""
    x = np.indices(image.GetSize()[::-1])[2] / image.GetSize()[0]
    field = sitk.GetImageFromArray((0.6 + 0.8 * x).astype(np.float32))
    field.CopyInformation(image)
    return field


def test_a_bias_field_is_taken_away_and_nothing_stays_outside(template):
    mask = sitk.Cast(template > 0, sitk.sitkUInt8)
    field = biased(template)
    corrected = bias_corrected(template * field, mask)
    again = bias_corrected(template * field, mask)
    inside = sitk.GetArrayFromImage(template) > 0
    truth, before, after, second = (
        sitk.GetArrayFromImage(image)[inside] for image in (template, template * field, corrected, again)
    )
    assert np.std(after / truth) / np.mean(after / truth) < 0.4 * np.std(before / truth) / np.mean(
        before / truth
    )
    assert not sitk.GetArrayFromImage(corrected)[~inside].any()
    assert np.array_equal(after, second)


def test_a_brain_is_believed_and_half_of_one_is_not(template):
    mask = sitk.Cast(template > 0, sitk.sitkUInt8)
    texts, measured = doubts(template, mask)
    assert texts == [] and measured["overlap"] > 0.95 and 1500 < measured["volume"] < 2000
    half = sitk.GetArrayFromImage(mask)
    half[half.shape[0] // 2 :] = 0
    part = sitk.GetImageFromArray(half)
    part.CopyInformation(mask)
    texts, _ = doubts(sitk.Mask(template, part), part)
    assert texts


@pytest.mark.skipif(not available(), reason="deepbet is not installed")
def test_a_brain_is_found_however_its_axes_run(template):
    turned = sitk.DICOMOrient(template * biased(template), "PIR")
    mask = brain_mask(turned)
    assert mask.GetSize() == turned.GetSize() and mask.GetDirection() == turned.GetDirection()
    assert dice(mask, turned > 0) > 0.93


@pytest.mark.skipif(not (HEADS / "ch2.nii.gz").is_file(), reason=f"there is no whole head at {HEADS}")
def test_a_whole_head_loses_its_skull():
    head, brain = (sitk.ReadImage(str(HEADS / name)) for name in ("ch2.nii.gz", "ch2bet.nii.gz"))
    assert dice(brain_mask(head), brain > 0) > 0.92
