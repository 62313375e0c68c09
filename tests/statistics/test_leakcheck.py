"""The leak check: planted leaks are found, clean cohorts pass, the real tables give their figure."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import run_command
from finished_runs import write_run
from rich.console import Console

import bcbm.baselines.leakcheck
import bcbm.leakcheck
from bcbm.baselines.leak import split_aurocs
from bcbm.cohort.splits import joint_folds, stratified_folds
from bcbm.config.compose import compose, plain
from bcbm.crossvalidation.results import page
from bcbm.preparation.prepare import prepare
from bcbm.runs.folder import RunFolder
from bcbm.statistics.leakage import (
    check_name,
    copies,
    fitting_check,
    nearest_pairs,
    random_labels,
    reidentification,
    shared_content,
    verdict,
    warnings,
)

PATIENTS = np.repeat(np.arange(40), 6)


def fingerprints(noise):
    """Features that name the patient, more or less: (240, 10)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 10))[PATIENTS] + rng.normal(0, noise, (240, 10))


def null_of(features, patients, units, draws=8):
    labels = np.column_stack([random_labels(patients, n) for n in range(draws)])
    levels = split_aurocs(features, labels, units, patients, folds=5, seed=0)
    aurocs = [level["lesion"] for level in levels]
    return {"mean": float(np.mean(aurocs)), "spread": float(np.std(aurocs, ddof=1)), "draws": draws}


def test_a_fingerprint_gives_random_labels_away_unless_patients_are_kept_whole():
    features, lesions = fingerprints(0.05), np.arange(240)
    null = {"lesion": null_of(features, PATIENTS, lesions), "patient": null_of(features, PATIENTS, PATIENTS)}
    assert null["lesion"]["mean"] > 0.98
    assert abs(null["patient"]["mean"] - 0.5) < 0.15
    leak, words = verdict(null)
    assert leak
    assert words.startswith("LEAK POSSIBLE") and "1.00" in words


def test_features_that_know_no_patient_give_nothing_away():
    features, lesions = np.random.default_rng(1).normal(size=(240, 10)), np.arange(240)
    null = {"lesion": null_of(features, PATIENTS, lesions), "patient": null_of(features, PATIENTS, PATIENTS)}
    assert abs(null["lesion"]["mean"] - 0.5) < 0.05
    leak, words = verdict(null)
    assert not leak
    assert words.startswith("NO LEAK SEEN")
    assert verdict(null, warnings=[])[1].startswith("NO LEAK SEEN")
    assert verdict(null, warnings=["ids tell ER"])[1].startswith("WARNING")


def test_real_signal_survives_keeping_patients_whole():
    labels = random_labels(PATIENTS, 0)
    features = labels[:, None] + np.random.default_rng(2).normal(0, 0.5, (240, 10))
    (aurocs,) = split_aurocs(features, labels[:, None], PATIENTS, PATIENTS, folds=5, seed=0)
    assert min(aurocs.values()) > 0.95


def test_columns_that_share_trees_are_told_apart_though_labels_are_missing():
    signs = np.random.default_rng(7).normal(size=(40, 2))[PATIENTS]
    labels = (signs > 0).astype(float)
    features = signs + np.random.default_rng(8).normal(0, 0.1, (240, 2))
    unlabelled = PATIENTS % 8 == 0
    labels[unlabelled, 1] = np.nan
    features[unlabelled, 1] = 0
    for first, second in (labels.T, labels.T[::-1]):
        columns = np.column_stack([first, second])
        for levels in split_aurocs(features, columns, PATIENTS, PATIENTS, folds=5, seed=0):
            assert min(levels.values()) > 0.85
    nobody = np.full((240, 1), np.nan)
    *_, empty = split_aurocs(features, np.column_stack([labels, nobody]), PATIENTS, PATIENTS, folds=5, seed=0)
    assert np.isnan(list(empty.values())).all()


def test_reidentification_is_certain_impossible_or_chance():
    content = np.arange(240)
    certain = reidentification(fingerprints(0.01), PATIENTS, content)
    assert certain["lesions"] == certain["patients"] == 1
    assert certain["chance_lesions"] == pytest.approx(5 / 239)
    assert reidentification(fingerprints(0.01), np.arange(240), content)["lesions"] == 0
    chance = reidentification(np.random.default_rng(3).normal(size=(240, 10)), PATIENTS, content)
    assert chance["lesions"] < 0.08


