import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from scipy import special

from forgetting.analysis.level_set.sampler import LevelSetSampler, fitting_size
from forgetting.errors import UsageError

optuna.logging.set_verbosity(optuna.logging.ERROR)

RUNGS = {f"r{i:02}": 4 + 0.1 * i for i in range(18)}
DISCRETE = {"student": CategoricalDistribution(list(RUNGS)), "shift": CategoricalDistribution([0.2, 0.5, 1.0])}
CONTINUOUS = {"capacity": FloatDistribution(1e4, 5e5, log=True), "shift": FloatDistribution(0.05, 1.0)}


def margin(params: dict[str, Any]) -> float:
    """Retention less 0.9; it crosses the level at 10^4.9 parameters at shift 1, at smaller ones below."""
    capacity = RUNGS[params["student"]] if "student" in params else np.log10(params["capacity"])
    return float(special.expit(2.2 + 8 * (capacity - 4.4 - 0.5 * params["shift"]))) - 0.9


def sampler(**settings: Any) -> LevelSetSampler:
    return LevelSetSampler(**({"coordinates": {"student": RUNGS}, "seed": 3} | settings))


def ask_and_tell(study: optuna.Study, space: dict[str, Any], trials: int) -> list[dict[str, Any]]:
    asked = []
    for _ in range(trials):
        trial = study.ask(space)
        trial.set_user_attr("variance", 0.001)
        study.tell(trial, margin(trial.params))
        asked.append(trial.params)
    return asked


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS])
@pytest.mark.parametrize("given", [True, False])
def test_a_new_sampler_on_the_same_storage_goes_on_with_the_same_sequence(
    space: dict[str, Any], given: bool, tmp_path: Path
) -> None:
    settings = {"space": space} if given else {}
    whole = ask_and_tell(optuna.create_study(sampler=sampler(**settings)), space, 24)
    parts: list[dict[str, Any]] = []
    for trials in (5, 6, 13):
        storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
        study = optuna.create_study(storage=storage, study_name="s", sampler=sampler(**settings), load_if_exists=True)
        parts += ask_and_tell(study, space, trials)
    assert parts == whole
    assert ask_and_tell(optuna.create_study(sampler=sampler(**settings | {"seed": 4})), space, 24) != whole


def test_a_pickled_sampler_goes_on_with_the_same_sequence() -> None:
    whole = ask_and_tell(optuna.create_study(sampler=sampler()), DISCRETE, 16)
    study = optuna.create_study(sampler=sampler())
    first = ask_and_tell(study, DISCRETE, 11)
    study.sampler = pickle.loads(pickle.dumps(study.sampler))
    assert first + ask_and_tell(study, DISCRETE, 5) == whole


def test_rounds_do_not_depend_on_who_finishes_first_if_told_in_order() -> None:
    """Trials under way differ from each other; a round that is asked again proposes the same."""

    def rounds() -> list[dict[str, Any]]:
        study, asked = optuna.create_study(sampler=sampler(space=CONTINUOUS, holdout_share=0)), []
        for _ in range(5):
            trials = [study.ask(CONTINUOUS) for _ in range(4)]
            for trial in trials:
                study.tell(trial, margin(trial.params))
            asked += [trial.params for trial in trials]
        return asked

    asked = rounds()
    assert asked == rounds()
    assert len({tuple(p.values()) for p in asked}) == 20


def test_it_gathers_where_the_surface_crosses_the_level() -> None:
    study = optuna.create_study(sampler=sampler(space=CONTINUOUS, holdout_share=0))
    asked = ask_and_tell(study, CONTINUOUS, 48)
    rng = np.random.default_rng(0)
    random = [{"capacity": 10 ** rng.uniform(4, 5.7), "shift": rng.uniform(0.05, 1)} for _ in range(1000)]
    off = {name: np.median([abs(margin(p)) for p in points]) for name, points in
           {"search": asked[24:], "random": random}.items()}  # fmt: skip
    assert off["search"] < 0.5 * off["random"]
    assert np.std([p["shift"] for p in asked[24:]]) > 0.15  # along the whole boundary


