"""Both ways of augmentation are one distribution: worker (TorchIO) and device (batches)."""

import numpy as np
import pytest
import torch
import torchio as tio
from scipy.stats import binomtest, ks_2samp

from bcbm.config.compose import compose
from bcbm.config.schema.training import Augment
from bcbm.data.augmentation.batch import BatchAugment
from bcbm.data.augmentation.draws import CHANCES, Changes, part
from bcbm.data.augmentation.single import LesionAugment
from bcbm.errors import ConfigError

SIZE, COUNT = 16, 250
OFF = dict.fromkeys(CHANCES, 0.0)
GRID = torch.stack(torch.meshgrid(*[torch.arange(float(SIZE)) - (SIZE - 1) / 2] * 3, indexing="ij"))
BLOB = torch.exp(-((GRID[0] / 2) ** 2 + (GRID[1] / 3) ** 2 + (GRID[2] / 3.5) ** 2) / 2)[None]


def by_worker(augment, crop=BLOB, count=COUNT, first=0):
    worker = LesionAugment(augment, 1.0)
    return torch.stack([worker(crop, seed)[0] for seed in range(first, first + count)])


def by_device(augment, crop=BLOB, count=COUNT, first=0, spacing=1.0):
    draw, seeds = Changes(augment), torch.arange(first, first + count)
    change = torch.stack([draw(int(seed)) for seed in seeds])
    return BatchAugment(spacing)(crop.expand(count, *crop.shape), change, seeds)


def centre(images, axis):
    return (GRID[axis] * images[:, 0]).sum((1, 2, 3)) / images[:, 0].sum((1, 2, 3))


def tilt(images):
    """Covariance of two axes: what a rotation changes."""
    together = (GRID[0] * GRID[2] * images[:, 0]).sum((1, 2, 3)) / images[:, 0].sum((1, 2, 3))
    return together - centre(images, 0) * centre(images, 2)


def difference(images):
    return (images - BLOB).std((1, 2, 3, 4))


MEASURES = {
    "shift along z": ("affine", lambda images: centre(images, 0)),
    "shift along x": ("affine", lambda images: centre(images, 2)),
    "volume": ("affine", lambda images: images.sum((1, 2, 3, 4))),
    "rotation": ("affine", tilt),
    "motion": ("motion", difference),
    "motion beside the middle": ("motion", lambda images: images[:, 0, 8, 10, 4]),
    "bias": ("bias", difference),
    "bias at a corner": ("bias", lambda images: images[:, 0, 2, 2, 13] / BLOB[0, 2, 2, 13]),
    "noise": ("noise", difference),
    "contrast": ("gamma", lambda images: images.mean((1, 2, 3, 4))),
}
WRONG = {  # the name of a number in a draw, and a factor that must be found out
    "shift along z": ("shift", 1.5),
    "shift along x": ("shift", 1.5),
    "volume": ("scale", 1.05),
    "rotation": ("degrees", 2.0),
    "motion": ("motion_shift", 1.6),
    "motion beside the middle": ("motion_time", 0.7),
    "bias": ("coefficients", 1.5),
    "bias at a corner": ("coefficients", 2.0),
    "noise": ("deviation", 1.5),
    "contrast": ("log_gamma", 1.6),
}


@pytest.fixture(scope="module")
def worker_images():
    """Of each change alone, every time."""
    return {
        name: by_worker(Augment(**{**OFF, name: 1.0}))
        for name in ("affine", "motion", "bias", "noise", "gamma")
    }


@pytest.mark.parametrize("measure", MEASURES)
def test_both_ways_have_one_distribution_and_another_size_is_found_out(measure, worker_images):
    name, measured = MEASURES[measure]
    augment = Augment(**{**OFF, name: 1.0})
    expected = measured(worker_images[name])
    measurements = measured(by_device(augment, count=4 * COUNT, first=10_000))
    assert ks_2samp(expected, measurements).pvalue > 0.005
    seeds = torch.arange(10_000, 10_000 + 4 * COUNT)
    change = torch.stack([Changes(augment)(int(seed)) for seed in seeds])
    number, factor = WRONG[measure]
    part(change, number).mul_(factor)
    shrunk = BatchAugment(1.0)(BLOB.expand(len(seeds), *BLOB.shape), change, seeds)
    assert ks_2samp(expected, measured(shrunk)).pvalue < 0.001


