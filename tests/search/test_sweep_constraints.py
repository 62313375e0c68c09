"""What a choice has to keep beside its objective."""

import math
from dataclasses import replace

import pytest
from optuna.trial import TrialState
from planted_sweeps import concluded, planted, text_of
from rich.console import Console
from sweep_trials import DEFAULT, plan, run, searches

from bcbm.search.constraints import Bound, feasible, read_constraints
from bcbm.search.plan import read_plan
from bcbm.search.recovery import recovered_storage
from bcbm.search.results import best, read_sweep
from bcbm.search.screen import print_best

SWEEP = """
trials: 12
pruner: {{kind: none}}
constraints: {{parameters: {most}}}
space:
  model.fusion: {{categorical: [concat, gated]}}
  model.dropout: {{float: [0.0, 0.6], step: 0.1}}
"""


@pytest.mark.parametrize(
    "content, facts",
    [
        ({"parametres": 5}, ["'parametres'", "'parameters'"]),
        ({"calibration": [0.5, 2]}, ["'calibration'", "'calibration_slope'"]),
        ({"parameters": 0}, ["parameters=0"]),
        ({"parameters": True}, ["parameters=True"]),
        ({"milliseconds": "fast"}, ["milliseconds=fast"]),
        ({"milliseconds": [1, 2]}, ["milliseconds=[1, 2]"]),
        ({"parameters": math.inf}, ["parameters=inf"]),
        ({"parameters": 10**400}, ["parameters=1000"]),
        ({"calibration_slope": 0.8}, ["calibration_slope=0.8", "[low, high]"]),
        ({"calibration_slope": [1.1, 1.4]}, ["calibration_slope=[1.1, 1.4]", "around 1"]),
        ({"calibration_slope": [0.8, math.nan]}, ["calibration_slope=", "around 1"]),
        ([1], ["constraints", "parameters"]),
        (None, ["constraints", "parameters"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_constraint_is_one_line_before_anything_runs(content, facts):
    constraints, (line,) = read_constraints(content)
    assert not constraints and all(fact in line for fact in facts)


def test_a_constraint_that_a_model_cannot_have_or_a_pruner_cannot_see_is_refused(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(SWEEP.format(most=9).replace("none", "hyperband"))
    with pytest.raises(Exception, match=r"hyperband(.|\n)*") as caught:
        read_plan(str(file), ["model.kind=logistic_l2", "task.modalities=[radiomics]"], {})
    assert "constraints: model.kind=logistic_l2 has no parameters" in str(caught.value)


def test_how_far_a_figure_lies_outside_is_a_share_and_what_is_not_defined_is_outside():
    most, around = Bound(-math.inf, 200), Bound(0.5, 2)
    assert [most.violation(value) for value in (300, 200, 100)] == [0.5, 0, -0.5]
    assert around.violation(3) == 0.5 and around.violation(0.3) == pytest.approx(0.1)
    assert around.violation(1) < 0 < around.violation(math.nan) and str(around) == "0.5 to 2"
    assert str(Bound(-math.inf, 2e6)) == "at most 2,000,000" and str(Bound(-math.inf, 0.5)) == "at most 0.5"


def parameters(settings):
    return 1000 * (1 + settings["model.dropout"])


@pytest.fixture
def constrained(tmp_path):
    """Plants a sweep whose best trials are the largest."""

    def plant(most):
        file = tmp_path / "small.yaml"
        file.write_text(SWEEP.format(most=most))
        home = tmp_path / "sweep"
        made = planted(
            home,
            str(file),
            studies=["fold=0"],
            value=lambda settings: [settings["model.dropout"]],
            figures=lambda settings: {"parameters": parameters(settings)},
        )
        return home, made

    return plant


def test_the_best_trial_that_keeps_the_constraints_is_chosen_and_the_page_says_so(constrained):
    home, made = constrained(1450)
    result = read_sweep(home)
    assert read_plan(str(home.parent / "small.yaml"), [], {}).constraints == result.constraints
    for name, choice in result.best.items():
        rows = result.trials[(result.trials["study"] == name) & (result.trials["state"] == "complete")]
        inside = rows[rows["parameters"] <= 1450]
        assert choice.value == inside["auroc"].max() < rows["auroc"].max()
        assert choice.figures == {"parameters": parameters(choice.settings)}
        assert rows["feasible"].sum() == len(inside)
    text = text_of(concluded(home, made)[0])
    assert "parameters, at most 1,450" in text and f"{len(inside)} of {len(rows)} finished trials" in text


def test_where_no_trial_keeps_them_that_is_said_with_the_nearest_and_nothing_is_chosen(constrained):
    home, made = constrained(900)
    page, screen = concluded(home, made)
    result = read_sweep(home)
    closest = result.trials.query("study == 'fold=0' and state == 'complete'")["parameters"].min()
    assert not result.best and not list(home.glob("demo_*.yaml"))
    for text in (screen, text_of(page)):
        assert f"parameters {closest:,.0f} (at most 900)" in text and "none of " in text
    console = Console(record=True, width=300)
    print_best(result, console)
    assert f"parameters {closest:,.0f} (at most 900)" in console.export_text()


def test_the_engine_tells_optuna_and_a_journal_made_anew_knows_it_too(tmp_path):
    """Trials of a dropout above 0.45 break the constraint, and are the best without it."""
    budget = replace(plan(6), constraints={"parameters": Bound(-math.inf, 450.0)})
    (final,), _ = run(tmp_path, "sized", budget)
    complete = final.trials(TrialState.COMPLETE)
    assert {feasible(trial) for trial in complete} == {True, False}
    for trial in complete:
        size = 1000 * trial.params["model.dropout"]
        assert trial.user_attrs["figures"] == {"parameters": size} and feasible(trial) == (size <= 450)
        assert trial.constraints == {"parameters": pytest.approx(size / 450 - 1)}
    chosen = best(final.study, ["auroc"])
    assert chosen.trial == max(filter(feasible, complete), key=lambda trial: trial.value).number
    (tmp_path / "journal.log").unlink()
    recovered_storage(tmp_path, {"final": "trivial/final"}, budget, DEFAULT, Console(quiet=True))
    (again,) = searches(tmp_path, "sized", budget)
    assert best(again.study, ["auroc"]) == chosen
    assert [trial.constraints for trial in again.trials()] == [trial.constraints for trial in complete]
