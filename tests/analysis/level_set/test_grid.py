from collections import Counter

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from forgetting.analysis.level_set.grid import grid
from forgetting.errors import UsageError

SPACE = {"student": CategoricalDistribution(["34k", "10k"]), "shift": FloatDistribution(0.0, 1.0)}
PLACES = {"student": {"10k": 4.0, "34k": 4.5}}


def test_one_pass_over_all_points_for_each_repeat() -> None:
    points = list(grid(SPACE, repeats=2, steps=3, coordinates=PLACES))
    assert points[:3] == [
        {"shift": 0.0, "student": "10k"}, {"shift": 0.0, "student": "34k"}, {"shift": 0.5, "student": "10k"},
    ]  # fmt: skip
    assert points[:6] == points[6:]
    assert set(Counter((p["student"], p["shift"]) for p in points).values()) == {2}


def test_it_is_what_optunas_grid_sampler_visits() -> None:
    reference = optuna.samplers.GridSampler({"student": ["10k", "34k"], "shift": [0.0, 0.5, 1.0]}, seed=0)
    study = optuna.create_study(sampler=reference)
    study.optimize(lambda t: t.suggest_float("shift", 0, 1) if t.suggest_categorical("student", ["10k", "34k"]) else 0)
    visited = {(t.params["student"], t.params["shift"]) for t in study.trials}
    assert visited == {(p["student"], p["shift"]) for p in grid(SPACE, steps=3, coordinates=PLACES)}


@pytest.mark.parametrize("settings", [{"repeats": 0}, {"steps": 1}])
def test_bad_grids(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        list(grid(SPACE, coordinates=PLACES, **settings))
