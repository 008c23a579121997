"""What benchmarks made from a data set share: rows by split and source, a limit, items made once and tried once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from forgetting.contracts import Benchmark, Item, Language, Split
from forgetting.errors import UsageError, require, unknown
from forgetting.natural.corpora import TextRow, for_validation, rows
from forgetting.world.splits import SPLITS, problem_hash

NO_ITEM, WRONG_REFERENCE = "no item can be made of the row", "its own reference is not right"


@dataclass(frozen=True)
class TextBenchmark(Benchmark):
    """Items from rows. A member names the data set's splits and makes the items of some rows."""

    source: str = ""
    limit: int = 0

    language: ClassVar[Language] = "natural"
    config: ClassVar[str] = ""
    chance: ClassVar[float] = 0.0
    test_split: ClassVar[str] = "test"
    train_split: ClassVar[str] = ""  # none: only test items

    def __post_init__(self) -> None:
        name = self.short_name()
        given = self.data_source if type(self.source) is str else ""
        require(bool(given), f"{name}.source", "a hub name or path", self.source)
        require(self.limit >= 0, f"{name}.limit", "0 (all items) or more", self.limit)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Items in the data set's order, the first ``limit`` of them."""
        if variant not in self.variants:
            raise unknown(f"{self.short_name()}.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown(f"{self.short_name()}.split", split, SPLITS)
        return list(_items(self, split, variant).items)

    def left_out(self, split: Split = "test", variant: str = "original") -> dict[str, int]:
        """Rows without an item, and items whose own reference is not right, so that no answer could be."""
        self.items(split, variant)
        return dict(_items(self, split, variant).left_out)

    def reference(self, item: Item) -> str | None:
        """The answer by which an item is tried before it is asked; None where it cannot be tried."""
        return item.answer

    @property
    def own_test_split(self) -> str:
        """The data set's split that holds the test items."""
        return self.test_split

    @abstractmethod
    def problem(self, row: TextRow) -> str:
        """The text that names the row's problem."""

    @abstractmethod
    def item(self, row: TextRow, index: int, variant: str) -> Item | None:
        """The item of one row in one variant; None where the row has no such variant."""

    def keep(self, row: TextRow) -> bool:
        """Whether the settings ask for this row."""
        return True

    def source_rows(self, split: Split) -> Iterator[TextRow]:
        """The rows of the data set's own split for a split; none where it has none."""
        own = self.own_test_split if split == "test" else self.train_split
        where = f"{self.short_name()}.source"
        return rows(self.data_source, split=own, config=self.config, field=where) if own else iter(())

    @property
    def data_source(self) -> str:
        """Where the rows are."""
        return self.source

    def rows(self, split: Split) -> list[TextRow]:
        """The rows of a split. Validation rows are taken out of the training rows by hash, where there are any."""
        found = self.source_rows(split)
        held_out = split == "validation"
        chosen = [
            row
            for row in found
            if self.keep(row) and (split == "test" or held_out == for_validation(self.problem(row)))
        ]
        return chosen[: self.limit] if self.limit else chosen

    def made(self, row: TextRow, index: int, variant: str, *, prompt: str, answer: str, depth: int = 1,
             template: str = "", check: tuple[object, ...] = (), same_problem: bool = True) -> Item:  # fmt: skip
        """An item with what all have in common filled in."""
        name = self.short_name()
        problem = self.problem(row) if same_problem else prompt
        return Item(
            id=f"{name}/{variant}/{index:05d}", prompt=prompt, answer=answer, skill=self.skill, depth=depth,
            template=template or name, variant=variant, problem=problem_hash(f"{name}: {problem}"), check=check,
        )  # fmt: skip


@dataclass(frozen=True)
class _Made:
    items: tuple[Item, ...]
    left_out: tuple[tuple[str, int], ...] = ()


@lru_cache(maxsize=64)
def _items(part: TextBenchmark, split: Split, variant: str) -> _Made:
    try:
        made = [part.item(row, index, variant) for index, row in enumerate(_rows(part, split))]
    except KeyError as error:
        columns = ", ".join(map(str, next(iter(part.source_rows(split)), {})))
        rule = f"a data set with the column {error.args[0]!r}; {part.data_source!r} has {columns}"
        raise UsageError(f"{part.short_name()}.source: must be {rule}") from error
    found = [item for item in made if item is not None]
    right = _right(part, found)
    if variant != part.variants[0]:  # twins of what is asked
        asked = {_place(item) for item in _items(part, split, part.variants[0]).items}
        right = [item for item in right if _place(item) in asked]
    require(bool(right) or not found, f"{part.short_name()}.source", "rows whose own references pass", len(found))
    counts = {NO_ITEM: len(made) - len(found), WRONG_REFERENCE: len(found) - len(right)}
    return _Made(tuple(right), tuple((reason, count) for reason, count in counts.items() if count))


def _right(part: TextBenchmark, items: list[Item]) -> list[Item]:
    """The items whose reference is right, or cannot be tried."""
    tried = [(item, answer) for item in items if (answer := part.reference(item)) is not None]
    grades = part.grade([item for item, _ in tried], [answer for _, answer in tried]) if tried else []
    wrong = {item.id for (item, _), grade in zip(tried, grades, strict=True) if grade.verdict != "right"}
    return [item for item in items if item.id not in wrong]


def _place(item: Item) -> str:
    return item.id.rpartition("/")[2]


@lru_cache(maxsize=16)
def _rows(part: TextBenchmark, split: Split) -> tuple[TextRow, ...]:
    return tuple(part.rows(split))
