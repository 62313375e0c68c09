"""Augmentation in batches: what a sample becomes depends on itself alone, and only training is touched."""

import lightning as L
import numpy as np
import pytest
import torch
from batches import data_of, lesions_of, module_of, parts_of, place_of, trainer_of
from scipy.stats import kstest, kurtosis

from bcbm.cohort.names import HEMISPHERES
from bcbm.config.schema.training import Augment, Data
from bcbm.data.augmentation.batch import BatchAugment
from bcbm.data.augmentation.draws import CHANCES, Changes, part
from bcbm.data.augmentation.noise import add_noise
from bcbm.data.augmentation.resample import about_centre, resampled, rotation, sampled
from bcbm.modalities.position import LEFT, RIGHT

OFF, ON = dict.fromkeys(CHANCES, 0.0), dict.fromkeys(CHANCES, 1.0)
DEVICE = Augment(where="device", bias=0.5, motion=0.5)


def batch(augment, count=6, size=14, channels=2, seed=0):
    """Crops with a box as their mask, and what is to happen to them."""
    image = torch.randn(count, channels, size, size, size, generator=torch.Generator().manual_seed(seed))
    image[:, 1:] = 0
    image[:, 1:, 3:9, 4:10, 2:7] = 1
    draw = Changes(augment)
    change = torch.stack([draw(number) for number in range(count)])
    return image, change, torch.arange(count)


