"""Whether answers to training samples are right: a judge by name and samples in, what judges answers to them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from forgetting import registry
from forgetting.contracts import Benchmark, Item, Language, Sample
from forgetting.errors import UsageError, require
from forgetting.world.correctness import is_right

CHECKED = 8  # gold answers of each skill on which a judge is tried

Judge = Callable[[Sequence[Sample], Sequence[str]], list[bool]]


def check_judge(judge: str | dict[str, Any], language: Language, field: str) -> None:
    """``UsageError`` where the judge of the embedded world would judge natural text, or there is none of that name."""
    rule = "a benchmark on natural text, such as {name: gsm8k, source: ...}"
    require(language == "world" or judge != "world", field, rule, judge)
    if judge != "world":
        registry.build("benchmarks", judge, field)


def judge_named(judge: str | dict[str, Any], samples: Sequence[Sample], field: str) -> Judge:
    """How answers are judged: ``world``, or a benchmark's grader on each sample as an item with its gold answer.

    ``UsageError`` where a benchmark cannot tell right from wrong by the gold answer alone.
    """
    if judge == "world":
        return lambda asked, said: [is_right(sample, answer) for sample, answer in zip(asked, said, strict=True)]
    benchmark = cast(Benchmark, registry.build("benchmarks", judge, field))

    def by_grader(asked: Sequence[Sample], said: Sequence[str]) -> list[bool]:
        return [grade.verdict == "right" for grade in benchmark.grade([_item(s) for s in asked], said)]

    of_skill: dict[str, list[Sample]] = {}
    for sample in samples:
        of_skill.setdefault(sample.skill, []).append(sample)
    tried = [sample for own in of_skill.values() for sample in own[:CHECKED]]
    gold = [s.answer for s in tried]
    others = [(s, o) for s, o in zip(tried, [*gold[1:], *gold[:1]], strict=True) if s.answer != o]
    try:
        known = all(by_grader(tried, gold)) and not any(by_grader(tried, [""] * len(tried)))
        known = known and not (others and all(by_grader([s for s, _ in others], [o for _, o in others])))
    except Exception as error:  # whatever a grader stumbles over that finds no hidden tests
        why = str(error) or "it cannot read their gold answers"
        raise UsageError(f"{field}: {benchmark.short_name()} cannot judge the samples: {why}") from error
    rule = "a benchmark that knows a sample's gold answer from others without hidden tests"
    require(known, field, rule, benchmark.short_name())
    return by_grader


def _item(sample: Sample) -> Item:
    return Item("", sample.prompt, sample.answer, sample.skill, sample.depth, sample.template, "original", "")
