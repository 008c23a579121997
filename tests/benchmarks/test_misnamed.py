"""Functions under the names of others: what is asked, who is followed, and that name and docstring disagree."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetting import Doses, Evaluation
from forgetting.benchmarks.misnamed import CONFLICT, Misnamed
from forgetting.natural.twins.python import Problem, arity, misnamed
from tests.contracts.members import DATA
from tests.models.natural import checkpoint, corpora, study
from tests.real import source

BY_HAND = Misnamed(source=f"{DATA}/humaneval.jsonl")


def test_a_conflict_is_right_by_its_docstring_and_says_when_the_name_was_followed() -> None:
    """``total`` is called ``largest_gap``, which takes one list as well."""
    item = next(item for item in BY_HAND.items("test", CONFLICT) if item.template == "HumanEval/0")
    assert item.prompt.startswith("def largest_gap(numbers: list):") and "total" not in item.prompt
    assert ">>> largest_gap([1, 2])\n    3" in item.prompt
    by_name = "    return max(abs(a - b) for a, b in zip(numbers, numbers[1:]))\n"
    answers = ["    return sum(numbers)\n", by_name, "    return 0\n", "    return (\n"]
    grades = BY_HAND.grade([item] * 4, answers)
    assert [g.verdict for g in grades] == ["right", "wrong", "wrong", "unparsed"]
    assert grades[1].kind == "name" and "name" not in {grades[0].kind, grades[2].kind, grades[3].kind}


def test_without_a_name_nothing_else_is_changed() -> None:
    originals = {item.template: item for item in BY_HAND.items()}
    for item in BY_HAND.items("test", "nameless"):
        own = originals[item.template]
        assert item.prompt.replace("answer(", f"{own.check[0]}(") == own.prompt and item.problem == own.problem


def test_a_name_of_ones_own_or_one_that_is_taken() -> None:
    problem = Problem('def f(a, b=1):\n    """x"""\n', "    return a + b\n", "f")
    twin = misnamed(problem, "g")
    assert twin is not None and (twin.entry, twin.prompt) == ("g", 'def g(a, b=1):\n    """x"""\n')
    assert misnamed(problem, "a") is None and misnamed(problem, "f") is None
    assert arity(problem) == 2 and arity(Problem('def f(*a):\n    """x"""\n', "    return a\n", "f")) is None


def test_a_word_of_the_docstring_is_no_name() -> None:
    text = 'def median(a):\n    """ The function median: the median of a, so that median([1]) is 1. """\n'
    twin = misnamed(Problem(text, "    return median(a[1:])\n", "median"), "total")
    assert twin is not None and twin.body == "    return total(a[1:])\n"
    assert '""" The function total: the median of a, so that total([1]) is 1. """' in twin.prompt


@pytest.mark.slow
def test_name_and_docstring_disagree_throughout_humaneval() -> None:
    """Gold bodies pass, the name's own program fails, and does what the name says."""
    part = Misnamed(source=source("HumanEval.jsonl.gz"))
    items = part.items("test", CONFLICT)
    assert len(items) >= 140, len(items)
    assert {g.verdict for g in part.grade(items, [i.answer for i in items])} == {"right"}
    named = part.grade(items, [i.check[3] for i in items])
    assert {(g.verdict, g.kind) for g in named} == {("wrong", "name")}
    assert all(item.check[0] in item.check[3] for item in items)
    nothing = part.grade(items, ["    return None\n"] * len(items))
    assert not [i.template for i, g in zip(items, nothing, strict=True) if g.verdict == "right" or g.kind == "name"]
    own = part.items("test", "nameless")
    assert len(own) >= 160 and {g.verdict for g in part.grade(own, [i.answer for i in own])} == {"right"}


@pytest.mark.slow
def test_a_tiny_checkpoint_is_asked_under_every_name(tmp_path: Path) -> None:
    """Of the real problems; what a large model does there nobody has measured."""
    benchmark = {"name": "misnamed", "source": source("HumanEval.jsonl.gz"), "limit": 8}
    made = study(
        checkpoint(tmp_path / "student"), corpora(tmp_path), tmp_path / "runs", benchmarks=[benchmark], controls=[],
        doses=Doses(dose=16, first=16),
        evaluation=Evaluation(benchmarks=(benchmark,), perturbed="ends", probe_items=8, max_new_tokens=8),
    )  # fmt: skip
    assert made.ledger is not None
    own = made.ledger[made.ledger["benchmark"] == "misnamed"]
    assert set(own["variant"]) == {"original", "nameless", "conflict"} and set(own["dose"]) == {0, 16}
    assert own.groupby(["dose", "variant"], observed=True).size().max() <= 8
    assert set(own["problem"]) == set(own.loc[own["variant"] == "original", "problem"])
