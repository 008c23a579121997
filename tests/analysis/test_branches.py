"""Branches of one trunk: half doses, differences and bounds by hand, a known slope, a study written by formula."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forgetting.analysis.branches import (
    RUN_COLUMNS,
    branch_differences,
    branch_runs,
    branch_table,
    said_of,
)
from forgetting.analysis.record_reading import is_branched
from forgetting.analysis.study_folder import open_study
from forgetting.errors import UsageError
from forgetting.report import html
from forgetting.report.result import load
from tests.claims.synthetic import World, arm, write


def runs(**branches: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of ``branch_runs``, one a trunk for each branch; what is not given is that of a plain arrival."""
    usual: dict[str, Any] = {
        "arm": "dialogue", "trunk": "width-32", "why": "reached", "arrived": True, "half_status": "reached",
        "retention": 0.5, "gold_nll": 0.1, "steps": 100, "seconds": 5.0,
    }  # fmt: skip
    rows = [
        dict.fromkeys(RUN_COLUMNS, math.nan) | usual | {"branch": name, "methods": name, "distillation_seed": n} | own
        for name, given in branches.items()
        for n, own in enumerate(given)
    ]
    return pd.DataFrame(rows)


def halves(*values: float, **more: Any) -> list[dict[str, Any]]:
    return [{"log2_half_dose": value, **more} for value in values]


def row(found: pd.DataFrame, branch: str, statistic: str = "log2_half_dose", skill: str = "equal") -> Any:
    own = found[(found["branch"] == branch) & (found["statistic"] == statistic) & (found["skill"] == skill)]
    (only,) = own.itertuples()
    return only


def test_differences_are_paired_by_trunk_and_intervals_count_trunks() -> None:
    found = branch_differences(runs(off_policy=halves(9, 10, 11, 12), word=halves(9.5, 10.1, 11.3, 12.7)), 2560, 160)
    one, apart = row(found, "word"), np.array([0.5, 0.1, 0.3, 0.7])
    half = stats.t.ppf(0.975, 3) * apart.std(ddof=1) / 2
    assert (one.value, one.low, one.high) == pytest.approx((0.4, 0.4 - half, 0.4 + half))
    assert (one.trunks, one.arrived, one.matched, one.equivalent) == (4, 4, 4, False)
    assert (one.lowest, one.highest) == pytest.approx((0.4, 0.4))  # nothing is unknown
    half_90 = stats.t.ppf(0.95, 3) * apart.std(ddof=1) / 2
    assert (one.low_90, one.high_90) == pytest.approx((0.4 - half_90, 0.4 + half_90))


def test_equivalent_is_two_one_sided_tests_within_a_quarter() -> None:
    base = halves(9, 10, 11, 12)
    found = branch_differences(runs(off_policy=base, same=halves(9.02, 9.98, 11.0, 12.03)), 2560, 160)
    assert row(found, "same").equivalent


def test_a_branch_that_did_not_arrive_is_counted_and_bounded() -> None:
    """It may be anywhere in the doses; one beyond the last dose lies above it, however far; retention in 0 to 1."""
    late = [*halves(9.4, 10.4), {"log2_half_dose": 5.0, "arrived": False, "why": "cap"}]
    found = branch_differences(runs(off_policy=halves(9, 10, 11), grpo=late), 2560, 160)
    one, made = row(found, "grpo"), row(found, "grpo", skill="as made")
    assert (one.trunks, one.arrived, one.matched, one.value) == (3, 2, 2, pytest.approx(0.4))
    ends = math.log2(160), math.log2(2560)
    assert one.lowest == pytest.approx((0.4 + 0.4 + ends[0] - 11) / 3)
    assert one.highest == pytest.approx((0.4 + 0.4 + ends[1] - 11) / 3)
    assert (made.matched, made.value) == (3, pytest.approx((0.4 + 0.4 - 6) / 3))
    kept = row(found, "grpo", "retention")
    assert (kept.matched, kept.lowest, kept.highest) == (2, pytest.approx(-0.5 / 3), pytest.approx(0.5 / 3))
    beyond = [*halves(9.4, 10.4), {"log2_half_dose": math.nan, "half_status": "beyond"}]
    one = row(branch_differences(runs(off_policy=halves(9, 10, 11), grpo=beyond), 2560, 160), "grpo")
    assert (one.arrived, one.matched, one.highest) == (3, 2, math.inf)
    assert one.lowest == pytest.approx((0.4 + 0.4 + ends[1] - 11) / 3)


