"""The way of answering of looped students: passes are what is counted, an unlooped student answers as it does."""

from __future__ import annotations

from typing import Any

import pytest

from forgetting import registry
from forgetting.answering.looped import Looped
from forgetting.errors import UsageError
from forgetting.models.ladder import Architecture
from forgetting.study.spec_files import spec_from
from forgetting.study.study import construct
from forgetting.testing.small import model

PROMPTS = [[5, 6, 7], [9, 10, 11, 12]]
LOOPED = Architecture("tiny-looped", 16, 1, 2, 8, 16, 1, 3)


@pytest.mark.parametrize(
    ("way", "passes"), [(Looped(), 3), (Looped(loops=1), 1), (Looped(loops=4), 4), (Looped(loops=2, written=2), 2)]
)
def test_every_token_counts_its_passes(way: Looped, passes: int) -> None:
    student = model(1, architecture=LOOPED)
    found = [own[0] for own in way.answers(student, PROMPTS, max_new_tokens=6, batch_items=8)]
    written = [len(one.tokens) + (not one.cut) for one in found]
    assert [one.generated for one in found] == [passes * count for count in written]
    if passes == 3:
        plain = student.generate([PROMPTS], max_new_tokens=6)[0]
        assert [one.tokens for one in found] == [[t for t in own if t not in student.ends] for own in plain]


def test_unlooped_students_are_not_asked_and_answer_as_they_do() -> None:
    student = model(1)
    plain = student.generate([PROMPTS], max_new_tokens=6)[0]
    for way in (Looped(loops=2), Looped(halt="entropy", threshold=1.0)):
        found = [own[0] for own in way.answers(student, PROMPTS, max_new_tokens=6, batch_items=8)]
        assert [one.generated for one in found] == list(map(len, plain))
        assert not way.suits(student.loops) and way.suits(model(1, architecture=LOOPED).loops)
    spec = spec_from({"ladder": {"students": ["10k", "34k"]}, "evaluation": {"answering": ["looped"]}})
    with pytest.raises(
        UsageError, match=r"^evaluation.answering\[0\]: must be a way for one of the students, .* 'looped'$"
    ):
        construct(spec)
    ladder = {"students": ["width-16", "looped-16"]}
    assert construct(spec_from({"ladder": ladder, "evaluation": {"answering": ["looped"]}})).answering == (Looped(),)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loops": -1}, "answering.loops: must be 0 or more, got -1"),
        ({"loops": 2, "written": 3}, "answering.written: must be at most loops (2), got 3"),
        ({"halt": "entropi", "threshold": 0.1}, "answering.halt: unknown name 'entropi'; did you mean 'entropy'?"),
        ({"halt": "change"}, "answering.threshold: must be a finite number above 0 for halt: change, got 0"),
        ({"threshold": 0.1}, "answering.threshold: must be 0 where halt is never, got 0.1"),
    ],
)
def test_mistakes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry.build("answering", {"name": "looped", **settings})
    assert message in str(caught.value) and "\n" not in str(caught.value)
