"""Several trainings of a fold: their mean is the prediction, and how far one alone scatters is told."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from sklearn.metrics import roc_auc_score

from bcbm.cohort.splits import split_as
from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.crossvalidation.dispatch import train
from bcbm.crossvalidation.results import evaluate
from bcbm.errors import InputError
from bcbm.explanation.explain import explain
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.prepare import prepare
from bcbm.runs.finished import read_run
from bcbm.runs.folder import RunFolder
from bcbm.runs.tables import write_table

KEY = ["lesion_id", "repeat", "target"]


@pytest.fixture(scope="module")
def words(table_cohort, tmp_path_factory):
    places = [f"cohort.root={table_cohort}", f"prepared.root={tmp_path_factory.mktemp('prepared')}"]
    small = ["task.modalities=[radiomics,position]", "split.folds=2", "trainer.max_epochs=3", "bootstrap=20"]
    return [*places, *small, "trainer.accelerator=cpu", "tracking.to=[]", "prepared.jobs=1"]


@pytest.fixture(scope="module")
def networks(words, tmp_path_factory):
    """A finished run of two seeds."""
    root = tmp_path_factory.mktemp("networks")
    return RunFolder(run(compose([*words, "seeds=2", f"run.root={root}"]), Console(quiet=True)))


def by_seed(folder):
    """The tables of the seeds of all folds, by seed, in the order of the run's table."""
    tables = pd.concat([folder.seeds(number) for number in range(2)], ignore_index=True)
    return [rows.drop(columns="seed").reset_index(drop=True) for _, rows in tables.groupby("seed")]


def test_the_mean_of_the_seeds_is_the_prediction_and_the_first_is_what_one_seed_gives(
    words, networks, tmp_path
):
    table = read_run(networks.path).predictions
    first, second = by_seed(networks)
    for column in ("probability", "patient_probability"):
        assert not np.allclose(first[column], second[column], atol=1e-3)
        np.testing.assert_allclose(table[column], (first[column] + second[column]) / 2, rtol=0, atol=1e-15)
    pd.testing.assert_frame_equal(table[[*KEY, "label"]], first[[*KEY, "label"]])
    alone = RunFolder(run(compose([*words, "fold=0", f"run.root={tmp_path}"]), Console(quiet=True)))
    pd.testing.assert_frame_equal(alone.predictions(0), first[first["fold"] == 0])
    assert not list(alone.path.rglob("seed*"))


def test_each_seeds_checkpoint_and_curves_are_kept_and_nothing_else(networks):
    for number in range(2):
        home = networks.fold(number)
        names = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
        trained = {"checkpoints/best.ckpt", "checkpoints/best.sha256", "metrics.csv"}
        further = {f"seed=1/{name}" for name in trained}
        sums = {"predictions.sha256", "seeds.sha256"}
        assert names == {*trained, *further, *sums, "predictions.parquet", "seeds.parquet"}


def test_the_deviation_of_one_seed_stands_in_results_on_screen_and_page(networks, capsys):
    results = read_run(networks.path).results
    expected = {target: [] for target in results["receptors"]}
    for table in by_seed(networks):
        patients = table.dropna(subset="label").drop_duplicates(["patient_id", "target"])
        for target, rows in patients.groupby("target"):
            folds = [fold for _, fold in rows.groupby("fold")]
            aurocs = [roc_auc_score(fold["label"], fold["patient_probability"]) for fold in folds]
            expected[target].append(np.mean(aurocs))
    for target, block in results["seeds"]["receptors"].items():
        assert block["auroc"] == pytest.approx(expected[target])
        assert block["std"] == pytest.approx(np.std(expected[target], ddof=1))
    means = np.mean(list(expected.values()), axis=0)
    assert results["seeds"]["mean"]["auroc"] == pytest.approx(means)
    evaluate(networks, Console(width=200))
    spread = f"mean {np.std(means, ddof=1):.2f}"
    assert "2 seeds" in (screen := capsys.readouterr().out) and spread in screen
    page = (networks.path / "report.html").read_text()
    assert "trained 2 times" in page and f"{means[0]:.2f}, {means[1]:.2f}" in page


