"""Pretrained networks: local files of tensors alone, that fill the network to the last one."""

import os
import pickle

import pytest
import torch
from monai.networks import nets
from pretrained import CARD, random_resnet, write_card, write_weights
from safetensors.torch import save

from bcbm.errors import ConfigError
from bcbm.features.cards import NETWORKS, read_card
from bcbm.model.pretrained import load_network
from bcbm.model.tensors import TensorsError, read_tensors

torch.set_num_threads(1)
CROPS = torch.randn(3, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0))


def vectors(path):
    with torch.no_grad():
        return load_network(read_card(path), 12)(CROPS)


@pytest.mark.parametrize("name", ["medicalnet.pth", "of_2019.pth", "alone.pt", "alone.safetensors"])
def test_weights_give_the_features_of_the_network_they_were_taken_from(name, tmp_path):
    path, network = tmp_path / name, random_resnet()
    if name == "medicalnet.pth":
        write_weights(path)
    elif name == "of_2019.pth":  # the format of PyTorch before 1.6, which MedicalNet's files have
        tensors = {f"module.{key}": values for key, values in network.state_dict().items()}
        content = {"epoch": 3, "state_dict": tensors, "optimizer": {"lr": 0.1}}
        torch.save(content, write_card(path), _use_new_zipfile_serialization=False)
    elif path.suffix == ".pt":
        torch.save(network.state_dict(), write_card(path))
    else:
        tensors = {key: values for key, values in network.state_dict().items() if values.is_floating_point()}
        write_card(path).write_bytes(save(tensors))
    found = vectors(path)
    with torch.no_grad():
        assert torch.equal(found, network(CROPS))
    assert found.shape == (3, 25)


@pytest.mark.parametrize(
    ("name", "arguments", "width"),
    [
        ("DenseNet121", {"init_features": 8, "growth_rate": 4, "block_config": [1, 1, 1, 1]}, 8),
        ("SegResNet", {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}, 16),
        ("resnet18", {"widen_factor": 0.05, "shortcut_type": "A"}, 25),
    ],
)
def test_each_family_of_networks_gives_what_comes_before_its_last_layers(name, arguments, width, tmp_path):
    path = write_card(tmp_path / "net.pth", network=name, arguments=arguments)
    network = getattr(nets, name)(**arguments, **NETWORKS[name].fixed)
    torch.save(network.state_dict(), path)
    with torch.no_grad():
        found = load_network(read_card(path), 32)(torch.zeros(2, 1, 32, 32, 32))
    assert found.shape == (2, width) and found.isfinite().all()


def test_what_a_network_makes_of_a_crop_does_not_depend_on_others(tmp_path):
    write_weights(tmp_path / "net.pth")
    network = load_network(read_card(tmp_path / "net.pth"), 12)
    with torch.no_grad():
        together, alone = network(CROPS), torch.cat([network(crop[None]) for crop in CROPS])
    assert torch.allclose(together, alone, atol=1e-5)
    assert not network.training and not any(values.requires_grad for values in network.parameters())


def other_weights(path, change):
    network = write_weights(path)
    tensors = network.state_dict()
    change(tensors)
    torch.save(tensors, path)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda tensors: tensors.pop("conv1.weight"), ["1 missing (conv1.weight)"]),
        (lambda tensors: tensors.update({"stem.bias": torch.ones(2)}), ["1 not of it (stem.bias)"]),
        (
            lambda tensors: tensors.update({"conv1.weight": torch.ones(3, 4, 3, 3, 3)}),
            ["1 of another shape", "(3, 4, 3, 3, 3)", "(3, 1, 3, 3, 3)"],
        ),
        (lambda tensors: tensors["bn1.weight"].fill_(torch.nan), ["NaN", "bn1.weight"]),
    ],
)
def test_weights_that_are_not_the_network_s_are_refused_with_counts(change, facts, tmp_path):
    other_weights(tmp_path / "net.pth", change)
    with pytest.raises(ConfigError) as caught:
        vectors(tmp_path / "net.pth")
    assert all(fact in str(caught.value) for fact in [str(tmp_path / "net.pth"), *facts])


def test_a_crop_too_small_for_the_network_is_said_before_any_work(tmp_path):
    path = write_card(tmp_path / "net.pth", network="DenseNet121", arguments={})
    torch.save(nets.DenseNet121(3, 1, 1).state_dict(), path)
    with pytest.raises(ConfigError, match=r"features\.crop_size=8: DenseNet121"):
        load_network(read_card(path), 8)


class Code:
    """What unpickling would run."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def claimed(length, header=b"{}"):
    return length.to_bytes(8, "little") + header


def test_no_file_runs_code_or_takes_more_than_it_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = torch.ones(1)
    torch.save({"w": Code()}, "zip.pth")
    (tmp_path / "legacy.pth").write_bytes(pickle.dumps({"w": Code()}, protocol=2))
    torch.save(torch.nn.Linear(1, 1), "module.pth")
    torch.save({"w": one.expand(10**12)}, "expanded.pth")
    torch.save({"w": 3}, "number.pth")
    torch.save({"w": torch.eye(3).to_sparse()}, "sparse.pth")
    whole = save({"w": torch.ones(4)})
    contents = {
        "header": claimed(2**60),
        "cut": whole[:-4],
        "larger": whole.replace(b"[4]", b"[9]"),
        "before": whole.replace(b"[0,16]", b"[-8,8]"),
        "kind": whole.replace(b"F32", b"Q32"),
        "text": claimed(4, b"none"),
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    files = sorted([*tmp_path.glob("*.pth"), *tmp_path.glob("*.safetensors")])
    assert len(files) == 12
    for path in files:
        with pytest.raises(TensorsError, match="tensors alone"):
            read_tensors(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"licence": None}, ["licence"]),
        ({"source": ""}, ["source"]),
        ({"test_patients": "perhaps"}, ["perhaps", "yes, no, unknown"]),
        ({"network": "os.system"}, ["os.system", "resnet10"]),
        ({"network": "SwinUNETR"}, ["SwinUNETR"]),
        ({"arguments": {"pretrained": True}}, ["pretrained", "widen_factor"]),
        ({"arguments": {"widen_factor": 1e9}}, ["1e+09"]),
        ({"arguments": [3]}, ["[3]"]),
        ({"weights": "elsewhere.pth"}, ["unknown weights"]),
    ],
)
def test_a_card_says_what_it_has_to_and_names_what_is_known(changes, facts, tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(b"weights")
    write_card(path, **changes)
    with pytest.raises(ConfigError) as caught:
        read_card(path)
    assert all(fact in str(caught.value) for fact in ["net.yaml", *facts])


def test_weights_without_a_card_or_of_another_kind_are_refused(tmp_path):
    (tmp_path / "net.pth").write_bytes(b"weights")
    (tmp_path / "net.py").write_text("raise SystemExit")
    for name, fact in {"net.pth": "net.yaml", "net.py": ".safetensors", "absent.pth": "not a file"}.items():
        with pytest.raises(ConfigError, match=fact):
            read_card(tmp_path / name)
    write_card(tmp_path / "net.pth").with_suffix(".yaml").write_text("#" * 2**17)
    with pytest.raises(ConfigError, match="131072 bytes"):
        read_card(tmp_path / "net.pth")


def test_arguments_that_monai_does_not_take_are_refused_in_its_words(tmp_path):
    arguments = {**CARD["arguments"], "shortcut_type": "C"}
    write_weights(tmp_path / "net.pth", arguments=arguments)
    with pytest.raises(ConfigError, match="MONAI builds no resnet10"):
        vectors(tmp_path / "net.pth")