def test_several_levels_are_all_looked_for() -> None:
    space = {"capacity": CONTINUOUS["capacity"]}
    study = optuna.create_study(sampler=sampler(space=space, level=(0.9, 0.1), holdout_share=0))
    for _ in range(40):
        trial = study.ask(space)
        study.tell(trial, margin(trial.params | {"shift": 1.0}))
    retention = np.asarray([t.value for t in study.trials[8:]]) + 0.9
    assert np.sum(np.abs(special.logit(retention) - special.logit(0.9)) < 1) > 6
    assert np.sum(np.abs(special.logit(retention) - special.logit(0.1)) < 1) > 6


def test_most_repeats_and_exhaustion() -> None:
    space = {"student": CategoricalDistribution(list(RUNGS)[:5])}
    coordinates = {"student": list(RUNGS.values())[:5]}
    study = optuna.create_study(sampler=sampler(space=space, most_repeats=2, coordinates=coordinates))
    for _ in range(10):
        assert not study.sampler.exhausted(study, space)
        trial = study.ask(space)
        study.tell(trial, margin(trial.params | {"shift": 1.0}))
    assert study.sampler.exhausted(study, space)
    assert study.sampler.exhausted(study)
    assert set(Counter(t.params["student"] for t in study.trials).values()) == {2}
    extra = [study.ask(space).params["student"] for _ in range(5)]
    assert sorted(extra) == sorted(space["student"].choices)
    assert not sampler().exhausted(study, space)
    assert not sampler(most_repeats=2).exhausted(optuna.create_study(), CONTINUOUS)


def test_a_point_that_failed_is_not_proposed_again() -> None:
    space = {"layers": IntDistribution(1, 6)}
    study = optuna.create_study(sampler=sampler(space=space))
    bad: set[int] = set()
    for number in range(30):
        trial = study.ask(space)
        layers = trial.params["layers"]
        assert layers not in bad
        if number in (3, 12):
            study.tell(trial, state=TrialState.FAIL)
            bad.add(layers)
        elif number == 6:
            study.tell(trial, float("nan"))
            bad.add(layers)
        elif number == 15:
            study.tell(trial, state=TrialState.PRUNED)
            bad.add(layers)
        else:
            study.tell(trial, 0.1 * (layers - 3.5))
    assert len(bad) == 4


def test_the_surroundings_of_a_failure_are_left_alone_in_a_continuous_space() -> None:
    space = {"shift": FloatDistribution(0.0, 1.0)}
    study = optuna.create_study(sampler=sampler(space=space, holdout_share=0))
    bad: list[float] = []
    for number in range(30):
        trial = study.ask(space)
        shift = trial.params["shift"]
        if number >= 8:
            assert all(abs(shift - b) > 0.01 for b in bad)
        if abs(shift - 0.5) < 0.02:
            study.tell(trial, state=TrialState.FAIL)
            bad.append(shift)
        else:
            study.tell(trial, 0.4 - shift * 0.8)
    assert bad


def test_holdouts_are_a_share_and_a_function_of_the_number() -> None:
    found = sampler(holdout_share=0.2, startup_trials=10)
    marked = [found.is_holdout(n) for n in range(1000)]
    assert not any(marked[:10])
    assert 0.15 < np.mean(marked) < 0.25
    assert marked == [sampler(holdout_share=0.2, startup_trials=10).is_holdout(n) for n in range(1000)]


def test_startup_is_spread_over_the_space() -> None:
    study = optuna.create_study(sampler=sampler(space=CONTINUOUS))
    shifts = sorted(p["shift"] for p in ask_and_tell(study, CONTINUOUS, 8))
    assert all(0.05 + 0.95 * i / 8 <= s <= 0.05 + 0.95 * (i + 1) / 8 for i, s in enumerate(shifts))


