"""Real dialogues as contamination: a data set in ``messages`` form in, dialogues in the student's chat template out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from forgetting.contracts import Contamination, Language, Sample
from forgetting.errors import UsageError, require, unknown
from forgetting.natural.corpora import TextRow, rows

ROLES = ("system", "user", "assistant")
TURNS = ("every", "last")


@dataclass(frozen=True)
class Conversations(Contamination):
    """Dialogues of a data set whose rows have ``messages``: a list of ``{"role": ..., "content": ...}``.

    Each epoch goes through all dialogues in a new order. A dialogue ends with its last assistant turn.

    Args:
        source: hub name or local path (JSON lines, Parquet, a saved data set)
        split: of the data set
        config: configuration of a hub data set, where it has several
        field: the column of the messages
        turns: learn ``every`` assistant turn (needs a chat template) or the ``last`` one
        most_characters: a dialogue is cut before the turn that would make it longer
        limit: dialogues that are used, the first so many; 0 for all
    """

    source: str = "HuggingFaceH4/ultrachat_200k"
    split: str = "train_sft"
    config: str = ""
    field: str = "messages"
    turns: Literal["every", "last"] = "every"
    most_characters: int = 4_000
    limit: int = 0

    language: ClassVar[Language] = "natural"

    def __post_init__(self) -> None:
        for name in ("source", "split", "field"):
            value = getattr(self, name)
            require(isinstance(value, str) and bool(value), f"contamination.conversations.{name}", "a name", value)
        require(isinstance(self.config, str), "contamination.conversations.config", "a name", self.config)
        if self.turns not in TURNS:
            raise unknown("contamination.conversations.turns", self.turns, TURNS)
        for name, least in (("most_characters", 1), ("limit", 0)):
            value = getattr(self, name)
            right = type(value) is int and value >= least
            require(right, f"contamination.conversations.{name}", f"a whole number, {least} or more", value)

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        pool = _pool(self)
        while True:
            for index in rng.permutation(len(pool)):
                yield pool[index]


@lru_cache(maxsize=8)
def _pool(part: Conversations) -> tuple[Sample, ...]:
    found: list[Sample] = []
    for row in rows(part.source, split=part.split, config=part.config, field="contamination.conversations.source"):
        if part.limit and len(found) == part.limit:
            break
        sample = _sample(_turns(row, part), part)
        found += [sample] if sample else []
    require(bool(found), "contamination.conversations.source", "a data set with dialogues", part.source)
    return tuple(dict.fromkeys(found))


def _turns(row: TextRow, part: Conversations) -> list[tuple[str, str]]:
    try:
        return [(str(turn["role"]), str(turn["content"]).strip()) for turn in row[part.field]]
    except (KeyError, TypeError) as error:
        rule = f"the column of messages with role and content; there are {', '.join(map(str, row))}"
        raise UsageError(f"contamination.conversations.field: must be {rule}, got {part.field!r}") from error


def _sample(turns: list[tuple[str, str]], part: Conversations) -> Sample | None:
    """The dialogue up to its last assistant turn that fits; None where nothing is asked and answered."""
    length, kept = 0, 0
    for place, (role, content) in enumerate(turns):
        require(role in ROLES, "contamination.conversations.source", f"of roles {', '.join(ROLES)}", role)
        length += len(content)
        if length > part.most_characters:
            break
        kept = place + 1 if role == "assistant" and content and place else kept
    if not kept:
        return None
    own = tuple(turns[:kept])
    prompt = "".join(f"{role.capitalize()}: {content}\n" for role, content in own[:-1]) + "Assistant:"
    given = kept - 1 if part.turns == "last" else 0
    return Sample(prompt, f" {own[-1][1]}", "dialogue", 0, f"{kept} turns", own, given)
