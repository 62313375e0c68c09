"""After a search: the ready experiment, the honest figure and the page."""

import json
import re
from dataclasses import replace

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import yaml
from browser import DARK, browse, picture, share_of
from commands import run_command
from optuna import create_study
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial
from planted_sweeps import concluded, planted, text_of
from rich.console import Console

from bcbm.config.compose import compose, load, override, plain, to_yaml
from bcbm.crossvalidation.choice import mean_auroc
from bcbm.crossvalidation.cross_validate import run as fit
from bcbm.report.figures.palette import PATIENT
from bcbm.report.figures.parameters import Scale, coordinates_figure, ranked
from bcbm.report.figures.search import busy_minutes, lanes
from bcbm.report.pages.search import agreement, in_words, verdict
from bcbm.runs.identity import NOT_IDENTITY
from bcbm.search.conclusion import choices, conclude, steps, unfinished
from bcbm.search.experiment import write_experiment
from bcbm.search.importances import importances
from bcbm.search.results import SweepResult, read_sweep

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
    "bootstrap=200",
]
SMALL = """
trials: 3
pruner: {kind: none}
space:
  model.fusion: {categorical: [concat, gated]}
  model.dropout: {float: [0.0, 0.6], step: 0.1}
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    home = tmp_path_factory.mktemp("sweeps") / "whole"
    plan = planted(home)
    page, screen = concluded(home, plan)
    return home, plan, page, screen


def same(first, second):
    """Whether two configurations are the same but for where results go, their name and who chose them."""
    contents = [plain(config) for config in (first, second)]
    for content in contents:
        for place in (*NOT_IDENTITY, "experiment", "chosen_by"):
            content.pop(place)
    return contents[0] == contents[1]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["experiment=demo+losses/focal", "tracking=csv", "run.root=/elsewhere"],
        ["loss.target_weights.PR=2.0", "features.crop_margin=null", "cohort.root=/data/x"],
    ],
    ids=["as it is", "on a group", "words"],
)
def test_the_ready_experiment_composes_to_what_the_final_study_ran(tmp_path, words):
    base = [word.removeprefix("experiment=") for word in words if word.startswith("experiment=")]
    others = [word for word in words if not word.startswith("experiment=")]
    file = tmp_path / "small.yaml"
    file.write_text(f"experiment: {base[0] if base else 'demo'}\n{SMALL}")
    plan = planted(tmp_path / "sweep", str(file), others, studies=["final"])
    result = read_sweep(tmp_path / "sweep")
    path = write_experiment(result, plan.config, {"seed": "0"})
    text = path.read_text()
    assert same(compose([f"experiment={path}"]), override(plan.config, result.best["final"].settings))
    assert text.startswith("# Claim: ") and f"# Run:   python -m bcbm.fit experiment={path.name}" in text
    assert "# seed: 0" in text and f"trial {result.best['final'].trial}" in text and "extends: demo" in text
    body = text.split("\n\n", 1)[1]
    assert "elsewhere" not in body and "tracking" not in body


def test_the_ready_experiment_says_who_chose_it_and_claims_nothing_of_inner_folds(tmp_path):
    plan = planted(tmp_path / "sweep", studies=["final"])
    result = read_sweep(tmp_path / "sweep")
    path = write_experiment(result, plan.config, {})
    config = compose([f"experiment={path}"])
    assert config.chosen_by == "fusion on demo, sweep" and plan.config.chosen_by is None
    assert load_written(config, tmp_path).chosen_by == config.chosen_by
    first = path.read_text().splitlines()[0]
    assert first.startswith("# Claim: none yet") and "beats" not in path.read_text()
    words = (
        "Mean AUROC of patients that no choice has seen, chosen minus as it is: -0.02 [-0.05, -0.00]; the "
    )
    words += "interval lies below 0, choosing by the search is worse."
    write_experiment(result, plan.config, {}, words)
    text = " ".join(path.read_text().replace("#", " ").split())
    assert text.startswith(f"Claim: {words} Run: python -m bcbm.fit")
    again = write_experiment(result, config, {})
    assert compose([f"experiment={again}"]).chosen_by == f"{config.chosen_by}, fusion on demo_fusion, sweep"


def load_written(config, folder):
    (folder / "config.yaml").write_text(to_yaml(config))
    return load(folder / "config.yaml")


def test_a_base_that_lies_elsewhere_is_written_down_whole(tmp_path):
    base, file = tmp_path / "mine.yaml", tmp_path / "small.yaml"
    base.write_text("extends: demo\ntrainer: {max_epochs: 7}\n")
    file.write_text(f"experiment: {base}\n{SMALL}")
    plan = planted(tmp_path / "sweep", str(file), studies=["final"])
    result = read_sweep(tmp_path / "sweep")
    path = write_experiment(result, plan.config, {})
    assert path.name == "mine_small.yaml"
    base.unlink()
    assert same(compose([f"experiment={path}"]), override(plan.config, result.best["final"].settings))


def test_the_page_says_what_each_fold_chose_and_how_to_go_on(sweep):
    home, _, page, screen = sweep
    text, best = text_of(page), read_sweep(home).best
    assert (
        "Not tested on outer folds yet" in text
        and "refit" not in screen
        and "bcbm.sweep sweep=fusion" in screen
    )
    for trial in best.values():
        assert f"{trial.value:.3f}" in text and f"{trial.default:.3f}" in text
    assert "model.fusion_rank" in text and "c0h0r7" in text and "5p117" in text
    assert (
        "optuna-dashboard journal.log --artifact-dir artifacts" in text
        and "experiment=demo_fusion.yaml" in text
    )
    assert str(home / "demo_fusion.yaml") in screen and str(home) not in page.read_text()
    assert "SECRET" not in text and "<script" not in page.read_text()


def test_no_plot_is_blank(sweep):
    home, *_ = sweep
    names = {path.stem for path in (home / "figures").glob("*.png")}
    assert names == {"history", "steps", "timeline", "importances", "slices", "map", "coordinates"}
    for name in names:
        pixels = matplotlib.image.imread(home / "figures" / f"{name}.png")[..., :3]
        assert (pixels < 0.9).any(axis=2).mean() > 0.005, name


def test_a_browser_shows_the_page_in_light_dark_and_on_a_phone(sweep):
    *_, page, _ = sweep
    dom, console = browse(page, "--dump-dom")
    assert console == "" and "</footer>" in dom
    light, dark, phone = picture(page, 1000, 3000), picture(page, 1000, 1600, DARK), picture(page, 500, 1600)
    assert share_of(light, PATIENT) > 0 and light.mean() > 0.8
    assert dark[:200].mean() < 0.3 and phone.std() > 0.05


def test_what_was_planted_is_found_most_important_and_reported_values_are_kept(sweep):
    result = read_sweep(sweep[0])
    table = importances(result)
    assert set(table["study"]) == {"fold=0", "fold=1", "final"}
    assert table.groupby("study")["share"].sum().to_numpy() == pytest.approx(1)
    assert ranked(table)[0] == "model.dropout"
    spread = table[table["study"] == "final"]
    assert (spread["low"] <= spread["high"]).all() and (spread["high"] > spread["low"]).any()
    assert spread[["low", "high"]].stack().between(0, 1).all()
    assert table[table["study"] != "final"]["low"].isna().all()
    pd.testing.assert_frame_equal(importances(result), table)
    reported = steps(result)
    first = reported[(reported["study"] == "final") & (reported["trial"] == 0)]
    assert first["step"].tolist() == [1, 2, 3] and first["value"].is_monotonic_increasing


def test_what_one_study_alone_finds_important_is_not_named_first():
    shares = {"fold=0": (0.0, 0.7, 0.3), "fold=1": (0.0, 0.6, 0.4), "final": (0.7, 0.2, 0.1)}
    table = pd.DataFrame(shares, index=list("abc")).melt(
        var_name="study", value_name="share", ignore_index=False
    )
    assert ranked(table.reset_index(names="parameter")) == ["b", "c", "a"]


def test_parallel_coordinates_say_where_a_parameter_does_not_count(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("bcbm.report.figures.parameters.save_png", lambda figure, path: drawn.append(figure))
    trials = pd.DataFrame({"state": "complete", "auroc": [0.7, 0.8], "a": [1, 2], "b": [np.nan, 2]})
    space = {"a": {"int": [1, 2]}, "b": {"int": [1, 2]}}
    coordinates_figure(trials, "auroc", space, ["a", "b"], tmp_path / "coordinates.png")
    words = [(text.get_text(), text.xy[0]) for text in drawn[0].axes[0].texts]
    assert [place for word, place in words if word == "not used"] == [1]


def test_more_trials_narrow_the_spread_of_importances(tmp_path):
    kinds = {name: FloatDistribution(0.0, 1.0) for name in ("model.dropout", "model.modality_dropout")}
    widths = []
    for count in (10, 60):
        study, draws = create_study(direction="maximize"), np.random.default_rng(0).uniform(size=(count, 2))
        for row in draws:
            settings = dict(zip(kinds, row.tolist(), strict=True))
            study.add_trial(create_trial(params=settings, distributions=kinds, value=-abs(row[0] - 0.3)))
        sweep = SweepResult(tmp_path, {"objective": ["auroc"]}, {"final": study}, {}, pd.DataFrame())
        table = importances(sweep).set_index("parameter")
        assert table.index[0] == "model.dropout"
        widths.append(float(table.loc["model.dropout", "high"] - table.loc["model.dropout", "low"]))
    assert widths[1] < widths[0]


def test_trials_that_are_all_the_same_have_no_importances(tmp_path):
    plan = planted(tmp_path / "sweep", value=lambda settings: [0.5], studies=["final"])
    assert importances(read_sweep(tmp_path / "sweep")).empty
    page, _ = concluded(tmp_path / "sweep", plan)
    assert "Importances need 5 finished trials" in text_of(page)


def test_a_study_of_one_trial_and_one_of_none_make_a_page(tmp_path):
    for trials in (0, -1):
        plan = planted(tmp_path / str(trials), studies=["fold=0"], trials=max(trials, 1))
        if trials < 0:
            (tmp_path / "-1" / "journal.log").unlink()
        page, screen = concluded(tmp_path / str(trials), plan)
        assert "waits for" in screen
        assert "There is no honest figure yet" in text_of(page)


def test_a_partial_sweep_says_what_is_missing_and_the_command_without_outer_or_password(tmp_path):
    home = tmp_path / "sweep"
    plan = planted(home, studies=["fold=1"])
    words = ["outer=1", "storage=postgresql://me:secret@host/x", "model.dropout=0.3"]
    result = read_sweep(home)
    assert unfinished(result) == {"fold=0": "0 of 12 trials", "final": "0 of 12 trials"}
    console = Console(record=True, width=200)
    page = conclude(result, words[1][8:], plan.config, "c", ["sweep=fusion", *words], True, console)
    screen = console.export_text()
    assert "waits for fold=0 (0 of 12 trials)" in screen and "secret" not in screen + page.read_text()
    command = "python -m bcbm.sweep sweep=fusion 'storage=postgresql://me:***@host/x' model.dropout=0.3"
    assert command in screen
    assert "python -m bcbm.sweep sweep=fusion storage=... model.dropout=0.3" in text_of(page)
    assert not list(home.glob("demo_*.yaml"))


def test_minutes_are_a_budget_too(tmp_path):
    planted(tmp_path / "sweep")
    file = tmp_path / "sweep" / "sweep.yaml"
    content = yaml.safe_load(file.read_text())
    for minutes, missing in ((0.5, set()), (2, {"fold=0", "fold=1", "final"})):
        file.write_text(yaml.safe_dump(content | {"trials": None, "minutes": minutes}))
        assert set(unfinished(read_sweep(tmp_path / "sweep"))) == missing


def test_two_objectives_have_a_front_and_the_page_says_which_trial_is_taken(tmp_path):
    def value(settings):
        size = 1e4 * settings["model.widen"] * (2 if settings["model.encoder"] == "resnet18" else 1)
        return [0.5 + size / 1e5, size]

    plan = planted(tmp_path / "sweep", "encoder", value=value)
    page, _ = concluded(tmp_path / "sweep", plan)
    text = text_of(page)
    assert "Several objectives have no single best" in text
    for best in read_sweep(tmp_path / "sweep").best.values():
        assert f"{best.values['parameters']:,.0f}" in text and best.trial in best.pareto
    pixels = matplotlib.image.imread(tmp_path / "sweep" / "figures" / "front.png")[..., :3]
    assert share_of(pixels, PATIENT) > 0
    assert not (tmp_path / "sweep" / "figures" / "steps.png").exists()


def test_a_choice_for_each_fold_carries_where_it_comes_from(sweep):
    result = read_sweep(sweep[0])
    chosen = choices(result)
    assert set(chosen) == {0, 1}
    best = result.best["fold=1"]
    assert chosen[1] == {
        "chosen": best.settings,
        "study": "fusion/0/fold=1",
        "trial": best.trial,
        "auroc": best.value,
    }


@pytest.mark.parametrize(
    "low, high, said, result",
    [
        (-0.01, 0.05, "holds 0", "Not shown to be better than the experiment as it is"),
        (0.0, 0.0, "holds 0", "Not shown to be better than the experiment as it is"),
        (0.01, 0.05, "lies above 0, choosing by the search is better", "Better than the experiment as it is"),
        (-0.05, -0.01, "lies below 0, choosing by the search is worse", "Worse than the experiment as it is"),
        (np.nan, np.nan, "not defined", "Not shown to be better than the experiment as it is"),
    ],
)
def test_a_difference_is_said_in_words(low, high, said, result):
    mean = {"difference": (low + high) / 2, "low": low, "high": high}
    assert said in in_words(mean) and verdict({"mean": mean}, {})[0] == result


def test_agreement_of_folds():
    assert agreement(["gated", "gated", "late"]) == "gated in 2 of 3"
    assert agreement([0.1, 0.4, 0.2]) == "0.1 to 0.4"
    assert agreement([16, 16]) == "all the same"
    assert agreement([np.nan, np.nan]) == "" and agreement([4, np.nan, 4]) == "4 in 2 of 3"


def test_the_timeline_leaves_idle_time_out_and_puts_trials_side_by_side():
    clock = pd.to_datetime(["2026-01-01 10:00", "2026-01-01 10:01", "2026-01-05 10:00"]).to_series()
    ends = (clock + pd.Timedelta(minutes=3)).reset_index(drop=True)
    start, end = busy_minutes(clock.reset_index(drop=True), ends)
    assert start.tolist() == [0, 1, 4] and end.tolist() == [3, 4, 7]
    assert lanes(start, end).tolist() == [0, 1, 0]


def test_scales_of_an_axis():
    log = Scale({"float": [0.001, 0.1], "log": True})
    assert log.places(pd.Series([0.001, 0.01, 0.1])) == pytest.approx([0, 0.5, 1])
    assert Scale({"int": [16, 64], "step": 16}).ticks == pytest.approx([0, 1 / 3, 2 / 3, 1])
    choices_of = Scale({"categorical": ["a", None, True]})
    assert choices_of.places(pd.Series([True, "a", None], dtype=object)).tolist() == [2, 0, 1]
    near = choices_of.near(choices_of.line(), np.array([1.0]))
    assert near.ravel().tolist() == [0, 1, 0]
    assert Scale({"float": [0.3, 0.3]}).places(pd.Series([0.3])) == pytest.approx([0])


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A real sweep of two folds, first of one alone, then of all."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "small.yaml").write_text(SMALL)
    words = [f"sweep={folder / 'small.yaml'}", f"run.root={folder}", *TABULAR]
    screens = []
    for more in ("outer=0", "workers=2"):
        done = run_command("sweep", *words, more, timeout=600, BCBM_CACHE=str(folder / "cache"))
        assert done.returncode == 0, done.stdout + done.stderr
        screens.append(done.stdout)
    (home,) = (folder / "sweeps" / "small").iterdir()
    return folder, home, screens


def only(folder):
    (path,) = folder.iterdir()
    return path


def test_outer_folds_are_trained_with_their_own_choice(real):
    from bcbm.model.module import LesionModule

    folder, home, screens = real
    assert "fold=1 (0 of 3 trials)" in screens[0] and "trained" not in screens[0]
    run = only(only(folder / "demo+sweep" / "small"))
    best = json.loads((home / "best.json").read_text())
    base = load(run / "config.yaml")
    for number in (0, 1):
        tuning = json.loads((run / f"fold={number}" / "tuning.json").read_text())
        expected = best[f"fold={number}"]
        assert tuning["chosen"] == expected["settings"] and tuning["trial"] == expected["trial"]
        assert tuning["auroc"] == expected["value"] and tuning["study"].endswith(f"fold={number}")
        module = LesionModule.load_from_checkpoint(
            run / f"fold={number}" / "checkpoints" / "best.ckpt", weights_only=True, map_location="cpu"
        )
        assert module.hparams["model"] == plain(override(base, tuning["chosen"]))["model"]
    assert (run / "results.json").is_file()
    assert f"fold 1 chose model.fusion {tuning['chosen']['model.fusion']}" in text_of(run / "report.html")


def test_the_choice_stands_beside_the_default_with_a_test(real):
    folder, home, screens = real
    comparison = json.loads((home / "compare" / "comparison.json").read_text())
    chosen, default = (
        json.loads((only(place) / "results.json").read_text())["mean"]["auroc"]
        for place in (only(folder / "demo+sweep" / "small"), folder / "demo")
    )
    mean = comparison["mean_difference"]
    assert mean["difference"] == pytest.approx(chosen - default) and mean["low"] <= mean["high"]
    assert comparison["reference"] == "demo as it is" and len(comparison["tests"]) == 3
    words = "Mean AUROC of patients that no choice has seen"
    assert words in screens[1] and "Difference from demo as it is" in screens[1]
    page = home / "report.html"
    best = json.loads((home / "best.json").read_text())
    gaps = []
    for number in (0, 1):
        outer = mean_auroc(
            pd.read_parquet(
                only(only(folder / "demo+sweep" / "small")) / f"fold={number}/predictions.parquet"
            )
        )
        inner = best[f"fold={number}"]["value"]
        assert f"fold={number} {inner:.3f} {outer:.3f}" in text_of(page)
        gaps.append(inner - outer)
    assert f"What choosing promised: auroc of inner folds {sum(gaps) / 2:+.2f}" in text_of(page)
    assert words in text_of(page) and 'href="compare/report.html"' in page.read_text()


def test_another_search_begins_with_what_this_one_has_found(real, tmp_path):
    folder, home, _ = real
    (tmp_path / "further.yaml").write_text(
        SMALL.replace("  model.fusion: {categorical: [concat, gated]}\n", "")
    )
    words = [f"sweep={tmp_path / 'further.yaml'}", f"run.root={tmp_path}", *TABULAR, "outer=final"]
    done = run_command(
        "sweep", *words, f"warm={home}", "refit=false", timeout=600, BCBM_CACHE=str(folder / "cache")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    trials = pd.read_csv(next(tmp_path.glob("sweeps/further/*/trials.csv")))
    tried = trials.loc[trials["warm"].notna(), "model.dropout"]
    assert len(tried) and set(tried) <= set(
        read_sweep(home).trials.query("study == 'final'")["model.dropout"]
    )


def test_the_ready_experiment_of_a_real_sweep_runs_what_the_final_study_chose(real):
    _, home, screens = real
    path = home / "demo_small.yaml"
    settings = json.loads((home / "best.json").read_text())["final"]["settings"]
    config = compose([f"experiment={path}"])
    base = compose(TABULAR)
    assert same(config, override(base, settings)) and str(path) in screens[1]
    text = " ".join(path.read_text().replace("#", " ").split())
    assert text.startswith("Claim: Mean AUROC of patients that no choice has seen, chosen minus as it is: ")
    assert re.search(r"# cohort: \w{8,}", path.read_text())


def test_a_traditional_model_is_refitted_gone_on_with_and_chosen_anew(table_cohort, tmp_path):
    home, runs, key = tmp_path / "sweep", tmp_path / "runs", "baseline.strength"
    file = tmp_path / "strength.yaml"
    file.write_text(f"space: {{{key}: {{float: [0.001, 10.0], log: true}}}}")
    words = [
        "model.kind=logistic_l2",
        "task.modalities=[radiomics,position]",
        "split.folds=2",
        "bootstrap=100",
    ]
    words += [f"cohort.root={table_cohort}", f"prepared.root={tmp_path / 'p'}", f"run.root={runs}"]
    words += ["tracking=csv", "fold=1"]
    plan = planted(home, str(file), words, value=lambda settings: [settings[key]])
    page, screen = concluded(home, plan, refit=True)
    run = only(only(runs / "demo+sweep" / "strength"))
    for number in (0, 1):
        tuning = json.loads((run / f"fold={number}" / "tuning.json").read_text())
        assert tuning["chosen"] == {key: read_sweep(home).best[f"fold={number}"].value}
    assert "chosen minus as it is" in screen and "demo as it is" in text_of(page)

    unbroken = pd.read_parquet(run / "predictions.parquet")
    for name in ("results.json", "predictions.parquet", "fold=1/predictions.parquet"):
        (run / name).unlink()
    _, screen = concluded(home, plan, refit=True)
    pd.testing.assert_frame_equal(pd.read_parquet(run / "predictions.parquet"), unbroken)
    assert screen.count("finished before") == 3

    anew = {**choices(read_sweep(home)), 1: {"chosen": {key: 5.0}}}
    config = replace(plan.config, experiment="demo+sweep/strength", fold="1")
    other = fit(config, Console(quiet=True), anew)
    assert (
        other.parent != run.parent and json.loads((other / "fold=1" / "tuning.json").read_text()) == anew[1]
    )
