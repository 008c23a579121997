"""Any puzzle family of ``reasoning-gym``: its own generator makes the items and its own verifier grades the answers.

Source: Stojanovski et al., arXiv 2505.24760 (Apache-2.0). Needs the extra ``forgetting[gym]``.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar

from forgetting import seeds
from forgetting.contracts import Benchmark, Grade, Item, Language, Split
from forgetting.errors import UsageError, require, unknown
from forgetting.natural.grading.grader_process import GraderEnded, Helper
from forgetting.natural.grading.puzzles import SIZE, made
from forgetting.world.splits import SPLITS, problem_hash, split_of

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
MOST_DRAWS = 60  # for each item that is asked for, until a family is taken to have no more distinct ones
MOST_ITEMS = 2_000


@dataclass(frozen=True)
class ReasoningGym(Benchmark):
    """Puzzles of one family. An answer is what stands in ``<answer>`` tags (the last ones), else its whole text.

    Args:
        dataset: the family's name, such as ``chain_sum``, ``leg_counting``, ``knights_knaves``
        item_count: items of each split; a small family may have fewer distinct ones
        options: settings of the family's generator, each as ``name=value`` with the value in JSON: ``max_terms=3``
        seed: of the items
    """

    dataset: str = "chain_sum"
    item_count: int = 200
    options: tuple[str, ...] = ()
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "maths"
    chance: ClassVar[float] = 0.0
    language: ClassVar[Language] = "natural"

    def __post_init__(self) -> None:
        where = self.short_name()
        require(bool(self.dataset) and isinstance(self.dataset, str), f"{where}.dataset", "a name", self.dataset)
        right = 1 <= self.item_count <= MOST_ITEMS
        require(right, f"{where}.item_count", f"from 1 to {MOST_ITEMS}", self.item_count)
        require(self.seed >= 0, f"{where}.seed", "0 or more", self.seed)
        self.generator_options()

    def generator_options(self) -> str:
        """The options as one JSON object."""
        found = {}
        for option in self.options:
            name, equals, value = option.partition("=")
            try:
                found[name.strip()] = json.loads(value)
            except ValueError:
                equals = ""
            require(bool(equals) and bool(name.strip()), f"{self.short_name()}.options", "name=value in JSON", option)
        return json.dumps(found, sort_keys=True)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        if variant != "original":
            raise unknown(f"{self.short_name()}.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown(f"{self.short_name()}.split", split, SPLITS)
        return list(_items(self, split))

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the verifier gives 1; a lower score above 0 is wrong, of the kind ``partly_right``."""
        return [_graded(self, item, answer) for item, answer in zip(items, answers, strict=True)]


@lru_cache(maxsize=32)
def _items(part: ReasoningGym, split: Split) -> tuple[Item, ...]:
    """Distinct puzzles that the split's hash asks for, in the generator's order."""
    seed = seeds.integer(part.seed, "reasoning gym", part.dataset) % 2**31
    generator = _generator(part, seed)
    found: dict[str, Item] = {}
    for index in range(min(part.item_count * MOST_DRAWS, SIZE)):
        entry = generator[index]
        question = str(entry["question"]).strip()
        if question in found or split_of(f"{part.dataset}: {question}", few=True) != split:
            continue
        found[question] = Item(
            id=f"reasoning_gym/{part.dataset}/{index:06d}", prompt=f"{question}\nAnswer:", answer=f" {entry['answer']}",
            skill=part.skill, depth=1, template=part.dataset, variant="original",
            problem=problem_hash(f"{part.dataset}: {question}"), check=(seed, index),
        )  # fmt: skip
        if len(found) == part.item_count:
            break
    return tuple(found.values())


def _generator(part: ReasoningGym, seed: int) -> Any:
    where = part.short_name()
    if importlib.util.find_spec("reasoning_gym") is None:
        raise UsageError("reasoning-gym: is not installed; pip install 'forgetting[gym]'")
    known = importlib.import_module("reasoning_gym.factory").DATASETS
    if part.dataset not in known:
        raise unknown(f"{where}.dataset", part.dataset, sorted(known))
    try:
        return made(part.dataset, part.generator_options(), seed)
    except (TypeError, AssertionError, ValueError) as error:
        raise UsageError(f"{where}.options: {part.dataset} refuses {list(part.options)}: {error}") from error


def _graded(part: ReasoningGym, item: Item, answer: str) -> Grade:
    tagged = _TAGGED.findall(answer)
    given = (tagged[-1] if tagged else answer).strip()
    if not given:
        return Grade("unparsed", "no_answer")
    try:
        score = _helper().ask(part.dataset, part.generator_options(), *item.check, given)
        if type(score) is not float:
            raise GraderEnded
    except GraderEnded:
        _helper().stop()
        _helper.cache_clear()
        return Grade("wrong", "verifier_ended")
    return Grade("right") if score >= 1 else Grade("wrong", "partly_right" if score > 0 else "wrong_answer")


@cache
def _helper() -> Helper:
    try:
        return Helper("forgetting.natural.grading.puzzles")
    except GraderEnded:
        raise UsageError("reasoning-gym: its worker process cannot be started") from None
