"""A damaged journal costs no finished trial: each has left its result in its own folder."""

import io
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState
from rich.console import Console
from sweep_trials import DEFAULT, plan, run, searches

from bcbm.errors import InputError
from bcbm.search.engine import Engine
from bcbm.search.recovery import recovered_storage

TRIALS = 4
BUDGET = replace(plan(TRIALS), paper={"model.dropout": 0.45})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished search, and what its trials have found."""
    home = tmp_path_factory.mktemp("finished") / "home"
    (search,), _ = run(home, "quick", BUDGET, workers=2)
    return home, facts(search.study)


def facts(study):
    return [(trial.params, trial.values, trial.state) for trial in study.get_trials()]


def opened(home, console=None):
    """The study of a search whose journal was looked through."""
    screen = io.StringIO()
    names = {"final": "trivial/final"}
    recovered_storage(home, names, BUDGET, DEFAULT, Console(file=screen, width=500))
    (search,) = searches(home, "quick", BUDGET)
    return search, screen.getvalue()


def behind(line):
    """Put a line behind the third of a journal."""
    return lambda lines: [*lines[:3], line, *lines[3:]]


def without_a_trial(lines):
    """Take out the record that creates a trial: those behind it would get the numbers before theirs."""
    made = [place for place, line in enumerate(lines) if json.loads(line)["op_code"] == 4]
    return lines[: made[1]] + lines[made[1] + 1 :]


def with_another_value(lines):
    """Flip a bit in a trial's value, which stays a number."""
    done = [place for place, line in enumerate(lines) if json.loads(line).get("values")]
    record = json.loads(lines[done[0]])
    record["values"] = [record["values"][0] + 0.4]
    return [*lines[: done[0]], json.dumps(record).encode() + b"\n", *lines[done[0] + 1 :]]


@pytest.mark.parametrize(
    "damage",
    [
        *map(
            behind,
            (b"garbage\n", b"null\n", b"[]\n", b"5\n", b"{}\n", b'{"op_code": 99, "worker_id": "a"}\n'),
        ),
        *(behind(b'{"op_code": 5, "worker_id": "a"}\n'), without_a_trial, with_another_value),
        lambda lines: [],
    ],
    ids=["garbage", "null", "list", "number", "empty", "unknown", "half", "taken out", "flipped", "gone"],
)
def test_whatever_is_wrong_with_a_journal_its_trials_are_taken_up_again(finished, tmp_path, damage):
    home, before = finished
    home = shutil.copytree(home, tmp_path / "home")
    lines = (home / "journal.log").read_bytes().splitlines(keepends=True)
    damaged = b"".join(damage(lines))
    (home / "journal.log").write_bytes(damaged)
    search, screen = opened(home)
    assert facts(search.study) == before and search.finished(BUDGET)
    for number, name in enumerate(("default", "paper")):
        assert [trial.number for trial in search.trials() if trial.user_attrs.get(name)] == [number]
    assert (home / "journal.log.damaged").read_bytes() == damaged
    assert f"{home / 'journal.log'}" in screen and f"{TRIALS} taken up again, 0 without" in screen
    _, screen = opened(home)
    assert screen == ""


def test_a_journal_that_says_what_the_trials_say_is_left_alone(finished, tmp_path):
    home = shutil.copytree(finished[0], tmp_path / "home")
    content = (home / "journal.log").read_bytes()
    _, screen = opened(home)
    assert screen == "" and (home / "journal.log").read_bytes().startswith(content)
    assert not list(home.glob("journal.log.damaged*"))


def test_a_trial_that_has_left_no_result_is_lost_and_its_place_in_the_budget_is_free(finished, tmp_path):
    home, before = finished
    home = shutil.copytree(home, tmp_path / "home")
    (home / "study=final" / "trial=2" / "result.json").write_text('{"token": "cut')
    (home / "journal.log").write_bytes(b"null\nnull\n" + (home / "journal.log").read_bytes())
    search, screen = opened(home)
    assert f"{TRIALS - 1} taken up again, 1 without" in screen
    now = facts(search.study)
    assert now[2][2] == TrialState.FAIL and [now[n] for n in (0, 1, 3)] == [before[n] for n in (0, 1, 3)]
    (search,), _ = run(home, "quick", plan(TRIALS))
    assert len(search.trials(TrialState.COMPLETE)) == TRIALS and search.trials()[4].values is not None


@pytest.mark.parametrize(
    "change",
    [
        {"values": [7.0]},
        {"values": ["x"]},
        {"values": []},
        {"state": "great"},
        {"settings": {"model.modality_dropout": 0.0}},
        {"settings": [0.3]},
    ],
    ids=str,
)
def test_a_result_that_no_trial_can_have_left_is_lost_with_its_journal(finished, tmp_path, change):
    home = shutil.copytree(finished[0], tmp_path / "home")
    (home / "journal.log").unlink()
    place = home / "study=final" / "trial=1" / "result.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | change))
    search, screen = opened(home)
    states = [trial.state for trial in search.study.get_trials() if trial.state != TrialState.WAITING]
    assert states.count(TrialState.COMPLETE) == TRIALS - 1 and states[1] == TrialState.FAIL
    values = [trial.values for trial in search.study.get_trials() if trial.state == TrialState.COMPLETE]
    assert values == [known for place, (_, known, _) in enumerate(finished[1]) if place != 1]
    assert "journal" in screen


def test_a_journal_that_is_damaged_while_a_parent_searches_is_made_anew_when_that_has_ended(tmp_path):
    script = Path(__file__).parents[1] / "sweep_trials.py"
    words = [sys.executable, script, tmp_path, "waits", str(TRIALS), "2", ""]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as searching:
        while len(list(tmp_path.glob("notes/*"))) < 2:
            assert searching.poll() is None
            time.sleep(0.02)
        journal = tmp_path / "journal.log"
        lines = journal.read_bytes().splitlines(keepends=True)
        with journal.open("r+b") as file:
            file.seek(len(lines[0]))
            file.write(b"?")  # the parent has read it long ago
        damaged = journal.read_bytes()
        try:
            with pytest.raises(InputError) as refused:
                opened(tmp_path)
        finally:
            (tmp_path / "go").touch()
        (problem,) = refused.value.problems
        assert problem.where == str(journal) and f"PID {searching.pid} " in problem.found
        assert journal.read_bytes().startswith(damaged)
        assert searching.wait() == 0
    search, screen = opened(tmp_path)
    assert f"{TRIALS} taken up again, 0 without" in screen
    assert len(search.trials(TrialState.COMPLETE)) == TRIALS and search.finished(BUDGET)


@pytest.mark.parametrize("line", [b"garbage\n", b"null\n"])
def test_a_parent_that_reads_a_damaged_line_ends_in_words_and_its_trials_are_taken_up(tmp_path, line):
    journal = tmp_path / "journal.log"
    (search,) = searches(tmp_path, "quick", plan(TRIALS))

    def damage(search, trial):
        if trial.number == 1:
            with journal.open("ab") as file:
                file.write(line * 2)

    engine = Engine([search], plan(TRIALS), 1, None, tmp_path, damage, lambda running: None)
    with pytest.raises(InputError) as ended:
        engine.run()
    assert ended.value.problems[0].where == str(journal)
    search, _ = opened(tmp_path)
    assert len(search.trials(TrialState.COMPLETE)) == 2
    (search,), _ = run(tmp_path, "quick", plan(TRIALS))
    assert len(search.trials(TrialState.COMPLETE)) == TRIALS
