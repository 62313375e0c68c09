"""Which trials are stopped: those that do not keep up at the same epoch of the same inner fold."""

from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from bcbm.search.plan import read_plan
from bcbm.search.pruner import SameStepPruner

EPOCHS = 4


def study_of(*courses, direction="maximize"):
    """A study with finished trials that have reported these figures, by step."""
    study = optuna.create_study(direction=direction)
    for course in courses:
        study.add_trial(create_trial(value=course[max(course)], intermediate_values=course))
    return study


def stopped(study, course, startup=1, warmup=0):
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=course)
    return SameStepPruner(EPOCHS, startup, warmup).prune(study, trial)


def test_a_good_first_fold_shields_no_trial_behind_it():
    whole = {1: 0.6, 2: 0.7, 3: 0.7, 4: 0.7, 5: 0.70, 6: 0.72}
    study, course = study_of(whole, whole, whole), {1: 0.7, 2: 0.8, 3: 0.8, 4: 0.8, 5: 0.6, 6: 0.65}
    assert stopped(study, course)
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=course)
    assert not optuna.pruners.MedianPruner(1).prune(study, trial)
    assert not stopped(study, {**course, 6: 0.72})


def test_a_fold_that_ended_early_stands_with_its_last_figure_and_no_other_fold_does():
    early = {1: 0.6, 2: 0.65, 4: 0.66, 5: 0.7}  # stopped behind the second epoch of the first fold
    assert stopped(study_of(early), {3: 0.64}) and not stopped(study_of(early), {3: 0.66})
    assert not stopped(study_of({4: 0.9}), {5: 0.1})  # nothing is known of the second fold


def test_nothing_is_stopped_before_there_is_enough_to_compare_it_with():
    study = study_of({1: 0.6}, {1: 0.7})
    assert stopped(study, {1: 0.5}, startup=2)
    assert not stopped(study, {1: 0.5}, startup=3) and not stopped(study, {1: 0.5}, warmup=2)
    assert not stopped(study, {})


@pytest.mark.parametrize("warmup, first", [(4, 4), (0, 16)])
def test_hyperband_looks_at_few_epochs_before_few_folds(warmup, first):
    """Each trial is worse than all before it: it is stopped at the first look of its bracket."""
    plan = read_plan("multi_fidelity", ["trainer.max_epochs=16", "split.inner=3"], {})
    pruner = replace(plan, pruner={**plan.pruner, "warmup": warmup}).make_pruner()
    study = optuna.create_study(study_name="final", direction="maximize", pruner=pruner)
    looks = set()
    for number in range(30):
        trial = study.ask()
        for step in range(1, plan.budget + 1):
            trial.report(-float(number), step)
            if trial.should_prune():
                looks.add(step)
                break
        study.tell(trial, -float(number))
    assert plan.budget == 48 and min(looks) == first and looks <= {4, 8, 16, 32}


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_less_may_be_better_and_what_is_no_number_is_stopped(value):
    assert stopped(study_of({1: 0.1}, {1: 0.3}, {1: 0.2}, direction="minimize"), {1: value})
    assert not stopped(study_of({1: 0.1}, {1: 0.3}, {1: 0.2}, direction="minimize"), {1: 0.2})
