"""``forgetting claims``: what it prints and writes, and what it says of bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from forgetting.claims.judging.rules import DEFAULT, read_rules

Make = Callable[..., Path]


@pytest.fixture
def results(study: Make, make_arm: Callable[..., dict[str, Any]]) -> str:
    def accuracy(capacity: int, arm: str, benchmark: str, depth: int, coverage: str, dose: int) -> float:
        return 0.95 if dose == 0 or arm != "dialogue" else 0.5

    arms = [make_arm("dialogue"), make_arm("original"), make_arm("low", "dialogue", shift=0.05)]
    arms.append(make_arm("high", "dialogue", shift=0.5))
    return str(study(accuracy, arms, items=80))


def test_what_it_prints(command: Any, results: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = command("claims", results)
    assert done.status == 0 and done.err == ""
    assert "rules version 5" in done.out and "C5: supported (exploratory)" in done.out
    assert "missing   items per cell: 80 of 500" in done.out
    assert "C8: not testable at these sizes" in done.out and "no joint arm" in done.out
    assert "Zones of the measured ladder" in done.out and "retained" in done.out
    assert sorted(tmp_path.rglob("*")) == before


def test_json_on_the_screen_and_in_a_file(command: Any, results: str, here: Path) -> None:
    done = command("claims", results, "--json", "--output", "verdicts.json")
    printed = json.loads(done.out)
    assert printed == json.loads((here / "verdicts.json").read_text())
    assert [verdict["claim"] for verdict in printed] == list(read_rules().claims)
    judged = {verdict["claim"]: verdict for verdict in printed}
    assert judged["C4"]["verdict"] == "not_testable" and judged["C4"]["reason"] == "no branches of one trunk"
    first = judged["C5"]
    assert first["verdict"] == "supported" and first["rules_version"] == 5 and first["exploratory"] is True
    assert first["parts"][0]["by_size"][0]["capacity"] == 10_000
    assert judged["C6"]["p"] is None and judged["C9"]["zones"][0]["zone"] == "retained"


def test_other_rules(command: Any, results: str, here: Path) -> None:
    rules = yaml.safe_load(DEFAULT.read_text())
    rules["version"] = 7
    rules["claims"] = {"C5": rules["claims"]["C5"]}
    rules["claims"]["C5"]["parts"]["loss"]["margin"] = 0.8
    (here / "mine.yaml").write_text(yaml.safe_dump(rules))
    (only,) = json.loads(command("claims", results, "--rules", "mine.yaml", "--json").out)
    assert only["verdict"] == "contradicted" and only["rules_version"] == 7


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "at least one folder"),
        (("nowhere",), "which does not exist"),
        (("empty",), "has no record.json"),
        (("RESULTS", "--rules", "none.yaml"), "cannot be read"),
        (("RESULTS", "--rules", "bad.yaml"), "rules"),
        (("RESULTS", "--output", "verdicts.txt"), "ends in .json"),
        (("RESULTS", "--outptu", "x.json"), "outptu"),
    ],
)
def test_bad_input_gets_one_line(command: Any, results: str, here: Path, argv: tuple[str, ...], message: str) -> None:
    (here / "empty").mkdir()
    (here / "bad.yaml").write_text("version: 1\n")
    done = command("claims", *(results if word == "RESULTS" else word for word in argv))
    assert done.status == 2 and done.out == ""
    assert done.err.count("\n") == 1 and message in done.err


def test_its_help_teaches(command: Any) -> None:
    done = command("claims", "--help")
    assert done.status == 0
    for word in ("C5", "C9", "Holm", "exploratory", "--rules", "--output", "examples:"):
        assert word in done.out
