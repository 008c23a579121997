"""Score rows from a small ledger worked out by hand."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pandas as pd
import pytest

from forgetting.analysis import metrics
from forgetting.analysis.scores import score_rows
from forgetting.record.files import jsonl
from forgetting.record.schema import ADDED, LEDGER_COLUMNS, ScoreRow

CHANCES, VERSIONS = {"maths": 0.0, "lookup": 0.25}, {"maths": 3, "lookup": 1}


def row(dose: int, item: int, verdict: str, depth: int = 1, benchmark: str = "maths", **more: Any) -> dict[str, Any]:
    """One ledger row of an invented run."""
    values: dict[str, Any] = {
        "student": "34k", "capacity": 34_000, "arm": "dialogue", "distillation_seed": 0, "seed": 1, "dose": dose,
        "dose_tokens": 10 * dose, "stream_samples": 2 * dose, "benchmark": benchmark, "skill": benchmark,
        "variant": "original", "item": f"{benchmark}-{item}", "problem": f"p{item}", "template": "t", "depth": depth,
        "coverage": "common", "verdict": verdict, "kind": "", "steps_right": 1 if verdict == "right" else 0,
        "steps_total": 2, "answer": [7], "gold_tokens": 2, "nll_sum": 1.0 + dose / 100,
        "base_ce_sum": 3.0, "kl_sum": 0.5,
    }  # fmt: skip
    return values | more


def ledger(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(LEDGER_COLUMNS)).assign(**ADDED)


# Five items, depths 1 and 2. Right at dose 0: 0, 1, 2, 3. Right at dose 50: 0, 4. Lost 1, 2, 3; gained 4.
BEFORE = ("right", "right", "right", "right", "wrong")
AFTER = ("right", "unparsed", "right_in_dialect", "wrong", "right")
HAND = ledger(
    *[row(0, i, v, depth=1 if i < 3 else 2) for i, v in enumerate(BEFORE)],
    *[row(50, i, v, depth=1 if i < 3 else 2, gold_tokens=4 if i == 0 else 2) for i, v in enumerate(AFTER)],
)


def find(rows: list[ScoreRow], **wanted: Any) -> ScoreRow:
    (found,) = [r for r in rows if all(getattr(r, name) == value for name, value in wanted.items())]
    return found


def test_an_item_with_two_rows_at_dose_0_is_an_error() -> None:
    with pytest.raises(ValueError, match="more than one row at dose 0"):
        score_rows(pd.concat([HAND, HAND]), CHANCES, VERSIONS)


def test_an_item_that_dose_0_lacks_leaves_its_cells_without_a_baseline() -> None:
    lacking = HAND[(HAND["dose"] == 50) | (HAND["item"] != "maths-4")]  # of depth 2
    rows = score_rows(lacking, CHANCES, VERSIONS)
    assert find(rows, dose=50, depth=None).status == find(rows, dose=50, depth=2).status == "no_baseline"
    assert find(rows, dose=50, depth=1) == find(score_rows(HAND, CHANCES, VERSIONS), dose=50, depth=1)


def test_a_row_by_hand() -> None:
    rows = score_rows(HAND, CHANCES, VERSIONS)
    got = find(rows, dose=50, depth=None)
    assert (got.items, got.accuracy, got.version, got.capacity, got.dose_tokens) == (5, 0.4, 3, 34_000, 500)
    assert (got.accuracy_low, got.accuracy_high) == pytest.approx(tuple(float(x) for x in metrics.wilson(2, 5)))
    assert (got.retention, got.relative_drop, got.drop_points) == pytest.approx((0.5, 0.5, 40.0))
    assert (got.lost, got.gained, got.mcnemar_p) == pytest.approx((0.6, 0.2, 2 * (1 + 4) / 16))
    assert (got.valid_rate, got.dialect_rate, got.step_accuracy) == pytest.approx((0.8, 0.2, 2 / 10))
    assert got.nll == pytest.approx(5 * 1.5 / 12)
    assert got.delta_nll == pytest.approx(5 * 1.5 / 12 - 0.5)
    assert (got.base_ce, got.kl) == pytest.approx((15 / 12, 2.5 / 12))
    assert got.status == "ok"


def test_depths_are_scored_each_against_its_own_start() -> None:
    rows = score_rows(HAND, CHANCES, VERSIONS)
    assert [(r.dose, r.depth) for r in rows] == [(0, None), (0, 1), (0, 2), (50, None), (50, 1), (50, 2)]
    assert find(rows, dose=50, depth=1).retention == pytest.approx(1 / 3)
    assert find(rows, dose=50, depth=2).retention == pytest.approx(1.0)  # one lost, one gained
    assert find(rows, dose=50, depth=2).lost == pytest.approx(0.5)


def test_dose_0_has_lost_nothing() -> None:
    start = find(score_rows(HAND, CHANCES, VERSIONS), dose=0, depth=None)
    assert (start.retention, start.relative_drop, start.drop_points, start.lost, start.delta_nll) == (1, 0, 0, 0, 0)
    assert start.mcnemar_p == 1.0


def test_the_start_may_come_in_a_frame_of_its_own() -> None:
    whole = [r for r in score_rows(HAND, CHANCES, VERSIONS) if r.dose == 50]
    assert score_rows(HAND[HAND["dose"] == 50], CHANCES, VERSIONS, base=HAND[HAND["dose"] == 0]) == whole


def test_not_learned_has_no_retention_but_keeps_its_drop() -> None:
    start = ["right", "right", "wrong", "wrong"]  # .5, less than chance .25 + .30
    rows = [row(0, i, v, benchmark="lookup") for i, v in enumerate(start)]
    rows += [row(9, i, "wrong", benchmark="lookup") for i in range(4)]
    got = find(score_rows(ledger(*rows), CHANCES, VERSIONS), dose=9, depth=None)
    assert (got.status, got.retention, got.chance) == ("not_learned", None, 0.25)
    assert (got.drop_points, got.relative_drop) == (50.0, 1.0)


def test_without_its_start_a_row_says_so() -> None:
    got = score_rows(HAND[HAND["dose"] == 50], CHANCES, VERSIONS)[0]
    assert (got.status, got.accuracy, got.retention, got.lost, got.delta_nll) == ("no_baseline", 0.4, None, None, None)


def test_probes_have_nll_and_kl_only_and_no_depths() -> None:
    probe = {"benchmark": "probe", "skill": "probe", "variant": "new", "steps_total": 0, "steps_right": 0}
    rows = [row(d, i, "", **probe, nll_sum=4.0 - d / 25) for d in (0, 50) for i in range(3)]
    got = score_rows(ledger(*rows), CHANCES, VERSIONS)
    assert [(r.dose, r.depth, r.accuracy, r.status) for r in got] == [
        (0, None, None, "no_answers"),
        (50, None, None, "no_answers"),
    ]
    assert (got[1].nll, got[1].delta_nll, got[1].kl) == pytest.approx((1.0, -1.0, 0.25))
    assert got[1].step_accuracy is None and got[1].retention is None


def test_runs_and_variants_are_never_compared_with_each_other() -> None:
    other = HAND.assign(seed=2, verdict="right")
    renamed = HAND.assign(variant="renamed", item=[f"{i}-renamed" for i in HAND["item"]], verdict="right")
    rows = score_rows(pd.concat([HAND, other, renamed], ignore_index=True), CHANCES, VERSIONS)
    assert find(rows, dose=50, depth=None, seed=1, variant="original").retention == 0.5
    assert find(rows, dose=50, depth=None, seed=2).lost == 0
    assert find(rows, dose=50, depth=None, variant="renamed").accuracy == 1.0


def test_what_is_undefined_is_null_in_json() -> None:
    broken = HAND.assign(gold_tokens=0, nll_sum=float("nan"), steps_total=0)
    for line in jsonl(map(dataclasses.asdict, score_rows(broken, CHANCES, VERSIONS))).splitlines():
        loaded = json.loads(line)
        assert loaded["nll"] is None and loaded["kl"] is None and loaded["step_accuracy"] is None
        assert list(loaded) == [field.name for field in dataclasses.fields(ScoreRow)]


def test_order_of_rows_does_not_matter() -> None:
    shuffled = HAND.sample(frac=1.0, random_state=3)
    assert score_rows(shuffled, CHANCES, VERSIONS) == score_rows(HAND, CHANCES, VERSIONS)


def test_nothing_gives_nothing() -> None:
    assert score_rows(HAND[:0], CHANCES, VERSIONS) == []


def test_an_interval_is_scored_in_milliseconds() -> None:
    rows = [row(d, i, "right", depth=1 + i % 6) for d in (0, 20) for i in range(1500)]
    frame = ledger(*rows)
    begin = time.process_time()
    score_rows(frame, CHANCES, VERSIONS)
    assert time.process_time() - begin < 0.5  # about 0.04 s on an idle core
