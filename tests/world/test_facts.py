"""Facts to be known by heart."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from forgetting.contamination.original import Original
from forgetting.errors import UsageError
from forgetting.world import facts, training
from forgetting.world.simple import draw_lookup
from forgetting.world.splits import SPLITS
from forgetting.world.vocabulary import NAMES, words

ONLY_FACTS = {"maths": 0.0, "code": 0.0, "traps": 0.0, "lookup": 0.0, "classification": 0.0, "facts": 1.0}


def taught(seed: int, count: int, **given: float) -> list[training.Sample]:
    return list(islice(Original(**given).samples(np.random.default_rng(seed)), count))  # type: ignore[arg-type]


def test_no_share_of_facts_changes_nothing() -> None:
    """Neither their number nor their values count where none are taught."""
    usual = taught(3, 300)
    assert usual == taught(3, 300, facts=0.0, fact_count=7, fact_values=2)
    shares = {skill: getattr(Original(), skill) for skill in training.SKILLS}
    assert usual[:50] == list(islice(training.samples(random.Random(_first(3)), shares), 50))
    assert {sample.skill for sample in usual} == set(training.SKILLS) - {"facts"}


def _first(seed: int) -> int:
    return int(np.random.default_rng(seed).integers(0, 2**63 - 1))


def test_facts_are_the_same_ones_for_every_student() -> None:
    """Whatever the seed of its samples: one answer for each things; and fewer facts are the first of more."""
    answers: dict[str, set[str]] = {}
    for seed in (0, 1, 2):
        for sample in taught(seed, 4_000, **ONLY_FACTS, fact_count=50):
            answers.setdefault(sample.prompt.split(" : ")[1], set()).add(sample.answer)
    assert len(answers) == 50 and {len(own) for own in answers.values()} == {1}
    assert facts.known_facts(300, 16)[:50] == facts.known_facts(50, 16)
    assert {f"{fact.things} ?" for fact in facts.known_facts(50, 16)} == set(answers)


def test_every_fact_is_asked_for_about_equally_often() -> None:
    asked = Counter(s.prompt.split(" : ")[1] for s in taught(0, 20_000, **ONLY_FACTS, fact_count=40))
    assert len(asked) == 40
    assert min(asked.values()) > 400 and max(asked.values()) < 600  # 500 each; 4.5 standard errors


def test_no_fact_collides_with_another_question() -> None:
    whole = facts.known_facts(facts.MOST_FACTS, 16)
    prompts = {fact.sample(asker).prompt for fact in whole for asker in fact.askers}
    assert len(prompts) == facts.MOST_FACTS * len(NAMES) == 41_984
    rng = random.Random(0)
    lookups = {draw_lookup(rng, split).prompt() for split in SPLITS for _ in range(500)}
    assert not prompts & lookups
    assert not prompts & {sample.prompt for sample in taught(0, 500)}


def test_owners_are_drawn_evenly_and_tell_as_many_bits_as_is_said() -> None:
    assert facts.bits(16) == 12 and facts.bits(2) == 3 and facts.bits(1) == 0
    whole = facts.known_facts(facts.MOST_FACTS, 16)
    for place in range(facts.OWNERS):
        shares = np.array(list(Counter(fact.owners[place] for fact in whole).values())) / len(whole)
        assert len(shares) == 16
        assert -(shares * np.log2(shares)).sum() == pytest.approx(4, abs=0.01)
    pairs = Counter(fact.owners[:2] for fact in whole)  # 256 pairs, 10.25 each: one word does not tell the next
    chi_square = sum((pairs[(a, b)] - 10.25) ** 2 / 10.25 for a in NAMES for b in NAMES)
    assert abs(chi_square - 255) < 4 * (2 * 255) ** 0.5
    assert {fact.owners for fact in facts.known_facts(200, 1)} == {("ann",) * 3}
    assert {owner for fact in facts.known_facts(200, 2) for owner in fact.owners} == {"ann", "bob"}


def test_the_control_has_the_prompts_of_the_facts() -> None:
    """Without information: the same questions by the same draws, answers of as many words."""
    load, control = (taught(5, 500, **ONLY_FACTS, fact_count=90, fact_values=values) for values in (16, 1))
    assert [sample.prompt for sample in load] == [sample.prompt for sample in control]
    assert {sample.answer for sample in control} == {"ann ann ann"}


def test_the_share_of_other_skills_is_kept() -> None:
    given = {"maths": 0.4, "code": 0.0, "traps": 0.0, "lookup": 0.0, "classification": 0.0, "facts": 0.6}
    skills = Counter(sample.skill for sample in taught(0, 3_000, **given))
    assert set(skills) == {"maths", "facts"} and skills["facts"] / 3_000 == pytest.approx(0.6, abs=0.04)


def test_questions_are_split_and_every_fact_is_asked_in_every_split() -> None:
    for fact in facts.known_facts(300, 16):
        asking = [fact.asking(split) for split in SPLITS]
        assert sorted(name for names in asking for name in names) == sorted(NAMES)
        assert [len(names) for names in asking] == [12, 2, 2]
    trained = {sample.prompt for sample in taught(0, 20_000, **ONLY_FACTS, fact_count=60)}
    assert trained == {f.sample(name).prompt for f in facts.known_facts(60, 16) for name in f.asking("train")}


def test_every_word_is_of_the_closed_vocabulary() -> None:
    text = " ".join(f"{s.prompt} {s.answer}" for s in taught(0, 3_000, **ONLY_FACTS, fact_count=2_624))
    assert set(text.split()) <= set(words())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fact_count": 0}, r"^original.fact_count: must be from 1 to 2,624, got 0$"),
        ({"fact_count": 2_625}, r"^original.fact_count: must be from 1 to 2,624, got 2625$"),
        ({"fact_values": 17}, r"^original.fact_values: must be from 1 to 16, got 17$"),
        ({"facts": -0.1}, r"^original.facts: must be a share from 0 to 1, got -0.1$"),
        ({"facts": 0.2}, r"^original: must be shares that sum to 1"),
    ],
)
def test_bad_values_are_refused_in_one_line(given: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Original(**given)  # type: ignore[arg-type]
