"""Where settings are looked up: with the user, in the checkout, in the wheel."""

import json
import os
import shutil
import subprocess
import sys
import tomllib

import pytest
from repository import EXPERIMENTS, HOME

from bcbm.comparison.experiments import candidates_named
from bcbm.config.compose import compose, load, to_yaml
from bcbm.config.places import experiment_files
from bcbm.errors import ConfigError, Note
from bcbm.runs.finished import read_config
from bcbm.runs.identity import fingerprint


@pytest.fixture
def own(tmp_path):
    """A user's experiments: one of a name that we have too, one of its own, a group."""
    folder = tmp_path / "own"
    (folder / "doses").mkdir(parents=True)
    (folder / "demo.yaml").write_text("# Claim: mine.\nseed: 41\n")
    (folder / "mine.yaml").write_text("# Claim: on top of ours.\nextends: paper\nseed: 42\n")
    (folder / "doses" / "low.yaml").write_text("# Claim: less.\nmodel: {dropout: 0.1}\n")
    (folder / "doses" / "high.yaml").write_text("# Claim: more.\nmodel: {dropout: 0.5}\n")
    return folder


def test_the_users_folder_comes_first_and_ours_behind_it(own):
    assert compose([f"experiments={own}"]).seed == 41
    root = "cohort.root=/download"
    mine, paper = (
        compose([*words, root]) for words in ([f"experiments={own}", "experiment=mine"], ["experiment=paper"])
    )
    assert mine.seed == 42 and mine.experiment == "mine" and mine.features == paper.features
    assert compose([f"experiments={own}", "experiment=demo+doses/low"]).experiment == "demo+doses/low"
    files = experiment_files(str(own))
    assert files["demo"] == own / "demo.yaml" and files["paper"] == EXPERIMENTS / "paper.yaml"


def test_a_name_that_neither_has_is_answered_with_the_nearest_of_both(own):
    with pytest.raises(ConfigError, match="doses/low"):
        compose([f"experiments={own}", "experiment=doses/lo"])
    with pytest.raises(ConfigError, match=r"experiments=/nowhere"):
        compose(["experiments=/nowhere"])


def test_where_experiments_lie_makes_no_other_run(own, tmp_path):
    elsewhere = shutil.copytree(own, tmp_path / "elsewhere")
    configs = [compose([f"experiments={folder}", "experiment=demo+doses/low"]) for folder in (own, elsewhere)]
    assert len({fingerprint(config, "cohort", "split") for config in configs}) == 1


def test_a_comparison_takes_a_group_of_the_users(own):
    candidates = candidates_named("doses", [f"experiments={own}"])
    assert [
        (candidate.name, candidate.config.experiment, candidate.config.seed) for candidate in candidates
    ] == [
        ("high", "demo+doses/high", 41),
        ("low", "demo+doses/low", 41),
    ]


def test_an_installation_finds_its_own_settings_and_no_commit_of_others(tmp_path):
    """The files as the wheel lays them down, inside somebody else's repository."""
    settings = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    site = tmp_path / "site"
    shutil.copytree(HOME / "bcbm", site / "bcbm", ignore=shutil.ignore_patterns("__pycache__"))
    for source, place in settings["wheel"]["force-include"].items():
        shutil.copytree(HOME / source, site / place)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *words], check=True)
    script = """
import json, bcbm
from bcbm.config import compose
from bcbm.config.places import checkout, experiment_files, group_choices, sweep_names
from bcbm.runs.identity import environment
print(json.dumps([bcbm.__file__, checkout(), list(experiment_files()), group_choices(), sweep_names(),
                  environment(compose(["experiment=demo+fusion/gated"]), "c", "s", "i")["commit"]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    file, checkout, experiments, groups, sweeps, commit = json.loads(done.stdout)
    assert file == str(site / "bcbm/__init__.py") and checkout is None and commit == "unknown"
    assert experiments == list(experiment_files()) and "fusion" in sweeps and "csv" in groups["tracking"]


def test_a_key_that_is_gone_is_noted_with_the_version_that_wrote_it(tmp_path):
    text = to_yaml(compose(["seed=7"])) + "colour: red\n"
    (tmp_path / "config.yaml").write_text(text.replace("split:\n", "split:\n  stratify: yes\n"))
    (tmp_path / "environment.json").write_text(json.dumps({"versions": {"bcbm": "0.0.7"}}))
    with pytest.warns(Note) as notes:
        config = load(tmp_path / "config.yaml")
    assert config == compose(["seed=7"])
    with pytest.warns(Note) as others:
        content = read_config(tmp_path)
    assert "colour" not in content and "stratify" not in content["split"] and content["seed"] == 7
    for note in (*notes, *others):
        assert all(fact in str(note.message) for fact in ("'colour'", "'split.stratify'", "0.0.7"))


def test_a_key_that_is_known_is_read_without_a_note(tmp_path, recwarn):
    (tmp_path / "config.yaml").write_text(to_yaml(compose(["tune={model.dropout: [0.1, 0.5]}"])))
    assert load(tmp_path / "config.yaml").tune == {"model.dropout": [0.1, 0.5]}
    assert read_config(tmp_path)["loss"]["target_weights"]["ER"] == 1.0
    assert not [warning for warning in recwarn if issubclass(warning.category, Note)]
