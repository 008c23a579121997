import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from forgetting.analysis.level_set.history import History, observation
from forgetting.analysis.level_set.space import Space

SPACE = {"layers": IntDistribution(1, 9)}


def trial(layers: int, value: float | None = None, **attrs: float) -> optuna.trial.FrozenTrial:
    return create_trial(params={"layers": layers}, distributions=SPACE, value=value, user_attrs=attrs)


def test_a_value_is_a_margin_over_the_level() -> None:
    assert observation(trial(1, -0.2, variance=0.01), 0.9) == (pytest.approx(0.7), 0.01)
    assert observation(trial(1, -0.2), 0.9) == (pytest.approx(0.7), 0.0)


def test_with_a_baseline_the_level_is_its_share() -> None:
    """Score 0.63 with baseline 0.7 is retention 0.9."""
    retention, variance = observation(trial(1, 0.63 - 0.5 * 0.7, variance=0.0049, baseline=0.7), 0.5)  # type: ignore[misc]
    assert retention == pytest.approx(0.9)
    assert variance == pytest.approx(0.01)


def test_trials_by_what_they_say() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.add_trials([trial(1, 0.1), trial(2, -0.1), trial(1, 0.2)])
    for layers, state in ((4, TrialState.FAIL), (5, TrialState.PRUNED), (6, None)):
        study.enqueue_trial({"layers": layers})
        asked = study.ask(SPACE)
        if state is not None:
            study.tell(asked, state=state)
    study.ask()  # has no parameters yet
    history = History.of(study.trials, Space.of(SPACE), 0.5)
    assert history.points == ((1,), (2,), (1,))
    assert history.retention_N.tolist() == pytest.approx([0.6, 0.4, 0.7])
    assert history.failed == {(4,), (5,)}
    assert history.pending == ((6,),)
    assert dict(history.runs) == {(1,): 2, (2,): 1, (6,): 1}


def test_an_empty_study() -> None:
    history = History.of([], Space.of(SPACE), 0.5)
    assert history.points == () and history.retention_N.shape == (0,)
