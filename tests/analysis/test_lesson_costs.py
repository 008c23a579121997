"""Costs of teaching against sums by hand, and the constants of C13 against the world."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import pytest

from forgetting import registry, seeds
from forgetting.analysis.lesson_costs import SampleLengths, lesson_costs
from forgetting.batching import prompt_tokens
from forgetting.claims.cost import DistillationCost
from forgetting.models.ladder import architecture
from forgetting.world.tokenizer import tokenizer
from forgetting.world.vocabulary import vocabulary

LENGTHS = SampleLengths(prompt=10, answer=20, teacher=1000)


def student(branch: str, *stages: dict[str, Any]) -> dict[str, Any]:
    trunk = {"method": "off_policy", "steps": 99, "samples": 9999, "processor_seconds": 50.0}
    last = {"why": "reached", "processor_seconds": 2.5, "steps": 4}
    return {
        "name": f"s-{branch}", "branch": branch, "trunk": "s", "trunk_stages": 1, "capacity": 100,
        "taught": {"3": [trunk, *({"samples": 8, "pool": 6, **last, **stage} for stage in stages)]},
    }  # fmt: skip


def cost(*stages: dict[str, Any]) -> Any:
    (row,) = lesson_costs({"students": [student("b", *stages)]}, LENGTHS).to_dict("records")
    return row


def test_operations_are_those_that_are_counted_by_hand() -> None:
    gold = cost({"method": "gold"})
    assert (gold["student"], gold["teacher"]) == (6 * 100 * 8 * 30, 0)
    assert (gold["steps"], gold["samples"], gold["processor_seconds"], gold["arrived"]) == (4, 8, 2.5, True)
    written = cost({"method": "off_policy"}, {"method": "off_policy"})
    assert written["student"] == 2 * gold["student"]
    assert written["teacher"] == 2 * 1000 * 6 * 30  # an answer to each of the pool's six samples, once
    asked = cost({"method": "on_policy", "notes": {"answer_tokens": 10.0}})
    assert (asked["student"], asked["teacher"]) == (8 * 100 * 8 * 20, 2 * 1000 * 8 * 20)


def test_what_is_not_known_is_left_out_and_the_trunk_is_no_part() -> None:
    assert lesson_costs({"students": [student("b", {"method": "contrastive"})]}, LENGTHS).empty
    assert lesson_costs({"students": [student("b")]}, LENGTHS).empty
    assert lesson_costs({}, LENGTHS).empty
    assert math.isnan(cost({"method": "gold", "processor_seconds": math.nan})["processor_seconds"])


def test_the_claims_constants_are_those_of_the_world_and_its_teacher() -> None:
    claim, words = DistillationCost(), tokenizer()
    source: Any = registry.build("contamination", "original")
    samples = list(islice(source.samples(seeds.generator(0, "lengths")), 1000))
    prompts = [len(tokens) for tokens in prompt_tokens(samples, words)]
    answers = [len(words(one.answer)["input_ids"]) for one in samples]
    assert sum(prompts) / 1000 == pytest.approx(claim.prompt_tokens, rel=0.05)
    assert sum(answers) / 1000 + 1 == pytest.approx(claim.answer_tokens, rel=0.1)
    assert architecture("1m").parameters(len(vocabulary())) == claim.teacher
