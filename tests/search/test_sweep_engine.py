"""The engine of a sweep: real processes, real storages, real kills."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from optuna import Study
from optuna.trial import TrialState
from postgres import Postgres, binaries
from sweep_trials import COUNTS, DEFAULT, Trivial, parent, plan, run, searches

from bcbm.errors import InputError
from bcbm.search import engine
from bcbm.search.engine import Engine
from bcbm.search.liveness import Watch, owner
from bcbm.system.liveness import place, started


@pytest.fixture(scope="module")
def server():
    if binaries() is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt install postgresql)")
    postgres = Postgres()
    yield postgres
    postgres.remove()


@pytest.fixture(params=["journal", "postgres", "sqlite"])
def address(request, tmp_path):
    if request.param == "journal":
        return None
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'studies.db'}"
    return request.getfixturevalue("server").address(f"test_{time.monotonic_ns()}")


def ended(searching):
    _, errors = searching.communicate()
    assert searching.returncode == 0, errors


def until(condition, seconds=120):
    """Wait for a condition, and say so if it never comes."""
    end = time.monotonic() + seconds
    while not (outcome := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return outcome


def descendants(process):
    """(process, when it was started) of all that a process has started, and of itself."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    processes = [process]
    for ancestor in processes:
        processes += [child for child, its_parent in parents.items() if its_parent == ancestor]
    return [(ancestor, started(ancestor)) for ancestor in processes]


def states(searched):
    return Counter(trial.state for search in searched for trial in search.trials())


def counted(search):
    """Settings of the trials that count, each a tuple."""
    return [tuple(sorted(trial.params.items())) for trial in search.trials(*COUNTS)]


def results(search):
    """What the finished trials of a study have tried, and found, in their order."""
    return [(trial.params, trial.values) for trial in search.trials(TrialState.COMPLETE)]


def test_a_study_tries_the_experiment_first_and_meets_its_budget(tmp_path, address):
    (final,), lines = run(tmp_path, "quick", plan(5), workers=2, address=address)
    assert states([final]) == {TrialState.COMPLETE: 5} and len(lines) == 5
    first = final.trials()[0]
    assert first.params == DEFAULT and first.user_attrs["default"]
    assert first.value == pytest.approx(-(0.2**2))
    again, _ = run(tmp_path, "quick", plan(5), address=address)
    assert states(again) == {TrialState.COMPLETE: 5}
    more, _ = run(tmp_path, "quick", plan(7), address=address)
    assert states(more) == {TrialState.COMPLETE: 7}
    assert len(set(counted(more[0]))) == 7


def test_the_paper_s_settings_are_tried_behind_the_experiment_and_once(tmp_path):
    """As far as the space holds them: what it does not is drawn."""
    budget = replace(plan(3), paper={"model.dropout": 0.45})
    for trials in (2, 3):
        (final,), _ = run(tmp_path, "quick", replace(budget, trials=trials))
    default, paper, drawn = final.trials()
    assert default.params == DEFAULT and paper.params["model.dropout"] == 0.45 and len(paper.params) == 2
    assert drawn.params["model.dropout"] != 0.45 and "paper" not in drawn.user_attrs


def test_minutes_are_a_budget_too(tmp_path):
    (final,), _ = run(tmp_path, "quick", plan(minutes=1e-9))
    assert states([final]) == {TrialState.COMPLETE: 1}


def test_every_study_has_the_budget(tmp_path):
    searched, _ = run(tmp_path, "quick", plan(2), workers=3, names=("fold=0", "fold=1", "final"))
    assert [states([search]) for search in searched] == [{TrialState.COMPLETE: 2}] * 3


def test_a_killed_worker_is_tried_once_more_and_then_counts(tmp_path, address):
    (final,), lines = run(tmp_path, "killed_once", plan(3), address=address)
    assert states([final]) == {TrialState.COMPLETE: 3, TrialState.FAIL: 1}
    assert "killed by SIGKILL" in lines[0]
    failed, again = final.trials(TrialState.FAIL)[0], final.trials()[1]
    assert again.params == failed.params == DEFAULT and again.user_attrs["retry_of"] == 0
    assert again.user_attrs["default"] and again.state == TrialState.COMPLETE


def test_settings_that_kill_twice_fail_with_their_reason_and_the_search_goes_on(tmp_path):
    (final,), _ = run(tmp_path, "killed_above", plan(6), workers=2)
    failed = final.trials(TrialState.FAIL)
    assert len(final.trials(TrialState.COMPLETE)) == 6 and failed
    assert {trial.user_attrs["reason"] for trial in failed} == {"its process was killed by SIGKILL"}
    assert set(Counter(str(trial.params) for trial in failed).values()) == {2}