@pytest.mark.parametrize("by", ["function", "attribute"])
def test_dear_points_are_run_less(by: str) -> None:
    space = {"capacity": CONTINUOUS["capacity"], "shift": CONTINUOUS["shift"]}

    def dear(params: dict[str, Any]) -> float:
        return float(10 ** (4 * params["shift"]))

    cost = {"function": dear, "attribute": "flops"}[by]
    mean = {}
    for name, setting in {"plain": None, "costed": cost}.items():
        study = optuna.create_study(sampler=sampler(space=space, cost=setting, holdout_share=0))
        for _ in range(30):
            trial = study.ask(space)
            trial.set_user_attr("flops", dear(trial.params))
            study.tell(trial, margin(trial.params))
        mean[name] = np.mean([t.params["shift"] for t in study.trials[8:]])
    assert mean["costed"] < mean["plain"] - 0.1


def test_a_raw_score_with_its_baseline_is_the_same_as_retention() -> None:
    """Value = score - level x baseline, variance that of the score."""
    asked = {}
    for baseline in (1.0, 0.7):
        study, points = optuna.create_study(sampler=sampler(space=DISCRETE)), []
        for _ in range(20):
            trial = study.ask(DISCRETE)
            trial.set_user_attr("variance", 0.001 * baseline**2)
            trial.set_user_attr("baseline", baseline)
            study.tell(trial, margin(trial.params) * baseline)
            points.append(trial.params)
        asked[baseline] = points
    assert asked[1.0] == asked[0.7]


def test_an_ordinary_objective_with_several_jobs() -> None:
    study = optuna.create_study(sampler=sampler(space=CONTINUOUS))

    def objective(trial: optuna.Trial) -> float:
        capacity = trial.suggest_float("capacity", 1e4, 5e5, log=True)
        return margin({"capacity": capacity, "shift": trial.suggest_float("shift", 0.05, 1.0)})

    study.optimize(objective, n_trials=24, n_jobs=2)
    assert len({tuple(t.params.values()) for t in study.trials}) >= 22  # two may ask for one corner at the same time


def test_a_parameter_outside_the_space_is_drawn_by_itself() -> None:
    study = optuna.create_study(sampler=sampler())
    for _ in range(12):
        trial = study.ask(CONTINUOUS)
        if trial.number % 2:
            assert trial.suggest_int("extra", 1, 9) in range(1, 10)
        study.tell(trial, margin(trial.params))


def test_hyperparameters_are_fitted_at_growing_sizes() -> None:
    sizes = [fitting_size(n) for n in range(1, 1001)]
    assert sizes[:6] == [1, 2, 3, 4, 5, 6]
    assert len(set(sizes)) < 40
    assert all(n / 1.2 < size <= n for n, size in enumerate(sizes, start=1))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"level": 1.0}, "level: must be above 0 and below 1"),
        ({"level": ()}, "level"),
        ({"level": (0.9, 0.0)}, "level"),
        ({"startup_trials": 0}, "startup_trials: must be at least 1"),
        ({"holdout_share": 1.0}, "holdout_share"),
        ({"most_repeats": 0}, "most_repeats"),
        ({"space": {"a": CategoricalDistribution(["x", "y"])}}, "coordinates"),
    ],
)
def test_bad_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        LevelSetSampler(**settings)


def test_bad_studies() -> None:
    with pytest.raises(UsageError, match="one objective"):
        optuna.create_study(directions=["minimize", "minimize"], sampler=sampler(space=CONTINUOUS)).ask(CONTINUOUS)
    study = optuna.create_study(sampler=sampler(space=CONTINUOUS, cost=lambda _: 0.0, holdout_share=0))
    with pytest.raises(UsageError, match="cost: must be above 0"):
        ask_and_tell(study, CONTINUOUS, 10)
