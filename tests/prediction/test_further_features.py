"""A model that reads shells and a pretrained network's vectors carries what it takes to make them."""

import json
import shutil

import pandas as pd
import pytest
from layouts import write_manifest
from models import QUIET, SMALL, assert_same, predicted_alone, with_metadata, workplace
from pretrained import CARD, write_weights

from bcbm.cohort.formats.tcia import read_download
from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.errors import InputError
from bcbm.prediction.bundle import ENCODER, METADATA
from bcbm.prediction.export import export
from bcbm.prediction.model import read_model
from bcbm.prediction.request import answer
from bcbm.runs.finished import read_run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to work in, the cache of all that these tests prepare."""
    with workplace(tmp_path_factory.mktemp("further")) as folder:
        yield folder


@pytest.fixture(scope="module")
def few(place, cohort):
    """The cohort with a lesion of each patient."""
    rows = pd.read_csv(write_manifest(read_download(cohort), place / "whole"), dtype=str)
    (place / "few").mkdir()
    rows.groupby("patient").head(1).to_csv(place / "few" / "manifest.csv", index=False)
    return place / "few"


@pytest.fixture(scope="module")
def weights(place):
    """The file of the pretrained network; it is moved away once the model is exported."""
    write_weights(place / "random.pth")
    return place / "random.pth"


@pytest.fixture(scope="module")
def fitted(place, few, weights):
    """Finished runs of a network and of a traditional model."""
    words = [f"cohort.root={few}", "task.modalities=[radiomics,deep_features]", f"features.encoder={weights}"]
    words += ["features.shells=[3]", "features.crop_size=16", "task.targets=[ER]", *SMALL]
    seen = ["task.modalities=[image,radiomics,deep_features]"]
    kinds = {
        "network": [*seen, "model.mask_channel=true", "model.shell_channels=true"],
        "logistic_l2": ["model.kind=logistic_l2"],
    }
    return {
        kind: read_run(run(compose([*words, *own, f"run.root={place / kind}"]), QUIET))
        for kind, own in kinds.items()
    }


@pytest.fixture(scope="module")
def models(place, fitted, weights):
    """Their models, and the weights nowhere else."""
    for kind, finished in fitted.items():
        export(finished.folder, place / f"{kind}-model", QUIET)
    weights.rename(place / "elsewhere.pth")
    return {kind: place / f"{kind}-model" for kind in fitted}


def test_a_fold_says_of_its_test_patients_what_the_run_said_to_the_last_bit(models, fitted, few, tmp_path):
    for kind, folder in models.items():
        model = read_model(folder)
        assert_same(*predicted_alone(model, few, fitted[kind], 0, tmp_path))
        assert model.shells["library"] and {"shells", "deep_features"} <= set(model.steps)
        card = (folder / "docs" / "README.md").read_text()
        assert kind != "network" or model.networks[0].module.network.image.shells == [3.0]
        assert CARD["licence"] in card and CARD["trained_on"] in card and "random.pth" in card


def test_what_would_be_measured_otherwise_is_refused(models, few, tmp_path):
    own = json.loads((models["network"] / METADATA).read_text())["bcbm"]
    other = {**own["shells"], "version": "0.0.1"}
    folder = with_metadata(models["network"], tmp_path / "library", shells=other)
    with pytest.raises(InputError, match=r"shells.*0\.0\.1"):
        answer([str(folder), f"cohort.root={few}"], QUIET)
    steps = {**own["steps"], "deep_features": own["steps"]["deep_features"] + 1}
    folder = with_metadata(models["network"], tmp_path / "steps", steps=steps)
    with pytest.raises(InputError, match="deep_features"):
        answer([str(folder), f"cohort.root={few}"], QUIET)


def test_a_model_that_lacks_its_pretrained_network_is_refused(models, tmp_path):
    folder = shutil.copytree(models["network"], tmp_path / "model")
    (folder / ENCODER).unlink()
    with pytest.raises(InputError, match=ENCODER):
        read_model(folder)


def test_a_run_whose_weights_are_others_now_is_not_exported(fitted, models, place, weights, tmp_path):
    write_weights(weights, seed=1)
    with pytest.raises(InputError, match=r"random\.pth.*weights"):
        export(fitted["logistic_l2"].folder, tmp_path / "model", QUIET)
    assert not list(tmp_path.iterdir())