def matrices_of(count, shape, generator):
    degrees, shift = (
        torch.rand(count, 3, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(2)
    )
    return about_centre(rotation(degrees * 25) * 1.1, shift * 3, shape)


@pytest.mark.parametrize("shape", [(12, 12, 12), (9, 12, 14)])
def test_the_compiled_kernel_and_grid_sample_give_the_same_numbers(shape):
    generator = torch.Generator().manual_seed(1)
    volumes, outside = torch.rand(8, *shape, generator=generator), torch.linspace(-1, 1, 8)
    matrices = matrices_of(8, volumes.shape, generator)
    compiled, other = resampled(volumes, matrices, outside), sampled(volumes, matrices, outside)
    assert (compiled == outside[:, None, None, None]).float().mean() > 0.02
    assert torch.allclose(compiled, other, atol=1e-5)
    labels = (volumes > 0.5).float()
    compiled, other = (
        resample(labels, matrices, outside * 0, "nearest") for resample in (resampled, sampled)
    )
    assert torch.equal(compiled, other)


def test_no_turn_and_no_shift_is_identity():
    volumes = torch.randn(2, 8, 9, 10)
    still = about_centre(torch.eye(3, dtype=torch.float64).repeat(2, 1, 1), torch.zeros(2, 3), volumes.shape)
    assert torch.allclose(resampled(volumes, still, torch.zeros(2)), volumes, atol=1e-6)


def test_a_large_shift_reads_nothing_beyond_a_volume():
    volumes = torch.ones(3, 8, 8, 8)
    shift = torch.tensor([[100.0, 0, 0], [0, -7.5, 0], [0, 0, -0.5]], dtype=torch.float64)
    matrices = about_centre(torch.eye(3, dtype=torch.float64).repeat(3, 1, 1), shift, volumes.shape)
    moved = resampled(volumes, matrices, torch.full((3,), 5.0))
    assert [int((volume == 1).sum()) for volume in moved] == [0, 64, 512]
    assert set(moved.unique().tolist()) == {1.0, 5.0}


def test_no_chance_of_a_change_is_identity_and_the_batch_is_never_written_to():
    image, change, seed = batch(Augment(**OFF))
    assert torch.equal(BatchAugment(1.0)(image, change, seed), image)
    image, change, seed = batch(Augment(**ON))
    before = image.clone(), change.clone()
    BatchAugment(1.0)(image, change, seed)
    assert all(torch.equal(a, b) for a, b in zip(before, (image, change), strict=True))


@pytest.mark.parametrize("name", CHANCES)
def test_samples_whose_chance_did_not_come_up_are_untouched(name):
    image, change, seed = batch(Augment(**{**OFF, name: 0.5}), count=16)
    changed = BatchAugment(1.0)(image, change, seed)
    happened = change[:, CHANCES.index(name)] > 0
    assert 0 < happened.sum() < 16
    assert torch.equal(changed[~happened], image[~happened])
    assert all(not torch.equal(a, b) for a, b in zip(changed[happened], image[happened], strict=True))


def test_a_sample_is_the_same_alone_and_in_any_batch():
    image, change, seed = batch(Augment(**{**ON, "flip": 0.5, "affine": 0.5, "motion": 0.5}), 8)
    augment = BatchAugment(1.0)
    augmented = augment(image, change, seed)
    assert torch.equal(augment(image, change, seed), augmented)
    for rows in ([3], [5, 3, 0], list(range(7, -1, -1))):
        subset = augment(image[rows], change[rows], seed[rows])
        assert torch.equal(subset, augmented[rows])


def test_a_flip_mirrors_the_last_axis_and_moves_the_hemisphere():
    image, change, seed = batch(Augment(**{**OFF, "flip": 1.0}), count=len(HEMISPHERES))
    assert torch.equal(BatchAugment(1.0)(image, change, seed), image.flip(-1))
    plain = ready(augment=Augment(**{**OFF, "where": "device"}))
    flipped = ready(augment=Augment(**{**OFF, "flip": 1.0, "where": "device"}))
    for a, b in zip(trained(plain), trained(flipped), strict=True):
        sides = a["position"].clone()
        sides[:, [LEFT, RIGHT]] = sides[:, [RIGHT, LEFT]]
        assert torch.equal(b["position"], sides) and not torch.equal(sides, a["position"])
        assert torch.equal(b["image"], a["image"].flip(-1))


def test_the_mask_moves_with_the_image_and_stays_binary():
    image, change, seed = batch(Augment(**{**OFF, "flip": 0.5, "affine": 1.0}))
    image[:, 0] = image[:, 1]
    moved = BatchAugment(1.0)(image, change, seed)
    assert set(moved[:, 1].unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(moved[:, 1], image[:, 1])
    assert ((moved[:, 0] > 0.5) == (moved[:, 1] > 0.5)).float().mean() > 0.97


def test_changes_of_intensity_leave_the_mask_alone():
    image, change, seed = batch(Augment(**{**ON, "flip": 0.0, "affine": 0.0}))
    changed = BatchAugment(1.0)(image, change, seed)
    assert torch.equal(changed[:, 1], image[:, 1]) and not torch.equal(changed[:, 0], image[:, 0])


def test_contrast_is_a_power_that_keeps_signs_and_nothing():
    sizes = torch.cat([torch.logspace(-6, 4, 997), torch.tensor([0.0, 0.0, 1.0])])
    voxels = torch.stack([sizes, -sizes]).expand(1, 1, 5, 2, 1000)
    change = Changes(Augment(**{**OFF, "gamma": 1.0}))(2)[None]
    power = part(change, "log_gamma").double().exp()
    changed = BatchAugment(1.0)(voxels, change, torch.tensor([0]))
    assert abs(power.item() - 1) > 0.02
    assert torch.allclose(
        changed.double(), voxels.double().abs().pow(power).copysign(voxels), rtol=3e-6, atol=0
    )


def test_noise_is_white_and_gaussian_and_no_two_seeds_share_it():
    noise = torch.zeros(3, 33, 33, 31)
    for seed, crop in enumerate(noise):
        add_noise(crop, seed, 2.0)
    values = noise[1].flatten().numpy()
    assert kstest(values / 2.0, "norm").pvalue > 0.01
    assert abs(kurtosis(values)) < 0.1 and np.abs(values).max() > 7
    pairs = [(noise[0], noise[1]), (noise[1], noise[2])]
    pairs += [(noise[1].roll(step, axis), noise[1]) for axis in range(3) for step in (1, 4)]
    for a, b in pairs:
        assert abs(np.corrcoef(a.flatten(), b.flatten())[0, 1]) < 0.02


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_type_and_autocast_are_worked_on_in_float32(kind):
    image, change, seed = batch(Augment(**ON))
    image = image.to(kind)
    expected = BatchAugment(1.0)(image.float(), change, seed)
    with torch.autocast("cpu", torch.bfloat16):
        changed = BatchAugment(1.0)(image, change, seed)
    assert changed.dtype == torch.float32 and torch.equal(changed, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_gives_the_same_images_but_for_the_noise():
    inputs = batch(Augment(**{**ON, "flip": 0.5, "noise": 0.0}))
    expected = BatchAugment(1.0)(*inputs)
    with torch.autocast("cuda", torch.bfloat16):
        changed = BatchAugment(1.0)(inputs[0].cuda(), *inputs[1:])
    assert torch.allclose(changed.cpu(), expected, atol=1e-4)
    inputs = batch(Augment(**{**OFF, "noise": 1.0}))
    augment, rows = BatchAugment(1.0), slice(2, 4)
    images = augment(inputs[0].cuda(), *inputs[1:])
    assert torch.equal(augment(inputs[0][rows].cuda(), inputs[1][rows], inputs[2][rows]), images[rows])


def ready(augment=DEVICE, **changes):
    data = data_of(*lesions_of(), parts_of(30), augment=augment, **changes)
    data.setup()
    return data


def trained(data):
    """The batches that a network would see."""
    cpu = torch.device("cpu")
    moved = (data.transfer_batch_to_device(batch, cpu, 0) for batch in data.train_dataloader())
    return [data.on_after_batch_transfer(batch, 0) for batch in moved]


def same(first, second):
    return all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(first, second, strict=True)
    )


def test_batches_are_the_same_for_0_and_2_workers():
    assert same(trained(ready()), trained(ready(data=Data(batch_size=8, workers=2))))


def test_ranks_see_what_a_single_process_sees():
    even = Data(batch_size=8, sampling="even")
    expected = [
        dict(zip(batch["row"].tolist(), batch["image"], strict=True)) for batch in trained(ready(data=even))
    ]
    for rank in range(2):
        data = ready(data=even)
        data.trainer = place_of(rank, 2)
        for mine, every in zip(trained(data), expected, strict=True):
            for row, image in zip(mine["row"].tolist(), mine["image"], strict=True):
                assert torch.equal(image, every[row])


@pytest.mark.parametrize("mask", [False, True])
def test_training_sees_the_keys_and_types_that_it_sees_from_workers(mask):
    device = trained(ready(mask_channel=mask))[0]
    worker = data_of(*lesions_of(), parts_of(30), augment=Augment(), mask_channel=mask)
    worker.setup()
    expected = next(iter(worker.train_dataloader()))
    assert {name: (values.dtype, values.shape) for name, values in device.items()} == {
        name: (values.dtype, values.shape) for name, values in expected.items()
    }


def test_the_image_takes_the_type_of_the_rest_of_its_batch():
    data = ready()
    batch = {
        name: values.half() if values.is_floating_point() else values
        for name, values in next(iter(data.train_dataloader())).items()
    }
    assert data.on_after_batch_transfer(batch, 0)["image"].dtype == torch.float16


def test_validation_and_test_lesions_are_never_changed():
    crops = lesions_of()[2]
    data = ready()
    for loader in (data.val_dataloader(), *data.predict_dataloader()):
        for batch in loader:
            before = dict(batch)
            seen = data.on_after_batch_transfer(
                data.transfer_batch_to_device(batch, torch.device("cpu"), 0), 0
            )
            assert same([seen], [before])
            stored = torch.from_numpy(crops[batch["row"].numpy()][:, :1]).float()
            assert torch.equal(seen["image"], stored)


class Seen(L.Callback):
    """Keeps the batches as the network gets them."""

    def __init__(self):
        self.training, self.validation = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.training.append(batch)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.validation.append(batch)


def test_a_trainer_augments_training_batches_alone(tmp_path):
    crops = lesions_of()[2]
    data, seen = ready(), Seen()
    trainer_of(tmp_path, epochs=1, callbacks=[seen], num_sanity_val_steps=0).fit(module_of(data), data)
    assert seen.training and seen.validation
    assert same(seen.training, trained(ready()))
    for batch in (*seen.training, *seen.validation):
        stored = torch.from_numpy(crops[batch["row"].numpy()][:, :1]).float()
        assert torch.equal(batch["image"], stored) == any(batch is other for other in seen.validation)
