"""Numeric twins: laws on all real problems, refusals by hand, magnitude and length against the originals."""

from __future__ import annotations

import random
import re
from collections import Counter
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from scipy.stats import ks_2samp

from forgetting.natural.corpora import rows
from forgetting.natural.twins.renumber import ANNOTATION, Refusal, Refused, Twin, renumber
from tests.conftest import cases
from tests.real import source


@cache
def real(every: int = 1) -> tuple[list[tuple[Twin, Twin]], Counter[str]]:
    """Real test problems that have a twin, with it, all or one in so many; and the counts of refusals."""
    kept, counts = [], Counter[str]()
    for index, row in enumerate(rows(source("gsm8k-test.jsonl.gz"), split="test")):
        if index % every:
            continue
        try:
            kept.append(
                (Twin(row["question"], row["answer"]), renumber(row["question"], row["answer"], random.Random(index)))
            )
        except Refused as refused:
            counts[refused.reason.name] += 1
    return kept, counts


one_in = pytest.mark.parametrize("every", cases([6, 1], 6))


def numbers(text: str) -> list[str]:
    return re.findall(r"\d[\d,]*(?:\.\d+)?|\.\d+", text)


def worth(text: str) -> float:
    """Arithmetic by Python itself, on text that holds nothing but arithmetic."""
    assert re.fullmatch(r"[-\d.,+*/() ]+", text), text
    return float(eval(text.replace(",", "")))


@pytest.mark.slow
def test_yield_on_the_real_test_set() -> None:
    kept, counts = real(1)
    assert len(kept) + sum(counts.values()) == 1_319
    assert len(kept) >= 655, counts  # half; docs/twins.md has the benchmark's own draw
    assert set(counts) <= {reason.name for reason in Refusal}


@one_in
def test_every_calculation_of_every_twin_is_true_and_ends_in_the_answer(every: int) -> None:
    for _, twin in real(every)[0]:
        steps = ANNOTATION.findall(twin.answer)
        for expression, result in steps:
            assert worth(expression) == pytest.approx(worth(result)), twin
            assert worth(result) == int(worth(result)) > 0
        final = worth(twin.answer.rpartition("####")[2].strip())
        assert final in [worth(result) for _, result in steps]


@one_in
def test_only_numbers_change_and_the_answer_changes(every: int) -> None:
    blank = re.compile(r"\d[\d,]*(?:\.\d+)?|\.\d+")  # as in ``numbers``
    for original, twin in real(every)[0]:
        assert blank.sub("#", twin.question) == blank.sub("#", original.question)
        assert blank.sub("#", twin.answer) == blank.sub("#", original.answer)
        assert twin.question != original.question
        assert twin.answer.rpartition("####")[2] != original.answer.rpartition("####")[2]


@one_in
def test_equal_numbers_stay_equal_and_every_changed_one_is_used(every: int) -> None:
    """One old value has one new value, throughout question and answer."""
    for original, twin in real(every)[0]:
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


@one_in
def test_old_numbers_put_back_give_the_original(every: int) -> None:
    """Every new value stands for one old one, so that the way back is a function too."""
    for original, twin in real(every)[0]:
        old, new = (numbers(t.question + " " + t.answer) for t in (original, twin))
        back: dict[float, set[float]] = {}
        for was, now in zip(old, new, strict=True):
            back.setdefault(float(now.replace(",", "")), set()).add(float(was.replace(",", "")))
        assert all(len(values) == 1 for values in back.values()), (original, twin)


@one_in
def test_what_was_larger_stays_larger(every: int) -> None:
    """Among the results of the calculations, and between them and the question's numbers that change."""
    for original, twin in real(every)[0]:
        old, new = ([worth(result) for _, result in ANNOTATION.findall(t.answer)] for t in (original, twin))
        if not re.search(r"%|percent", original.question):
            pairs = zip(numbers(original.question), numbers(twin.question), strict=True)
            changed = [[float(n.replace(",", "")) for n in pair] for pair in pairs if len(set(pair)) == 2]
            old, new = old + [o for o, _ in changed], new + [n for _, n in changed]
        order = sorted(range(len(old)), key=lambda i: old[i])
        assert [new[i] for i in order] == sorted(new), (original, twin)


