"""Names, order and distractors: what stays, what is safe, and the counts on the real test set."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from forgetting.natural.corpora import rows
from forgetting.natural.twins import rewording
from tests.real import source

QUESTION = "Ben has 3 apples. A box holds 12 pears. The shop is 5 miles away. He buys 2 apples. How many has Ben?"
ANSWER = "Ben has 3+2=<<3+2=5>>5 apples\n#### 5"


def test_names_and_things_change_together() -> None:
    twin = rewording.renamed("Ann's dog and Ben's 2 dogs ran to Ann.", "Ann has a dog, Ben 2 dogs", random.Random(0))
    assert twin is not None
    found = re.fullmatch(r"(\w+)'s (\w+) and (\w+)'s 2 (\w+) ran to (\w+)\.", twin.question)
    assert found is None or found[1] == "Ann"  # Ann is on no list: only known names change
    twin = rewording.renamed(QUESTION, ANSWER, random.Random(0))
    assert twin is not None and "Ben" not in twin.question + twin.answer
    (name,) = set(re.findall(r"\b[A-Z]\w+(?= has)", twin.question + twin.answer))
    assert name in rewording.MEN
    assert re.findall(r"\d+", twin.question + twin.answer) == re.findall(r"\d+", QUESTION + ANSWER)


def test_two_things_of_one_kind_are_left_alone() -> None:
    twin = rewording.renamed("Ben has 3 apples and a pear.", "", random.Random(0))
    assert twin is not None and "apples" in twin.question and "pear" in twin.question


def test_only_independent_sentences_are_exchanged() -> None:
    for seed in range(10):
        twin = rewording.reordered(QUESTION, ANSWER, random.Random(seed))
        assert twin is not None and twin.answer == ANSWER
        assert twin.question.index("He buys") > twin.question.index("Ben has 3")
        assert sorted(re.split(r"(?<=[.?]) ", twin.question)) == sorted(re.split(r"(?<=[.?]) ", QUESTION))
    assert rewording.reordered("Ben has 3. He buys 2. How many?", "", random.Random(0)) is None


@pytest.mark.parametrize("seed", range(8))
def test_a_distractor_comes_before_the_question_with_a_new_number(seed: int) -> None:
    twin = rewording.distracted(QUESTION, ANSWER, random.Random(seed))
    assert twin is not None and twin.answer == ANSWER
    old, new = re.split(r"(?<=[.?]) ", QUESTION), re.split(r"(?<=[.?]) ", twin.question)
    assert [s for s in new if s in old] == old and new[-1] == old[-1]
    (added,) = (s for s in new if s not in old)
    assert not set(re.findall(r"\d+", added)) & set(re.findall(r"\d+", QUESTION))


@pytest.mark.slow
def test_counts_on_the_real_test_set() -> None:
    counts = Counter[str]()
    for index, row in enumerate(rows(source("gsm8k-test.jsonl.gz"), split="test")):
        for change in (rewording.renamed, rewording.reordered, rewording.distracted):
            twin = change(row["question"], row["answer"], random.Random(index))
            counts[change.__name__] += twin is not None
            if twin is not None:
                assert twin.question != row["question"]
                assert twin.answer.rpartition("####")[2] == row["answer"].rpartition("####")[2]
    assert counts["renamed"] > 700 and counts["reordered"] > 30 and counts["distracted"] > 1_290, counts