def test_an_error_in_a_trial_is_its_reason_and_is_not_repeated(tmp_path):
    (final,), _ = run(tmp_path, "raises_above", plan(4))
    failed = final.trials(TrialState.FAIL)
    assert len(final.trials(TrialState.COMPLETE)) == 4 and failed
    assert {trial.user_attrs["reason"] for trial in failed} == {"ValueError: does not go together"}
    assert set(Counter(str(trial.params) for trial in failed).values()) == {1}
    content = json.loads((final.trial_folder(failed[0].number) / "result.json").read_text())
    assert "Traceback" in content["trace"]


@pytest.mark.parametrize("kind, reason", [("raises", "does not go together"), ("undefined", "not defined")])
def test_an_experiment_that_fails_itself_ends_the_search(tmp_path, kind, reason):
    with pytest.raises(InputError, match=f"the base experiment itself fails: .*{reason}"):
        run(tmp_path, kind, plan(4))


def test_trials_that_do_not_keep_up_are_pruned_and_count(tmp_path, address):
    (final,), _ = run(tmp_path, "reports", plan(8, pruner="median"), address=address)
    counts = states([final])
    assert counts[TrialState.COMPLETE] + counts[TrialState.PRUNED] == 8 == sum(counts.values())
    assert counts[TrialState.PRUNED]
    assert final.trials()[0].intermediate_values == {1: 0.3, 2: 0.3, 3: 0.3}