def test_of_several_that_are_equally_near_the_patients_own_count_by_their_share():
    rng = np.random.default_rng(5)
    places = np.eye(6)[rng.integers(0, 6, 240)]  # six places and nothing else: all of a place are as near
    shares = reidentification(places, PATIENTS, np.arange(240))
    expected = []
    for row in range(240):
        near = np.flatnonzero((places == places[row]).all(axis=1))
        near = near[near != row]
        expected.append((PATIENTS[near] == PATIENTS[row]).mean())
    assert shares["lesions"] == pytest.approx(np.mean(expected))
    order = rng.permutation(240)
    again = reidentification(places[order], PATIENTS[order], np.arange(240))
    assert again == pytest.approx(shares)  # whichever lesion comes first in the table
    everywhere = reidentification(np.zeros((240, 3)), PATIENTS, np.arange(240))
    assert everywhere["lesions"] == pytest.approx(everywhere["chance_lesions"])


def test_copies_are_no_neighbours():
    values = np.random.default_rng(4).normal(size=(60, 5))
    features = np.repeat(values, 2, axis=0)  # each lesion twice, in its own patient
    patients, content = np.arange(120) // 2, np.arange(120) // 2
    assert reidentification(features, patients, np.arange(120))["lesions"] == 1
    assert reidentification(features, patients, content)["lesions"] == 0
    assert np.isnan(reidentification(features, patients, np.zeros(120))["lesions"])


def test_folds_keep_units_whole_and_deal_out_both_labels():
    labels = random_labels(PATIENTS, 5)
    several = np.column_stack([random_labels(PATIENTS, n) for n in range(5, 11)]).astype(float)
    several[PATIENTS < 4, 5] = np.nan
    fold = joint_folds(PATIENTS, several, 5, np.random.default_rng(0))
    assert (pd.Series(fold).groupby(PATIENTS).nunique() == 1).all()
    assert pd.DataFrame(several).groupby(fold).mean().stack().between(0.2, 0.8).all()
    assert (pd.DataFrame(several).isna().groupby(fold).sum()[5] <= 6).all()
    fold = stratified_folds(PATIENTS, labels, 5, np.random.default_rng(0))
    assert (pd.Series(fold).groupby(PATIENTS).nunique() == 1).all()
    positive = pd.Series(labels).groupby(fold).mean()
    assert positive.between(0.4, 0.6).all()
    assert (pd.Series(labels).groupby(PATIENTS).nunique() == 1).all()
    assert pd.Series(labels).groupby(PATIENTS).first().sum() == 20


def test_units_of_both_labels_leave_either_to_every_training_part():
    units = np.repeat(np.arange(12), 2)
    labels = np.ones(24, dtype=int)
    labels[[1, 3]] = 0  # the only negative lesions are those of two units that hold both
    for seed in range(20):
        fold = stratified_folds(units, labels, 2, np.random.default_rng(seed))
        assert all(set(labels[fold == number]) == {0, 1} for number in range(2))
        (aurocs,) = split_aurocs(
            fingerprints(1)[:24], labels[:, None], units, units, folds=2, seed=seed, share=0.2
        )
        assert set(aurocs) == {"lesion", "patient"}  # a share may hold one label only: no figure, no fault


def test_one_class_has_no_auroc():
    (aurocs,) = split_aurocs(fingerprints(1), np.ones((240, 1)), PATIENTS, PATIENTS, folds=5, seed=0)
    assert np.isnan(list(aurocs.values())).all()


def test_fewer_training_patients_are_some_of_the_same_and_learn_less():
    rng = np.random.default_rng(6)
    patients = np.repeat(np.arange(120), 2)
    labels = random_labels(patients, 0)[:, None]
    features = labels * 0.6 + rng.normal(size=(240, 6))

    def curve(share):
        runs = [
            split_aurocs(features, labels, patients, patients, folds=5, seed=n, share=share)[0]["patient"]
            for n in range(3)
        ]
        return np.mean(runs)

    assert curve(0.05) < curve(0.3) < curve(1)
    whole = split_aurocs(features, labels, patients, patients, folds=5, seed=1)
    assert whole == split_aurocs(features, labels, patients, patients, folds=5, seed=1, share=1)


