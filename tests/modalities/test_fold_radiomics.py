"""Radiomics that are harmonised and chosen by their stability: in the fold, and alike for every model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from batches import config_of, lesions_of, module_of, parts_of, trainer_of
from rich.console import Console

from bcbm.baselines.columns import table_columns
from bcbm.cohort.near import signed_log
from bcbm.config.compose import compose
from bcbm.config.schema.cohort import Features
from bcbm.crossvalidation.cross_validate import run
from bcbm.data.datamodule import LesionDataModule
from bcbm.errors import InputError, Note
from bcbm.features.radiomics import FEATURES
from bcbm.modalities.base import LesionData
from bcbm.modalities.radiomics import RADIOMICS
from bcbm.model.encoders.radiomics import CLIP
from bcbm.model.module import LesionModule
from bcbm.preparation.prepare import prepare

QUIET = Console(quiet=True)
COUNT = 60


@pytest.fixture
def lesions():
    """Two scanners, one of them only in the test part; the second half of the columns follows the contour."""
    table, values, _ = lesions_of(COUNT)
    rng = np.random.default_rng(1)
    parts = parts_of(COUNT)
    table["field_strength"] = np.where(np.arange(COUNT) % 2, "3", "1.5")
    table.loc[parts["test"][:5], "field_strength"] = "7.0"
    values[table["field_strength"] == "3"] = values[table["field_strength"] == "3"] * 2 + 3
    wobble = np.where(np.arange(107) < 50, 0.05, 3.0)
    perturbed = values[:, None] + rng.normal(size=(COUNT, 4, 107)) * wobble
    config = replace(
        config_of(modalities=["radiomics"]), features=Features(harmonise="field_strength", stable=0.75)
    )
    return LesionData(table, {"radiomics": values, "perturbed": perturbed}, config)


def test_the_network_and_a_traditional_model_read_the_same_numbers(lesions, tmp_path):
    parts = parts_of(COUNT)
    data = LesionDataModule(lesions, parts, seed=0)
    data.setup()
    module = module_of(data)
    trainer = trainer_of(tmp_path, epochs=1)
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = LesionModule.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True, map_location="cpu")
    encoder = loaded.network.encoders["radiomics"]
    seen = encoder.standardise(torch.from_numpy(RADIOMICS.tensor(lesions))).numpy()
    columns = table_columns(lesions, parts["train"])
    logs, train = signed_log(columns.to_numpy()), parts["train"]
    expected = np.clip((logs - logs[train].mean(axis=0)) / logs[train].std(axis=0), -CLIP, CLIP)
    kept = [FEATURES.index(name) for name in columns]
    assert kept == list(range(50))
    assert seen[:, kept] == pytest.approx(expected, abs=1e-4)
    assert not seen[:, 50:].any()


def test_scanners_are_brought_together_and_a_new_one_is_left_alone(lesions):
    train = parts_of(COUNT)["train"]
    raw, fitted = RADIOMICS.columns(lesions).to_numpy(), table_columns(lesions, train).to_numpy()
    group = lesions.table["field_strength"].to_numpy()
    before, after = (
        signed_log(values)[:, :50][train][group[train] == "3"].mean()
        - signed_log(values)[:, :50][train][group[train] == "1.5"].mean()
        for values in (raw, fitted)
    )
    assert before > 0.8 and abs(after) < 0.05
    new = group == "7.0"
    assert fitted[new] == pytest.approx(raw[new][:, :50])
    assert not np.allclose(fitted[~new], raw[~new][:, :50])


def test_what_is_fitted_knows_training_lesions_only_and_one_spelling(lesions):
    train, test = (parts_of(COUNT)[part] for part in ("train", "test"))
    changed = {name: values.copy() for name, values in lesions.values.items()}
    changed["radiomics"][test] *= 50
    changed["perturbed"][test] = np.random.default_rng(2).normal(size=changed["perturbed"][test].shape)
    other = replace(lesions, values=changed)
    fitted = RADIOMICS.fold_fit(lesions, train)
    assert RADIOMICS.fold_fit(other, train) == fitted and json.loads(json.dumps(fitted)) == fitted
    spelt = replace(lesions, table=lesions.table.replace({"field_strength": {"3": "3.0 T"}}))
    assert RADIOMICS.fold_fit(spelt, train) == fitted
    assert np.array_equal(RADIOMICS.tensor(spelt), RADIOMICS.tensor(lesions))


def test_without_the_keys_nothing_is_fitted_or_carried(lesions):
    plain = replace(lesions, config=replace(lesions.config, features=Features()))
    assert RADIOMICS.tensor(plain).shape == (COUNT, 107)
    assert set(RADIOMICS.fold_fit(plain, parts_of(COUNT)["train"])) == {"median", "mean", "scale"}
    assert table_columns(plain, parts_of(COUNT)["train"]).equals(table_columns(plain))


def test_no_stable_feature_at_all_is_an_error_with_the_best(lesions):
    noise = np.random.default_rng(3).normal(size=lesions.values["perturbed"].shape)
    unstable = replace(lesions, values={**lesions.values, "perturbed": noise})
    with pytest.raises(InputError) as caught:
        RADIOMICS.fold_fit(unstable, parts_of(COUNT)["train"])
    (problem,) = caught.value.problems
    assert problem.where == "features.stable=0.75" and "30 training lesions" in problem.found


def test_the_whole_way_leaves_unstable_features_out_and_shows_them(cohort, tmp_path):
    words = [f"cohort.root={cohort}", f"prepared.root={tmp_path / 'prepared'}", "prepared.jobs=1"]
    words += [f"run.root={tmp_path / 'runs'}", "tracking=csv", "bootstrap=20", "split.folds=2"]
    words += ["task.targets=[ER]", "task.modalities=[radiomics]", "model.kind=logistic_l2"]
    words += ["features.stable=0.9", "features.harmonise=manufacturer", "cohort.policy=largest"]
    folder = run(compose([*words, "baseline.selected=0"]), QUIET)
    for number in range(2):
        record = json.loads((folder / f"fold={number}" / "radiomics.json").read_text())
        model = json.loads((folder / f"fold={number}" / "model.json").read_text())
        assert 0 < len(record["unstable"]) < 107
        assert set(model["for_test"]["ER"]["columns"]) == set(FEATURES) - set(record["unstable"])
        assert record["harmonised"]["column"] == "manufacturer"
    page = (folder / "report.html").read_text()
    assert record["unstable"][0] in page and "harmonised over manufacturer" in page
    with pytest.raises(InputError, match=r"features\.harmonise=site"):
        prepare(compose([*words, "features.harmonise=site"]), QUIET)


def test_stability_needs_images(table_cohort, tmp_path):
    words = [f"cohort.root={table_cohort}", f"prepared.root={tmp_path / 'prepared'}"]
    words += ["features.stable=0.5"]
    with pytest.raises(InputError, match=r"features\.stable=0\.5"):
        prepare(compose([*words, "task.modalities=[radiomics]"]), QUIET)
    with pytest.warns(Note, match="radiomics"):
        prepare(compose([*words, "task.modalities=[position]"]), QUIET)