def test_nothing_outlives_a_killed_parent_and_the_same_command_goes_on(tmp_path, address):
    first = parent(tmp_path, "waits", 4, workers=2, address=address)
    until(lambda: len(list(tmp_path.glob("notes/*"))) == 2)
    alive = descendants(first.pid)
    assert len(alive) > 3
    first.kill()
    first.communicate()
    until(lambda: all(started(process) != since for process, since in alive))
    (tmp_path / "go").touch()
    ended(parent(tmp_path, "waits", 4, workers=2, address=address))
    (final,) = searches(tmp_path, "waits", plan(4), address)
    assert states([final]) == {TrialState.COMPLETE: 4, TrialState.FAIL: 2}
    killed = [tuple(sorted(trial.params.items())) for trial in final.trials(TrialState.FAIL)]
    assert len(set(counted(final))) == 4 and set(killed) < set(counted(final))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a search of six trials that nothing disturbs has tried, and found, in its order."""
    (final,), _ = run(tmp_path_factory.mktemp("undisturbed"), "quick", plan(6))
    return results(final)


def test_a_search_whose_parent_is_killed_ends_in_the_trials_of_an_undisturbed_one(tmp_path, undisturbed):
    first = parent(tmp_path, "waits_third", 6)
    until(lambda: len(list(tmp_path.glob("notes/*"))) == 3)
    first.kill()
    first.communicate()
    (tmp_path / "go").touch()
    ended(parent(tmp_path, "waits_third", 6))
    (final,) = searches(tmp_path, "quick", plan(6))
    assert states([final]) == {TrialState.COMPLETE: 6, TrialState.FAIL: 1}
    assert results(final) == undisturbed


def test_what_a_parent_was_killed_over_before_it_was_drawn_whole_is_drawn_again(tmp_path, undisturbed):
    run(tmp_path, "quick", plan(2))
    (final,) = searches(tmp_path, "quick", plan(6))
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    for key in (None, "model.dropout"):  # nothing was drawn, half was
        trial = final.study.ask()
        trial.set_user_attr("owner", {"place": place(), "process": gone.pid, "started": 5.0, "token": "x"})
        if key:
            final.study.sampler = plan().make_sampler(len(final.trials()) - 1)
            trial.suggest_float(key, 0.0, 0.9)
    run(tmp_path, "quick", plan(6))
    assert results(final) == undisturbed


class Killed(BaseException):
    """The end of a parent, between two records."""


@pytest.mark.parametrize("kind", ["killed_once", "killed_third"])
def test_what_a_parent_had_failed_and_not_queued_is_tried_again_and_no_draw_is_lost(
    tmp_path, kind, undisturbed, monkeypatch
):
    enqueue = Study.enqueue_trial

    def killed(study, params, user_attrs=None, **more):
        if "retry_of" in user_attrs:
            raise Killed
        enqueue(study, params, user_attrs, **more)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Study, "enqueue_trial", killed)
        run(tmp_path, kind, plan(6))
    (final,) = searches(tmp_path, kind, plan(6))
    assert states([final])[TrialState.FAIL] == 1 and not states([final])[TrialState.WAITING]
    run(tmp_path, kind, plan(6))
    assert states([final]) == {TrialState.COMPLETE: 6, TrialState.FAIL: 1}
    assert results(final) == undisturbed


def test_of_two_that_stand_for_one_failed_trial_one_is_withdrawn(tmp_path, undisturbed):
    """Two parents may both have found that it was not queued."""
    (final,) = searches(tmp_path, "killed_third", plan(6))
    run(tmp_path, "killed_third", plan(3))
    retry = next(trial for trial in final.trials() if "retry_of" in trial.user_attrs)
    final.study.enqueue_trial(retry.params, user_attrs=retry.user_attrs)
    run(tmp_path, "killed_third", plan(6))
    assert states([final]) == {TrialState.COMPLETE: 6, TrialState.FAIL: 2}
    assert sum("withdrawn" in trial.user_attrs for trial in final.trials()) == 1
    assert results(final) == undisturbed


def test_a_sampler_that_learns_draws_the_same_where_a_trial_was_tried_again(tmp_path):
    learning = plan(13, sampler="tpe")  # the first ten are drawn at random
    (whole,), _ = run(tmp_path / "whole", "quick", learning)
    (killed,), _ = run(tmp_path / "killed", "killed_once", learning)
    assert states([killed]) == {TrialState.COMPLETE: 13, TrialState.FAIL: 1}
    assert results(killed) == results(whole)


def test_a_result_that_nobody_told_is_told_and_not_worked_out_again(tmp_path, address):
    (final,) = searches(tmp_path, "quick", plan(2), address)
    trial = final.study.ask()
    trial.suggest_float("model.dropout", 0.0, 0.9)
    trial.set_user_attr("owner", owner("mine") | {"started": 1.0})
    folder = final.trial_folder(trial.number)
    folder.mkdir(parents=True)
    content = {"token": "mine", "settings": trial.params, "state": "complete", "values": [0.75]}
    content |= {"seconds": 9.0, "epochs": 3}
    (folder / "result.json").write_text(json.dumps(content))
    (again,), lines = run(tmp_path, "quick", plan(2), address=address)
    assert states([again]) == {TrialState.COMPLETE: 2} and len(lines) == 2
    assert again.trials()[0].value == 0.75 and again.trials()[0].user_attrs["seconds"] == 9.0
    assert len(list(tmp_path.glob("notes/*"))) == 1


def test_a_result_of_another_run_of_the_trial_is_not_taken(tmp_path):
    (final,) = searches(tmp_path, "quick", plan(1))
    final.trial_folder(0).mkdir(parents=True)
    stale = {"token": "of a storage that is gone", "state": "complete", "values": [0.9]}
    (final.trial_folder(0) / "result.json").write_text(json.dumps(stale))
    run(tmp_path, "quick", plan(1))
    assert final.trials()[0].value == pytest.approx(-(0.2**2))


def test_a_trial_elsewhere_is_left_once_its_signs_of_life_stop(tmp_path, address):
    (final,) = searches(tmp_path, "quick", plan(2), address)
    trial = final.study.ask()
    trial.set_user_attr("owner", owner("theirs") | {"place": "another machine"})
    trial.set_user_attr("beat", 1)
    patient = Watch(grace=1e6)
    assert not any(patient.left(final.trials()[0]) for _ in range(3))
    quick = Watch(grace=0.0)
    assert not quick.left(final.trials()[0])
    trial.set_user_attr("beat", 2)
    assert not quick.left(final.trials()[0])
    until(lambda: quick.left(final.trials()[0]))
    (again,), _ = run(tmp_path, "quick", plan(2), address=address, grace=0.0)
    assert states([again]) == {TrialState.COMPLETE: 2, TrialState.FAIL: 1}
    assert again.trials()[0].user_attrs["reason"] == "left by its parent"
    (retried,) = [trial for trial in again.trials() if trial.user_attrs.get("retry_of") == 0]
    assert retried.params == DEFAULT


def test_a_trial_here_is_left_when_its_process_is_no_more(tmp_path):
    (final,) = searches(tmp_path, "quick", plan(2))
    trial = final.study.ask()
    trial.set_user_attr("owner", owner("mine"))
    assert not Watch(grace=0.0).left(final.trials()[0])
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    trial.set_user_attr("owner", {"place": place(), "process": gone.pid, "started": 5.0, "token": "x"})
    assert Watch().left(final.trials()[0])


def test_a_process_is_known_by_its_start_and_one_that_has_ended_is_none_also_before_its_parent_asks():
    assert started(os.getpid()) == owner("mine")["started"]
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has been told
        assert started(child.pid) is None


def test_a_trial_whose_process_number_another_process_has_now_is_left(tmp_path):
    (final,) = searches(tmp_path, "quick", plan(2))
    trial = final.study.ask()
    trial.set_user_attr("owner", owner("mine") | {"started": started(os.getpid()) - 60})
    assert Watch().left(final.trials()[0])


def test_an_interrupted_search_sets_its_trials_back(tmp_path):
    def stop(running):
        raise KeyboardInterrupt

    opened = searches(tmp_path, "waits", plan(2))
    with pytest.raises(KeyboardInterrupt):
        Engine(opened, plan(2), 2, None, tmp_path, lambda *words: None, stop).run()
    assert states(opened) == {TrialState.FAIL: 2, TrialState.WAITING: 2}
    (tmp_path / "go").touch()
    (again,), _ = run(tmp_path, "waits", plan(2))
    assert states([again]) == {TrialState.COMPLETE: 2, TrialState.FAIL: 2}
    assert again.trials()[2].params == DEFAULT


def test_a_trial_asked_for_beyond_the_budget_is_withdrawn(tmp_path, monkeypatch):
    opened = searches(tmp_path, "quick", plan(2))
    run(tmp_path, "quick", plan(2))
    monkeypatch.setattr(engine.Search, "wants", lambda self, plan: len(self.trials()) < 3)
    run(tmp_path, "quick", plan(2))
    assert states(opened) == {TrialState.COMPLETE: 2, TrialState.FAIL: 1}
    assert opened[0].trials()[2].user_attrs["withdrawn"]


class Interrupting(Trivial):
    """Ctrl-C comes while the trial is sent to its process."""

    def __getstate__(self):
        """Be sent."""
        signal.raise_signal(signal.SIGINT)
        return super().__getstate__()


def test_a_search_interrupted_while_it_starts_a_trial_sends_it_whole_and_sets_it_back(tmp_path, capfd):
    opened = searches(tmp_path, "waits", plan(2))
    opened = [replace(search, measure=Interrupting(tmp_path, "waits")) for search in opened]
    with pytest.raises(KeyboardInterrupt):
        Engine(opened, plan(2), 2, None, tmp_path, lambda *words: None, lambda running: None).run()
    assert states(opened) == {TrialState.FAIL: 1, TrialState.WAITING: 1}
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("address", ["journal", "postgres"], indirect=True)
def test_four_parents_meet_one_budget_exactly(tmp_path, address):
    trials = 100 if address is None else 40
    parents = [parent(tmp_path, "quick", trials, address=address) for _ in range(4)]
    errors = [process.communicate()[1] for process in parents]
    assert [process.returncode for process in parents] == [0, 0, 0, 0], errors
    (final,) = searches(tmp_path, "quick", plan(trials), address)
    assert len(final.trials(TrialState.COMPLETE)) == trials == len({t.number for t in final.trials(*COUNTS)})
    assert not final.trials(TrialState.RUNNING, TrialState.WAITING)
    assert all(trial.user_attrs["withdrawn"] for trial in final.trials(TrialState.FAIL))
    owners = {trial.user_attrs["owner"]["process"] for trial in final.trials(*COUNTS)}
    assert len(owners) > 1


def test_a_database_that_is_away_for_ten_seconds_costs_no_trial(tmp_path, server):
    address = server.address("away")
    searching = parent(tmp_path, "reports", 40, workers=2, address=address)
    (final,) = searches(tmp_path, "reports", plan(40), address)
    until(lambda: len(final.trials(*COUNTS)) >= 5)
    before = {trial.number: trial.value for trial in final.trials(*COUNTS)}
    server.stop()
    away = time.monotonic()
    until(lambda: time.monotonic() - away > 10)
    assert searching.poll() is None, searching.communicate()[1]
    server.start()
    _, errors = searching.communicate()
    assert searching.returncode == 0 and "the storage does not answer" in errors
    after = {trial.number: trial.value for trial in final.trials(*COUNTS)}
    assert len(after) == 40 and before.items() <= after.items()
    assert not final.trials(TrialState.RUNNING)


def test_a_gracefully_ended_parent_leaves_its_trials_to_the_next(tmp_path):
    first = parent(tmp_path, "waits", 2, workers=2)
    until(lambda: len(list(tmp_path.glob("notes/*"))) == 2)
    first.send_signal(signal.SIGINT)
    first.communicate()
    (final,) = searches(tmp_path, "waits", plan(2))
    assert states([final]) == {TrialState.FAIL: 2, TrialState.WAITING: 2}
