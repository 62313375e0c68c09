"""The command itself: real processes, real files, from a cohort to its results."""

import io
import json
import subprocess
import sys

import pandas as pd
import pytest
import torch
from commands import run_command
from repository import HOME
from rich.console import Console

from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.errors import InputError
from bcbm.prediction.export import export

TABULAR = [
    "task.modalities=[radiomics,position]",
    "cohort.synthetic.images=false",
    "cohort.synthetic.patients=40",
    "trainer.max_epochs=3",
    "data.batch_size=64",
    "data.workers=0",
    "tracking=csv",
    "bootstrap=200",
    "trainer.devices=1",
]
ALONE = {"WANDB_API_KEY": "", "NETRC": "/nonexistent"}


def fit(cache, runs, *words):
    return run_command("fit", f"run.root={runs}", *words, BCBM_CACHE=str(cache), **ALONE)


def only_run(runs, experiment="demo"):
    (folder,) = (runs / experiment).iterdir()
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def demo(cache, tmp_path_factory):
    """The demo, cut short: three modalities, images and W&B offline."""
    runs = tmp_path_factory.mktemp("runs")
    words = ("cohort.synthetic.patients=12", "split.folds=2", "trainer.max_epochs=2", "bootstrap=200")
    process = fit(cache, runs, *words)
    assert process.returncode == 0, process.stderr
    return only_run(runs), process.stdout


def test_a_run_folder_holds_what_is_needed_to_run_it_again(demo):
    folder, _ = demo
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert {
        "config.yaml",
        "environment.json",
        "split.json",
        "lesions.parquet",
        "predictions.parquet",
        "results.json",
    } <= names
    assert {
        "figures/roc.png",
        "fold=0/metrics.csv",
        "fold=1/predictions.parquet",
        "fold=0/checkpoints/best.ckpt",
        "views/0.png",
    } <= names
    live = (folder / "live.html").read_text()
    assert "2 of 2 trainings finished" in live and "refresh" not in live
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["split"] == json.loads((folder / "split.json").read_text())["hash"]
    assert environment["versions"]["torch"].startswith(torch.__version__.split("+")[0])


def test_every_lesion_is_predicted_once_and_the_figures_are_those_of_the_table(demo):
    from bcbm.statistics.metrics import auroc, patient_level

    folder, _ = demo
    table, lesions = (
        pd.read_parquet(folder / "predictions.parquet"),
        pd.read_parquet(folder / "lesions.parquet"),
    )
    entering = lesions[~lesions["excluded"]]
    assert sorted(table["lesion_id"]) == sorted(list(entering["lesion_id"]) * 3)
    assert lesions.loc[lesions["excluded"], "reason"].ne("").all()
    results = json.loads((folder / "results.json").read_text())
    patients = patient_level(table)
    rows = patients[(patients["target"] == "ER") & patients["label"].notna()]
    by_fold = [auroc(fold["label"], fold["probability"]) for _, fold in rows.groupby("fold")]
    assert results["receptors"]["ER"]["patient"]["auroc"] == pytest.approx(sum(by_fold) / len(by_fold))
    assert results["leaky"] is False


def test_a_checkpoint_needs_no_other_file_and_carries_the_split(demo):
    from bcbm.model.module import LesionModule

    folder, _ = demo
    module = LesionModule.load_from_checkpoint(
        folder / "fold=0/checkpoints/best.ckpt", weights_only=True, map_location="cpu"
    )
    assert module.provenance["split_hash"] == json.loads((folder / "split.json").read_text())["hash"]


def test_wandb_is_offline_without_a_key_one_run_a_fold_and_a_summary(demo):
    folder, _ = demo
    assert len(list((folder / "wandb").glob("offline-run-*"))) == 3
    stored = b"".join(path.read_bytes() for path in (folder / "wandb").rglob("*.wandb"))
    assert b"BCBM-RadioGenomics-" not in stored and str(folder).encode() not in stored


def test_the_same_seed_gives_identical_tables_and_another_seed_does_not(cache, tmp_path):
    words = [*TABULAR, "split.folds=2", "task.targets=[ER]"]
    for name in ("a", "b"):
        assert fit(cache, tmp_path / name, *words).returncode == 0
    assert fit(cache, tmp_path / "c", *words, "seed=1").returncode == 0
    a, b, c = (pd.read_parquet(only_run(tmp_path / name) / "predictions.parquet") for name in "abc")
    pd.testing.assert_frame_equal(a, b)
    assert not a["probability"].equals(c["probability"])


