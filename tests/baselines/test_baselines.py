"""Traditional models: what they are fitted on, what they must not see, and their permutation."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from commands import run_command
from repository import EXPERIMENTS
from rich.console import Console
from safetensors.numpy import load, save
from sklearn.base import clone
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from bcbm.baselines import permuted_aurocs, train_baseline
from bcbm.baselines.columns import table_columns
from bcbm.baselines.fitted import FittedModel
from bcbm.baselines.models import MostCorrelated, fit_model, training_weights
from bcbm.baselines.permutation import pipeline_aurocs
from bcbm.cohort.near import signed_log
from bcbm.cohort.patient_labels import permute_labels
from bcbm.cohort.splits import make_split, stratified_folds
from bcbm.cohort.targets import TARGETS as RECEPTORS
from bcbm.config.compose import compose
from bcbm.config.schema import Config
from bcbm.config.schema.training import Baseline, Task
from bcbm.crossvalidation.results import evaluate
from bcbm.errors import ConfigError, InputError
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.prepare import prepare
from bcbm.runs.chosen_columns import chosen_columns
from bcbm.runs.folder import RunFolder
from bcbm.runs.tables import write_table
from bcbm.statistics.metrics import auroc
from bcbm.statistics.recalibration import Calibrator

KINDS = ("logistic_l1", "logistic_l2", "svm", "forest", "boosting", "hist_boosting", "prevalence")
PARTS = ("train", "validation")
QUIET = Console(quiet=True)
SMALL = ("split.folds=3", "baseline.trees=20", "prepared.jobs=1", "task.modalities=[radiomics,position]")


def setting(root, folder, *words):
    return compose(
        [f"cohort.root={root}", f"prepared.root={folder}", *SMALL, "model.kind=logistic_l2", *words]
    )


def split_of(config, table):
    return make_split(
        table,
        unit=config.split.unit,
        folds=config.split.folds,
        repeats=config.split.repeats,
        validation=config.split.validation,
        seed=config.split.seed,
        targets=config.task.targets,
    )


@pytest.fixture(scope="module")
def lesions(table_cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    return prepare(setting(table_cohort, folder), QUIET)


@pytest.fixture
def config(table_cohort, tmp_path):
    return setting(table_cohort, tmp_path)


def of_kind(config, kind):
    return replace(config, model=replace(config.model, kind=kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_fold_is_the_same_twice_and_predicts_every_test_lesion(kind, config, lesions, tmp_path):
    config, split = of_kind(config, kind), split_of(config, lesions.entering)
    tables = []
    for name in ("one", "other"):
        train_baseline(FoldJob(config, lesions, split, 1, RunFolder(tmp_path / name)), QUIET)
        tables.append(RunFolder(tmp_path / name).predictions(1))
    pd.testing.assert_frame_equal(*tables)
    tested = lesions.entering.iloc[split.rows(lesions.entering, 1)["test"]]["lesion_id"]
    assert sorted(tables[0]["lesion_id"]) == sorted([*tested] * 3)
    assert tables[0]["probability"].between(0, 1).all()
    described = json.loads((tmp_path / "one/fold=1/model.json").read_text())
    assert described["for_threshold"]["ER"]["patients"] < described["for_test"]["ER"]["patients"]
    assert not list((tmp_path / "one").rglob("*.pkl"))


@pytest.mark.parametrize("kind", ["logistic_l1", "svm"])
def test_nothing_fitted_sees_the_test_fold(kind, config, lesions, tmp_path):
    config, split = of_kind(config, kind), split_of(config, lesions.entering)
    test = split.rows(lesions.entering, 0)["test"]
    wild = lesions.values["radiomics"].copy()
    wild[test] = np.random.default_rng(0).normal(1e6, 1e9, wild[test].shape)
    table = lesions.entering.copy()
    table.loc[test, "hemisphere"] = "midline"
    for name, variant in (
        ("as_is", lesions),
        ("wild", replace(lesions, values={"radiomics": wild}, entering=table)),
    ):
        train_baseline(FoldJob(config, variant, split, 0, RunFolder(tmp_path / name)), QUIET)
    texts = [(tmp_path / name / "fold=0/model.json").read_text() for name in ("as_is", "wild")]
    assert texts[0] == texts[1]
    probabilities = [RunFolder(tmp_path / name).predictions(0)["probability"] for name in ("as_is", "wild")]
    assert not np.allclose(*probabilities)


@pytest.mark.parametrize("kind", ["logistic_l1", "forest"])
def test_chosen_columns_of_folds_are_read_with_those_left_out(kind, config, lesions, tmp_path):
    config, split = of_kind(config, kind), split_of(config, lesions.entering)
    folder = RunFolder(tmp_path / "run")
    for number in range(3):
        train_baseline(FoldJob(config, lesions, split, number, folder), QUIET)
    tables = chosen_columns(folder.path, config.task.targets)
    every = table_columns(lesions.data(config)).columns
    for target in config.task.targets:
        chosen = tables[target]
        assert len(chosen) == 3 and sorted(chosen) == sorted(every)
        for path in folder.path.glob("fold=*/model.json"):
            model = json.loads(path.read_text())["for_test"][target]
            weights = model.get("coefficients", [1.0] * len(model["columns"]))
            kept = {name for name, weight in zip(model["columns"], weights, strict=True) if weight}
            assert kept in [set(chosen.columns[row]) for row in chosen.to_numpy()]
            assert len(model["columns"]) == config.baseline.selected
    if kind == "logistic_l1":
        assert (tables["ER"].sum(axis=1) < config.baseline.selected).any()  # L1 leaves some at 0


def test_a_model_that_takes_every_column_or_none_has_chosen_nothing(config, lesions, tmp_path):
    split = split_of(config, lesions.entering)
    every = replace(config, baseline=replace(config.baseline, selected=0))
    for name, settings in (("every", every), ("prevalence", of_kind(config, "prevalence"))):
        folder = RunFolder(tmp_path / name)
        train_baseline(FoldJob(settings, lesions, split, 0, folder), QUIET)
        assert chosen_columns(folder.path, config.task.targets) == {}
    assert chosen_columns(tmp_path, ["ER"]) == {}


@pytest.mark.parametrize("kind", ["logistic_l2", "forest"])
def test_model_json_holds_the_map_from_scores_to_probabilities(kind, config, lesions, tmp_path):
    config, split = of_kind(config, kind), split_of(config, lesions.entering)
    tables = {}
    for name in ("none", "prior", "logistic"):
        job = FoldJob(replace(config, calibration=name), lesions, split, 0, RunFolder(tmp_path / name))
        train_baseline(job, QUIET)
        tables[name] = job.folder.predictions(0)
    for name in ("prior", "logistic"):
        described = json.loads((tmp_path / name / "fold=0/model.json").read_text())["calibration"]
        for target, rows in tables[name].groupby("target"):
            raw = tables["none"].loc[rows.index, "probability"]
            assert Calibrator(**described[target])(raw) == pytest.approx(rows["probability"].to_numpy())
    train = lesions.entering.iloc[np.concatenate([split.rows(lesions.entering, 0)[n] for n in PARTS])]
    positive = train.groupby("patient_id")["PR"].first().mean()
    weight = json.loads((tmp_path / "prior/fold=0/model.json").read_text())["calibration"]["PR"]["weight"]
    assert weight == pytest.approx((1 - positive) / positive)


def noise(seed, patients=60, columns=800):
    rng = np.random.default_rng(seed)
    values = pd.DataFrame(rng.normal(size=(patients, columns)), columns=[f"c{n}" for n in range(columns)])
    return values, rng.permutation(np.arange(patients) % 2).astype(float), pd.Series(np.arange(patients))


def cross_validated(columns, labels, patients, selected):
    fold = stratified_folds(patients, labels, 5, np.random.default_rng(0))
    aurocs = []
    for number in range(5):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        weights = training_weights(labels, patients, train, even=False, class_weights=True)
        settings = Baseline(selected=selected)
        model, _ = fit_model("logistic_l2", settings, columns, labels, weights, patients, 0)
        aurocs.append(auroc(labels[test], model.predict(columns.iloc[test])))
    return np.mean(aurocs)


def test_selection_inside_the_fold_stays_at_chance_on_noise_and_outside_it_does_not():
    inside, outside = [], []
    for seed in range(4):
        columns, labels, patients = noise(seed)
        inside.append(cross_validated(columns, labels, patients, 20))
        peek = MostCorrelated(20).fit(columns.to_numpy(), labels, np.ones(len(labels)))
        outside.append(cross_validated(columns.loc[:, peek.get_support()], labels, patients, 0))
    assert abs(np.mean(inside) - 0.5) < 0.1
    assert np.mean(outside) > 0.85


def test_every_training_patient_weighs_the_same_and_the_classes_are_even():
    patients = pd.Series(["a"] * 6 + ["b", "b", "c", "d"])
    labels = np.array([1.0] * 6 + [0, 0, 0, np.nan])
    train = np.arange(10)
    plain = training_weights(labels, patients, train, even=False, class_weights=False)
    assert pd.Series(plain).groupby(patients).sum().to_dict() == pytest.approx(
        {"a": 1, "b": 1, "c": 1, "d": 0}
    )
    even_classes = training_weights(labels, patients, train, even=False, class_weights=True)
    assert even_classes[labels == 1].sum() == pytest.approx(even_classes[labels == 0].sum())
    assert (
        training_weights(labels, patients, train[:8], even=True, class_weights=False)[:8].tolist() == [1] * 8
    )


def test_prevalence_is_the_share_of_positive_training_patients():
    patients = pd.Series(["a"] * 6 + ["b", "c", "d"])
    labels = np.array([1.0] * 6 + [0, 0, 0])
    weights = training_weights(labels, patients, np.arange(8), even=False, class_weights=False)
    columns = pd.DataFrame({"x": np.arange(9.0)})
    model, described = fit_model("prevalence", Baseline(), columns, labels, weights, patients, 0)
    assert model.predict(columns.iloc[[8]]).tolist() == pytest.approx([1 / 3])
    assert described["prevalence"] == pytest.approx(1 / 3)


def test_missing_values_and_new_kinds_are_no_obstacle():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2.0
    columns = pd.DataFrame({"x": labels + rng.normal(0, 0.2, 40), "empty": np.nan})
    columns["kind"] = ["GE"] * 30 + ["new"] * 10
    columns.loc[::7, "x"] = np.nan
    patients = pd.Series(np.arange(40))
    weights = training_weights(labels, patients, np.arange(30), even=False, class_weights=True)
    settings = Baseline(selected=0)
    model, described = fit_model("logistic_l2", settings, columns, labels, weights, patients, 0)
    assert described["columns"] == ["x", "empty", "kind_GE"]
    assert np.isfinite([described["scale"], described["coefficients"]]).all()
    assert auroc(labels[30:], model.predict(columns.iloc[30:])) > 0.8


@pytest.mark.parametrize(("kind", "least", "most"), [("hist_boosting", 0.95, 1), ("boosting", 0.2, 0.8)])
def test_that_a_number_is_missing_says_something_to_native_boosting_alone(kind, least, most):
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2.0
    columns = pd.DataFrame({"x": np.where(labels == 1, np.nan, 3.0), "empty": np.nan})
    columns["noise"], columns["kind"] = rng.normal(size=120), rng.choice(["GE", "Philips"], 120)
    patients = pd.Series(np.arange(120))
    weights = training_weights(labels, patients, np.arange(80), even=False, class_weights=True)
    model, described = fit_model(kind, Baseline(trees=20), columns, labels, weights, patients, 0)
    assert least <= auroc(labels[80:], model.predict(columns.iloc[80:])) <= most
    assert np.isfinite([described["mean"], described["scale"]]).all()


SETTINGS = Baseline(trees=30, selected=0)
REFERENCES = {
    "logistic_l1": LogisticRegression(l1_ratio=1, solver="liblinear", max_iter=1000, random_state=0),
    "logistic_l2": LogisticRegression(max_iter=1000),
    "svm": SVC(),
    "forest": RandomForestClassifier(30, min_weight_fraction_leaf=0.03, random_state=0),
    "boosting": GradientBoostingClassifier(
        n_estimators=30, learning_rate=0.05, subsample=0.5, min_weight_fraction_leaf=0.03, random_state=0
    ),
    "hist_boosting": HistGradientBoostingClassifier(
        max_iter=30, learning_rate=0.05, min_samples_leaf=3, early_stopping=False
    ),
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_a_fitted_model_says_what_scikit_learn_does_of_each_lesion_alone_too(kind):
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2.0
    columns = pd.DataFrame(rng.normal(size=(120, 8)), columns=[f"c{number}" for number in range(8)])
    columns["c0"] += labels
    if kind == "hist_boosting":
        columns.iloc[::5, 1] = np.nan
    patients, train = pd.Series(np.arange(120)), np.arange(90)
    weights = training_weights(labels, patients, train, even=False, class_weights=True)
    model, described = fit_model(kind, SETTINGS, columns, labels, weights, patients, 0)
    stored = load(save({name: np.ascontiguousarray(array) for name, array in model.arrays.items()}))
    model = FittedModel(json.loads(json.dumps(model.content)), stored)
    logs = signed_log(columns.to_numpy())
    values = StandardScaler().fit(logs[:90], sample_weight=weights[:90]).transform(logs)
    reference = clone(REFERENCES[kind]).fit(values[:90], labels[:90], sample_weight=weights[:90])
    if kind == "svm":
        slope, intercept = described["sigmoid"]
        expected = 1 / (1 + np.exp(-slope * reference.decision_function(values[90:]) - intercept))
    else:
        expected = reference.predict_proba(values[90:])[:, 1]
    predicted = model.predict(columns[90:])
    assert np.ptp(predicted) > 0.2 and predicted == pytest.approx(expected, abs=1e-12)
    alone = [model.predict(columns[row : row + 1])[0] for row in range(90, 95)]
    assert np.array_equal(predicted[:5], alone)


def test_one_class_in_training_is_said_with_fold_and_target(config, lesions, tmp_path):
    split = split_of(config, lesions.entering)
    parts = split.rows(lesions.entering, 2)
    table = lesions.entering.copy()
    table.loc[np.concatenate([parts["train"], parts["validation"]]), "PR"] = 0.0
    job = FoldJob(config, replace(lesions, entering=table), split, 2, RunFolder(tmp_path))
    with pytest.raises(InputError, match=r"fold 2, PR: .*class: 0"):
        train_baseline(job, QUIET)
    assert RunFolder(tmp_path).predictions(2) is None


def columns_of(lesions, *modalities):
    return table_columns(lesions.data(Config(task=Task(modalities=list(modalities)))))


def test_columns_of_each_modality(lesions):
    table = lesions.entering
    burden = columns_of(lesions, "burden")
    owner = table["patient_id"].value_counts().index[0]
    rows = (table["patient_id"] == owner).to_numpy()
    assert (burden.loc[rows, "lesions_of_patient"] == rows.sum()).all()
    assert burden.loc[rows, "largest_volume"].iloc[0] == table.loc[rows, "volume"].max()
    assert (burden["lesions_of_study"] <= burden["lesions_of_patient"]).all()
    assert not set(RECEPTORS) & set(columns_of(lesions, "radiomics", "position", "burden", "clinical"))
    scanned = table.assign(pixel_spacing=["0.5\\0.5", *["1.0\\1.0"] * (len(table) - 1)], field_strength="")
    acquisition = columns_of(replace(lesions, entering=scanned), "acquisition")
    assert acquisition["pixel_spacing"].tolist()[:2] == [0.5, 1.0]
    assert "field_strength" not in acquisition
    assert set(acquisition["manufacturer"]) == {"SIEMENS", "GE MEDICAL SYSTEMS", "Philips"}
    assert [*columns_of(lesions, "clinical")] == ["age"]  # all of them are women


def test_a_maker_in_other_letters_is_the_same_maker(lesions):
    table = lesions.entering
    mixed = table["manufacturer"].where(table.index % 2 == 0, table["manufacturer"].str.lower() + " ")
    columns = columns_of(replace(lesions, entering=table.assign(manufacturer=mixed)), "acquisition")
    assert columns["manufacturer"].nunique() == table["manufacturer"].nunique()
    own = {"name": "manufacturer", "kind": "GE", "median": None, "mean": 0.0, "scale": 1.0}
    content = {"form": "linear", "columns": [own], "coefficients": [1.0], "intercept": 0.0}
    said = FittedModel(content, {}).predict(pd.DataFrame({"manufacturer": ["GE", "ge", "Philips"]}))
    assert said[0] == said[1] != said[2]


def test_an_acquisition_that_was_never_recorded_is_said(lesions):
    bare = lesions.entering.drop(columns=["year", "pixel_spacing"]).assign(manufacturer="", field_strength="")
    with pytest.raises(
        InputError, match="year, pixel_spacing, field_strength, tr, te, manufacturer are missing"
    ):
        columns_of(replace(lesions, entering=bare), "acquisition")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task.modalities=[radiomics,burden]", "model.kind=network"], "only traditional models read burden"),
        (["task.modalities=[image,radiomics]"], r"leave image out: task.modalities=\[radiomics\]"),
        (["model.kind=network", "permutations=10"], "permutations are for traditional models"),
        (["task.aggregate=attention"], "learns no attention"),
        (["permutations=10", "tune={baseline.strength: [0.1, 1.0]}"], "leave permutations or tune out"),
        (["permutations=10", "calibration=isotonic"], "calibration=isotonic"),
        (["baseline.strength=0"], "more than 0"),
        (["baseline.trees=0"], "baseline.trees=0: write at least 1"),
        (["task.modalities=[scanner]"], "unknown 'scanner'"),
    ],
)
def test_what_does_not_go_together_is_refused(words, message, table_cohort, tmp_path):
    with pytest.raises(ConfigError, match=message):
        setting(table_cohort, tmp_path, *words)


@pytest.mark.parametrize(
    "path", sorted((EXPERIMENTS / "baselines").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_baseline_stands_on_the_tables(path):
    config = compose([f"experiment=tcia_tabular+baselines/{path.stem}", "cohort.root=DIR"])
    assert config.model.kind != "network"
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# Claim: ")
    assert lines[1].startswith("# Run:   python -m bcbm.fit experiment=tcia_tabular+baselines/" + path.stem)


def test_permuted_labels_go_together_and_stay_with_one_patient(lesions):
    table = lesions.entering
    dealt = permute_labels(table, list(RECEPTORS), [0, 3])
    assert not dealt["ER"].equals(table["ER"])
    assert (dealt.groupby("patient_id")[list(RECEPTORS)].nunique(dropna=False) == 1).all().all()
    before, after = (
        sorted(map(str, frame.groupby("patient_id")[list(RECEPTORS)].mean().to_numpy().tolist()))
        for frame in (table, dealt)
    )
    assert before == after


@pytest.mark.parametrize("owner", ["study", "lesion"])
def test_permuted_patterns_leave_the_labels_of_patients_as_they_are(lesions, owner):
    table, unit = lesions.entering.copy(), f"{owner}_id"
    units = table[unit].unique()
    drawn = pd.Series(np.random.default_rng(0).choice([1.0, 0.0, np.nan], len(units)), units)
    table["ER"] = table[unit].map(drawn)
    for seed in range(3):
        dealt = permute_labels(table, list(RECEPTORS), [0, seed], owner)
        assert (dealt.groupby(unit)["ER"].nunique(dropna=False) == 1).all()
        before, after = (
            sorted(map(str, frame.groupby("patient_id")[list(RECEPTORS)].max().to_numpy().tolist()))
            for frame in (table, dealt)
        )
        assert before == after and not dealt["ER"].equals(table["ER"])


def test_a_pattern_goes_over_to_a_patient_of_more_studies_and_of_one():
    studies = [("A", "+"), ("A", "-"), *[("B", "-")] * 4, ("C", "")]
    table = pd.DataFrame(studies, columns=["patient_id", "sign"])
    table["study_id"], table["ER"] = [f"S{n}" for n in range(7)], table["sign"].map({"+": 1.0, "-": 0.0})
    seen = set()
    for seed in range(30):
        dealt = permute_labels(table, ["ER"], [seed], "study")
        labels = {name: sorted(map(str, rows)) for name, rows in dealt.groupby("patient_id")["ER"]}
        if labels["B"] == ["0.0", "0.0", "1.0", "1.0"]:  # half of its studies, as of A's
            seen.add(tuple(dealt.loc[2:5, "ER"]))
            assert labels["A"] in (["0.0"] * 2, ["nan"] * 2)
        assert sum("1.0" in signs for signs in labels.values()) == 1  # C, of one study, is positive then
    assert len(seen) > 1  # which studies are positive is drawn


def test_permuting_breaks_the_signal_and_p_is_small_where_there_is_one(table_cohort, tmp_path, lesions):
    config = setting(table_cohort, tmp_path, "task.targets=[ER]", "split.folds=2")
    labels = lesions.entering["ER"].fillna(0.5).to_numpy()
    planted = lesions.values["radiomics"].copy()
    planted[:, 5] = labels + np.random.default_rng(0).normal(0, 0.4, len(labels))
    lesions = replace(lesions, values={"radiomics": planted})
    split = split_of(config, lesions.entering)
    observed = pipeline_aurocs(config, lesions.data(config), lesions.entering, split)["ER"]
    permuted = permuted_aurocs(config, lesions, split, 19, QUIET)
    assert observed > 0.85
    assert abs(permuted["auroc"].mean() - 0.5) < 0.1
    assert (1 + (permuted["auroc"] >= observed).sum()) / 20 == 0.05
    again = permuted_aurocs(config, lesions, split, 2, QUIET)
    pd.testing.assert_frame_equal(again, permuted.head(2))


def test_the_command_reports_what_the_permutation_is_held_against(lesions, table_cohort, tmp_path):
    words = [
        *(
            f"cohort.root={table_cohort}",
            f"prepared.root={tmp_path / 'kept'}",
            f"run.root={tmp_path / 'runs'}",
        ),
        *SMALL,
        *("model.kind=logistic_l1", "permutations=3", "bootstrap=100", "tracking=csv"),
    ]
    process = run_command("fit", *words)
    assert process.returncode == 0, process.stderr
    assert "fold 2: logistic_l1 on 119 columns, validation AUROC" in process.stdout
    (folder,) = (tmp_path / "runs" / "demo").iterdir()
    results = json.loads((folder / "results.json").read_text())
    config = compose(words)
    split = split_of(config, lesions.entering)
    expected = pipeline_aurocs(config, lesions.data(config), lesions.entering, split)
    for target, block in results["receptors"].items():
        assert block["patient"]["auroc"] == pytest.approx(expected[target])
        assert block["patient"]["pipeline_p"] in (0.25, 0.5, 0.75, 1.0)
    permuted = folder / "permutations.parquet"
    write_table(permuted, pd.read_parquet(permuted), "another")
    with pytest.raises(InputError, match=r"permutations\.parquet.* is of run another"):
        evaluate(RunFolder(folder), QUIET)
    permuted.unlink()
    with pytest.raises(InputError, match=r"permutations\.parquet.* is not there"):
        evaluate(RunFolder(folder), QUIET)
