"""A modality from a single file of an installed package, and what follows a flip."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import openpyxl
import pandas as pd
import pytest
import torch
from batches import data_of, lesions_of, parts_of
from commands import run_command
from repository import HOME

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK
from bcbm.config.compose import compose
from bcbm.config.schema.training import Augment
from bcbm.errors import ConfigError
from bcbm.modalities import MODALITIES
from bcbm.modalities.base import Modality

MODULE = '''
"""What the clinic knows of a patient: age and year, imputed and scaled by the training patients."""

import numpy as np
import pandas as pd

from bcbm.modalities.base import Modality

NAMES = ["age", "year"]


class Toy(Modality):
    encoder = "toy:build"

    def absent(self, lesions):
        return lesions.table["age"].map(lambda age: "" if age else "no age")

    def fit(self, lesions, weight):
        values = np.ma.masked_invalid(self.tensor(lesions).astype(float))
        mean = np.ma.average(values, axis=0, weights=weight)
        scale = np.ma.sqrt(np.ma.average((values - mean) ** 2, axis=0, weights=weight))
        return {"mean": mean.tolist(), "scale": scale.tolist()}

    def tensor(self, lesions):
        return lesions.table[NAMES].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)

    def columns(self, lesions):
        return pd.DataFrame(self.tensor(lesions).astype(float), columns=["toy_age", "toy_year"])

    def blocks(self, config):
        return {name: [place] for place, name in enumerate(NAMES)}


TOY = Toy()


def build(model, fitted):
    import torch
    from torch import nn

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.tensor(fitted["mean"]))
            self.register_buffer("scale", torch.tensor(fitted["scale"]))
            self.layer = nn.Linear(2, 3)

        def forward(self, values):
            return self.layer(((values - self.mean) / self.scale).nan_to_num())

    return Scaled(), 3
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder as `pip install --target` leaves it, with one package of one module."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "toy.py").write_text(MODULE)
    (folder / "toy-1.0.dist-info").mkdir()
    (folder / "toy-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (folder / "toy-1.0.dist-info/entry_points.txt").write_text("[bcbm.modalities]\ntoy = toy:TOY\n")
    return folder


@pytest.fixture(scope="module")
def home(table_cohort, package, tmp_path_factory):
    """A copy of the cohort whose first row has no age, and a place for what is made of it."""
    home = tmp_path_factory.mktemp("toy")
    shutil.copytree(table_cohort, home / "cohort")
    path = home / "cohort" / CLINICAL_WORKBOOK[0]
    book = openpyxl.load_workbook(path)
    book[CLINICAL_WORKBOOK[1]].cell(2, 2).value = None
    book.save(path)
    return home


def command(home, package, verb, *words, status=0):
    path = os.pathsep.join([str(package), str(HOME)])
    settings = ["cohort.root=cohort", "prepared.root=prepared", "split.folds=2", "bootstrap=50"]
    settings += ["tracking=csv", "trainer.max_epochs=1", "trainer.devices=1", "prepared.jobs=1"]
    done = run_command(verb, *(settings if verb == "fit" else ()), *words, cwd=home, PYTHONPATH=path)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def network(home, package):
    """A run of the network on the toy."""
    command(
        home, package, "fit", "task.modalities=[radiomics,toy]", "run.folder=network", "task.targets=[ER]"
    )
    return home / "network"


def test_the_network_is_trained_on_it_to_the_end(network):
    results = json.loads((network / "results.json").read_text())
    assert 0 <= results["receptors"]["ER"]["patient"]["auroc"] <= 1
    table = pd.read_parquet(network.parent / "prepared/lesions.parquet")
    ageless = table["age"] == ""
    first = table.loc[ageless, "study_id"].unique()
    assert len(first) == 1 and set(table.loc[ageless & (table["category"] == "lesion"), "reason"]) == {
        "no age"
    }
    assert not table.loc[~ageless, "reason"].eq("no age").any()


def test_what_it_fitted_is_of_the_training_patients_and_travels_in_the_checkpoint(network):
    table = pd.read_parquet(network.parent / "prepared/lesions.parquet")
    table = table[~table["excluded"]].astype({"age": float, "year": float})
    split = json.loads((network / "split.json").read_text())
    for number, fold in enumerate(split["folds"]):
        path = network / f"fold={number}/checkpoints/best.ckpt"
        content = torch.load(path, weights_only=True)
        train = table[table["patient_id"].isin(fold["train"])]
        patients = train.groupby("patient_id")["age"].mean()
        assert content["hyper_parameters"]["fitted"]["toy"]["mean"][0] == pytest.approx(patients.mean())
        assert content["state_dict"]["network.encoders.toy.mean"][0] == pytest.approx(patients.mean())


def test_explain_takes_it_away_and_shuffles_its_columns(network, home, package):
    command(home, package, "explain", "network")
    content = json.loads((network / "explanations.json").read_text())
    assert {row["modality"] for row in content["modalities"]} == {"radiomics", "toy"}


def test_a_traditional_model_reads_its_columns(home, package):
    words = ("model.kind=logistic_l2", "task.modalities=[position,toy]", "task.targets=[ER]")
    command(home, package, "fit", *words, "run.folder=table", "baseline.selected=0")
    described = json.loads((home / "table/fold=0/model.json").read_text())
    assert described["for_test"]["ER"]["columns"][-2:] == ["toy_age", "toy_year"]


def test_a_wrong_name_is_told_the_nearest_also_of_an_installed_one(home, package):
    assert "'toy'" in command(home, package, "fit", "task.modalities=[toyy]", status=2)
    with pytest.raises(ConfigError, match="'radiomics'"):
        compose(["task.modalities=[radiomic]"])


def test_the_names_are_listed_without_loading_what_they_stand_for():
    code = "import sys; from bcbm.modalities import MODALITIES; print(*MODALITIES); "
    code += "print(*{'pandas', 'numpy', 'torch', 'omegaconf'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True)
    names, loaded = run.stdout.split("\n")[:2]
    assert names.split()[:3] == ["image", "radiomics", "position"] and loaded == ""


class Sides(Modality):
    """Four numbers of a lesion, of which the first belongs to the left and the third to the right."""

    encoder = "bcbm.model.encoders.position:build_position"
    swaps = ((0, 2),)

    def tensor(self, lesions):
        rows = lesions.table.index.to_numpy(np.float32)
        return np.stack([rows + part for part in (0.1, 0.2, 0.3, 0.4)], axis=1).astype(np.float32)


@pytest.mark.parametrize("where", ["worker", "device"])
def test_any_modality_follows_a_flip_by_its_swaps(monkeypatch, where):
    monkeypatch.setitem(MODALITIES.entries, "sides", Sides())
    batches = {}
    for chance in (0.0, 0.5, 1.0):
        augment = Augment(flip=chance, affine=0, noise=0, gamma=0, where=where)
        table, _, crops = lesions_of(30)
        data = data_of(table, None, crops, parts_of(30), augment=augment, modalities=["image", "sides"])
        data.setup()
        batches[chance] = [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]
    mirror, half = [2, 1, 0, 3], []
    for still, some, flipped in zip(batches[0.0], batches[0.5], batches[1.0], strict=True):
        assert torch.equal(flipped["image"], still["image"].flip(-1))
        assert torch.equal(flipped["sides"], still["sides"][:, mirror])
        for row, image in enumerate(some["image"]):
            half.append(torch.equal(image, flipped["image"][row]))
            expected = flipped if half[-1] else still
            assert torch.equal(some["sides"][row], expected["sides"][row])
    assert 0 < sum(half) < len(half)


def test_who_reads_what_is_asked_of_the_registry(monkeypatch):
    columns_only, volume = Modality(), Modality()
    volume.tabular, volume.encoder = False, "bcbm.model.encoders.position:build_position"
    monkeypatch.setitem(MODALITIES.entries, "ki67", columns_only)
    monkeypatch.setitem(MODALITIES.entries, "map", volume)
    assert compose(["task.modalities=[map]"]).task.modalities == ["map"]
    with pytest.raises(ConfigError, match="ki67"):
        compose(["task.modalities=[radiomics,ki67]"])
    with pytest.raises(ConfigError, match=r"leave map out: task.modalities=\[ki67\]"):
        compose(["model.kind=svm", "task.modalities=[map,ki67]"])