def test_what_gold_likelihood_explains_is_taken_off() -> None:
    """Half doses fall by 3 a nat of gold NLL; beside that one branch endures .5 more, and the other nothing."""
    rng, branches = np.random.default_rng(0), {}
    for name, more in (("off_policy", 0.0), ("sure", 0.0), ("lasting", 0.5)):
        nll = rng.uniform(0.05, 0.2, 6) - (0.1 if name == "sure" else 0.0)
        branches[name] = [{"log2_half_dose": 10 - 3 * n + more, "gold_nll": n} for n in nll]
    found = branch_differences(runs(**branches), 2560, 160)
    sure, lasting = row(found, "sure"), row(found, "lasting")
    assert sure.value > 0.15 and sure.adjusted == pytest.approx(0, abs=1e-9)
    assert lasting.adjusted == pytest.approx(0.5)
    few = branch_differences(runs(off_policy=halves(9, 10), word=halves(9, 10)), 2560, 160)
    assert math.isnan(row(few, "word").adjusted)


def test_the_sentence_names_the_farthest_and_what_excludes_0() -> None:
    base = halves(9, 10, 11, 12)
    alike = branch_differences(runs(off_policy=base, word=halves(9.5, 9.9, 11.3, 11.9)), 2560, 160)
    assert said_of(alike).startswith("At equal skill the methods differ by at most 0.15 in log2 of the dose that ")
    assert "no interval excludes 0" in said_of(alike)
    apart = branch_differences(runs(off_policy=base, word=halves(8, 9.1, 9.9, 11)), 2560, 160)
    assert "(word -1.00 from off_policy, 95% -1.13 to -0.87, 4 trunks)" in said_of(apart)
    assert "intervals exclude 0 for word -1.00" in said_of(apart)
    two = pd.concat([alike.assign(arm="dialogue-constant"), apart.assign(arm="dialogue-matched_plasticity")])
    first, second = (f"{arm}: {said_of(one)}".replace(": At", ": at") for arm, one in (
        ("dialogue-constant", alike), ("dialogue-matched_plasticity", apart)))  # fmt: skip
    assert said_of(two) == f"{first} {second}"
    none = [{"log2_half_dose": 9.0, "arrived": False}] * 4
    assert said_of(branch_differences(runs(off_policy=base, word=none), 2560, 160)) == ""
    with pytest.raises(UsageError, match="against: unknown name 'of_policy'; did you mean 'off_policy'"):
        branch_differences(runs(off_policy=base), 2560, 160, "of_policy")


