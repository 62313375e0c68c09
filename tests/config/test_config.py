"""The configuration: layers in order, errors that say what to write instead, nothing executed."""

import json
from pathlib import Path

import pytest
from repository import HOME

from bcbm.config.checks import nearest, settings
from bcbm.config.compose import (
    HARDWARE,
    candidates,
    compose,
    described_keys,
    load,
    override,
    plain,
    to_yaml,
)
from bcbm.config.schema import Config
from bcbm.errors import ConfigError
from bcbm.system.words import listed

PLACE = HOME / "experiments"
EXPERIMENTS = sorted(path.relative_to(PLACE).with_suffix("").as_posix() for path in PLACE.rglob("*.yaml"))


def message(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(words)
    return str(caught.value)


def flat(content: dict, prefix: str = "") -> dict:
    result = {}
    for name, value in content.items():
        inner = isinstance(value, dict) and name not in {"target_weights", "targets", "tune"}
        result |= flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return result


def experiment(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return f"experiment={path}"


def test_an_unknown_key_is_named_with_the_nearest():
    assert "unknown key 'split.fold'" in message("split.fold=3")
    assert "did you mean 'split.folds'" in message("split.fold=3")


def test_an_unknown_key_of_a_file_names_the_file(tmp_path):
    text = message(experiment(tmp_path, "mine", "trainer: {max_epoch: 3}"))
    assert "mine.yaml" in text and "did you mean 'trainer.max_epochs'" in text


@pytest.mark.parametrize("word", ["split.folds=many", "model.max_pool=2.5", "task.targets=ER", "split=3"])
def test_a_wrong_type_is_refused_with_the_word_that_gave_it(word):
    assert word in message(word)


def test_a_value_outside_a_choice_names_the_choices():
    assert "workbook" in message("features.radiomics=csv")


def test_a_word_without_a_value_says_how_to_write_it():
    assert "split.folds=VALUE" in message("split.folds")


@pytest.mark.parametrize(
    "word", ["split.folds=[", "cohort.root=${nowhere}", "task.targets=!!python/tuple [1]"]
)
def test_an_unreadable_value_is_a_config_error(word):
    assert word.split("=")[0] in message(word)


def test_layers_go_schema_conf_experiment_command_line(tmp_path):
    schema = Config()
    bare = experiment(tmp_path, "bare", "defaults: {trainer: long}")
    own = experiment(tmp_path, "own", "defaults: {trainer: long}\ntrainer: {patience: 4}")
    conf = compose([bare])
    assert conf.trainer.weight_decay == schema.trainer.weight_decay
    assert conf.trainer.max_epochs == 100 != schema.trainer.max_epochs
    assert conf.trainer.patience == 15
    assert compose([own]).trainer.patience == 4
    assert compose([own]).trainer.max_epochs == 100
    assert compose(["trainer.patience=2", own]).trainer.patience == 2
    assert compose([own, "trainer=short"]).trainer.max_epochs == 16
    assert compose([own, "trainer=short"]).trainer.patience == 4
    assert compose(["trainer.patience=2", "trainer.patience=3"]).trainer.patience == 3


def test_extends_puts_the_base_beneath(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text("defaults: {trainer: long}\nsplit: {folds: 3, seed: 7}")
    child = experiment(tmp_path, "child", f"extends: {base}\nsplit: {{folds: 4}}")
    config = compose([child])
    assert (config.split.folds, config.split.seed, config.trainer.max_epochs) == (4, 7, 100)
    assert config.experiment == "child"


def test_extends_finds_a_file_beside_and_takes_one_name(tmp_path):
    experiment(tmp_path, "base1", "split: {folds: 3}")
    assert compose([experiment(tmp_path, "child", "extends: base1\nseed: 4")]).split.folds == 3
    text = message(experiment(tmp_path, "child", "extends: demo+baselines/forest"))
    assert "name one experiment" in text


def test_a_file_that_names_an_experiment_in_place_of_extending_it_is_refused(tmp_path):
    text = message(experiment(tmp_path, "mine", "experiment: paper\nseed: 4"))
    assert "mine.yaml" in text and "write extends: paper" in text


@pytest.mark.parametrize(
    ("word", "kind", "fact"),
    [
        ("tune={model.dropout: [0.1, 0.5]}", "logistic_l2", "model.dropout changes nothing"),
        ("tune={baseline.strength: [0.1, 0.5]}", "network", "baseline.strength changes nothing"),
        ("augment.shift=20", "network", "16 mm"),
        ("augment.degrees=720", "network", "from 0 to 180"),
        ("model.widen=0.001", "network", "at least 0.04"),
        ("trainer.learning_rate=0", "network", "more than 0"),
    ],
)
def test_what_has_no_effect_or_none_that_is_meant_is_refused(word, kind, fact):
    modalities = "radiomics,position" if kind != "network" else "image,radiomics,position"
    assert fact in message(word, f"model.kind={kind}", f"task.modalities=[{modalities}]")


def test_an_empty_map_has_nothing_of_what_stands_beneath(tmp_path):
    base = experiment(tmp_path, "base", "tune: {model.dropout: [0.1, 0.5]}\nloss: {target_weights: {PR: 2}}")
    config = compose([base, "tune={}", "loss.target_weights={}"])
    assert config.tune == {} and config.loss.target_weights == {}
    child = experiment(tmp_path, "child", f"extends: {tmp_path / 'base.yaml'}\ntune: {{}}")
    assert compose([child]).tune == {} and compose([child]).loss.target_weights["PR"] == 2


def test_a_circle_of_extends_is_refused(tmp_path):
    word = experiment(tmp_path, "round", f"extends: {tmp_path / 'round.yaml'}")
    assert "extends itself" in message(word)


def test_an_experiment_can_stand_on_top_of_another(tmp_path):
    top = experiment(tmp_path, "top", "split: {folds: 4}").removeprefix("experiment=")
    config = compose([f"experiment=tcia_tabular+{top}", "cohort.root=x"])
    assert (config.experiment, config.split.folds, config.split.repeats) == ("tcia_tabular+top", 4, 3)


def test_tune_lists_every_combination_and_each_is_checked_before_work_starts():
    config = compose(["tune={model.dropout: [0.1, 0.5], trainer.max_epochs: [2, 3, 4]}"])
    assert len(candidates(config)) == 6
    chosen = override(config, candidates(config)[-1])
    assert (chosen.model.dropout, chosen.trainer.max_epochs, chosen.tune) == (0.5, 4, {})
    assert "did you mean 'model.dropout'" in message("tune={model.dropot: [0.1]}")
    assert "cannot be tuned" in message("tune={split.folds: [3, 5]}")
    for key in HARDWARE:
        assert f"{key}=VALUE" in message(f"tune={{{key}: [1, 2]}}")
    assert "no value" in message("tune={model.dropout: []}")
    assert "inner" in message("tune={model.dropout: [0.1]}", "split.inner=1")


def test_a_run_s_configuration_is_read_back_as_it_was(tmp_path):
    config = compose(["experiment=tcia_tabular", "cohort.root=x", "tune={model.dropout: [0.1]}"])
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load(tmp_path / "config.yaml") == config


def test_paper_leaky_differs_from_paper_in_the_unit_of_the_split_only():
    honest, leaky = (
        flat(plain(compose([f"experiment={name}", "cohort.root=x"]))) for name in ("paper", "paper_leaky")
    )
    assert {k for k in honest if honest[k] != leaky[k]} == {"experiment", "split.unit"}
    assert (honest["split.unit"], leaky["split.unit"]) == ("patient", "lesion")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes(name):
    config = compose([f"experiment={name}", "cohort.root=x"])
    assert (config.experiment, config.cohort.root) == (name, "x")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_says_what_it_claims_and_how_to_run_it(name):
    text = (HOME / "experiments" / f"{name}.yaml").read_text()
    assert text.startswith("# Claim: ") and "# Run:   python -m bcbm.fit" in text


@pytest.mark.parametrize("fold", ["5", "-1", "first", "²"])
def test_a_fold_out_of_range_says_the_range(fold):
    assert "0 to 4" in message(f"fold={fold}")


def test_repeats_add_folds():
    assert compose(["fold=9", "split.repeats=2"]).fold == "9"


def test_an_unknown_target_is_named_with_the_nearest():
    assert "did you mean 'HER2'" in message("task.targets=[ER,HER]")


def test_an_unknown_policy_is_refused_with_those_there_are():
    text = message("cohort.policy=lesion")
    assert "cohort.policy" in text and "one_session" in text


@pytest.mark.parametrize(
    "words",
    [
        ["features.coordinates=true"],
        ["features.crop_size=0"],
        ["features.crop_margin=-1"],
        ["cohort.labels=lesion"],
        ["cohort.labels=session"],
    ],
)
def test_what_cannot_be_is_refused_by_its_key(words):
    assert words[0].split("=")[0].split(".")[1] in message(*words)


@pytest.mark.parametrize("words", [[], ["cohort.root=???"], ["cohort.root="]])
def test_a_download_that_is_not_set_is_asked_for_and_never_replaced_by_the_embedded_cohort(words):
    text = message("experiment=tcia_tabular", *words)
    assert "cohort.root" in text and "set" in text


def test_the_embedded_cohort_can_be_chosen_over_a_download():
    assert compose(["experiment=tcia_tabular", "cohort=synthetic"]).cohort.root is None


def test_of_many_words_of_which_none_is_near_some_are_named():
    ids = [f"MR{number}-1" for number in range(1000, 1040)]
    assert nearest("7", ids, listed(ids, 2)) == "known: MR1000-1, MR1001-1 and 38 more"


def test_a_missing_file_names_the_nearest():
    assert "did you mean 'paper'" in message("experiment=papr")
    assert "did you mean 'small'" in message("model=smal")


def test_a_python_tag_in_yaml_is_refused_and_not_executed(tmp_path):
    target = tmp_path / "executed"
    text = f'split: {{folds: !!python/object/apply:os.mkdir ["{target}"]}}'
    assert "not readable as YAML" in message(experiment(tmp_path, "evil", text))
    message(f'split.folds=!!python/object/apply:os.mkdir ["{target}"]')
    assert not target.exists()


def test_help_has_a_type_and_a_meaning_for_every_key():
    rows = list(described_keys())
    assert [name for name, _, _, meaning in rows if not meaning.strip()] == []
    assert [name for name, kind, _, _ in rows if not kind or "typing" in kind or "<class" in kind] == []
    assert [row[0] for row in rows] == [name for name, *_ in settings(Config())]


def test_the_written_configuration_composes_to_itself(tmp_path):
    config = compose(["split.seed=5", "loss.target_weights.ER=2", "task.modalities=[radiomics]"])
    again = compose([experiment(tmp_path, "demo", to_yaml(config))])
    assert again == config


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("seed=-1", "seed=-1: write at least 0"),
        ("bootstrap=-1", "write at least 0"),
        ("model.trunk=0", "write at least 1"),
        ("model.dropout=1.5", "write from 0 to 0.99"),
        ("trainer.max_epochs=0", "write at least 1"),
        ("trainer.devices=0", "write at least 1"),
        ("trainer.precision=16-x", "16-mixed"),
        ("trainer.accelerator=tpuu", "'auto', 'cpu'"),
        ("loss.target_weights={ER: 0, PR: 0, HER2: 0}", "not all of them 0"),
        ("loss.target_weights.ER=-1", "at least 0"),
        ("tune=[1]", "expected keys"),
        ("task.targets=ER", "write task.targets=[ER]"),
        ("task.targets=[[ER]]", "task.targets"),
        ("task.targets=[ER, [PR]]", "task.targets"),
        ("split=3", "split.unit=VALUE"),
        ("trainer.devices=#2", "trainer.devices"),
        ("tune={model.dropout:[0.1]}", "a blank behind each colon"),
    ],
)
def test_values_that_mean_nothing_are_refused_with_what_to_write(word, remedy):
    assert remedy in message(word)


@pytest.mark.parametrize(
    "path",
    ["/data/BCBM #2", "#x", "&x", "---", "~", "{a}", "[x]", "*a", "a: b", "007", "off", "2024-01-01", "'a"],
)
def test_a_text_on_the_command_line_is_what_was_written(path):
    assert compose([f"run.root={path}"]).run.root == path
    assert compose([f"cohort.root={path}"]).cohort.root == path
    assert compose([f"cohort.root={json.dumps(path)}"]).cohort.root == path


def test_nothing_on_the_command_line_is_nothing():
    assert [compose([f"cohort.root={word}"]).cohort.root for word in ("", "null")] == [None, None]


@pytest.mark.parametrize("text", ["", "# nothing but this\n", "---\n"])
def test_an_experiment_without_any_key_is_refused(tmp_path, text):
    path = experiment(tmp_path, "cut", text)
    assert "cut.yaml" in message(path) and "empty" in message(path)


@pytest.mark.parametrize("key", ["seed", "trainer.max_epochs", "task.targets"])
def test_a_key_that_a_file_leaves_open_is_asked_for(tmp_path, key):
    group, _, name = key.rpartition(".")
    own = experiment(tmp_path, "own", f"{group}:\n  {name}: ???" if group else f"{key}: ???")
    assert f"set {key}=VALUE" in message(own) and "own.yaml" in message(own)
    value = "[ER]" if key == "task.targets" else "3"
    assert compose([own, f"{key}={value}"])
    (tmp_path / "above.yaml").write_text(
        f"extends: {tmp_path}/own.yaml\n{group or key}: " + (f"{{{name}: {value}}}" if group else value)
    )
    assert compose([f"experiment={tmp_path}/above.yaml"])


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("split.folds: 3", "{split: {folds: VALUE}}"),
        ("defaults: [model]", "defaults: {model: small}"),
        ("extends: [demo]", "extends: demo"),
        ("task: {targets: ER}", "task.targets=[ER]"),
        ("split: 3", "split.unit"),
    ],
)
def test_a_file_whose_keys_have_another_shape_is_told_the_right_one(tmp_path, text, fact):
    path = experiment(tmp_path, "mine", text)
    assert fact in message(path) and "mine.yaml" in message(path)


def test_a_path_with_a_plus_is_one_experiment(tmp_path):
    (tmp_path / "a+b").mkdir()
    assert compose([experiment(tmp_path / "a+b", "mine", "seed: 3")]).seed == 3
