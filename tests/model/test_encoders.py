"""Encoders of images and radiomics: any crop that is large enough, weights of MedicalNet, what is trained."""

import os
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from batches import FITTED, MODALITIES, RECEPTORS, batch_of, data_of, lesions_of, parts_of, trainer_of
from monai.networks.nets import resnet
from safetensors.torch import save
from torch import nn

from bcbm.config.schema.training import Loss, Model, Task, Trainer
from bcbm.features.shells import shell_masks
from bcbm.model.encoders.image import ImageEncoder
from bcbm.model.encoders.radiomics import RadiomicsEncoder
from bcbm.model.encoders.shells import shell_channels
from bcbm.model.module import LesionModule
from bcbm.model.network import LesionNetwork
from bcbm.model.weights import WeightsError, load_medicalnet

torch.set_num_threads(1)

LIKE_MEDICALNET = {"widen": 0.05, "stem": 7, "stem_stride": 2, "max_pool": True}


def medicalnet(path, depth=10, widen=0.05):
    """A file of MedicalNet, of few channels: batch norms, names behind `module.`, all in `state_dict`."""
    torch.manual_seed(7)
    bias, shortcut = resnet.get_medicalnet_pretrained_resnet_args(depth)
    body = getattr(resnet, f"resnet{depth}")(
        spatial_dims=3,
        n_input_channels=1,
        feed_forward=False,
        shortcut_type=shortcut,
        bias_downsample=bias,
        widen_factor=widen,
    )
    for parameter in body.parameters():
        nn.init.normal_(parameter)
    torch.save({"state_dict": {f"module.{name}": values for name, values in body.state_dict().items()}}, path)
    return body


def loaded(path, **model):
    sizes = Model(**{**LIKE_MEDICALNET, "weights": str(path), **model})
    encoder = ImageEncoder(sizes)
    return encoder, load_medicalnet(encoder.body, sizes)


def module_of(data, aggregate="mean", **model):
    return LesionModule(
        task=asdict(Task(aggregate=aggregate)),
        model=asdict(Model(**model)),
        loss=asdict(Loss()),
        trainer=asdict(Trainer()),
        fitted=data.fitted(),
        provenance={"seed": 0},
    )


@pytest.mark.parametrize("encoder", ["resnet10", "resnet18", "resnet50"])
@pytest.mark.parametrize("channels", [1, 2])
def test_image_encoder_takes_one_lesion_that_ends_in_one_voxel(encoder, channels):
    model = Model(encoder=encoder, widen=0.05, mask_channel=channels == 2)
    assert ImageEncoder(model).train()(torch.randn(1, channels, 16, 16, 16)).shape == (1, 32)


@pytest.mark.parametrize(
    ("max_pool", "channels", "smallest"), [(False, 1, 15), (False, 2, 15), (True, 1, 29)]
)
def test_densenet_takes_one_lesion_and_names_the_smallest_crop(max_pool, channels, smallest):
    model = Model(encoder="densenet121", max_pool=max_pool, mask_channel=channels == 2)
    encoder = ImageEncoder(model)
    assert not any(isinstance(part, nn.BatchNorm3d) for part in encoder.modules())
    with torch.no_grad():
        for size in (smallest, 32):
            assert encoder(torch.randn(1, channels, *[size] * 3)).shape == (1, 32)
        with pytest.raises(ValueError, match=f"features.crop_size={smallest} or more"):
            encoder(torch.randn(1, channels, *[smallest - 1] * 3))


