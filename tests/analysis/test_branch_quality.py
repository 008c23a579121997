"""Depth, robustness and effort of branches: steps, slopes and differences by hand, a study written by formula."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forgetting.analysis.branch_quality import (
    DIFFERENCES,
    READINGS,
    judged,
    quality_differences,
    readings,
    written_steps,
)
from forgetting.analysis.scores import score_rows
from forgetting.analysis.study_folder import open_study
from forgetting.errors import UsageError
from forgetting.record.files import jsonl
from forgetting.record.schema import LEDGER_COLUMNS, RUN_KEY
from forgetting.report.build import write_views
from forgetting.report.result import load
from forgetting.world.vocabulary import vocabulary
from tests.claims.synthetic import World, arm, write

ONE, TWO = "12 + 5 = 17 ; answer 17", "12 + 5 = 17 ; 17 - 3 = 14 ; answer 14"
THREE = "12 + 5 = 17 ; 17 - 3 = 14 ; 14 * 2 = 28 ; answer 28"


def tokens(text: str) -> list[int]:
    known = vocabulary()
    return [known[word] for word in text.split()]


def test_steps_are_equations_right_or_wrong_with_a_final_answer_or_without() -> None:
    said = [ONE, TWO, THREE, "answer 17", "12 + 5 = 3 ; 17 -", "ann ann", ""]
    assert written_steps([tokens(text) for text in said]).tolist() == [1, 2, 3, 0, 1, 0, 0]
    assert written_steps([np.array(tokens(TWO), np.int32)] * 2).tolist() == [2, 2]


def table(**branches: list[float]) -> pd.DataFrame:
    """Readings of one measure, a value a trunk for each branch; a value below 0 is of one that did not arrive."""
    head = {"arm": "dialogue", "trunk": "width-32", "capacity": 1, "seed": 0, "dose": 0, "measure": "drop"}
    rows = [
        {**head, "of": "devices", "branch": name, "student": name, "distillation_seed": n, "value": abs(value),
         "arrived": value >= 0}
        for name, values in branches.items()
        for n, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)[READINGS]


def row(found: pd.DataFrame, branch: str, skill: str = "equal") -> Any:
    (only,) = found[(found["branch"] == branch) & (found["skill"] == skill)].itertuples()
    return only


def test_differences_are_paired_by_trunk_and_intervals_count_trunks() -> None:
    found = quality_differences(table(off_policy=[0.1, 0.2, 0.3, 0.4], own=[0.2, 0.28, 0.42, 0.5]))
    one, apart = row(found, "own"), np.array([0.1, 0.08, 0.12, 0.1])
    half, half_90 = (stats.t.ppf(p, 3) * apart.std(ddof=1) / 2 for p in (0.975, 0.95))
    assert (one.value, one.low, one.high) == pytest.approx((0.1, 0.1 - half, 0.1 + half))
    assert (one.low_90, one.high_90) == pytest.approx((0.1 - half_90, 0.1 + half_90))
    assert (one.trunks, one.mean, one.mean_against) == (4, pytest.approx(0.35), pytest.approx(0.25))
    assert one.verdict == "differs" and list(found.columns) == DIFFERENCES


def test_the_verdicts() -> None:
    base = [0.1, 0.2, 0.3, 0.4]
    found = quality_differences(table(
        off_policy=base, same=[0.101, 0.199, 0.302, 0.4], little=[v + 0.02 + 0.001 * i for i, v in enumerate(base)],
        wide=[0.3, 0.1, 0.5, 0.2], less=[v - 0.09 - 0.001 * i for i, v in enumerate(base)],
    ))  # fmt: skip
    verdicts = {name: row(found, name).verdict for name in ("same", "little", "wide", "less")}
    assert verdicts == {"same": "alike", "little": "alike", "wide": "open", "less": "differs"}
    assert row(found, "little").low > 0  # a difference that is there, and too small to count
    alone = row(quality_differences(table(off_policy=[0.1], own=[0.9])), "own")
    assert alone.verdict == "open" and math.isnan(alone.low) and alone.value == pytest.approx(0.8)


def test_at_equal_skill_only_trunks_count_on_which_both_arrived() -> None:
    found = quality_differences(table(off_policy=[0.1, 0.2, -0.3], late=[-0.5, 0.22, 0.5]))
    assert (row(found, "late").trunks, row(found, "late").value) == (1, pytest.approx(0.02))
    made = row(found, "late", "as made")
    assert (made.trunks, made.value) == (3, pytest.approx((0.4 + 0.02 + 0.2) / 3))
    with pytest.raises(UsageError, match="against: unknown name 'of_policy'; did you mean 'off_policy'"):
        quality_differences(table(off_policy=[0.1]), "of_policy")


def test_arms_and_doses_are_kept_apart() -> None:
    one = table(off_policy=[0.1, 0.2], own=[0.1, 0.2])
    other = table(off_policy=[0.1, 0.2], own=[0.3, 0.4])
    both = pd.concat([one, other.assign(arm="dialogue-matched_plasticity"), other.assign(dose=2560)])
    found = quality_differences(both)
    equal = found[found["skill"] == "equal"].set_index(["arm", "dose"])["value"]
    assert equal.to_dict() == pytest.approx(
        {("dialogue", 0): 0.0, ("dialogue-matched_plasticity", 0): 0.2, ("dialogue", 2560): 0.2}
    )
    assert set(judged(found)["dose"]) == {0}


def steady(capacity: int, name: str, benchmark: str, depth: int, coverage: str, dose: int) -> float:
    return 0.9 if dose == 0 else 0.5


def quality_study(path: Path) -> Path:
    """Two trunks; off-policy students write as many steps as the item has, the others two always."""
    world = World(
        steady, [arm("dialogue")], capacities=(10_000,), seeds=2, doses=(0, 500, 2000), depths=(1, 2, 3), items=40,
        branches={"off_policy": 1.0, "on_policy": 1.0}, ways_arm="dialogue",
        variants={"renamed": lambda _: 0.5, "rephrased": lambda _: 0.0, "renumbered": lambda _: 0.0},
    )  # fmt: skip
    made = write(world, path)
    rows = pd.read_parquet(made / "ledger.parquet")
    written = {1: tokens(ONE), 2: tokens(TWO), 3: tokens(THREE)}
    plain = rows["student"].str.endswith("off_policy")
    rows["answer"] = [written[d if own else 2] for d, own in zip(rows["depth"].clip(1, 3), plain, strict=True)]
    rows[list(LEDGER_COLUMNS)].to_parquet(made / "ledger.parquet")
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quality_study(tmp_path_factory.mktemp("quality") / "study")


def value(found: pd.DataFrame, branch: str, measure: str, of: str, dose: int = 0) -> float:
    own = found[(found["branch"] == branch) & (found["measure"] == measure) & (found["of"] == of)]
    return float(own[own["dose"] == dose]["value"].mean())


def test_readings_of_a_study(folder: Path) -> None:
    study = open_study(folder)
    found = readings(study)
    assert list(found.columns) == READINGS and set(found["dose"]) == {0, 2000}
    assert set(found["branch"]) == {"off_policy", "on_policy"} and found["arrived"].all()
    assert value(found, "off_policy", "slope", "all") == pytest.approx(1)
    assert value(found, "on_policy", "slope", "all") == pytest.approx(0)
    assert value(found, "off_policy", "own_steps", "all") == 1
    assert value(found, "on_policy", "own_steps", "all") == pytest.approx(1 / 3)
    assert [value(found, "on_policy", "own_steps", d) for d in "123"] == [0, 1, 0]
    assert [value(found, "off_policy", "steps", d) for d in "123"] == [1, 2, 3]
    scores = study.scores
    whole = scores[scores["depth"].isna() & (scores["dose"] == 0) & (scores["student"] == "10k-off_policy")]
    by_variant = whole[whole["benchmark"] == "maths"].groupby("variant")["accuracy"].mean()
    assert value(found, "off_policy", "accuracy", "all") == pytest.approx(by_variant["original"])
    drop = 1 - (by_variant["renamed"] + by_variant["rephrased"]) / 2 / by_variant["original"]
    assert value(found, "off_policy", "drop", "devices") == pytest.approx(drop, abs=0.01)
    assert value(found, "off_policy", "worst", "devices") == pytest.approx(by_variant["renamed"], abs=0.02)
    assert value(found, "off_policy", "accuracy", "3", 2000) == pytest.approx(0.5, abs=0.1)


def test_another_benchmark_of_the_skill_is_not_counted_with_it(folder: Path) -> None:
    """Word problems asked for the answer alone are of the same skill, and of another benchmark."""
    study = open_study(folder)
    more = study.scores[study.scores["benchmark"] == "maths"].assign(benchmark="direct", accuracy=0.1)
    study.__dict__["scores"] = pd.concat([study.scores, more], ignore_index=True)
    pd.testing.assert_frame_equal(readings(study), readings(open_study(folder)))


def test_the_result_has_differences_and_a_folder_without_its_ledger_the_same(folder: Path, tmp_path: Path) -> None:
    whole = load(folder).branch_quality()
    effort = whole[(whole["measure"] == "slope") & (whole["skill"] == "equal") & (whole["dose"] == 0)]
    assert effort["value"].tolist() == pytest.approx([-1.0]) and effort["verdict"].tolist() == ["differs"]
    main = judged(whole[whole["skill"] == "equal"])
    assert list(zip(main["measure"], main["of"], strict=True)) == [
        ("accuracy", "1"), ("accuracy", "2"), ("accuracy", "3"), ("drop", "devices"), ("worst", "devices"),
        ("own_steps", "all"), ("slope", "all"),
    ]  # fmt: skip
    study = open_study(folder)
    write_views(study, ("curves",), tmp_path / "small")
    (tmp_path / "small" / "record.json").write_text((folder / "record.json").read_text())
    assert study.ledger is not None
    runs = (own for _, own in study.ledger.groupby(list(RUN_KEY)))
    rows = [dataclasses.asdict(one) for own in runs for one in score_rows(own, {"maths": 0.0}, {"maths": 1})]
    (tmp_path / "small" / "scores.jsonl").write_text(jsonl(rows))
    small = load(tmp_path / "small")
    assert small.ledger is None
    pd.testing.assert_frame_equal(small.branch_quality(), whole, check_exact=False, rtol=1e-4)


def test_a_study_without_branches_has_none(tmp_path: Path) -> None:
    plain = load(write(World(steady, [arm("dialogue")], seeds=1, items=10), tmp_path / "plain"))
    assert readings(plain).empty
    with pytest.raises(UsageError, match="branch_quality: needs students that branch from a trunk"):
        plain.branch_quality()


def test_a_table_that_is_none_is_a_line(folder: Path, tmp_path: Path) -> None:
    write_views(open_study(folder), ("curves",), tmp_path)
    (tmp_path / "record.json").write_text((folder / "record.json").read_text())
    path = tmp_path / "branch_quality.csv"
    path.write_text(path.read_text().replace("True", "yes"))
    with pytest.raises(UsageError, match=r"branch_quality\.csv: column arrived must be True or False"):
        readings(open_study(tmp_path))
