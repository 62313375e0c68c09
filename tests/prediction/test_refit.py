"""A model trained on all patients: what its folds have shown sets the rest, and no figure is its own."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from layouts import write_manifest
from models import QUIET, SMALL, workplace
from rich.console import Console

from bcbm.cohort.formats.tcia import read_download
from bcbm.config.compose import compose
from bcbm.config.schema import Config
from bcbm.crossvalidation.choice import joint_choice
from bcbm.crossvalidation.cross_validate import run
from bcbm.export import main
from bcbm.features.radiomics import FEATURES
from bcbm.model.module import LesionModule
from bcbm.prediction.bundle import METADATA
from bcbm.prediction.export import export
from bcbm.prediction.model import read_model
from bcbm.prediction.request import answer
from bcbm.report.words import REFITTED
from bcbm.runs.finished import read_run
from bcbm.statistics.metrics import patient_level
from bcbm.statistics.operating import youden_threshold
from bcbm.statistics.recalibration import fit_calibrator

PATIENTS = 20
FOREST = ["model.kind=forest", "baseline.trees=5", "loss.class_weights=false"]
KINDS = {
    "network": ["trainer.max_epochs=5", "trainer.min_epochs=1", "trainer.smoothing=1", "split.unit=lesion"],
    "forest": [*FOREST, "seeds=2", "calibration=none"],
    "logistic": [*FOREST, "calibration=logistic"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to work in, the cache of all that these tests prepare."""
    with workplace(tmp_path_factory.mktemp("refit")) as folder:
        yield folder


@pytest.fixture(scope="module")
def tables(place, table_cohort):
    """Half of the cohort of workbooks as a table of positions, which is read in a moment."""
    whole = pd.read_csv(write_manifest(read_download(table_cohort), place / "whole"), dtype={"patient": str})
    few = whole[whole["patient"].isin(whole["patient"].unique()[:PATIENTS])].drop(columns=list(FEATURES))
    (place / "tables").mkdir()
    few.to_csv(place / "tables" / "manifest.csv", index=False)
    return place / "tables"


@pytest.fixture(scope="module")
def fitted(place, tables):
    """Finished runs on tables, by kind; the network's is LEAKY."""
    words = [f"cohort.root={tables}", "task.modalities=[position]", *SMALL, "task.targets=[ER]"]
    return {
        kind: read_run(run(compose([*words, *own, f"run.root={place / kind}"]), QUIET))
        for kind, own in KINDS.items()
    }


@pytest.fixture(scope="module")
def refitted(place, fitted):
    """Their models of all patients, by kind."""
    for kind, finished in fitted.items():
        export(finished.folder, place / f"{kind}-model", QUIET, leaky=kind == "network", refit=True)
    return {kind: read_model(place / f"{kind}-model") for kind in KINDS}


@pytest.fixture
def command(monkeypatch):
    """Calls `export` with a run and words, as the interpreter would, in this process; its exit status."""

    def call(folder, *words):
        monkeypatch.setattr(sys, "argv", ["export", str(folder), *words])
        return main()

    return call


def test_a_network_is_trained_on_all_patients_for_the_epochs_of_its_folds_with_a_seed_of_its_own(
    place, fitted, refitted, command
):
    (network,) = refitted["network"].networks
    paths = [fitted["network"].folder / f"fold={fold}" / "checkpoints" / "best.ckpt" for fold in (0, 1)]
    kept = [torch.load(path, weights_only=True)["epoch"] + 1 for path in paths]
    metadata = json.loads((place / "network-model" / METADATA).read_text())["bcbm"]
    assert metadata["refit"] == {"folds": 2, "epochs": round(np.median(kept))} and metadata["leaky"]
    labels = fitted["network"].entering.groupby("patient_id")["ER"].first().dropna()
    fold = LesionModule.load_from_checkpoint(paths[0], weights_only=True).hparams
    own = network.module.hparams
    assert (own["fitted"]["positives"], own["fitted"]["negatives"]) == ([labels.sum()], [(1 - labels).sum()])
    assert sum(fold["fitted"]["positives"]) < labels.sum()
    assert own["provenance"]["seed"] != fold["provenance"]["seed"]
    assert command(fitted["network"].folder, "refit=all", "leaky=true", "out=again") == 0
    first, again = (
        (place / name / "models/all.safetensors").read_bytes() for name in ("network-model", "again")
    )
    assert first == again, "bit for bit"