def test_densenet_learns_with_all_of_its_parameters():
    network = LesionNetwork(RECEPTORS, MODALITIES, Model(encoder="densenet121"), FITTED)
    network(batch_of(2, size=16)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(("spacing", "edges"), [(1.5, [3.0, 6.0]), (1.0, [0.5, 2.0, 4.7]), (0.3, [1.5])])
def test_shells_of_a_crop_are_those_of_an_image(spacing, edges):
    mask = torch.zeros(3, 1, 12, 13, 14)
    mask[0, 0, 5, 6, 7] = mask[0, 0, 1, 1, 12] = 1
    mask[1, 0, 3:8, 4:6, 2:9] = 1  # the third has none
    rings = shell_channels(mask, edges, spacing)
    for crop, lesion in zip(rings[:2], mask[:2, 0].numpy() > 0, strict=True):
        assert np.array_equal(
            crop.numpy() > 0, shell_masks(lesion, np.ones_like(lesion), [spacing] * 3, edges)
        )
    assert not rings[2].any()


def test_shells_are_channels_behind_the_mask_and_learnt_from():
    fitted = {**FITTED, "image": {"sequences": ["t1c"], "shells": [3.0, 6.0], "spacing": 1.5}}
    network = LesionNetwork(RECEPTORS, MODALITIES, Model(mask_channel=True, shell_channels=True), fitted)
    crops = torch.randn(2, 2, 16, 16, 16)
    crops[:, 1] = 0
    crops[:, 1, 8, 8, 8] = 1
    network({**batch_of(2, size=16), "image": crops}).sum().backward()
    learnt = network.image.body.conv1.weight.grad.abs().sum(dim=(0, 2, 3, 4))
    assert len(learnt) == 4 and (learnt > 0).all()


@pytest.mark.parametrize("depth", [10, 18, 34, 50])
def test_all_of_medicalnet_goes_into_the_resnet_of_its_depth(tmp_path, depth):
    theirs = medicalnet(tmp_path / "resnet.pth", depth)
    encoder, report = loaded(tmp_path / "resnet.pth", encoder=f"resnet{depth}")
    parameters = dict(encoder[0].named_parameters())
    assert set(parameters) == set(dict(theirs.named_parameters()))
    assert all(torch.equal(parameters[name], values) for name, values in theirs.named_parameters())
    assert report.startswith(f"resnet.pth: {len(parameters)} of {len(parameters)} tensors matched (")
    assert "not matched" not in report and "not used" not in report and "had" not in report


def test_weights_of_safetensors_are_taken_as_those_of_pytorch(tmp_path):
    theirs = dict(medicalnet(tmp_path / "resnet.pth").named_parameters())
    (tmp_path / "resnet.safetensors").write_bytes(save({k: v.detach() for k, v in theirs.items()}))
    encoder, report = loaded(tmp_path / "resnet.safetensors")
    assert "not matched" not in report
    assert all(torch.equal(values, theirs[name]) for name, values in encoder.body.named_parameters())


def test_what_does_not_fit_is_named_with_both_shapes(tmp_path):
    medicalnet(tmp_path / "resnet.pth")
    encoder, report = loaded(tmp_path / "resnet.pth", stem=3, mask_channel=True)
    count = len(list(encoder[0].parameters()))
    assert f"{count - 1} of {count} tensors matched" in report
    assert "not matched: conv1.weight ((3, 2, 3, 3, 3) here, (3, 1, 7, 7, 7) there)" in report
    assert "MedicalNet had model.stem=7" in report
    assert encoder(torch.randn(1, 2, 16, 16, 16)).isfinite().all()


def test_a_file_of_another_depth_is_told_by_what_it_leaves(tmp_path):
    medicalnet(tmp_path / "resnet.pth", depth=18)
    _, report = loaded(tmp_path / "resnet.pth", encoder="resnet10")
    assert "not matched: layer2.0.downsample.0.weight ((6, 3, 1, 1, 1) here, not there)" in report
    assert "not used: layer1.1.conv1.weight" in report and "more" in report


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap",)


def test_files_that_cannot_be_used_are_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"nothere.pth: there is no such file; get one from github.com"):
        loaded(tmp_path / "nothere.pth")
    Path("corrupt.pth").write_bytes(b"PK\x03\x04" + b"\x00" * 50)
    Path("page.pth").write_text("<html>not found</html>")
    Path("pickle.pth").write_bytes(pickle.dumps({"state_dict": Trap()}, protocol=2))
    torch.save({"state_dict": {"a": "text"}}, "text.pth")
    torch.save([1, 2], "list.pth")
    for name in ("corrupt", "page", "pickle", "text", "list"):
        with pytest.raises(WeightsError, match=f"{name}.pth: not readable as tensors alone"):
            loaded(f"{name}.pth")
    assert not Path("trap").exists()
    medicalnet("wide.pth", widen=0.1)
    with pytest.raises(
        WeightsError, match=r"no convolution of resnet10 fits.*\(6, 1, 7, 7, 7\) there.*widen="
    ):
        loaded("wide.pth")