@pytest.mark.slow
def test_the_page_has_the_counts_of_the_benchmark() -> None:
    from forgetting.benchmarks.gsm8k import GSM8K

    count = len(GSM8K(source=source("gsm8k-{split}.jsonl.gz")).items("test", "renumbered"))
    page = (Path(__file__).parents[3] / "docs" / "twins.md").read_text()
    assert count >= 660 and f"{count:,} of 1,319 problems ({count / 1_319:.1%}) have a numeric twin." in page
    assert page.count("<br>#### ") == 2 * 50
    table = page.partition("| reason | problems |")[2].partition("## Fifty")[0]
    assert sum(int(n) for n in re.findall(r"\| (\d+) \|", table)) == 1_319 - count


def test_twins_are_reproducible_and_differ_between_draws() -> None:
    again = [renumber(PROBLEM, ANSWER, random.Random(seed)) for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


@one_in
def test_magnitude_and_length_match(every: int) -> None:
    """Two-sample tests over all twins and their originals: lengths, numbers of the question, final answers."""
    kept = real(every)[0]
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
        (
            "Ann has 14 boxes with 25 pens each, and gives 350 pens away. How many are left?",
            "There are 14*25=<<14*25=350>>350 pens.\nSo 350-350=<<350-350=0>>0 are left.\n#### 0",
            Refusal.ambiguous,
        ),
        ("Ann has two boxes with five pens each. How many?", "It is 2*5=<<2*5=10>>10\n#### 10", Refusal.in_words),
        (PROBLEM.replace("Ann has", "With 39 others Ann has"), ANSWER, Refusal.redundant),
        (PROBLEM.replace("30 pens", "350 pens"), ANSWER.replace("350-30", "350-350"), Refusal.unreadable),
        (
            "Ann cuts 7 yards in half. How long?",
            "Each is 7/2=<<7/2=3.5>>3.5, two are 3.5*2=<<3.5*2=7>>7\n#### 7",
            Refusal.not_whole,
        ),
        (
            "Ann works 2 hours, twice. How many hours?",
            "It is 2*2=<<2*2=4>>4\n#### 4",
            Refusal.nothing_to_change,
        ),
    ],
)
def test_refusals(question: str, answer: str, reason: Refusal) -> None:
    with pytest.raises(Refused) as caught:
        renumber(question, answer, random.Random(0))
    assert caught.value.reason is reason


def test_a_number_that_is_given_and_computed_stays_in_both_roles() -> None:
    question = PROBLEM.replace("Ann has", "For 350 children Ann has")
    for seed in range(20):
        twin = renumber(question, ANSWER, random.Random(seed))
        total, boxes, pens, given = map(int, numbers(twin.question))
        assert total == 350 == boxes * pens and 350 - given != 320


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("grades 4 - 7", "4 - 7"), ("16 cups in a gallon", "16 cups"), ("class 3B", "3B"), ("a 5k race", "5k"),
        ("60 minutes per hour", "60"),
    ],
)  # fmt: skip
def test_labels_ranges_and_facts_of_units_stay(words: str, kept: str) -> None:
    for seed in range(10):
        twin = renumber(f"In {words}, {PROBLEM}", ANSWER, random.Random(seed))
        assert kept in twin.question


@pytest.mark.parametrize(("words", "most"), [("50 weeks a year", 52), ("6 days a week", 7), ("23 hours a day", 24)])
def test_no_more_than_there_are(words: str, most: int) -> None:
    number = int(words.split(maxsplit=1)[0])
    question, answer = f"Ann works {words} for $31 each.", f"{number}*31=<<{number}*31={number * 31}>>\n"
    for seed in range(20):
        twin = renumber(question, f"{answer}#### {number * 31}", random.Random(seed))
        assert int(numbers(twin.question)[0]) <= most


def test_a_number_that_may_be_a_constant_stays() -> None:
    """Two weeks, and twice: which of them the 2 is cannot be known, so it is left."""
    question = "Ann reads 35 pages a day, twice what Bob reads on 2 days. How many does she read in that time?"
    answer = "She reads 35*2=<<35*2=70>>70\n#### 70"
    for seed in range(20):
        twin = renumber(question, answer, random.Random(seed))
        assert "on 2 days" in twin.question and "*2=" in twin.answer