def test_thresholds_and_sets_are_of_what_the_folds_said_of_patients_they_had_not_seen(fitted, refitted):
    """Without calibration these are the probabilities of the run itself."""
    model, predictions = refitted["forest"], fitted["forest"].predictions
    patients = patient_level(predictions)
    threshold = youden_threshold(patients["label"], patients["probability"])
    assert model.thresholds["ER"] == pytest.approx(threshold)
    assert [network.seed for network in model.networks] == [0, 1] and model.refitted
    for name, label in (("positive", 1), ("negative", 0)):
        said = [value for block in model.out_of_fold for value in block[name]]
        assert sorted(said) == pytest.approx(sorted(patients.loc[patients["label"] == label, "probability"]))
    assert {block["fold"] for block in model.out_of_fold} == {network.fold for network in model.networks}


def test_the_calibration_is_fitted_on_patients_that_the_folds_had_not_seen(fitted, refitted):
    """The first seed's, as the run without calibration has them."""
    seeds = pd.concat(
        [pd.read_parquet(path) for path in fitted["forest"].folder.glob("fold=*/seeds.parquet")]
    )
    patients = patient_level(seeds[seeds["seed"] == 0])
    curve = fit_calibrator("logistic", patients["label"], patients["probability"], 1.0)
    own = refitted["logistic"].networks[0].calibrators["ER"]
    assert (own.slope, own.intercept) == pytest.approx((curve.slope, curve.intercept), rel=1e-4)
    assert own.slope != 1


def test_wherever_it_is_used_it_says_that_no_figure_is_its_own(place, refitted, tables, tmp_path):
    for kind in ("network", "logistic"):
        console = Console(record=True, width=400, file=io.StringIO())
        words = [str(place / f"{kind}-model"), f"cohort.root={tables}", f"out={tmp_path / kind}"]
        table = answer(words, console)
        screen, page = console.export_text(), (tmp_path / kind / "report.html").read_text()
        assert REFITTED in screen and REFITTED in page and "nan" not in screen
        assert "\n  positive from " in screen and table["threshold"].notna().any()
        assert table["spread"].isna().all() and table["trained_on"].any()
        assert {table["leaky"].all(), "LEAKY" in screen, "LEAKY" in page} == {kind == "network"}
    for kind in KINDS:
        card = (place / f"{kind}-model" / "docs" / "README.md").read_text()
        assert "no figures of its own" in card and "which no patient is left to test" in card


def test_what_is_interrupted_leaves_nothing_behind(fitted, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    def files():
        return sorted([*Path.cwd().iterdir(), *fitted["network"].folder.rglob("*"), *tmp_path.iterdir()])

    before = files()
    monkeypatch.setattr(LesionModule, "on_train_batch_end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(fitted["network"].folder, tmp_path / "model", QUIET, leaky=True, refit=True)
    assert files() == before


def test_a_leaky_run_is_refused_and_the_command_is_told_by_words(fitted, tmp_path, command, capsys):
    assert command(fitted["network"].folder, "refit=all", f"out={tmp_path / 'leaky'}") == 2
    assert "leaky=true" in capsys.readouterr().err
    assert command(fitted["forest"].folder, "refit=most") == 2
    assert "refit" in capsys.readouterr().err
    assert not (tmp_path / "leaky").exists()


def test_of_what_each_fold_has_chosen_the_best_over_all_of_them_is_taken(tmp_path, fitted):
    figures = {0: {0.1: 0.9, 0.5: 0.6, 0.7: 0.8}, 1: {0.1: 0.4, 0.5: 0.6, 0.7: 0.8}}
    jobs = []
    for fold, aurocs in figures.items():
        home = tmp_path / str(fold)
        home.mkdir()
        candidates = [{"settings": {"model.dropout": key}, "auroc": auroc} for key, auroc in aurocs.items()]
        (home / "tuning.json").write_text(json.dumps({"chosen": {}, "candidates": candidates}))
        jobs.append(SimpleNamespace(home=home, config=Config()))
    assert joint_choice(jobs).model.dropout == 0.7
    (jobs[1].home / "tuning.json").write_text(json.dumps({"chosen": {"model.dropout": 0.2}}))
    assert joint_choice(jobs) is None