@pytest.mark.parametrize("encoder", ["resnet10", "densenet121"])
def test_training_reaches_all_the_last_stage_or_the_projection(encoder):
    trained = {}
    for how in ("full", "partial", "frozen"):
        image = ImageEncoder(Model(encoder=encoder, widen=0.05, encoder_training=how))
        image(torch.randn(2, 1, 16, 16, 16)).sum().backward()
        trained[how] = {name for name, values in image.named_parameters() if values.grad is not None}
        assert trained[how] == {name for name, values in image.named_parameters() if values.requires_grad}
    assert trained["frozen"] == {"1.weight", "1.bias"} < trained["partial"] < trained["full"]
    last = ("0.layer4.", "0.features.denseblock4.", "0.features.norm5.", "1.")
    assert all(name.startswith(last) for name in trained["partial"])


@pytest.mark.parametrize("how", ["partial", "frozen"])
def test_frozen_weights_stay_what_they_were_in_training(tmp_path, how):
    theirs = dict(medicalnet(tmp_path / "resnet.pth").named_parameters())
    data = data_of(*lesions_of(18), parts_of(18))
    module = module_of(data, weights=str(tmp_path / "resnet.pth"), encoder_training=how, **LIKE_MEDICALNET)
    trainer = trainer_of(tmp_path)
    trainer.fit(module, data)
    parameters = dict(module.network.encoders["image"][0].named_parameters())
    same = {name for name, values in parameters.items() if torch.equal(values, theirs[name])}
    assert same == {name for name in parameters if how == "frozen" or not name.startswith("layer4.")}
    optimised = {id(values) for group in trainer.optimizers[0].param_groups for values in group["params"]}
    assert not optimised & {id(parameters[name]) for name in same}


def test_numbers_that_the_file_does_not_hold_are_not_frozen(tmp_path):
    medicalnet(tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match=r"conv1.weight .*would freeze random numbers .*stem=7"):
        loaded(tmp_path / "resnet.pth", stem=3, encoder_training="partial")


@pytest.mark.parametrize("depth", [10, 18])
def test_a_checkpoint_needs_the_weights_no_more(tmp_path, depth):
    medicalnet(tmp_path / "resnet.pth", depth)
    data = data_of(*lesions_of(18), parts_of(18))
    sizes = {**LIKE_MEDICALNET, "encoder": f"resnet{depth}", "weights": str(tmp_path / "resnet.pth")}
    module = module_of(data, **sizes)
    assert module.loaded.startswith("resnet.pth: ")
    trainer = trainer_of(tmp_path, epochs=1)
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "fold.ckpt")
    (tmp_path / "resnet.pth").unlink()
    again = LesionModule.load_from_checkpoint(tmp_path / "fold.ckpt", weights_only=True)
    assert again.loaded == module.loaded
    assert torch.equal(again.eval()(batch_of()), module.eval()(batch_of()))


def test_without_weights_nothing_is_said():
    assert module_of(data_of(*lesions_of(18), parts_of(18))).loaded == ""


def test_radiomics_are_imputed_standardised_and_clipped():
    fitted = {"median": [1.0, 0.0, 2.0, 0.0], "mean": [0.0, 0.0, 5.0, 1.0], "scale": [2.0, 1.0, 0.0, 1.0]}
    encoder = RadiomicsEncoder(fitted, Model(radiomics_hidden=4, radiomics_features=3, radiomics_dropout=0.0))
    values = torch.tensor([[torch.nan, 1e30, 7.0, -np.expm1(1.0)], [np.expm1(2.0), -1e30, torch.nan, 0.0]])
    expected = torch.tensor([[0.5, 4.0, 0.0, -2.0], [1.0, -4.0, 0.0, -1.0]])
    torch.testing.assert_close(encoder.standardise(values), expected)
    assert encoder(values).shape == (2, 3)
