"""The judge of training samples against the graders of the benchmarks."""

from __future__ import annotations

from itertools import pairwise

import pytest

from forgetting.benchmarks.code import Code
from forgetting.contracts import Item, Sample
from forgetting.testing.small import samples
from forgetting.world.correctness import is_right


def sample_of(item: Item) -> Sample:
    return Sample(item.prompt, item.answer, item.skill, item.depth, item.template)


def test_gold_answers_are_right_and_those_of_others_mostly_not() -> None:
    pool = samples(300)
    assert all(is_right(sample, sample.answer) for sample in pool)
    skills = {s.skill for s in pool}
    assert skills == {"maths", "code", "traps", "lookup", "classification"}
    for skill in skills:
        own = [s for s in pool if s.skill == skill]
        others = [is_right(a, b.answer) for a, b in pairwise(own) if a.answer != b.answer]
        assert sum(others) <= 0.15 * len(others) + 1, skill
        assert not any(is_right(s, wrong) for s in own for wrong in ("", "answer", "; ;", "return"))


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("12 + 5 = 17 ; answer 17", True),
        ("answer 17", True),
        ("12 + 5 = 18 ; answer 17", True),  # the final answer alone decides, as in the benchmark
        ("12 + 5 = 17 ; answer 18", False),
        ("12 + 5 = 17", False),
    ],
)
def test_numbers(answer: str, right: bool) -> None:
    assert is_right(Sample("ann has 12", "12 + 5 = 17 ; answer 17", "maths", 1, "add"), answer) == right


def test_programs_are_judged_as_by_hidden_tests() -> None:
    """Programs of other tasks and with one number changed, against the benchmark's verdict: one in fifty may differ."""
    part = Code(items_per_depth=25)
    items = part.items("train")
    same = []
    for item, other in zip(items, [*items[1:], items[0]], strict=True):
        changed = [w if not w.isdigit() else str(int(w) + 1) for w in item.answer.split()]
        for answer in (item.answer, other.answer, " ".join(changed)):
            verdict = part.grade([item], [answer])[0].verdict == "right"
            same.append(is_right(sample_of(item), answer) == verdict)
    assert sum(same) >= 0.98 * len(same)


def test_a_program_with_another_name_is_right() -> None:
    prompt = "write : add 3 , multiply by 2 . def f ( x ) :"
    sample = Sample(prompt, "x = x + 3 <nl> return x * 2", "code", 2, "add-multiply")
    assert is_right(sample, "y = x + 3 <nl> return y * 2") and is_right(sample, "return ( x + 3 ) * 2")
    assert not is_right(sample, "x = x * 2 <nl> return x + 3") and not is_right(sample, "return [ x ]")
