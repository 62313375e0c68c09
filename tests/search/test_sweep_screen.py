"""What a sweep says while it runs: how much is asked for, and how long the rest will take."""

import pandas as pd
import pytest
from optuna import create_study
from optuna.trial import TrialState
from rich.console import Console
from sweep_trials import plan, searches

from bcbm.search.plan import read_plan
from bcbm.search.results import Best, SweepResult
from bcbm.search.screen import Screen, extent, in_time, print_best


def tell(search, count, seconds, state=TrialState.COMPLETE):
    """Trials of a study that have ended, each after so many seconds."""
    for _ in range(count):
        trial = search.study.ask()
        trial.set_user_attr("seconds", seconds)
        search.study.tell(trial, [0.5] if state == TrialState.COMPLETE else None, state)
    return search.trials()[-1]


def lines_of(opened, budget, workers=1, ended=None):
    """What is said as a search starts, and of a trial that has ended."""
    console = Console(record=True, width=200)
    with Screen(console, opened, budget, workers) as screen:
        if ended:
            screen.ended(*ended)
    return console.export_text().splitlines()


def test_how_much_is_asked_for_is_said_before_the_first_trial(tmp_path):
    budget = plan(trials=40)
    opened = searches(tmp_path, "bowl", budget, names=("fold=0", "final"))
    expected = "search: 2 studies x 40 trials x 3 inner folds x up to 1 epochs: 240 fits, up to 240 epochs"
    assert lines_of(opened, budget) == [expected]


def test_the_shipped_search_says_what_it_takes(tmp_path):
    budget = read_plan("fusion", [], {})
    assert extent(budget, 6).endswith("x 3 inner folds x up to 16 epochs: 720 fits, up to 11,520 epochs")
    (tmp_path / "own.yaml").write_text("trials: 9\nspace: {baseline.strength: {float: [0.1, 10.0]}}\n")
    words = ["model.kind=logistic_l2", "task.modalities=[position]"]
    budget = read_plan(str(tmp_path / "own.yaml"), words, {"trials": "5"})
    assert extent(budget, 1) == "search: 1 study x 5 trials x 3 inner folds: 15 fits"
    words = extent(plan(minutes=30), 2)
    assert words == "search: 2 studies, trials of 3 inner folds x up to 1 epochs; at most 30 minutes of " + (
        "training a study"
    )


@pytest.mark.parametrize(
    "budget, workers, left",
    [
        ({"trials": 10}, 1, "about 16 min"),  # 6 and 10 trials of a minute
        ({"trials": 10}, 4, "about 4 min"),
        ({"minutes": 7}, 1, "about 10 min"),  # 3 and 7 minutes
        ({"trials": 10, "minutes": 7}, 1, "about 10 min"),
        ({"trials": 400}, 1, "about 13.3 h"),
    ],
)
def test_every_line_of_a_trial_says_how_long_the_rest_takes(tmp_path, budget, workers, left):
    budget = plan(**budget)
    opened = searches(tmp_path, "bowl", budget, names=("fold=0", "final"))
    tell(opened[0], 2, 90.0)
    last = tell(opened[0], 2, 30.0, TrialState.PRUNED)
    _, before, line = lines_of(opened, budget, workers, (opened[0], last))
    assert before == f"time left: {left}"
    assert line.startswith("fold=0 trial 3: pruned") and line.endswith(f"({left} left in total)")


def test_nothing_is_said_to_be_left_of_a_finished_search(tmp_path):
    budget = plan(trials=2)
    opened = searches(tmp_path, "bowl", budget)
    last = tell(opened[0], 2, 60.0)
    assert "left" not in " ".join(lines_of(opened, budget, 1, (opened[0], last)))


def test_a_guess_has_few_digits():
    assert [in_time(seconds) for seconds in (5, 60, 5000, 7200)] == [
        "less than a minute",
        "about 1 min",
        "about 83 min",
        "about 2.0 h",
    ]


def test_a_log_says_every_half_minute_how_far_a_search_is(tmp_path, monkeypatch):
    budget = plan(trials=3)
    opened = searches(tmp_path, "bowl", budget)
    tell(opened[0], 2, 90.0)
    console = Console(record=True, width=80)
    with Screen(console, opened, budget, 1) as screen:
        screen.show([])
        assert "finished" not in console.export_text(clear=False)  # half a minute has not gone by
        monkeypatch.setattr("bcbm.search.screen.EVERY", -1)
        screen.show([])
    (line,) = [line for line in console.export_text().splitlines() if "finished" in line]
    assert "2 finished" in line and "of 3" in line and "about 2 min left" in line


def test_the_best_of_a_sweep_is_whole_at_80_columns(tmp_path):
    settings = {"trainer.learning_rate": 0.000312, "trainer.weight_decay": 0.0123, "model.dropout": 0.25}
    trial = Best(settings, 0.8123, {"auroc": 0.8123}, {}, 12, 0.79, [12])
    rows = pd.DataFrame({"study": ["fold=0"], "state": ["complete"]})
    studies = {name: create_study() for name in ("fold=0", "final")}
    sweep = SweepResult(tmp_path, {"objective": ["auroc"]}, studies, {"fold=0": trial}, rows)
    console = Console(record=True, width=80)
    print_best(sweep, console)
    text = console.export_text()
    assert "fold=0: learning_rate=0.000312 weight_decay=0.0123 dropout=0.25" in text
    assert "0.812" in text and "0.790" in text
