"""Crops through a pretrained network once: the whole way, with weights that nobody trained."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from batches import parts_of
from damage.given import FIRST, mask_of, write_download
from pretrained import random_resnet, write_card, write_weights
from rich.console import Console

from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.errors import ConfigError, InputError, Note
from bcbm.modalities.deep_features import DEEP_FEATURES, MOST, fit_components
from bcbm.preparation.prepare import prepare
from bcbm.runs.identity import fingerprint

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A small download and weights beside it."""
    folder = tmp_path_factory.mktemp("home")
    write_download(folder / "download")
    write_weights(folder / "random.pth", test_patients="unknown")
    return folder


def words(home, *further, weights=None):
    places = [f"cohort.root={home / 'download'}", f"prepared.root={home / 'prepared'}", "prepared.jobs=1"]
    places += [f"features.encoder={weights or home / 'random.pth'}", "features.crop_size=8"]
    return [*places, "task.modalities=[deep_features]", *further]


def records(home):
    return {path.name: path.stat().st_mtime_ns for path in (home / "prepared/deep_features").glob("*.json")}


def test_a_crop_is_encoded_once_and_again_where_it_or_the_weights_have_changed(home):
    screen = io.StringIO()
    lesions = prepare(compose(words(home)), Console(file=screen, width=400))
    network = random_resnet()
    shutil.copy(home / "random.pth", write_card(home / "same.pth"))
    assert "random.pth" in screen.getvalue() and "unknown" in screen.getvalue()
    vectors, crops = lesions.values["deep_features"], lesions.values["crops"]
    with torch.no_grad():
        for row, vector in enumerate(vectors):
            crop = torch.from_numpy(crops[row][None, :1].astype(np.float32))
            assert np.array_equal(network(crop)[0].numpy(), vector)
    columns = DEEP_FEATURES.columns(lesions.data(compose(words(home))))
    assert list(columns) == [f"deep_{number}" for number in range(25)]
    assert np.array_equal(columns.to_numpy(), vectors)
    before = records(home)
    again = prepare(compose(words(home, weights=home / "same.pth")), QUIET).values["deep_features"]
    assert np.array_equal(again, vectors) and records(home) == before
    write_weights(home / "other.pth", seed=1)
    other = prepare(compose(words(home, weights=home / "other.pth")), QUIET).values["deep_features"]
    assert not np.allclose(other, vectors) and len(records(home)) == 2 * len(before)
    further = prepare(compose(words(home, "features.crop_spacing=0.5")), QUIET).values["deep_features"]
    assert not np.allclose(further, vectors) and len(records(home)) == 3 * len(before)


def test_a_lesion_without_a_mask_has_no_vector_and_may_stay(home, tmp_path):
    shutil.copytree(home / "download", tmp_path / "download")
    mask_of(tmp_path / "download", FIRST).unlink()
    shutil.copy(home / "random.pth", tmp_path)
    shutil.copy(home / "random.yaml", tmp_path)
    modalities = "task.modalities=[radiomics,deep_features]"
    lesions = prepare(compose(words(tmp_path, modalities, "task.missing=keep")), QUIET)
    (row,) = np.flatnonzero(lesions.entering["study_id"] == FIRST)
    assert lesions.present[row].tolist() == [1, 0] and np.isnan(lesions.values["deep_features"][row]).all()
    assert lesions.present.sum() == 2 * len(lesions.entering) - 1


@pytest.mark.parametrize("kind", ["network", "logistic_l2"])
def test_a_run_reads_the_vectors_and_its_report_shows_the_card(kind, home, tmp_path):
    settings = ["task.targets=[ER]", "split.folds=2", "bootstrap=20", "tracking=csv", "trainer.max_epochs=1"]
    settings += [f"model.kind={kind}", "trainer.accelerator=cpu", "trainer.devices=1"]
    config = compose(words(home, *settings, f"run.root={tmp_path}"))
    folder = run(config, QUIET)
    results = json.loads((folder / "results.json").read_text())
    assert 0 <= results["receptors"]["ER"]["patient"]["auroc"] <= 1
    card = json.loads((folder / "deep_features.json").read_text())
    assert card["network"] == "resnet10" and card["file"] == "random.pth" and len(card["weights"]) == 64
    page = (folder / "report.html").read_text()
    for text in ("nothing: random weights", "written by a test", card["weights"][:16], "may have seen"):
        assert text in page
    shutil.copy(home / "random.pth", tmp_path / "moved.pth")
    write_card(tmp_path / "moved.pth", test_patients="no")
    moved = compose(words(home, *settings, weights=tmp_path / "moved.pth"))
    assert fingerprint(moved, "c", "s") == fingerprint(config, "c", "s")
    write_weights(tmp_path / "moved.pth", seed=1)
    assert fingerprint(moved, "c", "s") != fingerprint(config, "c", "s")


def test_what_the_network_reads_are_uncorrelated_components_of_training_lesions():
    rng = np.random.default_rng(0)
    vectors = np.c_[rng.normal(size=(60, 3)) @ rng.normal(size=(3, 80)) * 5 + 2, np.full(60, 4.0)]
    train = parts_of(60)["train"]
    weight = rng.uniform(0.2, 1, len(train))
    fitted = fit_components(vectors[train], weight)
    components = (vectors - fitted["mean"]) @ np.array(fitted["projection"])
    assert components.shape[1] <= 3
    inside = components[train]
    assert np.average(inside, axis=0, weights=weight) == pytest.approx(0, abs=1e-9)
    covariance = np.cov(inside.T, aweights=weight, ddof=0)
    assert covariance == pytest.approx(np.eye(len(covariance)), abs=1e-6)
    noise = fit_components(rng.normal(size=(200, 300)), np.ones(200))
    assert np.shape(noise["projection"]) == (300, MOST)
    flat = fit_components(np.ones((9, 5)), np.ones(9))
    assert np.count_nonzero(flat["projection"]) == 0 and np.shape(flat["projection"]) == (5, 1)
    assert json.loads(json.dumps(fitted)) == fitted


def test_deep_features_need_weights_images_and_a_reader(home, table_cohort):
    with pytest.raises(ConfigError, match=r"features\.encoder=FILE"):
        compose(["task.modalities=[deep_features]"])
    with pytest.raises(ConfigError, match=r"absent\.pth"):
        compose(words(home, weights=home / "absent.pth"))
    with pytest.raises(InputError, match=r"has no images, but .* holds deep_features"):
        prepare(
            compose(words(home, f"cohort.root={table_cohort}", f"prepared.root={home / 'tables'}")), QUIET
        )
    with pytest.warns(Note, match="features.encoder"):
        prepare(compose(words(home, "task.modalities=[position]")), QUIET)
