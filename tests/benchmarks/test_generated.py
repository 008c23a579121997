"""Plain-text sums and look-ups: solved examples before each, and answers read however they are said."""

from __future__ import annotations

import pytest

from forgetting.benchmarks._generated import GeneratedBenchmark
from forgetting.benchmarks.retrieval import Retrieval
from forgetting.benchmarks.sums import OneStepSums
from forgetting.contracts import Item

SAID = {
    "{gold}": True,
    " {gold}\n\nQuestion: What is 2 + 3?\nAnswer: 5": True,
    "The answer is {gold}.": True,
    "**{gold}**": True,
    "{gold}.\nThat is how it is.": True,
    "": False,
    "I do not know.": False,
}


def item(answer: str, check: tuple[str, ...] = ()) -> Item:
    return Item("i", "p", f" {answer}", "s", 1, "t", "original", "h", check=check)


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize(
    ("part", "asked"),
    [(OneStepSums(), item("114")), (Retrieval(), item("Oslo", ("Paris", "Oslo", "Madrid", "Vienna")))],
    ids=["sums", "retrieval"],
)
def test_answers_are_read_however_they_are_said(part: GeneratedBenchmark, asked: Item, said: str) -> None:
    (grade,) = part.grade([asked], [said.format(gold=asked.answer.strip())])
    assert (grade.verdict == "right") == SAID[said]


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("113", "wrong"),
        ("22 + 92 = 114", "right"),
        ("1,14", "wrong"),
        ("114.0", "right"),
        ("-114", "wrong"),
        ("no", "unparsed"),
    ],
)
def test_sums(said: str, verdict: str) -> None:
    assert OneStepSums().grade([item("114")], [said])[0].verdict == verdict


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("oslo", "right"),
        ("Paris, not Oslo", "wrong"),
        ("Osloer", "unparsed"),
        ("Rome", "unparsed"),
        ("in\nOslo", "right"),
    ],
)
def test_look_ups(said: str, verdict: str) -> None:
    asked = item("Oslo", ("Paris", "Oslo", "Madrid", "Vienna"))
    assert Retrieval().grade([asked], [said])[0].verdict == verdict


@pytest.mark.parametrize("part", [OneStepSums(), OneStepSums(shots=0), Retrieval(shots=3)], ids=str)
def test_as_many_examples_as_asked_stand_before_a_question_and_none_is_asked(part: GeneratedBenchmark) -> None:
    items = part.items()
    questions = [one.prompt.rpartition("\n\n")[2] for one in items]
    for one, question in zip(items, questions, strict=True):
        assert one.prompt.count("Question:") == part.shots + 1
        assert question not in one.prompt.removesuffix(question)
    assert len(set(questions)) == len(items) == 200
