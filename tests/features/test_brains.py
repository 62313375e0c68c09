"""Registered brains, small: where they lie, whatever way they are stored, and how they are kept."""

import numpy as np
import pytest
import SimpleITK as sitk

from bcbm.features.brains import ORIGIN, SHAPE, SPACING, load_brain, save_brain, small_brain, template_brain

TO_MNI = np.diag([-1.0, -1.0, 1.0, 1.0])  # of a scan that lies on the template, from LPS mm
SPOT = (30.0, 24.0, 42.0)  # MNI RAS mm


def scan(size: int) -> sitk.Image:
    """A head of grey 100 around the origin, of so many voxels an axis, and a bright spot on the right."""
    places = (np.arange(size) + 0.5) * 180 / size - 90
    z, y, x = np.meshgrid(places, places, places, indexing="ij")
    grey = np.where(x**2 + y**2 + z**2 < 70**2, 100.0, 0.0)
    spot = np.maximum.reduce([abs(x + SPOT[0]), abs(y + SPOT[1]), abs(z - SPOT[2])]) < 20
    image = sitk.GetImageFromArray(np.where(spot, 150.0, grey).astype(np.float32))
    image.SetSpacing([180 / size] * 3)
    image.SetOrigin([float(places[0])] * 3)
    return image


@pytest.mark.parametrize("stored", ["LPS", "RAS", "PIR"])
@pytest.mark.parametrize("size", [60, 120])
def test_a_place_stays_where_it_is_on_any_grid(size: int, stored: str) -> None:
    brain = small_brain(sitk.DICOMOrient(scan(size), stored), TO_MNI)
    assert brain.shape == SHAPE and brain.dtype == np.uint8
    centre = np.argwhere(brain == 255).mean(axis=0)[::-1] * SPACING + ORIGIN
    assert np.abs(centre - SPOT).max() < 1
    assert brain[0, 0, 0] == 0 and brain[24, 42, 30] > 100  # a corner, and the origin


def test_the_template_mirrors_itself() -> None:
    brain = template_brain().astype(int)
    assert brain.shape == SHAPE and 0.2 < (brain > 0).mean() < 0.5
    assert np.abs(brain - brain[..., ::-1]).mean() < 2


def test_a_brain_is_kept_as_it_is(tmp_path) -> None:
    brain = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    save_brain(tmp_path / "S.npz", brain)
    np.testing.assert_array_equal(load_brain(tmp_path / "S.npz"), brain)
