"""The sweep file: what it says, and everything that is wrong with it before a trial runs."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from repository import HOME

from bcbm.config.compose import compose
from bcbm.errors import ConfigError
from bcbm.search.plan import read_plan
from bcbm.search.space import default_settings, read_space, suggest

GOOD = {
    "model.fusion": {"categorical": ["concat", "gated", "bilinear"]},
    "model.fusion_features": {"int": [16, 64], "step": 16, "when": {"model.fusion": ["gated", "bilinear"]}},
    "model.fusion_rank": {"int": [1, 8], "log": True, "when": {"model.fusion": ["bilinear"]}},
    "trainer.learning_rate": {"float": [1e-4, 1e-1], "log": True},
    "loss.target_weights.PR": {"float": [0.5, 2.0]},
}


def problems(space, *words):
    return read_space(space, compose(words))[1]


def plan_file(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_a_space_is_read_as_it_is_written():
    space, mistakes = read_space(GOOD, compose())
    assert not mistakes
    assert [parameter.distribution for parameter in space] == [
        CategoricalDistribution(["concat", "gated", "bilinear"]),
        IntDistribution(16, 64, step=16),
        IntDistribution(1, 8, log=True),
        FloatDistribution(1e-4, 1e-1, log=True),
        FloatDistribution(0.5, 2.0),
    ]


def test_a_condition_decides_what_is_suggested():
    space, _ = read_space(GOOD, compose())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(40):
        settings = suggest(study.ask(), space)
        assert ("model.fusion_features" in settings) == (settings["model.fusion"] != "concat")
        assert ("model.fusion_rank" in settings) == (settings["model.fusion"] == "bilinear")
        seen.add(settings["model.fusion"])
    assert seen == {"concat", "gated", "bilinear"}


def test_the_default_is_the_experiments_own():
    space, _ = read_space(GOOD, compose())
    assert default_settings(space, compose()) == {
        "model.fusion": "concat",
        "trainer.learning_rate": 0.002,
        "loss.target_weights.PR": 1.0,
    }
    assert default_settings(space, compose(["model.fusion=bilinear"]))["model.fusion_rank"] == 4


@pytest.mark.parametrize(
    "key, words, message",
    [
        ("model.dropot", {"float": [0.1, 0.5]}, "unknown key 'model.dropot'; did you mean 'model.dropout'?"),
        ("modle.dropout", {"float": [0.1, 0.5]}, "unknown key 'modle.dropout'; did you mean"),
        ("split.folds", {"int": [2, 5]}, "'split.folds' cannot be searched; name keys of model, baseline"),
        ("seed", {"int": [0, 5]}, "'seed' cannot be searched"),
        ("trainer.devices", {"int": [1, 2]}, "set trainer.devices=VALUE for all"),
        ("trainer.num_nodes", {"categorical": [1, 2]}, "'trainer.num_nodes' cannot be searched"),
        ("trainer.accelerator", {"categorical": ["auto", "gpu"]}, "set trainer.accelerator=VALUE for all"),
        ("trainer.parallel", {"categorical": ["batches", "folds"]}, "'trainer.parallel' cannot be searched"),
        ("trainer.profile", {"categorical": [False, True]}, "'trainer.profile' cannot be searched"),
        ("baseline.strength", {"float": [0.1, 1]}, "changes nothing of model.kind=network"),
        ("model.dropout", {"flaot": [0.1, 0.5]}, "write one of {float: [low, high]}"),
        ("model.dropout", {"float": [0.1, 0.5], "setp": 0.1}, "unknown word 'setp'; did you mean 'step'?"),
        ("model.dropout", {"float": [0.5]}, "float takes [low, high]"),
        ("model.dropout", {"float": ["a", "b"]}, "float takes [low, high]"),
        ("model.dropout", {"float": [0.5, 0.1]}, "model.dropout: "),
        ("model.dropout", {"float": [0.1, 0.5], "step": 0.3}, "step=0.3 does not divide 0.1 to 0.5"),
        ("model.dropout", {"float": [0.1, 0.5], "step": 0.1, "log": True}, "model.dropout: "),
        ("model.trunk", {"int": [8.5, 64]}, "int takes [low, high]"),
        ("model.trunk", {"categorical": []}, "categorical takes a list"),
        ("model.trunk", {"categorical": [32, [64]]}, "categorical takes a list"),
        ("model.fusion", {"categorical": ["concat", "gatde"]}, "model.fusion"),
        ("model.trunk", {"categorical": [32, "wide"]}, "model.trunk"),
        ("model.modality_dropout", {"float": [0.0, 1.0]}, "at least 0 and less than 1"),
        ("model.dropout", {"float": [0.4, 0.5]}, "the experiment's own value 0.3 is not in it"),
        ("model.dropout", {"float": [0.0, 0.5], "step": 0.25}, "the experiment's own value 0.3 is not in it"),
        ("model.dropout", {"float": [0, 0.9], "when": {"model.fusion": ["late"]}}, "'model.fusion' is not"),
        ("model.dropout", {"float": [0, 0.9], "when": ["gated"]}, "write when: {other.key: [values]}"),
        ("loss.target_weights.XY", {"float": [0.5, 2]}, "unknown 'XY'"),
        ("trainer.weight_decay", {"float": [0, float("inf")]}, "two finite ends"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_parameter_is_said(key, words, message):
    (line,) = problems({key: words})
    assert message in line and line.startswith("space: ")


def test_a_condition_has_to_stand_below_what_it_depends_on():
    late = {"model.fusion_rank": GOOD["model.fusion_rank"], "model.fusion": GOOD["model.fusion"]}
    (line,) = problems(late)
    assert "depends on model.fusion; write it below" in line


def test_a_circle_is_an_error():
    first = {"categorical": [True, False], "when": {"model.mask_channel": [True]}}
    second = {"categorical": [True, False], "when": {"model.max_pool": [True]}}
    lines = problems({"model.max_pool": first, "model.mask_channel": second})
    assert lines and all("depend on each other; remove the circle" in line for line in lines)
    (line,) = problems({"model.max_pool": {"categorical": [True, False], "when": {"model.max_pool": [True]}}})
    assert "remove the circle" in line


def test_a_condition_that_never_holds_is_an_error():
    space = {**GOOD, "model.fusion_rank": {"int": [1, 8], "when": {"model.fusion": ["late"]}}}
    assert problems(space) == ["space: model.fusion_rank: when: model.fusion is never late"]


def test_a_range_is_tried_where_its_condition_holds():
    space = {
        "data.batch_size": {"categorical": [16, 24]},
        "data.bag": {"int": [4, 12], "step": 4, "when": {"data.batch_size": [24]}},
    }
    words = ["task.aggregate=attention"]
    assert any("multiple" in line for line in problems({"data.bag": {"int": [4, 12], "step": 4}}, *words))
    space["data.bag"] = {"int": [4, 12], "step": 8, "when": {"data.batch_size": [24]}}
    assert not problems(space, *words)


def test_all_problems_are_shown_together(tmp_path):
    text = """
    objective: [auroc, f1]
    sampler: {kind: tpee, sed: 1}
    pruner: {kind: median, startup: -1}
    space:
      model.dropot: {float: [0.0, 0.5]}
      model.trunk: {int: [1]}
    """
    with pytest.raises(ConfigError) as caught:
        read_plan(plan_file(tmp_path, text), ["split.unit=lesion", "trainer.devices=2"], {})
    shown = str(caught.value)
    for message in (
        "unknown key 'model.dropot'",
        "int takes [low, high]",
        "write trials, minutes or both",
        "objective: unknown 'f1'",
        "sampler: unknown kind 'tpee'; did you mean 'tpe'?",
        "sampler: unknown word 'sed'; did you mean 'seed'?",
        "pruner: startup=-1",
        "several objectives cannot be pruned",
        "split.unit=lesion",
        "trainer.devices",
    ):
        assert message in shown
    assert len(shown.splitlines()) == 10


@pytest.mark.parametrize(
    "text, message",
    [
        ("trails: 3", "unknown key 'trails'; did you mean 'trials'?"),
        ("trials: 0\nspace: {model.dropout: {float: [0, 1]}}", "trials=0: write a number above 0"),
        ("trials: 1.5\nspace: {model.dropout: {float: [0, 1]}}", "trials=1.5"),
        ("minutes: soon\nspace: {model.dropout: {float: [0, 1]}}", "minutes=soon"),
        ("trials: 3", "space: name at least one key"),
        ("minutes: .nan\nspace: {model.dropout: {float: [0, 0.9]}}", "minutes=nan: write a number above 0"),
        ("trials: 3\npruner: {reduction: 1}\nspace: {model.dropout: {float: [0, 0.9]}}", "at least 2"),
        (
            "trials: 3\npruner: {kind: hyperband, warmup: 99}\nspace: {model.dropout: {float: [0, 0.9]}}",
            "warmup=99",
        ),
        ("- a list", "expected keys and values"),
        ("a: [", "not readable as YAML"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, text, message):
    with pytest.raises(ConfigError, match=r"mine\.yaml") as caught:
        read_plan(plan_file(tmp_path, text), [], {})
    assert message in str(caught.value)


def test_a_missing_sweep_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'fusion'"):
        read_plan("fuson", [], {})


def test_an_experiment_that_tunes_by_itself_is_refused():
    with pytest.raises(ConfigError, match="already chooses inside its folds"):
        read_plan("fusion", ["tune={model.dropout: [0.1, 0.5]}"], {})


def test_the_command_line_counts_before_the_file():
    plan = read_plan("fusion", ["model.dropout=0.5"], {"trials": "7", "minutes": "2.5"})
    assert (plan.trials, plan.minutes, plan.config.model.dropout) == (7, 2.5, 0.5)


@pytest.mark.parametrize("path", sorted((HOME / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sweep_that_is_shipped_is_sound_and_says_how_it_is_run(path):
    plan = read_plan(path.stem, [], {})
    assert plan.trials and plan.space and len(plan.directions) == len(plan.objectives)
    assert f"python -m bcbm.sweep sweep={path.stem}" in path.read_text()


def test_steps_stand_for_the_same_epoch_in_all_trials():
    assert read_plan("fusion", ["trainer.max_epochs=9"], {}).epochs == 9
    space, _ = read_space({"trainer.max_epochs": {"int": [4, 24]}}, compose())
    plan = read_plan("fusion", [], {})
    assert type(plan)(**{**vars(plan), "space": space}).epochs == 24


def test_the_paper_s_settings_are_queued_where_they_are_others_than_the_experiment_s():
    paper = compose(["experiment=paper", "cohort.root=."]).model
    assert read_plan("fusion", [], {}).paper["model.trunk"] == paper.trunk != compose().model.trunk
    same = [
        f"model.{name}={getattr(paper, name)}" for name in ("fusion", "trunk", "dropout", "modality_dropout")
    ]
    assert read_plan("fusion", same, {}).paper == {}
