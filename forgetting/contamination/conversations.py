"""Real dialogues or texts as contamination: a data set in any usual form in, dialogues for the chat template out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np

from forgetting.contracts import PLAIN, Contamination, Language, Sample
from forgetting.errors import UsageError, require, unknown
from forgetting.natural.corpora import TextRow, local_path, numbered
from forgetting.natural.forms import BadRowError, ParsedRow, columns_of, dialogue_of
from forgetting.natural.local_rows import Bad

MESSAGES = "messages"
TURNS = ("every", "last")


@dataclass(frozen=True)
class Conversations(Contamination):
    """Dialogues, or plain texts, of a data set whose rows are in one of the usual forms.

    These are ``messages`` (role, content), ShareGPT's ``conversations`` (from, value), Alpaca's instruction, input and
    output, prompt and completion, question and answer, and ``text``. The first form that a row's columns fit is taken.
    Each epoch goes through all dialogues in a new order. A dialogue ends with its last assistant turn.

    Args:
        source: hub name or local path (JSON lines, JSON, CSV, Parquet, text, also ``.gz``; a saved data set)
        split: of the data set
        config: configuration of a hub data set, where it has several
        field: the column of the messages, where it has another name
        prompt: the column of the prompt, where it has another name; then ``answer`` is wanted too
        answer: the column of the answer
        turns: learn ``every`` assistant turn (needs a chat template) or the ``last`` one
        most_characters: a dialogue is cut before the turn that would make it longer
        limit: dialogues that are used, the first so many; 0 for all
        bad_rows: rows that may be broken or hold what is no text; they are left out and named; more are an error
    """

    source: str = "HuggingFaceH4/ultrachat_200k"
    split: str = "train_sft"
    config: str = ""
    field: str = MESSAGES
    prompt: str = ""
    answer: str = ""
    turns: Literal["every", "last"] = "every"
    most_characters: int = 4_000
    limit: int = 0
    bad_rows: int = 10

    language: ClassVar[Language] = "natural"

    def __post_init__(self) -> None:
        for name in ("source", "split", "field"):
            value = getattr(self, name)
            require(isinstance(value, str) and bool(value), f"contamination.conversations.{name}", "a name", value)
        for name in ("config", "prompt", "answer"):
            value = getattr(self, name)
            require(isinstance(value, str), f"contamination.conversations.{name}", "a name", value)
        both = bool(self.prompt) == bool(self.answer)
        require(both, "contamination.conversations.prompt, answer", "both or neither", [self.prompt, self.answer])
        if self.turns not in TURNS:
            raise unknown("contamination.conversations.turns", self.turns, TURNS)
        for name, least in (("most_characters", 1), ("limit", 0), ("bad_rows", 0)):
            value = getattr(self, name)
            right = type(value) is int and value >= least
            require(right, f"contamination.conversations.{name}", f"a whole number, {least} or more", value)

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        pool = _pool(self).samples
        while True:
            for index in rng.permutation(len(pool)):
                yield pool[index]

    def told(self) -> dict[str, Any]:
        """What was read and what was left out of it, by reason, as plain values for the record."""
        return _pool(self).told

    def check(self) -> None:
        """Read local data while a study is put together. ``UsageError`` where it gives no dialogues."""
        if local_path(self.source, self.split, "contamination.conversations.source"):
            _pool(self)


@dataclass(frozen=True)
class _Pool:
    samples: tuple[Sample, ...]
    told: dict[str, Any]


@lru_cache(maxsize=8)
def _pool(part: Conversations) -> _Pool:
    where = "contamination.conversations.source"
    found, bad, left, ignored, count = dict[Sample, None](), list[str](), Counter[str](), set[str](), 0
    strange: TextRow | None = None  # a row without columns to read from
    known = False  # whether any row has them
    for place, row in numbered(part.source, split=part.split, config=part.config, field=where):
        if part.limit and len(found) == part.limit:
            break
        count += 1
        try:
            if isinstance(row, Bad):
                raise BadRowError(row.why)
            columns = _columns(row, part)
            if columns is None:
                strange = row if strange is None else strange
                raise BadRowError(
                    f"has no column to read a dialogue from, only {', '.join(map(str, row)) or 'nothing'}"
                )
            known = True
            dialogue = dialogue_of(row, columns)
            sample = _sample(dialogue, part, f"{part.source!r}, {place}")
        except BadRowError as error:
            bad.append(f"{place}: {error}")
            if len(bad) > part.bad_rows:
                break
            continue
        ignored |= dialogue.ignored
        if isinstance(sample, str) or sample in found:
            left[sample if isinstance(sample, str) else "said before"] += 1
            continue
        left["cut before a turn that is too long"] += bool(sample.turns) and len(sample.turns) < len(dialogue.turns)
        found[sample] = None
    if strange is not None and not known:
        raise _no_columns(strange, part)
    if len(bad) > part.bad_rows:
        rule = f"data with at most {part.bad_rows} rows that cannot be used"
        raise UsageError(f"{where}: must be {rule}, got {part.source!r}: {'; '.join(bad[:3])}")
    if not found:
        reasons = "; ".join([*bad[:3], *(f"{n} rows: {why}" for why, n in left.items() if n)]) or "it has no rows"
        raise UsageError(f"{where}: must be a data set with dialogues, got {part.source!r}: {reasons}")
    told = {"rows": count, "samples": len(found), "bad_rows": bad, "left_out": {w: n for w, n in left.items() if n}}
    return _Pool(tuple(found), told | ({"keys_ignored": sorted(ignored)} if ignored else {}))


def _columns(row: TextRow, part: Conversations) -> tuple[str, ...] | None:
    named = part.field if part.field != MESSAGES else ""
    return columns_of(row, messages=named, prompt=part.prompt, answer=part.answer)


def _no_columns(row: TextRow, part: Conversations) -> UsageError:
    """What is said where no row has a column that a dialogue can be read from."""
    there = ", ".join(map(str, row))
    if part.prompt or part.answer:
        return UsageError(
            f"contamination.conversations.prompt, answer: must be columns among {there}, got "
            f"{part.prompt!r}, {part.answer!r}"
        )
    rule = f"the column of messages with role and content, or prompt and answer columns; there are {there}"
    return UsageError(f"contamination.conversations.field: must be {rule}, got {part.field!r}")


def _sample(dialogue: ParsedRow, part: Conversations, origin: str) -> Sample | str:
    """The dialogue up to its last assistant turn that fits; why, where nothing is asked and answered."""
    if dialogue.text:
        if len(dialogue.text) > part.most_characters:
            return "longer than most_characters"
        return Sample("", dialogue.text, PLAIN, 0, "text", origin=origin)
    length, kept = 0, 0
    for place, (role, content) in enumerate(dialogue.turns):
        length += len(content)
        if length > part.most_characters:
            break
        learned = role == "assistant" and content and place and place not in dialogue.context
        kept = place + 1 if learned else kept
    if not kept:
        return "longer than most_characters" if length > part.most_characters else "no answer to learn"
    own = tuple(dialogue.turns[:kept])
    prompt = "".join(f"{role.capitalize()}: {content}\n" for role, content in own[:-1]) + "Assistant:"
    given = kept - 1 if part.turns == "last" else 0
    answer = f" {own[-1][1]}"
    if dialogue.asked is not None and kept == 2:
        blank = dialogue.asked[-1:].isspace()
        prompt, answer = dialogue.asked, own[-1][1] if blank else answer
    context = tuple(place for place in dialogue.context if place < kept)
    return Sample(prompt, answer, "dialogue", 0, f"{kept} turns", own, given, context_turns=context, origin=origin)
