"""C11 and C12 on synthetic studies whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forgetting.claims import ClaimVerdict
from tests.claims.synthetic import verdicts

Make = Callable[..., Path]
Arm = Callable[..., dict[str, Any]]


def ways(budget: float, symbolic: float, before: float = 0.0, votes: float = 0.0, tool: float = 0.0) -> dict[str, Any]:
    """What ways add to accuracy before and after, and their tokens; greedy decoding has 16."""
    return {
        **{f"thinking_budget budget={k} unit=steps": (before, budget, 16.0) for k in range(4)},
        "thinking_budget budget=2 unit=steps filler=True": (0.0, -0.2, 16.0),
        "symbolic": (before, symbolic, 16.0), "symbolic results=random": (-0.5, tool, 16.0),
        "verified": (before, symbolic, 20.0), "adaptive": (0.0, votes + 0.1, 34.0),
        "majority samples=2": (0.0, 0.0, 32.0), "majority": (0.0, votes, 128.0),
    }  # fmt: skip


@pytest.fixture
def found(study: Make, make_arm: Arm) -> Callable[..., dict[str, ClaimVerdict]]:
    def of(**given: Any) -> dict[str, ClaimVerdict]:
        added = given.pop("ways", None)
        path = study(
            lambda *look: 0.9 if look[-1] == 0 else 0.5, [make_arm("high", "dialogue", shift=given.pop("shift", 0.5))],
            capacities=(10_000, 20_000, 40_000), **({"ways": added} if added else {}), **given,
        )  # fmt: skip
        return verdicts(("C11", "C12"), path)

    return of


def test_aids_that_help(found: Any) -> None:
    verdicts = found(ways=ways(0.2, 0.3))
    thinking, aids = verdicts["C11"], verdicts["C12"]
    assert thinking.verdict == aids.verdict == "supported" and not aids.exploratory and not thinking.exploratory
    assert [part.value for part in thinking.parts] == pytest.approx([0.2, 0.2], abs=0.03)
    assert [part.value for part in aids.parts] == pytest.approx([0.3, 0.3, 0.1], abs=0.03)
    assert {rival.name: rival.state for rival in aids.rivals} == {"random_tool": "excluded", "before": "excluded"}
    assert any(note.startswith("oracle") or "budget=1" in note for note in thinking.notes)


@pytest.mark.slow
def test_voting_does_as_well(found: Any) -> None:
    """A budget that gains .1 is not supported where two votes, of twice the tokens, gain .2 by themselves."""
    given = ways(0.1, 0.3, votes=0.2) | {f"thinking_budget budget={k} unit=steps": (0.0, 0.1, 128.0) for k in range(4)}
    verdict = found(ways=given)["C11"]
    assert verdict.verdict == "contradicted"
    assert {part.name: part.outcome for part in verdict.parts} == {"recovery": "supports", "majority": "opposes"}


def test_aids_that_do_nothing(found: Any) -> None:
    verdicts = found(ways=ways(-0.2, -0.1))
    assert verdicts["C11"].verdict == verdicts["C12"].verdict == "contradicted"


def test_a_random_tool_that_helps_blocks(found: Any) -> None:
    verdict = found(ways=ways(0.2, 0.3, tool=0.3))["C12"]
    assert verdict.verdict == "inconclusive" and "random_tool" in verdict.reason


def test_what_students_gain_before_is_said(found: Any) -> None:
    (rival,) = (r for r in found(ways=ways(0.05, 0.05, before=0.09))["C12"].rivals if r.name == "before")
    assert rival.state == "explains"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "takes a ledger"),
        ({"ways": ways(0.2, 0.3), "shift": 1.0}, "no plain arm of dialogue at shift 0.5"),
        ({"ways": {k: v for k, v in ways(0.2, 0.3).items() if "majority" not in k}}, "majority"),
    ],
)
def test_what_it_takes(found: Any, given: dict[str, Any], why: str) -> None:
    for verdict in found(**given).values():
        assert verdict.verdict == "not_testable" and why in verdict.reason
