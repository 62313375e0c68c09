"""Perturbed masks and what of the features survives them."""

import numpy as np
import pytest
import SimpleITK as sitk

from bcbm.features.perturbation import DRAWS, perturbed_features, perturbed_mask
from bcbm.features.radiomics import FEATURES
from bcbm.features.records import Study

SPACING = np.array([2.0, 1.0, 1.0])


def ball(radius=6.0, shape=(24, 32, 32)):
    """A ball of a radius in mm in voxels of 2 x 1 x 1 mm."""
    middle = [np.arange(size) - size / 2 for size in shape]
    grid = np.stack(np.meshgrid(*middle, indexing="ij"), axis=-1) * SPACING
    return np.linalg.norm(grid, axis=-1) <= radius


def drawn(mask, seed, drawable=None):
    drawable = np.ones(mask.shape, bool) if drawable is None else drawable
    return perturbed_mask(mask, SPACING, drawable, np.random.default_rng(seed))


def test_a_perturbed_mask_is_the_lesion_as_another_reader_might_draw_it():
    mask = ball()
    draws = [drawn(mask, seed) for seed in range(8)]
    dice = [2 * (mask & draw).sum() / (mask.sum() + draw.sum()) for draw in draws]
    assert all(0.75 < value < 0.97 for value in dice)
    sizes = np.array([draw.sum() for draw in draws]) / mask.sum()
    assert sizes.min() > 0.79 and sizes.max() < 1.21 and np.ptp(sizes) > 0.1
    assert np.array_equal(draws[0], drawn(mask, 0)) and not np.array_equal(draws[0], draws[1])


def test_nothing_is_drawn_where_there_is_no_brain_and_a_small_lesion_stays():
    mask = ball()
    drawable = np.ones(mask.shape, bool)
    drawable[:, 17:] = False
    assert not (drawn(mask, 1, drawable) & ~drawable).any()
    tiny = np.zeros(mask.shape, bool)
    tiny[10, 10:12, 10:12] = True
    assert all(3 <= drawn(tiny, seed).sum() <= 5 for seed in range(8))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A noisy image with a ball and a mask of two voxels."""
    folder = tmp_path_factory.mktemp("study")
    mask = ball()
    line = np.zeros(mask.shape, bool)
    line[10, 10, 10:12] = True
    values = np.random.default_rng(0).normal(300, 60, mask.shape) + 200 * mask
    masks = {}
    for name, content in {"image": values, "ball": mask, "line": line, "empty": line & False}.items():
        volume = sitk.GetImageFromArray(content.astype(np.float32))
        volume.SetSpacing(SPACING[::-1].tolist())
        masks[name] = folder / f"{name}.nii.gz"
        sitk.WriteImage(volume, str(masks[name]))
    return Study(masks.pop("image"), masks)


def test_features_of_perturbed_masks_are_kept_and_seeded(study, tmp_path):
    values = perturbed_features([study], tmp_path, jobs=1)
    assert set(values) == {"ball", "line"} and values["ball"].shape == (DRAWS, len(FEATURES))
    assert np.isnan(values["line"]).all() and np.isfinite(values["ball"]).all()
    (record,) = tmp_path.glob("*.json")
    written = record.stat().st_mtime_ns
    again = perturbed_features([study], tmp_path, jobs=1)
    assert np.array_equal(again["ball"], values["ball"]) and record.stat().st_mtime_ns == written
    afresh = perturbed_features([study], tmp_path / "other", jobs=1)
    assert np.array_equal(afresh["ball"], values["ball"])
    volume = values["ball"][:, FEATURES.index("original_shape_VoxelVolume")]
    assert len(set(volume)) == DRAWS and np.abs(volume / (ball().sum() * 2) - 1).max() < 0.21
