"""The rule that ends runs early: by hand, and how often it ends a run whose retention is at the level all along."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from forgetting.analysis.early_stop import Rule, Watched

DOSES = (40, 80, 160, 320, 640)
PLANNED = len(DOSES)


def write(file: Path, **accuracies: list[float]) -> Path:
    """Score rows of 500 items by benchmark: accuracies at dose 0, 40, 80, ..., chance 0."""
    rows = []
    for benchmark, each in accuracies.items():
        for dose, accuracy in zip((0, *DOSES), each, strict=False):
            head = {"benchmark": benchmark, "variant": "original", "depth": None, "dose": dose}
            rows.append({**head, "items": 500, "chance": 0.0, "accuracy": accuracy, "retention": accuracy / each[0]})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(name="maths")
def _maths() -> Rule:
    return Rule(0.05, 3, (Watched("maths", None, 0.5),))


@pytest.mark.parametrize(
    ("accuracies", "dose"),
    [
        ([1, 0.9, 0.2, 0.1], None),  # two looks below
        ([1, 0.9, 0.2, 0.1, 0.1], 320),
        ([1, 0.2, 0.2, 0.1], 160),
        ([1, 0.2, 0.2, 0.1, 0.1], 160),  # a look that should not have been changes nothing
        ([1, 0.2, 0.8, 0.1, 0.1], None),  # a rebound begins the count anew
        ([1, 0.2, 0.48, 0.1, 0.1], None),  # below the level, but not surely
        ([1, 0.9, 0.9, 0.1, 0.1, 0.1], None),  # the run is whole
        ([1, 0.6, 0.6, 0.6, 0.6], None),
    ],
)
def test_by_hand(maths: Rule, accuracies: list[float], dose: int | None, tmp_path: Path) -> None:
    assert maths.ended(write(tmp_path / "scores.jsonl", maths=accuracies), PLANNED) == dose


def test_all_that_is_watched_must_agree(tmp_path: Path) -> None:
    both = Rule(0.05, 3, (Watched("maths", None, 0.5), Watched("code", None, 0.5)))
    low, late = [1, 0.1, 0.1, 0.1, 0.1], [1, 0.9, 0.1, 0.1, 0.1]
    assert both.ended(write(tmp_path / "one", maths=low, code=[1, 0.9, 0.9, 0.9, 0.9]), PLANNED) is None
    assert both.ended(write(tmp_path / "two", maths=low, code=late), PLANNED) == 320


def test_a_skill_that_was_not_learned_ends_nothing(maths: Rule, tmp_path: Path) -> None:
    file = write(tmp_path / "scores.jsonl", maths=[1, 0.1, 0.1, 0.1, 0.1])
    rows = [json.loads(line) | {"retention": None} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert maths.ended(file, PLANNED) is None


def test_it_is_the_same_rule_after_a_journey_as_plain_values(maths: Rule) -> None:
    assert Rule.of(json.loads(json.dumps(maths.to_plain()))) == maths


@pytest.mark.slow
@pytest.mark.parametrize("looks", [1, 3])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_runs_at_the_level_are_ended_less_often_than_alpha(tmp_path: Path, level: float, looks: int) -> None:
    """2,000 runs of five looks, items drawn anew at each (the worst case for the union over looks), baseline .95."""
    rng, alpha, ended = np.random.default_rng(0), 0.05, 0
    rule = Rule(alpha, looks, (Watched("maths", None, level),))
    for _ in range(2000):
        base = rng.binomial(500, 0.95) / 500
        later = rng.binomial(500, 0.95 * level, PLANNED - 1) / 500
        ended += rule.ended(write(tmp_path / "scores", maths=[base, *later.tolist()]), PLANNED) is not None
    assert ended / 2000 <= alpha
    if looks == 1:
        assert ended > 0  # the bound is not idle


def test_runs_far_below_the_level_are_ended_at_the_third_look(maths: Rule, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        seen = [0.95, *(rng.binomial(500, 0.3, PLANNED - 1) / 500).tolist()]
        assert maths.ended(write(tmp_path / "scores", maths=seen), PLANNED) == DOSES[2]
