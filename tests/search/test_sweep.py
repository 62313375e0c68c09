"""The sweep command itself, and that no choice can see the patients it is judged on."""

import json
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from commands import Command
from optuna import TrialPruned
from rich.console import Console

from bcbm.cohort.splits import make_split
from bcbm.config.compose import compose, override
from bcbm.errors import ConfigError
from bcbm.features.crops import CropStore
from bcbm.preparation.prepare import prepare
from bcbm.runs.folder import RunFolder
from bcbm.search.objective import figure, measures
from bcbm.search.results import read_sweep
from bcbm.search.sweep import SweepWords
from bcbm.search.worker import Job, Report
from bcbm.statistics.calibration import calibration
from bcbm.statistics.metrics import patient_level
from bcbm.system.processes import take_share

TABULAR = [
    "task.modalities=[radiomics,position]",
    "cohort.synthetic.images=false",
    "cohort.synthetic.patients=60",
    "trainer.max_epochs=2",
    "data.batch_size=64",
    "data.workers=0",
    "split.folds=2",
    "split.inner=2",
    "tracking=csv",
]
SWEEP = """
trials: 3
pruner: {kind: none}
space:
  model.fusion: {categorical: [concat, gated]}
  model.fusion_features: {int: [16, 32], step: 16, when: {model.fusion: [gated]}}
  model.dropout: {float: [0.0, 0.6], step: 0.1}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def start(cache, tmp_path):
    """Starts a sweep on a small cohort without images."""
    file = tmp_path / "small.yaml"
    file.write_text(SWEEP)

    def process(*words):
        words = [f"sweep={file}", f"run.root={tmp_path}", "refit=false", *TABULAR, *words]
        return Command("sweep", *words, BCBM_CACHE=str(cache))

    return process


def done(process, status=0):
    out, errors = process.communicate(timeout=600)
    assert process.returncode == status, out + errors
    return out, errors


def only_sweep(folder):
    (home,) = (folder / "sweeps" / "small").iterdir()
    return home


def test_a_sweep_leaves_its_studies_their_best_and_a_table(start, tmp_path):
    out, _ = done(start("workers=2"))
    folder = only_sweep(tmp_path)
    assert str(folder) in out and "best of every study" in out
    result = read_sweep(folder)
    assert list(result.studies) == list(result.best) == ["fold=0", "fold=1", "final"]
    best = json.loads((folder / "best.json").read_text())
    for name, trial in best.items():
        rows = result.trials[result.trials["study"] == name]
        assert len(rows) == 3 and (rows["state"] == "complete").all()
        assert trial["value"] == rows["auroc"].max() >= trial["default"]
        assert trial["settings"].keys() <= {"model.fusion", "model.fusion_features", "model.dropout"}
        assert result.best[name].settings == trial["settings"]
    assert (result.trials["epochs"] == 4).all() and (result.trials["last_step"] == 4).all()
    parquet = pd.read_parquet(folder / "trials.parquet")
    assert len(parquet) == len(pd.read_csv(folder / "trials.csv")) == 9
    plan = yaml.safe_load((folder / "sweep.yaml").read_text())
    assert plan["config"]["trainer"]["max_epochs"] == 2 and plan["space"] == yaml.safe_load(SWEEP)["space"]
    assert not list(folder.rglob("checkpoints"))
    split = json.loads((folder / "split.json").read_text())
    for number, fold in enumerate(split["folds"]):
        tables = folder.glob(f"study=fold={number}/trial=*/fold=*/predictions.parquet")
        seen = {patient for table in tables for patient in pd.read_parquet(table)["patient_id"]}
        assert seen == set(fold["train"] + fold["validation"]) and not seen & set(fold["test"])


def test_an_interrupted_sweep_shows_what_it_has_and_goes_on_though_its_journal_is_torn(start, tmp_path):
    words = ["outer=0,final", "trials=2", "workers=2"]  # the final study is not begun when the first ends
    first = start(*words)
    end = time.monotonic() + 300
    while not (results := list(tmp_path.glob("sweeps/small/*/study=fold=0/trial=*/result.json"))):
        assert time.monotonic() < end and first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    out, errors = done(first, status=130)
    assert "best of every study" in out and "interrupted" in errors
    folder = only_sweep(tmp_path)
    assert (folder / "report.html").is_file() and "Traceback" not in errors
    assert len(pd.read_csv(folder / "trials.csv")) >= len(results)
    journal = folder / "journal.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code":6,"worker_id":"x","tri')
    done(start(*words))
    assert (folder / "journal.log.torn").is_file()
    (states,) = (read_sweep(folder).trials["state"].value_counts().to_dict(),)
    assert states["complete"] == 4 and not {"running", "waiting"} & set(states)
    done(start(*words))
    assert read_sweep(folder).trials["state"].value_counts()["complete"] == 4


def test_two_objectives_give_a_front(start, tmp_path):
    text = SWEEP.replace("trials: 3", "trials: 3\nobjective: [auroc, parameters]")
    (tmp_path / "small.yaml").write_text(text)
    done(start("outer=final", "workers=2"))
    result = read_sweep(only_sweep(tmp_path))
    assert (result.trials["parameters"] > 1000).all() and result.trials["auroc"].between(0, 1).all()
    best = result.best["final"]
    assert best.trial in best.pareto and best.values["parameters"] > 1000


@pytest.mark.parametrize(
    "words, message",
    [
        (["workers=none"], "workers=none: write a number"),
        (["outer=7"], "outer=7: no '7'"),
        (["refit=no"], "refit=no: write true"),
        (["storage=postgresql://a:secret@127.0.0.1:1/x"], "cannot be opened"),
        (["model.dropot=0.1"], "did you mean 'model.dropout'"),
        (["trials=0"], "trials=0: write a number above 0"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_one_line(start, tmp_path, words, message):
    _, errors = done(start(*words), status=2)
    assert message in errors and "Traceback" not in errors and "secret" not in errors


def test_a_sweep_has_to_be_named():
    with pytest.raises(ConfigError, match="one of all, encoder, fusion, loss_weights"):
        SweepWords.read(["workers=2"])


def test_own_words_are_told_from_the_experiments():
    words = SweepWords.read(["sweep=fusion", "--outer=1,final", "model.dropout=0.1", "experiment=paper"])
    assert (
        words.experiment_words == ["model.dropout=0.1"]
        and words.own["experiment"] == "paper"
        and words.workers == 1
    )
    assert words.studies(["fold=0", "fold=1", "final"]) == ["fold=1", "final"]


@pytest.fixture
def prepared(table_cohort, tmp_path):
    places = [f"cohort.root={table_cohort}", f"prepared.root={tmp_path / 'prepared'}"]
    config = compose([*TABULAR, *places])
    lesions = prepare(config, Console(quiet=True))
    split = make_split(
        lesions.entering,
        unit="patient",
        folds=2,
        repeats=1,
        validation=0.2,
        seed=0,
        targets=config.task.targets,
    )
    return config, lesions, split


class Silent(Report):
    """A report that nobody reads."""

    def __init__(self):
        self.epochs = 0
        self.reports = []

    def __call__(self, step, value, last=False):
        """Keep it."""
        self.reports.append((step, value, last))


def test_a_fold_study_is_handed_nothing_of_its_test_patients(prepared):
    config, lesions, split = prepared
    studies = measures(config, lesions, split, ("auroc",), 2)
    assert list(studies) == ["fold=0", "fold=1", "final"]
    for number, fold in enumerate(split.folds):
        measure = studies[f"fold={number}"]
        inside = set(fold.train + fold.validation)
        for table in (measure.lesions.entering, measure.lesions.table):
            assert set(table["patient_id"]) <= inside
        assert (
            len(measure.lesions.values["radiomics"])
            == len(measure.lesions.present)
            == len(measure.lesions.entering)
        )
        for inner in measure.split.folds:
            assert set(inner.train + inner.validation + inner.test) == inside
    everybody = set(lesions.entering["patient_id"])
    assert {name for fold in studies["final"].split.folds for name in fold.test} == everybody
    assert len({measure.split.hash for measure in studies.values()} | {split.hash}) == 4


def test_other_labels_of_the_test_patients_change_no_figure_of_a_fold_study(prepared, tmp_path):
    config, lesions, split = prepared
    reports = []
    for spoilt in (False, True):
        table = lesions.entering.copy()
        if spoilt:
            tested = table["patient_id"].isin(split.folds[0].test)
            table.loc[tested, config.task.targets] = 1 - table.loc[tested, config.task.targets]
        measure = measures(config, replace(lesions, entering=table), split, ("auroc",), 2)["fold=0"]
        report = Silent()
        values = measure({"model.dropout": 0.2}, RunFolder(tmp_path / str(spoilt)), report)
        assert report.epochs == 4 and [step for step, *_ in report.reports] == [1, 2, 3, 4]
        assert report.reports[-1] == (4, values[0], True)
        reports.append(report.reports)
    assert reports[0] == reports[1]


def test_settings_reach_the_training_and_a_trial_leaves_the_figures_that_constraints_bound(
    prepared, tmp_path
):
    config, lesions, split = prepared
    objectives = ("auroc", "parameters", "brier", "auroc_ER")
    bounded = ("parameters", "milliseconds", "calibration_slope")
    measure = measures(config, lesions, split, objectives, 2, bounded)["final"]
    folder, report = RunFolder(tmp_path / "small"), Silent()
    small = measure({"model.trunk": 8}, folder, report)
    large = measure({"model.trunk": 64}, RunFolder(tmp_path / "large"), Silent())
    assert 1000 < small[1] < large[1] and 0 < small[2] < 1 and 0 <= small[3] <= 1
    assert tuple(report.figures) == bounded and report.figures["parameters"] == small[1]
    assert 0 < report.figures["milliseconds"] < 1000
    tables = pd.concat([folder.predictions(number) for number in (0, 1)], ignore_index=True)
    by_target = patient_level(tables).groupby("target")
    slopes = [calibration(rows["label"], rows["probability"])[0] for _, rows in by_target]
    assert len(slopes) == 3 and report.figures["calibration_slope"] in slopes
    assert abs(report.figures["calibration_slope"] - 1) == max(abs(slope - 1) for slope in slopes)


def test_a_trial_stops_in_the_epoch_that_its_report_says(prepared, tmp_path):
    class Stopping(Silent):
        def __call__(self, step, value, last=False):
            super().__call__(step, value, last)
            if step == 3:
                raise TrialPruned

    config, lesions, split = prepared
    config = override(config, {"trainer.max_epochs": 4})
    report = Stopping()
    with pytest.raises(TrialPruned):
        measures(config, lesions, split, ("auroc",), 4)["final"]({}, RunFolder(tmp_path / "t"), report)
    assert report.epochs == 3 and [step for step, *_ in report.reports] == [1, 2, 3]
    assert all(0 <= value <= 1 for _, value, _ in report.reports)
    assert not list(tmp_path.glob("t/fold=*/predictions.parquet"))
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_traditional_model_is_searched_too(prepared, tmp_path):
    pytest.importorskip("bcbm.baselines")
    config, lesions, split = prepared
    settings = {"model.kind": "logistic_l2", "baseline.strength": 0.1}
    measure = measures(config, lesions, split, ("auroc",), 2)["final"]
    report = Silent()
    (value,) = measure(settings, RunFolder(tmp_path / "trial"), report)
    assert 0 <= value <= 1 and report.epochs == 0 and len(report.reports) == 2


def test_lesions_are_taken_with_their_crops(prepared, tmp_path):
    _, lesions, _ = prepared
    count = len(lesions.entering)
    crops = CropStore([(tmp_path / f"{row}.npy", row) for row in range(count)], 8)
    rows = np.array([1, 3, count - 1])
    some = replace(lesions, values={**lesions.values, "crops": crops}).among(rows)
    assert [row for _, row in some.values["crops"].where] == rows.tolist()
    assert some.entering["lesion_id"].tolist() == lesions.entering["lesion_id"].iloc[rows].tolist()
    assert np.array_equal(some.values["radiomics"], lesions.values["radiomics"][rows], equal_nan=True)


def test_figures_are_of_patients():
    table = pd.DataFrame(
        {
            "lesion_id": ["a", "b", "c", "d"],
            "patient_id": ["P", "P", "Q", "R"],
            "fold": 0,
            "repeat": 0,
            "target": "ER",
            "probability": [0.1, 0.9, 0.4, 0.8],
            "patient_probability": [0.5, 0.5, 0.4, 0.8],
            "threshold": 0.5,
            "label": [0.0, 0.0, 0.0, 1.0],
        }
    )
    assert figure("auroc", table) == figure("auroc_ER", table) == 1.0
    assert figure("brier", table) == pytest.approx((0.25 + 0.16 + 0.04) / 3)


def test_workers_share_the_cores_and_the_gpus(monkeypatch):
    pytest.importorskip("torch")
    shares = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 5})
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: shares.append(list(cores)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    named = []
    for slot in range(6):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
        take_share(slot, 6 if slot > 2 else 3)
        named.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert shares == [[0, 5], [1], [2], [5], [0], [1]]
    assert named == ["4", "7"] * 3


def test_a_study_of_several_objectives_is_told_nothing_on_the_way(tmp_path):
    job = Job(None, {}, tmp_path, "t", None, tmp_path, "none", 0, None, False)
    Report(job)(1, 0.5)
    assert not list(tmp_path.iterdir())
