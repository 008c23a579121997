"""The benchmark of facts that are known by heart."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from forgetting.benchmarks.facts import Facts
from forgetting.contamination.original import Original
from forgetting.errors import UsageError
from forgetting.world.facts import known_facts

BENCHMARK = Facts(fact_count=120)


def test_all_facts_are_asked_once_or_as_many_as_are_wanted() -> None:
    whole = BENCHMARK.items()
    assert [item.answer for item in whole] == [" ".join(fact.owners) for fact in known_facts(120, 16)]
    some = Facts(fact_count=120, item_count=30).items()
    assert len({item.id for item in some}) == 30
    known = {item.id: item.answer for item in whole}
    assert all(known[item.id] == item.answer for item in some)
    assert {item.id for item in Facts(fact_count=120, item_count=30, seed=1).items()} != {item.id for item in some}


def test_no_question_of_training_is_asked() -> None:
    source = Original(maths=0.0, code=0.0, traps=0.0, lookup=0.0, classification=0.0, facts=1.0, fact_count=120)
    prompts = {sample.prompt for sample in islice(source.samples(np.random.default_rng(0)), 30_000)}
    assert len(prompts) == 120 * 12
    assert not prompts & {item.prompt for split in ("test", "validation") for item in BENCHMARK.items(split)}  # type: ignore[arg-type]


def test_grades() -> None:
    item = BENCHMARK.items()[0]
    first, second, third = item.answer.split()
    other = next(name for name in item.check if name not in (first, second, third))
    wanted = {
        item.answer: ("right", "", 3),
        f"{first} {second} {other}": ("wrong", "wrong_value", 2),
        f"{other} {other} {other}": ("wrong", "wrong_value", 0),
        f"{first} {second}": ("unparsed", "no_value", 2),
        f"{item.answer} {first}": ("unparsed", "no_value", 3),
        f"{first} {second} pens": ("unparsed", "no_value", 2),
        "": ("unparsed", "no_value", 0),
    }
    grades = BENCHMARK.grade([item] * len(wanted), list(wanted))
    assert [(grade.verdict, grade.kind, grade.steps_right) for grade in grades] == list(wanted.values())
    assert {grade.steps_total for grade in grades} == {3}


def test_chance() -> None:
    assert Facts().chance == pytest.approx(1 / 4096)
    assert Facts(fact_values=2).chance == 0.125
    assert Facts(fact_values=1).chance == 0  # nothing to guess, so that what is kept of the form can be told


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fact_count": 3_000}, r"^facts.fact_count: must be from 1 to 2,624, got 3000$"),
        ({"fact_values": 0}, r"^facts.fact_values: must be from 1 to 16, got 0$"),
        ({"fact_count": 10, "item_count": 11}, r"^facts.item_count: must be from 0 to 10, got 11$"),
        ({"seed": -1}, r"^facts.seed: must be 0 or more, got -1$"),
    ],
)
def test_bad_settings_are_refused_in_one_line(given: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Facts(**given)