@pytest.mark.parametrize("augmented", [by_worker, by_device])
@pytest.mark.parametrize("name", CHANCES)
def test_a_change_happens_as_often_as_its_chance_says(augmented, name):
    crop = BLOB + 0.01 * GRID.sum(0)  # a flip shows
    images = augmented(Augment(**{**OFF, name: 0.3}), crop, count=200)
    changed = (images != crop).flatten(1).any(1).sum().item()
    assert binomtest(changed, 200, 0.3).pvalue > 0.001


@pytest.mark.parametrize("size, spacing", [(14, 1.0), (15, 1.5)])
@pytest.mark.parametrize("name", ["affine", "motion", "bias", "gamma"])
def test_the_same_numbers_give_what_torchio_gives(name, size, spacing):
    crop = torch.randn(1, size, size, size, generator=torch.Generator().manual_seed(0))
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = -(size - 1) / 2 * spacing  # the origin in the centre, as LesionAugment has it
    change = Changes(Augment(**{**OFF, name: 1.0}))(seed=3)[None]
    changed = BatchAugment(spacing)(crop[None], change, torch.tensor([3]))
    number = {
        key: part(change, key)[0].double().numpy() for key in ("degrees", "scale", "shift", "log_gamma")
    }
    turn = part(change, "motion_degrees").reshape(2, 3).double().numpy() * [-1, -1, 1]  # ITK's x and y
    move = part(change, "motion_shift").reshape(2, 3).double().numpy() * [-1, -1, 1]
    transforms = {
        "affine": lambda: tio.Affine(
            [number["scale"].item()] * 3, number["degrees"], number["shift"], default_pad_value=0.0
        ),
        "motion": lambda: tio.Motion(turn, move, part(change, "motion_time")[0].numpy(), "linear"),
        "bias": lambda: tio.BiasField(part(change, "coefficients")[0].tolist(), 3),
        "gamma": lambda: tio.Gamma(float(np.exp(number["log_gamma"].item()))),
    }
    expected = transforms[name]()(tio.ScalarImage(tensor=crop, affine=affine)).data
    assert not torch.allclose(expected, crop, atol=0.01)
    assert torch.allclose(changed[0], expected, atol=1e-5)


def test_motion_turns_about_the_centre_of_a_crop_in_the_worker():
    ball = ((GRID**2).sum(0) < 16).float()[None]
    away = [
        centre(by_worker(Augment(**{**OFF, "motion": 1.0}), ball, 40), axis).abs().max() for axis in range(3)
    ]
    assert max(away) < 4.0  # about a corner the ball's centre would also move by its turn


@pytest.mark.parametrize("name", CHANCES)
def test_one_change_leaves_the_draw_of_the_others_alone(name):
    every = Changes(Augment(**dict.fromkeys(CHANCES, 1.0)))(7)
    single = Changes(Augment(**{**OFF, name: 1.0}))(7)
    assert torch.equal(every[len(CHANCES) :], single[len(CHANCES) :])
    assert single[: len(CHANCES)].tolist() == [float(chance == name) for chance in CHANCES]


@pytest.mark.parametrize(
    "word, message",
    [
        ("augment.where=gpu", "augment.where"),
        ("augment.bias=1.5", "from 0 to 1"),
        ("augment.motion=-0.1", "from 0 to 1"),
        ("augment.degrees=-5", "from 0 to 180"),
        ("augment.scale=1", "from 0 to 0.9"),
    ],
)
def test_settings_out_of_range_are_refused(word, message):
    with pytest.raises(ConfigError, match=message):
        compose([word])


def test_the_paper_and_the_demo_augment_on_the_device():
    assert compose(["experiment=paper", "cohort.root=somewhere"]).augment.where == "device"
    assert compose([]).augment == compose(["augment=device"]).augment == Augment(where="device")
    assert compose(["augment=light"]).augment == Augment()
    assert Changes(compose(["augment=none"]).augment)(0)[: len(CHANCES)].sum() == 0