def test_the_nearest_lesions_of_two_patients_are_those_of_all_distances():
    values = fingerprints(0.3)
    values[77] = values[5] + 1e-9  # of two patients; nearer ones of one patient do not count
    values[3] = values[2]
    names = np.arange(240).astype(str)
    pairs = nearest_pairs(values, PATIENTS, names, count=4)
    distances = np.sqrt(((values[:, None] - values) ** 2).mean(axis=2))
    distances[PATIENTS[:, None] >= PATIENTS] = np.inf
    assert [pair["distance"] for pair in pairs] == pytest.approx(np.sort(distances, axis=None)[:4])
    assert (pairs[0]["lesion"], pairs[0]["other"]) == ("5", "77")


def test_ids_scanner_burden_and_copies_that_tell_a_target_are_in_the_verdict(
    table_cohort, tmp_path, monkeypatch
):
    """Patients 0 to 9 and 20 to 29 are ER positive, those scanned late PR, those of many lesions HER2."""
    monkeypatch.setattr(bcbm.baselines.leakcheck, "DRAWS", 5)
    monkeypatch.setattr(bcbm.baselines.leakcheck, "REPEATS", 2)
    monkeypatch.setattr(bcbm.baselines.leakcheck, "SHARES", (0.5,))
    words = [f"cohort.root={table_cohort}", f"prepared.root={tmp_path}", "experiment=tcia_tabular"]
    config = compose([*words, "task.modalities=[position]", "prepared.jobs=1", "split.folds=3"])
    lesions = prepare(config, Console(quiet=True))
    table = lesions.entering
    number = table["patient_id"].str.extract(r"(\d+)$")[0].astype(int)
    table["ER"] = ((number // 10) % 2 == 0) * 1.0
    late = pd.to_numeric(table["year"]).groupby(table["patient_id"]).transform("min")
    table["PR"] = (late > late.groupby(table["patient_id"]).first().median()) * 1.0
    many = table.groupby("patient_id")["lesion_id"].transform("size")
    table["HER2"] = (many > many.groupby(table["patient_id"]).first().median()) * 1.0
    lesions.table.loc[lesions.table.index[:2], "content"] = "one"
    lesions.table.loc[lesions.table.index[:2], "patient_id"] = ["a", "b"]
    console = Console(record=True, width=500)
    content = bcbm.baselines.leakcheck.check(config, lesions, console)
    lines = content["warnings"]
    for kind, target in (("ids", "ER"), ("scanner", "PR"), ("lesions alone", "HER2")):
        assert any(kind in line and f"tell {target}" in line for line in lines), (kind, lines)
    assert any(line.startswith("year alone tells PR") for line in lines)
    assert any("two patients: 1" in line for line in lines)
    assert all(line in content["verdict"] for line in lines)
    screen = console.export_text()  # the first line comes before all of that is looked for
    assert "at first sight" in screen and not any(line in screen for line in lines)
    assert set(content["learning"]["ER"]) == {"0.5", "1"}


def test_patients_that_are_kept_apart_by_their_spelling_are_a_warning():
    clean = {"spellings": 0, "copies": {"across_patients": 0}, "telling": [], "alone": {}}
    assert warnings(clean) == []
    (line,) = warnings({**clean, "spellings": 3})
    assert "spelling" in line and line.endswith("3")


def test_copies_are_counted_where_they_stand():
    table = pd.DataFrame(
        {
            "patient_id": ["1", "1", "2", "3", "4"],
            "content": ["a", "a", "b", "c", "c"],
            "duplicate_of": ["", "l0", "", "", ""],
            "excluded": [False, True, False, False, False],
            "reason": ["", "copy of l0", "", "", ""],
        }
    )
    counted = {"rows": 2, "linked": 1, "excluded": 1, "across_patients": 1, "entering": 1}
    assert copies(table) == counted
    parts = {"train": np.array([0, 3]), "validation": np.array([2]), "test": np.array([1, 4])}
    assert shared_content(table["content"], parts) == 2
    assert shared_content(table["content"], {**parts, "test": np.array([], int)}) == 0


def leakcheck(*words):
    return run_command("leakcheck", *words)


def test_the_command_checks_an_experiment_with_images_by_its_tables(table_cohort, tmp_path):
    process = leakcheck(
        *(
            f"cohort.root={table_cohort}",
            f"prepared.root={tmp_path / 'kept'}",
            f"run.root={tmp_path / 'runs'}",
        )
    )
    assert process.returncode == 0, process.stderr
    assert "reads radiomics+position of the lesions that enter; no image" in process.stdout
    (cohort,) = (tmp_path / "runs" / "leakcheck").iterdir()
    folder = cohort / check_name(plain(compose([])))
    assert folder.name.startswith("position+radiomics_ER+HER2+PR_patient_")
    assert {path.name for path in folder.iterdir()} == {"leakcheck.json", "leakcheck.png"}
    content = json.loads((folder / "leakcheck.json").read_text())
    assert [folder] == list(cohort.iterdir()) and content["cohort"] == cohort.name
    assert content["verdict"] in process.stdout.replace("\n", " ")
    null = {unit: content["aurocs"][unit]["random"]["lesion"] for unit in ("lesion", "patient")}
    assert null["lesion"]["mean"] > 0.7  # the lesions of an invented patient resemble each other
    assert abs(null["patient"]["mean"] - 0.5) < 0.1
    assert content["leak"] is True
    assert content["own_split"] == {
        "unit": "patient",
        "hash": content["own_split"]["hash"],
        "patients_on_both_sides": 0,
        "test_content_in_training": 0,
    }
    assert content["copies"]["entering"] == 0


def test_an_experiment_that_does_not_keep_patients_whole_is_leaky_and_a_check_overwrites_no_other(
    table_cohort, tmp_path, monkeypatch
):
    monkeypatch.setattr(bcbm.baselines.leakcheck, "DRAWS", 2)
    monkeypatch.setattr(bcbm.baselines.leakcheck, "REPEATS", 2)
    monkeypatch.setattr(bcbm.baselines.leakcheck, "SHARES", ())
    monkeypatch.setattr(bcbm.baselines.leak, "TREES", 5)
    words = [
        f"cohort.root={table_cohort}",
        f"prepared.root={tmp_path / 'p'}",
        f"run.root={tmp_path / 'runs'}",
    ]
    words += ["task.modalities=[radiomics,position]", "prepared.jobs=1"]
    screens = {}
    for more in (
        "split.unit=lesion",
        "split.unit=patient",
        "task.modalities=[position]",
        "task.targets=[ER]",
        "task.random_labels=1",
        "cohort.policy=largest",
    ):
        console = Console(record=True, width=200)
        assert bcbm.leakcheck.leakcheck(compose([*words, more]), console) == 0
        screens[more] = console.export_text()
    (cohort,) = (tmp_path / "runs" / "leakcheck").iterdir()
    checks = {path.parent.name: json.loads(path.read_text()) for path in cohort.glob("*/leakcheck.json")}
    names = {more: check_name(plain(compose([*words, more]))) for more in screens}
    assert set(checks) == set(names.values()) and len(checks) == len(screens)
    entering = {more: checks[name]["entering"] for more, name in names.items()}
    assert entering["cohort.policy=largest"]["lesions"] < entering["split.unit=patient"]["lesions"]
    assert "RANDOM LABELS" in screens.pop("task.random_labels=1") and "RANDOM LABELS" not in str(screens)
    leaky = checks[names["split.unit=lesion"]]
    assert leaky["leak"] and leaky["own_split"]["patients_on_both_sides"] > 40
    assert leaky["verdict"].startswith("LEAKY") and "split by lesion" in leaky["verdict"]
    assert leaky["verdict"] in screens["split.unit=lesion"]
    assert "LEAKY" not in checks[names["split.unit=patient"]]["verdict"]

    def chosen(modalities, targets, *more):
        settings = compose([f"task.modalities=[{modalities}]", f"task.targets=[{targets}]", *more])
        path = fitting_check(cohort, plain(settings))
        return path and path.parent.name

    assert chosen("image,radiomics,position", "ER") == names["task.targets=[ER]"]
    assert chosen("image", "PR,ER") == names["split.unit=patient"]
    assert chosen("position", "ER,PR,HER2") == names["task.modalities=[position]"]
    assert chosen("position", "ER", "split.unit=study") is None
    assert chosen("clinical", "ER", "model.kind=logistic_l2") is None
    assert chosen("image", "PR", "cohort.policy=largest") == names["cohort.policy=largest"]
    assert chosen("image", "PR", "task.random_labels=1") == names["task.random_labels=1"]
    assert chosen("image", "PR", "cohort.parts=largest") is None


def test_a_report_shows_the_check_that_fits_its_run_and_no_other(tmp_path):
    words = ["task.modalities=[position]", "split.folds=2", f"run.root={tmp_path}"]
    folder = RunFolder(write_run(tmp_path / "run", *words))
    cell = {"lesion": {"mean": 0.7, "spread": 0.0}, "patient": {"mean": 0.5, "spread": 0.0}}
    cohort = json.loads((folder.path / "environment.json").read_text())["cohort"]
    for tables in ("radiomics,position", "position"):
        name = check_name(plain(compose([f"task.modalities=[{tables}]"])))
        content = {"aurocs": {unit: {"random": cell} for unit in ("lesion", "study", "patient")}}
        content |= {"verdict": f"THE ONE OF {tables}", "modalities": ["position"]}
        content |= {"entering": {"lesions": 9, "patients": 3}}
        assert "THE ONE OF" not in page(folder).read_text()
        (tmp_path / "leakcheck" / cohort / name).mkdir(parents=True)
        (tmp_path / "leakcheck" / cohort / name / "leakcheck.json").write_text(json.dumps(content))
    assert "THE ONE OF position" in page(folder).read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cohort.root=/nonexistent"], "no such folder"),
        (["cohort.rot=DIR"], "did you mean 'cohort.root'?"),
        (["cohort.root={table}", "split.folds=25"], "25 folds need two each"),
    ],
)
def test_what_cannot_be_checked_is_said(words, message, table_cohort, tmp_path):
    words = [word.format(table=table_cohort) for word in words]
    process = leakcheck(*words, f"prepared.root={tmp_path / 'kept'}", f"run.root={tmp_path / 'runs'}")
    assert process.returncode == 2
    assert message in process.stderr
    assert not (tmp_path / "runs").exists()