class Cut(Callback):
    """Ends the training in which it meets an epoch for the second time; counts all that begin."""

    def __init__(self, seed):
        self.seed, self.begun = seed, []

    def on_train_epoch_end(self, trainer, module):
        self.begun.append((trainer.current_epoch, module.provenance["seed"]))
        if len({seed for _, seed in self.begun}) > self.seed and trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_a_run_that_was_killed_in_its_second_seed_goes_on_inside_it(words, networks, tmp_path):
    config = compose([*words, "seeds=2"])
    lesions = prepare(config, Console(quiet=True))
    split = split_as(lesions.entering, config)
    job = FoldJob(config, lesions, split, 0, RunFolder(tmp_path))
    cut, watch = Cut(seed=1), Cut(seed=9)
    with pytest.raises(KeyboardInterrupt):
        train(job, Console(quiet=True), callbacks=[cut])
    assert len(cut.begun) == 5  # three epochs of the first seed
    assert job.folder.predictions(0) is None
    train(job, Console(quiet=True), callbacks=[watch])
    second = replace(job, member=1).seed
    assert watch.begun == [(epoch, second) for epoch in (1, 2)]  # the first was saved
    pd.testing.assert_frame_equal(job.folder.predictions(0), networks.predictions(0))
    pd.testing.assert_frame_equal(job.folder.seeds(0), networks.seeds(0))
    assert not list(tmp_path.rglob("predicted.parquet"))


def test_seeds_of_a_forest_are_averaged_and_a_model_without_draws_says_that_it_is_fitted_once(
    words, tmp_path, capsys
):
    forest = ["model.kind=forest", "baseline.trees=5", "seeds=2", "fold=0", f"run.root={tmp_path}"]
    folder = RunFolder(run(compose([*words, *forest]), Console(quiet=True)))
    tables = folder.seeds(0)
    first, second = (tables[tables["seed"] == seed].reset_index(drop=True) for seed in range(2))
    table = folder.predictions(0)
    assert not np.allclose(first["probability"], second["probability"])
    np.testing.assert_allclose(
        table["probability"], (first["probability"] + second["probability"]) / 2, atol=1e-15
    )
    models = [json.loads((folder.fold(0, seed) / "model.json").read_text()) for seed in range(2)]
    assert models[0]["for_test"] != models[1]["for_test"]
    capsys.readouterr()
    line = ["model.kind=logistic_l2", "seeds=2", "fold=0", f"run.root={tmp_path / 'line'}"]
    path = run(compose([*words, *line]), Console(width=200))
    assert "seeds=2" in (screen := capsys.readouterr().out) and "logistic_l2" in screen
    assert not list(path.rglob("seed=*"))
    tables = RunFolder(path).seeds(0)
    assert (tables.groupby(KEY)["probability"].agg(["nunique", "size"]) == [1, 2]).all(axis=None)


def test_seeds_of_another_fold_are_refused(networks, tmp_path):
    path = networks.fold(1) / "seeds.parquet"
    own = path.read_bytes()
    try:
        path.write_bytes((networks.fold(0) / "seeds.parquet").read_bytes())
        with pytest.raises(InputError, match=r"fold=1.*seeds\.parquet"):
            evaluate(networks, Console(quiet=True))
        path.unlink()
        with pytest.raises(InputError, match=r"fold=1.*seeds\.parquet"):
            evaluate(networks, Console(quiet=True))
    finally:
        path.write_bytes(own)


def test_seeds_of_another_run_are_refused(networks):
    path, seeds = networks.fold(1) / "seeds.parquet", networks.seeds(1)
    try:
        write_table(path, seeds, "another")
        with pytest.raises(InputError, match=r"fold=1.*seeds\.parquet.* is of run another"):
            evaluate(networks, Console(quiet=True))
    finally:
        networks.write("fold=1/seeds.parquet", seeds)


def test_explanations_are_those_of_the_mean_of_the_seeds(networks, monkeypatch):
    explained = {}

    def unchanged_alone(lesions, config, number):
        return [lesions.patients().assign(kind="unchanged", name="", draw=0)]

    def take(patients, kind, targets):
        explained[kind] = patients
        return []

    monkeypatch.setattr("bcbm.explanation.explain.changed", unchanged_alone)
    monkeypatch.setattr("bcbm.explanation.explain.drops", take)
    explain(networks, Console(quiet=True))
    key = ["target", "patient_id"]
    unchanged = explained["modality"].set_index(key)["probability"].sort_index()
    table = read_run(networks.path).predictions.dropna(subset="label").drop_duplicates(key)
    predicted = table.set_index(key)["patient_probability"].sort_index()
    pd.testing.assert_series_equal(unchanged, predicted, check_names=False, rtol=0, atol=1e-6)
