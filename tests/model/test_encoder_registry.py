"""An image encoder of an installed package: one module, chosen by its name, trained to the end."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from commands import run_command
from repository import HOME

from bcbm.config.compose import compose
from bcbm.errors import ConfigError
from bcbm.model.encoders import ENCODERS

TOY = """
from bcbm.model.encoders import Encoder

TOY = Encoder(build="toy_encoder:build", last_stage=("1.",), smallest=lambda model: 12)


def build(model, channels):
    from torch import nn

    small = nn.Conv3d(channels, 4, kernel_size=5, stride=4)
    return nn.Sequential(small, nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten()), 4
"""
SMALL = [
    *("model.encoder=toy", "task.modalities=[image]", "cohort.synthetic.patients=16", "split.folds=2"),
    *("trainer.max_epochs=1", "bootstrap=20", "tracking=csv", "augment=none"),
]


@pytest.fixture
def package(tmp_path):
    """A folder for PYTHONPATH, as pip leaves it behind a package of one module."""
    folder = tmp_path / "site"
    about = folder / "toy-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "toy_encoder.py").write_text(TOY)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[bcbm.encoders]\ntoy = toy_encoder:TOY\n")
    return folder


def fit(package, tmp_path, *words):
    path = os.pathsep.join([str(package), str(HOME)])
    settings = [*SMALL, f"run.root={tmp_path / 'runs'}", "trainer.devices=1", *words]
    return run_command("fit", *settings, PYTHONPATH=path, BCBM_CACHE=str(tmp_path / "cache"))


def test_an_encoder_of_an_installed_package_is_trained_to_the_end(package, cohort, tmp_path):
    process = fit(package, tmp_path, f"cohort.root={cohort}", f"run.folder={tmp_path / 'run'}")
    assert process.returncode == 0, process.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert set(results["receptors"]) == {"ER", "PR", "HER2"}
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert predictions["probability"].between(0, 1).all() and predictions["probability"].nunique() > 10
    assert "encoder: toy" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_crop_that_it_does_not_take_is_refused_before_anything_is_prepared(package, tmp_path):
    process = fit(package, tmp_path, "features.crop_size=11")
    assert process.returncode == 2
    for fact in ("features.crop_size=11", "toy", "at least 12"):
        assert fact in process.stderr
    assert not (tmp_path / "cache").exists() and not (tmp_path / "runs").exists()


def test_weights_that_nobody_can_load_are_refused(package, tmp_path):
    process = fit(package, tmp_path, "model.weights=a.pth")
    assert process.returncode == 2
    assert "model.weights" in process.stderr and "toy" in process.stderr and "resnet10" in process.stderr


def test_an_unknown_encoder_gets_the_nearest_name():
    with pytest.raises(ConfigError, match=r"model\.encoder.*'densenet'.*'densenet121'"):
        compose(["model.encoder=densenet"])


def test_the_help_names_every_encoder(package):
    process = subprocess.run(
        [sys.executable, "-m", "bcbm.fit", "--help"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(HOME)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ", ".join([*ENCODERS, "toy"]) in process.stdout


@pytest.mark.parametrize("library", ["torch", "monai"])
def test_encoders_are_described_without_loading_them(library):
    words = "import sys; from bcbm.model.encoders import ENCODERS; [ENCODERS[name] for name in ENCODERS]; "
    words += f"print('{library}' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "False"


def test_monai_is_loaded_with_the_first_encoder_of_its_own():
    words = (
        "import sys, bcbm.model.network, bcbm.model.encoders.image as image; print('monai' in sys.modules); "
        "from bcbm.config.schema.training import Model; image.ImageEncoder(Model()); "
        "print('monai' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["False", "True"]