def test_the_real_tables_give_random_labels_nine_tenths_by_lesion(shared, tmp_path):
    root = shared / "bcbm-radiogenomics"
    config = compose(["experiment=tcia_tabular", f"cohort.root={root}", f"prepared.root={tmp_path}"])
    lesions = prepare(config, Console(quiet=True))
    content = bcbm.baselines.leakcheck.check(config, lesions, Console(quiet=True))
    by_lesion, by_study, by_patient = (content["aurocs"][unit] for unit in ("lesion", "study", "patient"))
    assert 0.87 < by_lesion["random"]["lesion"]["mean"] < 0.94
    assert 0.75 < by_study["random"]["lesion"]["mean"] < 0.88
    assert 0.40 < by_patient["random"]["lesion"]["mean"] < 0.60
    for target in ("ER", "PR", "HER2"):
        assert 0.84 < by_lesion[target]["lesion"]["mean"] < 0.94
        assert by_patient[target]["lesion"]["mean"] < 0.72
    near = content["reidentification"]
    assert 0.55 < near["lesions"] < 0.70
    assert near["chance_lesions"] < 0.25
    assert content["leak"]
    assert content["copies"]["rows"] == 279
    assert content["copies"]["across_patients"] == 0
    assert 0.1 < content["nearest"]["pairs"][0]["distance"] < 0.2  # copies: at most 0.01
    assert content["warnings"] == [] and set(content["alone"]) == {"ids", "burden"}
    for target in ("ER", "PR", "HER2"):
        curve = content["learning"][target]
        assert list(curve) == ["0.2", "0.4", "0.6", "0.8", "1"]
        assert curve["1"] == by_patient[target]["patient"]
