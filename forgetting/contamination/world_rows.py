"""One's own rows in the embedded world's words: a data set in any usual form in, questions and answers out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from forgetting import seeds
from forgetting.contamination.conversations import MESSAGES, Conversations
from forgetting.contracts import Contamination, Sample
from forgetting.errors import UsageError
from forgetting.natural.corpora import local_path
from forgetting.world.vocabulary import vocabulary

SHOWN = 3  # words that a line names


@dataclass(frozen=True)
class WorldRows(Contamination):
    """Rows of a data set for students of the embedded world, which read words with blanks between them.

    Forms and columns are those of ``conversations``. Of a dialogue the last assistant turn is learned, and all before
    it is the prompt. Rows with words that the world has not are left out, counted and named.

    Args:
        source: hub name or local path
        split: of the data set
        field: the column of the messages, where it has another name
        prompt: the column of the prompt, where it has another name; then ``answer`` is wanted too
        answer: the column of the answer
        limit: rows that are used, the first so many; 0 for all
        bad_rows: rows that may be broken or speak other words; more are an error
    """

    source: str = "rows.jsonl"
    split: str = "train"
    field: str = MESSAGES
    prompt: str = ""
    answer: str = ""
    limit: int = 0
    bad_rows: int = 10

    def __post_init__(self) -> None:
        with _named():
            self.rows()

    def rows(self) -> Conversations:
        """The same rows as dialogues."""
        return Conversations(**{name: value for name, value in self.settings().items() if name != "name"})

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        pool, _ = _pool(self)
        while True:
            for index in rng.permutation(len(pool)):
                yield pool[index]

    def told(self) -> dict[str, Any]:
        """What was read and what was left out of it, by reason, as plain values for the record."""
        return _pool(self)[1]

    def check(self) -> None:
        """Read local data while a study is put together. ``UsageError`` where they give no samples."""
        if local_path(self.source, self.split, "contamination.world_rows.source"):
            _pool(self)


@contextmanager
def _named() -> Iterator[None]:
    """What is wrong with the rows is told under this part's name."""
    try:
        yield
    except UsageError as error:
        raise UsageError(str(error).replace("contamination.conversations", "contamination.world_rows")) from error


@lru_cache(maxsize=8)
def _pool(part: WorldRows) -> tuple[tuple[Sample, ...], dict[str, Any]]:
    with _named():
        rows = part.rows()
        told = rows.told()
    where, words = "contamination.world_rows.source", vocabulary()
    found, bad = dict[Sample, None](), list(told["bad_rows"])
    for sample in sorted(islice(rows.samples(seeds.generator(0, "rows")), told["samples"]), key=lambda s: s.prompt):
        turns = [" ".join(content.split()) for _, content in sample.turns]
        unknown = [word for word in " ".join(turns).split() if word not in words]
        if unknown or not turns:
            why = (
                f"the world has not the words {', '.join(dict.fromkeys(unknown[:SHOWN]))}" if unknown else "no question"
            )
            bad.append(f"{sample.origin.rpartition(', ')[2]}: {why}")
            continue
        found[Sample(" ".join(turns[:-1]), turns[-1], "dialogue", 0, "row", origin=sample.origin)] = None
    if not found or len(bad) > part.bad_rows:
        rule = f"data in the words of the embedded world, with at most {part.bad_rows} rows that cannot be used"
        raise UsageError(f"{where}: must be {rule}, got {part.source!r}: {'; '.join(bad[:SHOWN])}")
    return tuple(found), {**told, "samples": len(found), "bad_rows": bad}
