"""Numeric twins: laws on all real problems, refusals by hand, magnitude and length against the originals."""

from __future__ import annotations

import random
import re
from collections import Counter
from fractions import Fraction
from functools import cache

import pytest
from scipy.stats import ks_2samp

from forgetting.corpora import rows
from forgetting.twins.renumber import ANNOTATION, Refusal, Refused, Twin, renumber
from tests.real import source


@cache
def real() -> tuple[list[tuple[Twin, Twin]], Counter[str]]:
    """Every real test problem that has a twin, with it; and the counts of refusals."""
    kept, counts = [], Counter[str]()
    for index, row in enumerate(rows(source("gsm8k-test.jsonl.gz"), split="test")):
        try:
            kept.append(
                (Twin(row["question"], row["answer"]), renumber(row["question"], row["answer"], random.Random(index)))
            )
        except Refused as refused:
            counts[refused.reason.name] += 1
    return kept, counts


def numbers(text: str) -> list[str]:
    return re.findall(r"\d[\d,]*(?:\.\d+)?|\.\d+", text)


def worth(text: str) -> float:
    """Arithmetic by Python itself, on text that holds nothing but arithmetic."""
    assert re.fullmatch(r"[-\d.,+*/() ]+", text), text
    return float(eval(text.replace(",", "")))


def test_yield_on_the_real_test_set() -> None:
    kept, counts = real()
    assert len(kept) + sum(counts.values()) == 1_319
    assert len(kept) >= 590, counts
    assert set(counts) <= {reason.name for reason in Refusal}


def test_every_calculation_of_every_twin_is_true_and_ends_in_the_answer() -> None:
    for _, twin in real()[0]:
        steps = ANNOTATION.findall(twin.answer)
        for expression, result in steps:
            assert worth(expression) == pytest.approx(worth(result)), twin
            assert worth(result) == int(worth(result)) > 0
        final = worth(twin.answer.rpartition("####")[2].strip())
        assert final in [worth(result) for _, result in steps]


def test_only_numbers_change_and_the_answer_changes() -> None:
    blank = re.compile(r"\d[\d,]*(?:\.\d+)?|\.\d+")  # as in ``numbers``
    for original, twin in real()[0]:
        assert blank.sub("#", twin.question) == blank.sub("#", original.question)
        assert blank.sub("#", twin.answer) == blank.sub("#", original.answer)
        assert twin.question != original.question
        assert twin.answer.rpartition("####")[2] != original.answer.rpartition("####")[2]


def test_equal_numbers_stay_equal_and_every_changed_one_is_used() -> None:
    """One old value has one new value, throughout question and answer."""
    for original, twin in real()[0]:
        changed = dict(zip(numbers(original.question), numbers(twin.question), strict=True))
        pairs = zip(numbers(original.question + original.answer), numbers(twin.question + twin.answer), strict=True)
        seen: dict[Fraction, set[Fraction]] = {}
        for old, new in pairs:
            seen.setdefault(Fraction(old.replace(",", "").strip(",")), set()).add(Fraction(new.replace(",", "")))
        assert all(len(values) == 1 for values in seen.values()), (original, twin, seen)
        used = {Fraction(n.replace(",", "")) for e, _ in ANNOTATION.findall(original.answer) for n in numbers(e)}
        for old, new in changed.items():
            value = Fraction(old.replace(",", ""))
            if old != new:
                assert {value, value / 100, 1 - value / 100, 1 + value / 100} & used


def test_twins_are_reproducible_and_differ_between_draws() -> None:
    original, _ = real()[0][0]
    again = [renumber(original.question, original.answer, random.Random(seed)) for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_magnitude_and_length_match() -> None:
    """Two-sample tests over all twins and their originals: lengths, numbers of the question, final answers."""
    kept = real()[0]
    measures = {
        "characters of the question": lambda t: len(t.question),
        "characters of the answer": lambda t: len(t.answer),
        "final answer": lambda t: worth(t.answer.rpartition("####")[2].strip()),
        "numbers of the question": lambda t: sum(float(n.replace(",", "")) for n in numbers(t.question)),
    }
    for name, measure in measures.items():
        test = ks_2samp([measure(o) for o, _ in kept], [measure(t) for _, t in kept])
        assert test.pvalue > 0.05, (name, test)


PROBLEM = "Ann has 14 boxes with 25 pens each. She gives 30 pens away. How many are left?"
ANSWER = "There are 14*25=<<14*25=350>>350 pens.\nSo 350-30=<<350-30=320>>320 are left.\n#### 320"


def test_by_hand() -> None:
    twin = renumber(PROBLEM, ANSWER, random.Random(0))
    a, b, c = (int(n) for n in numbers(twin.question))
    assert twin.answer == (
        f"There are {a}*{b}=<<{a}*{b}={a * b}>>{a * b} pens.\n"
        f"So {a * b}-{c}=<<{a * b}-{c}={a * b - c}>>{a * b - c} are left.\n#### {a * b - c}"
    )
    assert a in range(10, 23) and b in range(15, 41) and c in range(20, 51, 10)


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        (PROBLEM, "#### 320", Refusal.no_annotation),
        (PROBLEM, ANSWER.replace("#### 320", "#### 321"), Refusal.no_annotation),
        (PROBLEM, ANSWER.replace("<<14*25=350>>", "<<14*25=351>>"), Refusal.unreadable),
        (PROBLEM, ANSWER.replace("<<14*25=350>>", "<<14**25=350>>"), Refusal.unreadable),
        (PROBLEM.replace("25 pens each", "pens"), ANSWER, Refusal.hidden_constant),
        (PROBLEM, ANSWER.replace("There are", "In 77 rows there are"), Refusal.unexplained),
        (PROBLEM.replace("Ann has", "Of 350 Ann has"), ANSWER, Refusal.ambiguous),
        (PROBLEM.replace("Ann has", "With 39 others Ann has"), ANSWER, Refusal.redundant),
        (PROBLEM.replace("30 pens", "350 pens"), ANSWER.replace("350-30", "350-350"), Refusal.unreadable),
        (
            "Ann cuts 7 yards in half. How long?",
            "Each is 7/2=<<7/2=3.5>>3.5, two are 3.5*2=<<3.5*2=7>>7\n#### 7",
            Refusal.not_whole,
        ),
        (
            "Ann works two days a week for two weeks. How many days?",
            "It is 2*2=<<2*2=4>>4\n#### 4",
            Refusal.nothing_to_change,
        ),
    ],
)
def test_refusals(question: str, answer: str, reason: Refusal) -> None:
    with pytest.raises(Refused) as caught:
        renumber(question, answer, random.Random(0))
    assert caught.value.reason is reason


def test_a_number_that_may_be_a_constant_stays() -> None:
    """Two weeks, and twice: which of them the 2 is cannot be known, so it is left."""
    question = "Ann reads 35 pages a day, twice what Bob reads on 2 days. How many does she read in that time?"
    answer = "She reads 35*2=<<35*2=70>>70\n#### 70"
    for seed in range(20):
        twin = renumber(question, answer, random.Random(seed))
        assert "on 2 days" in twin.question and "*2=" in twin.answer
