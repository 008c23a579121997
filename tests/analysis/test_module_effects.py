"""Restored modules: shares beyond random sets by hand, and Shapley values against games with a known answer."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from forgetting.analysis.lost_shares import probed_runs
from forgetting.analysis.module_effects import module_effects, readings, shapley_values, whole_points
from forgetting.analysis.probing import COLUMNS
from forgetting.analysis.study_folder import StudyFolder

NAMES = ("embedding", "attention.0", "mlp.0")


def study(
    right: dict[str, int], after: int = 20, ways: dict[tuple[int, str, str], tuple[int, int]] | None = None
) -> Any:
    """Two students, alike, that had all of 100 right at two depths."""
    rows = []
    for seed in (0, 1):
        looks = {(0, "", "greedy"): (100, 100), (1280, "", "greedy"): (after, after)}
        looks |= {(1280, label, "greedy"): (count, count) for label, count in right.items()} | (ways or {})
        for (dose, label, way), each in looks.items():
            for depth, count in enumerate(each, 1):
                rows.append(("w", "dialogue", seed, seed, 1000, dose, label, way, "maths", depth, 100, count, 2.0))
            rows.append(("w", "dialogue", seed, seed, 1000, dose, label, way, "probe", 0, 50, 0, 3.0 if label else 2.5))
    return cast(StudyFolder, SimpleNamespace(probing=pd.DataFrame(rows, columns=list(COLUMNS))))


def test_a_module_stands_beside_random_sets() -> None:
    right = {"restore attention.0": 80, "restore mlp.0": 60}
    right |= {f"restore random size attention.0 #{n}": count for n, count in enumerate((50, 70))}
    right |= {f"restore random change attention.0 #{n}": 40 for n in range(2)}
    right |= {"transplant attention.0": 60}
    table = module_effects(study(right)).set_index(["kind", "modules"])
    assert set(table.index) == {("restore", "attention.0"), ("restore", "mlp.0"), ("transplant", "attention.0")}
    row = cast(Any, table.loc[("restore", "attention.0")])
    assert row["share"] == pytest.approx(60 / 80) and row["points"] == pytest.approx(0.6) and row["draws"] == 2
    assert row["random_size"] == pytest.approx(40 / 80) and row["random_change"] == pytest.approx(20 / 80)
    assert row["beyond_size"] == pytest.approx((60 - 40) / (80 - 40))
    assert row["nll"] == 3.0 and row["nll_after"] == 2.5
    assert table.loc[("transplant", "attention.0"), "share"] == pytest.approx(40 / 80)
    assert pd.isna(cast(Any, table.loc[("restore", "mlp.0"), "random_size"]))


def test_where_nothing_was_lost_there_are_points_and_no_shares() -> None:
    (row,) = module_effects(study({"transplant mlp.0": 97}, after=98)).to_dict("records")
    assert row["points"] == pytest.approx(0.03) and pd.isna(row["share"])


def _game(worth: Any) -> dict[str, int]:
    sets = [own for size in (1, 2) for own in combinations(NAMES, size)]
    return {f"restore {'+'.join(own)}": 20 + worth(frozenset(own)) for own in sets}


def test_shapley_values_of_an_additive_game_are_its_parts() -> None:
    part = {"embedding": 10, "attention.0": 50, "mlp.0": 20}
    table = shapley_values(study(_game(lambda own: sum(part[name] for name in own)))).set_index("module")
    for name, points in part.items():
        assert table.loc[name, "share"] == pytest.approx(points / 80)


def test_shapley_values_share_what_takes_two_and_add_up() -> None:
    """The glove game: one left glove (worth 80 with either right one): 2/3 to it, 1/6 to each of the others."""
    whole = _game(lambda own: 80 if "embedding" in own and len(own) > 1 else 0)
    table = shapley_values(study(whole)).set_index("module")["share"]
    assert table.to_dict() == pytest.approx({"embedding": 2 / 3, "attention.0": 1 / 6, "mlp.0": 1 / 6})
    missing = {label: count for label, count in whole.items() if label != "restore attention.0+mlp.0"}
    assert shapley_values(study(missing)).empty


def test_attention_as_a_whole_is_found_under_the_name_of_its_blocks() -> None:
    right = {"restore attention.0": 30, "restore attention.1": 40, "restore attention.0+attention.1": 70}
    right |= {"restore random size attention.0+attention.1 #0": 50}
    (run, _) = next(iter(probed_runs(study(right)).values()))
    assert whole_points(run, "attention", "size") == pytest.approx((0.5, 0.3))
    assert whole_points(run, "attention", "change") is None and whole_points(run, "mlp", "size") is None


def test_what_follows_a_wrong_step_is_read_from_depth_two() -> None:
    ways = {(1280, "", "wrong_step"): (90, 10), (1280, "", "running_value"): (90, 70)}
    table = readings(study({}, ways=ways)).set_index("what")
    assert table.loc["self-correction", "after"] == pytest.approx(0.1)
    assert table.loc["running value", "after"] == pytest.approx(0.8)