def falling(capacity: int, name: str, benchmark: str, depth: int, coverage: str, dose: int) -> float:
    return 0.95 / (1 + (dose / 1000) ** 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two branches, the second of which endures twice the dose, and a third that did not arrive."""
    world = World(
        falling, [arm("dialogue")], capacities=(10_000,), seeds=3, doses=(0, 250, 500, 1000, 2000, 4000), items=800,
        wobble=0.0, branches={"off_policy": 1.0, "on_policy": 2.0, "grpo": 1.0}, late=("grpo",),
    )  # fmt: skip
    return write(world, tmp_path_factory.mktemp("branches") / "study")


def test_a_study_gives_half_doses_and_the_way_each_was_taught(folder: Path) -> None:
    found = branch_runs(open_study(folder))
    assert list(found.columns) == RUN_COLUMNS and len(found) == 9
    assert found["branch"].tolist() == ["off_policy"] * 3 + ["on_policy"] * 3 + ["grpo"] * 3
    assert found["arrived"].tolist() == [True] * 6 + [False] * 3
    assert set(found["steps"]) == {20} and set(found["moved"]) == {0.1}  # the trunk's 10 are not counted
    assert found["gold_nll"].tolist() == [0.25] * 9
    middle = found.groupby("branch")["log2_half_dose"].mean()
    assert middle["off_policy"] == pytest.approx(math.log2(1000), abs=0.1)
    assert middle["on_policy"] - middle["off_policy"] == pytest.approx(1, abs=0.1)
    study = open_study(folder)
    assert is_branched(study.record)
    from forgetting.analysis.branches import differences_of

    differences = differences_of(study)
    one = row(differences, "on_policy")
    assert one.value == pytest.approx(1, abs=0.1) and one.trunk == "10k" and one.low < 1 < one.high
    assert row(differences, "grpo").matched == 0 and row(differences, "grpo", skill="as made").matched == 3
    table = branch_table(found, differences).set_index("branch")
    assert table.loc["on_policy", "half_dose"] == pytest.approx(2000, rel=0.1)
    assert table.loc["on_policy", "fragility"] == pytest.approx(one.value)
    assert table["arrived"].tolist() == [3, 3, 0] and math.isnan(table.loc["grpo", "half_dose"])


def test_a_study_without_branches_has_none(folder: Path, tmp_path: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    (tmp_path / "ledger.parquet").symlink_to(folder / "ledger.parquet")
    plain = [{"name": one["name"]} for one in record["students"]]
    (tmp_path / "record.json").write_text(json.dumps(record | {"students": plain}))
    study = open_study(tmp_path)
    assert not is_branched(study.record) and branch_runs(study).empty


def test_a_run_is_displaced_where_what_was_preferred_has_fallen(folder: Path, tmp_path: Path) -> None:
    """By more than a tenth of a nat a token, in any stage after the trunk; runs that no pairs taught have no status."""
    record = json.loads((folder / "record.json").read_text())
    (tmp_path / "ledger.parquet").symlink_to(folder / "ledger.parquet")
    branch = next(one for one in record["students"] if one["branch"] == "on_policy")
    trunk, last = branch["taught"]["0"]
    for seed, changes in enumerate(((-0.11, 0.02), (-0.1, -0.05), (0.3,))):
        stages = [last | {"method": "contrastive", "notes": {"chosen_change": change}} for change in changes]
        branch["taught"][str(seed)] = [trunk | {"notes": {"chosen_change": -9.0}}, *stages]
    (tmp_path / "record.json").write_text(json.dumps(record))
    study = open_study(tmp_path)
    found = branch_runs(study)
    assert list(found.columns) == [*RUN_COLUMNS, "chosen_change", "chosen_status"]
    own = found[found["branch"] == "on_policy"]
    assert own["chosen_change"].tolist() == [-0.11, -0.1, 0.3]
    assert own["chosen_status"].tolist() == ["displaced", "kept", "kept"]
    assert found.loc[found["branch"] != "on_policy", "chosen_status"].isna().all()
    plain = branch_runs(open_study(folder))
    pd.testing.assert_frame_equal(found[RUN_COLUMNS].drop(columns=["methods", "steps"]),
                                  plain.drop(columns=["methods", "steps"]))  # fmt: skip
    table = branch_table(found, branch_differences(found, 4000, 250))
    assert table["displaced"].tolist() == ["", "1 of 3", ""]
    assert "displaced" not in branch_table(plain, branch_differences(plain, 4000, 250))
    page = html.page(load(tmp_path), {})
    assert "a token below the start): on_policy 1 of 3." in page and "<td class=t>1 of 3" in page


def test_sizes_are_compared_with_their_own_trunks() -> None:
    small, large = halves(9, 10, 11), halves(12, 13, 14)
    both = pd.concat([
        runs(off_policy=small, word=halves(9.5, 10.5, 11.5)),
        runs(off_policy=large, word=halves(11.5, 12.5, 13.5)).assign(trunk="width-64"),
    ])  # fmt: skip
    found = branch_differences(both, 2560, 160)
    own = found[(found["statistic"] == "log2_half_dose") & (found["skill"] == "equal")].set_index("trunk")
    assert own["value"].to_dict() == pytest.approx({"width-32": 0.5, "width-64": -0.5})


def test_more_branches_change_no_other(folder: Path) -> None:
    whole = branch_runs(open_study(folder))
    fewer = whole[whole["branch"] != "grpo"]
    one, other = (branch_differences(w, 4000, 250).set_index(["branch", "statistic", "skill"]) for w in (whole, fewer))
    columns = [c for c in one if not c.startswith("adjusted")]
    pd.testing.assert_frame_equal(one.loc[["on_policy"], columns], other.loc[["on_policy"], columns])
