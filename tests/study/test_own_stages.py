"""Stages with samples or a teacher of their own: what they are made of, what counts, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from forgetting import registry
from forgetting.errors import UsageError
from forgetting.study import spec_files
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.study import construct, taught_from

BRANCHES: list[dict[str, Any]] = [
    {"name": "gold", "stages": [{"method": "gold", "original": {"name": "original", "maths": 0.8, "code": 0.0}}]},
    {"name": "own", "stages": [{"method": "on_policy", "teacher": "gold"}]},
]


def branched(*branches: dict[str, Any]) -> dict[str, Any]:
    return {"ladder": {"students": ["10k", "20k"], "branches": list(branches)}}


def test_a_stage_has_samples_and_a_teacher_of_its_own_and_both_count() -> None:
    made = construct(spec_files.spec_from(branched(*BRANCHES)))
    gold, own = (made.branches[f"20k-{name}"].stages for name in ("gold", "own"))
    assert taught_from(made, gold[-1].fit) == registry.build("contamination", BRANCHES[0]["stages"][0]["original"])
    assert taught_from(made, own[-1].fit) == made.original and own[-1].taught_by == gold
    (student,) = (s for s in made.students if s.name == "20k-own")
    assert made.taught_in(own[-1].taught_by, student).name == "20k-gold"
    plain = [BRANCHES[0], {"name": "own", "stages": [{"method": "on_policy"}]}]
    renamed = [{**BRANCHES[0], "name": "g"}, {"name": "own", "stages": [{"method": "on_policy", "teacher": "g"}]}]
    marks = [[fingerprint_of(given, name) for name in ("gold", "own")] for given in (BRANCHES, plain)]
    assert marks[0][0] == marks[1][0] and marks[0][1] != marks[1][1]
    assert fingerprint_of(renamed, "own") == marks[0][1]  # what a branch is called does not count


def fingerprint_of(branches: list[dict[str, Any]], name: str) -> str:
    made = construct(spec_files.spec_from(branched(*branches)))
    (student,) = (s for s in made.students if s.name == f"10k-{name}")
    return fingerprint(student_form(made, student, 0))


@pytest.mark.parametrize(("branches", "message"), [
    ([BRANCHES[1]], r"branches\[0\].stages\[0\].teacher: must be a branch before this one"),
    ([BRANCHES[0], {"name": "own", "stages": [{"method": "on_policy", "teacher": "glod"}]}], "did you mean 'gold'"),
    ([{"name": "own", "stages": [{"method": "gold", "original": "orginal"}]}], "original"),
    ([{"name": "own", "stages": [{"method": "gold", "original": "worked_answers"}]}], "natural text"),
])  # fmt: skip
def test_a_wrong_teacher_or_source_of_a_stage_is_one_line(branches: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        construct(spec_files.spec_from(branched(*branches)))
    assert "\n" not in str(raised.value)
