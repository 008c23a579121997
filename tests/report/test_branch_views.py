"""What the report shows of branches: bars at equal skill and as made, trunks, how many arrived; files and the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forgetting.analysis.record_reading import BRANCH_FILES
from forgetting.errors import UsageError
from forgetting.report import branch_views
from forgetting.report.branch_views import branch_figure, branch_tables
from forgetting.report.result import Result, load
from tests.analysis.test_branches import falling
from tests.claims.synthetic import World, arm, write


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Of three trunks; the branch that did not arrive has no bar at equal skill."""
    world = World(
        falling, [arm("dialogue")], capacities=(10_000,), seeds=3, doses=(0, 500, 2000, 8000), items=60,
        branches={"off_policy": 1.0, "on_policy": 2.0, "grpo": 1.0}, late=("grpo",),
    )  # fmt: skip
    return load(write(world, tmp_path_factory.mktemp("views") / "study"))


def test_the_figure_has_what_the_table_has(result: Result) -> None:
    runs, differences, table = branch_tables(result).values()
    (name, figure) = next(iter(branch_views.drawn(result).items()))
    assert name == "branches-dialogue"
    half, _ = figure.axes
    assert [label.get_text() for label in half.get_yticklabels()] == [
        "grpo\n0 of 3 arrived",
        "on_policy\n3 of 3 arrived",
    ]
    equal = differences[(differences["skill"] == "equal") & (differences["statistic"] == "log2_half_dose")]
    bars = {c.get_label(): c.lines[0].get_xdata() for c in half.containers}
    assert bars["at equal skill"] == pytest.approx(equal["value"].dropna().to_numpy())
    assert len(bars["at equal skill"]) == 1 and len(bars["as made"]) == 2
    (points,) = [line for line in half.lines if line.get_label() == "one trunk"]
    by_trunk = runs.pivot(index="distillation_seed", columns="branch", values="log2_half_dose")
    assert np.asarray(points.get_xdata()) == pytest.approx((by_trunk["on_policy"] - by_trunk["off_policy"]).to_numpy())
    assert table["branch"].tolist() == ["off_policy", "on_policy", "grpo"]
    only = branch_figure(differences[differences["branch"] == "on_policy"], runs, "dialogue")
    assert len(only.axes[0].get_yticks()) == 1


def test_trunks_of_two_sizes_are_not_taken_together(tmp_path: Path) -> None:
    world = World(
        falling, [arm("dialogue")], capacities=(10_000, 20_000), seeds=3, doses=(0, 500, 2000, 8000), items=60,
        branches={"off_policy": 1.0, "on_policy": 2.0},
    )  # fmt: skip
    study = load(write(world, tmp_path / "study"))
    _, differences, table = branch_tables(study).values()
    assert table[["trunk", "branch"]].to_numpy().tolist() == [
        [trunk, branch] for trunk in differences["trunk"].unique() for branch in ("off_policy", "on_policy")
    ]
    assert table["trunks"].tolist() == [3] * 4
    assert [name.removeprefix("branches-dialogue-") for name in branch_views.drawn(study)] == table["trunk"].tolist()[
        ::2
    ]


def test_files_and_page(result: Result, tmp_path: Path) -> None:
    from forgetting.report import build, html

    build.write_views(result, ("curves",), tmp_path)
    assert all((tmp_path / name).is_file() for name in BRANCH_FILES)
    text = html.page(result, {})
    assert "At equal skill the methods differ by at most" in text and "<td class=t>grpo" in text


def test_results_give_runs_and_differences(result: Result) -> None:
    assert len(result.branches()) == 9
    other = result.branch_differences("on_policy")
    assert set(other["branch"]) == {"off_policy", "grpo"}
    with pytest.raises(UsageError, match="against: unknown name 'on'"):
        result.branch_differences("on")


def test_a_study_without_branches_has_no_such_views(tmp_path: Path) -> None:
    plain = load(write(World(falling, [arm("dialogue")], seeds=1, items=10), tmp_path / "plain"))
    assert branch_tables(plain) == {} == branch_views.drawn(plain)
    with pytest.raises(UsageError, match="branches: needs students that branch from a trunk"):
        plain.branches()