def test_other_draws_are_taken_and_a_damaged_run_is_said_in_a_line(cache, tmp_path):
    words = [*TABULAR, "split.folds=2", "model.kind=prevalence", "task.targets=[ER]"]
    assert fit(cache, tmp_path, *words).returncode == 0
    folder = only_run(tmp_path)
    first = json.loads((folder / "results.json").read_text())["receptors"]["ER"]["patient"]
    environment = json.loads((folder / "environment.json").read_text())
    environment["versions"]["torch"] = "2.0.1"
    (folder / "environment.json").write_text(json.dumps(environment))
    for path in (folder / "results.json", *folder.glob("fold=1/predictions.*")):
        path.unlink()
    process = fit(cache, tmp_path, *words, "bootstrap=77")
    assert process.returncode == 0
    assert sum("begun with torch 2.0.1 (here " in line for line in process.stderr.splitlines()) == 1
    again = json.loads((only_run(tmp_path) / "results.json").read_text())["receptors"]["ER"]["patient"]
    assert again["auprc"] == first["auprc"] and again["auprc_low"] != first["auprc_low"]
    assert again["auroc_low"] == first["auroc_low"]  # which draws nothing
    (folder / "environment.json").write_text("{")
    process = run_command("evaluate", str(folder))
    assert process.returncode == 2 and "is damaged" in process.stderr and "Traceback" not in process.stderr
    assert fit(cache, tmp_path, *words).returncode == 0  # beside it, a new run
    assert len(list((tmp_path / "demo").iterdir())) == 2


def test_one_fold_alone_waits_for_the_others(cache, tmp_path):
    process = fit(cache, tmp_path, *TABULAR, "split.folds=2", "fold=1")
    folder = only_run(tmp_path)
    assert process.returncode == 0 and (folder / "fold=1/predictions.parquet").is_file()
    assert not (folder / "results.json").exists() and "[0]" in process.stdout


def test_the_leak_shows_with_random_labels_and_the_honest_split_does_not_have_it(cache, tmp_path):
    """No signal at all: 200 patients, table only."""
    words = [
        *TABULAR,
        "cohort.synthetic.signal=0",
        "cohort.synthetic.patients=200",
        "trainer.max_epochs=25",
        "trainer.patience=25",
    ]
    aurocs = {}
    for unit in ("patient", "lesion"):
        process = fit(cache, tmp_path / unit, *words, f"split.unit={unit}")
        assert process.returncode == 0, process.stderr
        assert ("LEAKY" in process.stdout) == (unit == "lesion")
        results = json.loads((only_run(tmp_path / unit) / "results.json").read_text())
        assert results["leaky"] == (unit == "lesion")
        aurocs[unit] = [block["patient"] for block in results["receptors"].values()]
    honest = [figures["auroc"] for figures in aurocs["patient"]]
    leaky = [figures["auroc"] for figures in aurocs["lesion"]]
    assert abs(sum(honest) / 3 - 0.5) < 0.08
    # One-sided: without signal, cross-validation leans below 0.5 (the test has what the training lacks).
    assert all(figures["auroc_low"] < 0.5 for figures in aurocs["patient"])
    assert sum(leaky) / 3 > 0.6


def test_the_control_of_a_network_that_remembers_patients_says_what_it_is_and_is_no_model(
    table_cohort, tmp_path
):
    words = ["experiment=real+real/random_labels", f"cohort.root={table_cohort}", f"run.root={tmp_path}"]
    words += ["features.radiomics=workbook", "cohort.position=name", f"prepared.root={tmp_path / 'prepared'}"]
    words += ["trainer.max_epochs=1", "split.folds=2", *TABULAR[:1], *TABULAR[4:]]
    screen = Console(file=io.StringIO(), width=200)
    folder = run(compose(words), screen)
    for text in (screen.file.getvalue(), (folder / "report.html").read_text()):
        assert "LEAKY" in text and "RANDOM LABELS" in text and "task.random_labels" in text
    with pytest.raises(InputError, match=r"is a control: .*task\.random_labels"):
        export(folder, tmp_path / "model", screen, leaky=True)


def test_errors_are_one_line_each_without_a_traceback(cache, tmp_path):
    for words, message in (
        (["split.fold=3"], "split.folds"),
        (["cohort.root=/nonexistent"], "no such folder"),
        ([*TABULAR, "split.folds=100"], "folds"),
    ):
        process = fit(cache, tmp_path, *words)
        assert process.returncode == 2 and message in process.stderr and "Traceback" not in process.stderr


def test_real_patients_run_without_images_and_without_problems(cache, tmp_path, shared):
    words = [
        f"cohort.root={shared / 'bcbm-radiogenomics'}",
        "trainer.max_epochs=2",
        "tracking=csv",
        "bootstrap=200",
        "trainer.devices=1",
    ]
    process = fit(cache, tmp_path, "experiment=tcia_tabular", "split.repeats=1", "split.folds=2", *words)
    assert process.returncode == 0, process.stderr
    assert "problem" not in process.stdout
    assert (
        json.loads((only_run(tmp_path, "tcia_tabular") / "results.json").read_text())["receptors"]["ER"][
            "patient"
        ]["positives"]
        > 30
    )
    refused = fit(cache, tmp_path, "experiment=paper", *words)
    assert refused.returncode == 2 and "has no images" in refused.stderr


def test_help_names_commands_experiments_and_keys_without_loading_torch():
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bcbm.fit", "--help"],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (
        "split.unit" in process.stdout and "paper_leaky" in process.stdout and "torch" not in process.stderr
    )
