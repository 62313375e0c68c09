"""Words of YAML stay words, and no value is taken from anywhere else than where it is written."""

import os

import pytest

from bcbm.config.compose import compose, load, override, plain, to_yaml
from bcbm.config.reading import read_value
from bcbm.errors import ConfigError
from bcbm.search.plan import read_plan

SECRET = "sesame-opens"
RESOLVERS = ["${oc.env:BCBM_SECRET}", "${ oc.env : BCBM_SECRET }", "x-${oc.decode:${oc.env:BCBM_SECRET}}"]


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setitem(os.environ, "BCBM_SECRET", SECRET)


def experiment(tmp_path, text):
    path = tmp_path / "shared.yaml"
    path.write_text(text, encoding="utf-8")
    return f"experiment={path}"


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *((word, word) for word in ("off", "on", "yes", "No", "1:30", "007", "1_000", "2026-01-31", "0x1f")),
        *(("true", True), ("null", None), ("12", 12), ("-3", -3), ("0.10", 0.1), ("1e-3", 0.001)),
        ("[a, off, 1]", ["a", "off", 1]),
    ],
)
def test_only_what_is_no_text_in_yaml_1_2_is_no_text(word, value):
    assert read_value(word) == value and type(read_value(word)) is type(value)


@pytest.mark.parametrize("source", ["word", "file"])
def test_a_choice_called_off_is_that_choice_and_a_folder_called_yes_that_folder(tmp_path, source):
    values = {"tracking.mode": "off", "tracking.project": "on", "run.folder": "007", "cohort.strict": "yes"}
    words = [f"{name}={value}" for name, value in values.items()]
    if source == "file":
        text = "tracking: {mode: off, project: on}\nrun: {folder: 007}\ncohort: {strict: yes}"
        words = [experiment(tmp_path, text)]
    config = compose(words)
    assert (config.tracking.mode, config.tracking.project, config.run.folder) == ("off", "on", "007")
    assert config.cohort.strict is True
    written = tmp_path / "config.yaml"
    written.write_text(to_yaml(config), encoding="utf-8")
    assert plain(load(written)) == plain(config)


def test_words_that_mark_a_positive_cell_may_be_yes_and_no():
    word = "cohort.targets={extracranial: {column: Extracranial, positive: [yes], negative: [no]}}"
    assert compose([word]).cohort.targets["extracranial"]["positive"] == ["yes"]


def test_a_folder_that_looks_like_a_number_keeps_its_digits_and_a_file_is_asked_for_quotes(tmp_path):
    assert compose(["run.folder=1.10"]).run.folder == "1.10"
    assert compose([experiment(tmp_path, "run: {folder: '1.10'}")]).run.folder == "1.10"
    with pytest.raises(ConfigError, match=r"shared\.yaml.*run\.folder.*quotes"):
        compose([experiment(tmp_path, "run: {folder: 1.10}")])


@pytest.mark.parametrize("text", RESOLVERS)
def test_no_file_and_no_word_takes_a_value_from_the_environment(tmp_path, text):
    run = tmp_path / "config.yaml"
    run.write_text(to_yaml(compose()).replace("project: bcbm", f"project: '{text}'"), encoding="utf-8")
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"trials: 2\nspace: {{model.weights: {{choices: ['{text}']}}}}", encoding="utf-8")
    shared = [f"tracking: {{project: '{text}'}}", f"tune: {{model.weights: ['{text}']}}"]
    for read in (
        *(lambda content=content: compose([experiment(tmp_path, content)]) for content in shared),
        lambda: compose([f"tracking.project={text}"]),
        lambda: load(run),
        lambda: read_plan(str(plan), [], {}),
        lambda: override(compose(), {"tracking.project": text}),
    ):
        with pytest.raises(ConfigError, match="BCBM_SECRET") as caught:
            read()
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("content", ["", "# nothing\n", "experiment: demo\nseed: 0\ncohort:\n  root: null\n"])
def test_the_configuration_of_a_run_that_was_emptied_or_cut_off_is_not_filled_up(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.yaml: has no .*trainer"):
        load(path)
