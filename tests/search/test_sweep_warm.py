"""A sweep that begins with what an earlier one on the same folds has found best."""

import json

import optuna
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from bcbm.errors import InputError
from bcbm.search.space import Parameter
from bcbm.search.storage import open_storage
from bcbm.search.warm import earlier_trials, queue_earlier

DROPOUT = FloatDistribution(0.0, 0.9)
SPACE = (Parameter("model.dropout", FloatDistribution(0.0, 0.5), {}),)


@pytest.fixture
def home(tmp_path):
    """A sweep with a study of seven trials: the higher the dropout, the better; one was pruned."""
    folder = tmp_path / "fusion" / "0123"
    folder.mkdir(parents=True)
    plan = {"sweep": "fusion", "study": "fusion/0123", "studies": ["fold=0", "final"], "objective": ["auroc"]}
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**plan, "storage": None}))
    (folder / "split.json").write_text(json.dumps({"hash": "5p117"}))
    study = optuna.create_study(
        study_name="fusion/0123/fold=0", storage=open_storage(None, folder), direction="maximize"
    )
    kinds = {"model.dropout": DROPOUT, "model.fusion": CategoricalDistribution(["concat", "gated"])}
    for number in range(7):
        settings = {"model.dropout": number / 10, "model.fusion": "gated"}
        study.add_trial(create_trial(params=settings, distributions=kinds, value=0.5 + number / 100))
    study.add_trial(create_trial(state=TrialState.PRUNED, params=settings, distributions=kinds))
    return folder


def test_each_study_gets_the_best_of_its_own_as_far_as_the_space_holds_them(home):
    earlier = earlier_trials(home, SPACE, "5p117")
    assert list(earlier) == ["fold=0"]  # the final study had not begun
    assert [settings for settings, _ in earlier["fold=0"]] == [
        {"model.dropout": n / 10} for n in (5, 4, 3, 2)
    ]
    assert earlier["fold=0"][0].source == "fusion/0123 trial 5"


def test_they_are_queued_once(home):
    study, earlier = optuna.create_study(direction="maximize"), earlier_trials(home, SPACE, "5p117")["fold=0"]
    for _ in range(2):  # the same command again goes on
        queue_earlier(study, earlier)
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert [trial.user_attrs["warm"] for trial in waiting] == [f"fusion/0123 trial {n}" for n in (5, 4, 3, 2)]
    assert study.ask().suggest_float("model.dropout", 0.0, 0.5) == 0.5


def test_a_sweep_on_other_folds_is_refused_as_it_has_seen_these_test_patients(home):
    with pytest.raises(InputError, match=f"{home}: has other folds"):
        earlier_trials(home, SPACE, "other")


def test_a_sweep_that_shares_nothing_with_the_space_is_refused(home):
    with pytest.raises(InputError, match="no finished trial with a key of this space"):
        earlier_trials(home, (Parameter("model.trunk", FloatDistribution(1, 2), {}),), "5p117")
