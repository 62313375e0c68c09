"""The front door: what lists the commands and their keys, how fast, and what happens when nobody reads on."""

import os
import subprocess
import sys

import pytest
from repository import HOME

from bcbm.config.schema import described_keys
from bcbm.terminal.doors import doors, manual

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HOME)}
HEAVY = {"torch", "lightning", "pandas", "numpy", "omegaconf", "rich", "optuna"}


def bcbm(folder, *words, python=()):
    command = [sys.executable, *python, "-m", "bcbm", *words]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)


def imported(errors):
    """Top packages in what `-X importtime` has printed."""
    lines = [line.split("|")[-1].strip() for line in errors.splitlines() if line.startswith("import time:")]
    return {name.split(".")[0] for name in lines}


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_alone_it_lists_every_command_with_its_line(tmp_path, words):
    done = bcbm(tmp_path, *words)
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert done.returncode == 0 and "fit" in doors()
    for name, line in doors().items():
        assert line and f"{name:<11} {line}" in lines


def test_a_command_that_is_not_there_is_answered_with_the_nearest(tmp_path):
    done = bcbm(tmp_path, "evalute")
    assert done.returncode == 2 and not done.stdout
    assert "'evalute'" in done.stderr and "'evaluate'" in done.stderr


def test_the_version_names_python_and_torch_without_loading_it(tmp_path):
    from importlib.metadata import version

    from bcbm import __version__

    done = bcbm(tmp_path, "--version", python=["-X", "importtime"])
    assert f"bcbm {__version__}" in done.stdout and f"torch {version('torch')}" in done.stdout
    assert f"Python {sys.version.split()[0]}" in done.stdout and "torch" not in imported(done.stderr)


@pytest.mark.parametrize("module", ["bcbm {}", "bcbm.{}"])
@pytest.mark.parametrize("name", list(doors()))
def test_the_help_of_a_command_loads_nothing_heavy(tmp_path, name, module):
    command = [sys.executable, "-X", "importtime", "-m", *module.format(name).split(), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0 and f"bcbm.{name}" in done.stdout
    assert not imported(done.stderr) & HEAVY


def test_a_command_shows_its_own_keys_and_the_others_on_request(tmp_path):
    own, everything = (bcbm(tmp_path, "audit", *words).stdout for words in (["--help"], ["--help", "all"]))
    assert "cohort.root" in own and "trainer.max_epochs" not in own
    assert all(f"  {name}  (" in everything for name, *_ in described_keys())
    assert everything.index("cohort.root") < everything.index("trainer.max_epochs")


def test_a_commands_keys_are_keys_of_the_configuration():
    known = {part for name, *_ in described_keys() for part in (name, name.split(".")[0])}
    assert [key for name in doors() for key in manual(name)[1] if key not in known] == []


@pytest.mark.parametrize(
    "words",
    [["bcbm"], ["bcbm", "fit", "--help", "all"], ["bcbm", "completion", "bash"], ["bcbm.evaluate", "RUNS"]],
    ids=" ".join,
)
def test_a_reader_that_goes_away_is_no_error(tmp_path, words):
    for name in ("1", "2"):  # a folder with runs: which is taken is printed first
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.yaml").write_text("seed: 1\n")
    words = [str(tmp_path / "runs") if word == "RUNS" else word for word in words]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    assert done.returncode not in (0, 2) and done.stderr == ""
