"""The baseline of no conversion: what it is fitted on, what it needs, and where it is drawn."""

import shutil

import numpy as np
import pandas as pd
import pytest
from finished_runs import lesion_table, write_run
from rich.console import Console

from bcbm import compose, fit
from bcbm.baselines.columns import table_columns
from bcbm.baselines.conversion import from_primary, unconverted
from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK
from bcbm.errors import ConfigError, InputError
from bcbm.preparation.prepare import prepare
from bcbm.report.figures import points
from bcbm.report.figures import run as figures
from bcbm.runs.finished import read_run
from bcbm.statistics.decision import net_benefit
from bcbm.statistics.metrics import auroc, patient_level

KIND = ("model.kind=no_conversion", "task.modalities=[primary]", "prepared.jobs=1", "tracking=csv")


@pytest.fixture(scope="module")
def cohort(table_cohort, tmp_path_factory):
    """The synthetic tables with primaries of which every fifth has another ER, and some are not known."""
    root = shutil.copytree(table_cohort, tmp_path_factory.mktemp("primary") / "cohort")
    path, sheet = root / CLINICAL_WORKBOOK[0], CLINICAL_WORKBOOK[1]
    frame = pd.read_excel(path, sheet_name=sheet, dtype=object, keep_default_na=False)
    frame = frame.set_axis([str(name).strip() for name in frame], axis=1)
    number = frame["ID"].str.extract(r"-(\d+)-\d+$")[0].astype(int)
    turned = {"+": "negative", "-": "90 %"}
    pairs = zip(frame["ER"], number, strict=True)
    frame["Primary ER"] = ["" if n % 11 == 0 else turned.get(c, "") if n % 5 == 0 else c for c, n in pairs]
    frame.to_excel(path, sheet_name=sheet, index=False)
    return root


def test_shares_are_those_of_training_patients_and_count_each_once():
    patients = pd.Series(["a", "a", "a", "b", "c", "d", "e", "f", "g", "h"])
    primary = np.array([1, 1, 1, 1, 1, 0, 0, np.nan, 1, np.nan])
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 1, 0, 0.0])
    rows, test = np.arange(8), np.array([0, 5, 8, 9])
    described = unconverted(primary, labels, patients, rows)
    assert from_primary(primary[test], described).tolist() == pytest.approx([3 / 5, 1 / 4, 3 / 5, 4 / 9])
    assert described["patients"] == 5
    hidden = np.where(np.isin(np.arange(10), rows), labels, 1 - labels)
    assert unconverted(primary, hidden, patients, rows) == described


def test_primaries_that_tell_the_reverse_tell_nothing():
    patients, primary = pd.Series(list("abcd")), np.array([1, 1, 0, 0.0])
    described = unconverted(primary, [0, 0, 1, 1], patients, np.arange(4))
    assert set(from_primary(primary, described)) == {0.5}


def test_a_run_goes_by_the_primary_and_draws_it(cohort, tmp_path):
    words = [
        f"cohort.root={cohort}",
        f"prepared.root={tmp_path / 'p'}",
        f"run.root={tmp_path}",
        "bootstrap=20",
    ]
    run = fit(compose([*words, *KIND, "task.targets=[ER]", "split.folds=3", "calibration=none"]))
    table = run.lesions.set_index("lesion_id")
    status = table["primary_ER"].groupby(table["patient_id"]).first()
    for _, fold in patient_level(run.predictions, by_fold=True).groupby("fold"):
        known = fold[fold["patient_id"].map(status).notna()]
        assert auroc(known["label"], known["probability"]) == pytest.approx(
            auroc(known["label"], known["patient_id"].map(status))
        )
    finished = read_run(run.folder)
    assert finished.results["receptors"]["ER"]["patient"]["auroc"] > 0.6
    drawn = points.with_primary(finished.predictions, finished.lesions)
    assert (
        points.primary_status(drawn)
        .sort_index()
        .equals(status.loc[sorted(set(drawn["patient_id"]) & set(status.dropna().index))].rename("primary"))
    )


def test_the_decision_curve_has_the_primary_where_it_is_known(tmp_path, monkeypatch):
    table = lesion_table()
    flipped = table["patient_id"].str[-1].astype(int) < 2
    table["primary_ER"] = table["ER"].where(~flipped, 1 - table["ER"])
    table.loc[table["patient_id"].str.endswith("9"), "primary_ER"] = np.nan
    finished = read_run(write_run(tmp_path / "run", "split.folds=3", table=table))
    drawn = {}
    monkeypatch.setattr(figures, "save_png", lambda figure, path: drawn.update(axes=figure.axes))
    predictions = points.with_primary(finished.predictions, finished.lesions)
    figures.decision_figure(predictions, finished.results, tmp_path / "decision.png")
    lines = [{line.get_label(): line for line in axes.lines} for axes in drawn["axes"]]
    (name,) = [label for label in lines[0] if "primary" in label]
    assert not any("primary" in label for other in lines[1:] for label in other)
    patients = patient_level(predictions[predictions["target"] == "ER"])
    status = table.groupby("patient_id")["primary_ER"].first()[patients["patient_id"]]
    thresholds, worth = lines[0][name].get_data()
    expected = net_benefit(patients["label"], (status == 1).to_numpy(), thresholds)["model"]
    assert worth == pytest.approx(expected.to_numpy()) and str(int(status.notna().sum())) in name


def test_a_cohort_without_the_column_is_refused_at_the_door(cohort, tmp_path):
    config = compose([f"cohort.root={cohort}", f"prepared.root={tmp_path}", *KIND, "task.targets=[ER,PR]"])
    with pytest.raises(InputError) as caught:
        prepare(config, Console(quiet=True))
    (problem,) = caught.value.problems
    assert problem.where == CLINICAL_WORKBOOK[0] and "primary_PR" in problem.found
    assert "primary_ER" not in problem.found and "task.targets" in problem.remedy


def test_it_reads_the_primary_alone_and_other_models_may_read_it_too(cohort, tmp_path):
    with pytest.raises(ConfigError, match=r"task.modalities=\[primary\]"):
        compose([*KIND, "task.modalities=[primary,burden]"])
    with pytest.raises(ConfigError, match="primary"):
        compose(["task.modalities=[radiomics,primary]", "model.kind=network"])
    words = ["model.kind=logistic_l2", "task.modalities=[position,primary]", "task.targets=[ER]"]
    config = compose([f"cohort.root={cohort}", f"prepared.root={tmp_path}", "prepared.jobs=1", *words])
    columns = table_columns(prepare(config, Console(quiet=True)).data(config))
    assert set(columns["primary_ER"].dropna()) == {0.0, 1.0} and columns["primary_ER"].isna().any()
