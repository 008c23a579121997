"""Questions with worked answers from a data set, as the original distribution of real students or as a control."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from forgetting.contracts import Contamination, Language, Sample
from forgetting.errors import UsageError, require
from forgetting.natural.corpora import for_validation, local_path, numbered
from forgetting.natural.local_rows import Bad


@dataclass(frozen=True)
class WorkedAnswers(Contamination):
    """Rows with a question and an answer, in the prompt of the benchmark ``gsm8k``; without its validation rows.

    Args:
        source: hub name or local path
        split: of the data set
        config: configuration of a hub data set, where it has several
        question: the column of the question
        answer: the column of the worked answer
        template: the prompt, with ``{question}``
        limit: rows that are used, the first so many; 0 for all
    """

    source: str = "openai/gsm8k"
    split: str = "train"
    config: str = "main"
    question: str = "question"
    answer: str = "answer"
    template: str = "Question: {question}\nAnswer:"
    limit: int = 0

    language: ClassVar[Language] = "natural"

    def __post_init__(self) -> None:
        where = "contamination.worked_answers"
        for name in ("source", "split", "question", "answer"):
            value = getattr(self, name)
            require(isinstance(value, str) and bool(value), f"{where}.{name}", "a name", value)
        require(isinstance(self.config, str), f"{where}.config", "a name", self.config)
        require(
            str(self.template).count("{question}") == 1, f"{where}.template", "a text with {question}", self.template
        )
        right = type(self.limit) is int and self.limit >= 0
        require(right, f"{where}.limit", "a whole number, 0 or more", self.limit)

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        pool = _pool(self)
        while True:
            for index in rng.permutation(len(pool)):
                yield pool[index]

    def check(self) -> None:
        """Read local data while a study is put together. ``UsageError`` where a row has no question or answer."""
        if local_path(self.source, self.split, "contamination.worked_answers.source"):
            _pool(self)


@lru_cache(maxsize=8)
def _pool(part: WorkedAnswers) -> tuple[Sample, ...]:
    where, found = "contamination.worked_answers", []
    for place, row in numbered(part.source, split=part.split, config=part.config, field=f"{where}.source"):
        if isinstance(row, Bad):
            raise UsageError(f"{where}.source: {part.source!r}, {place} {row.why}")
        for name in (part.question, part.answer):
            require(name in row, f"{where}.question, answer", f"columns among {', '.join(map(str, row))}", name)
            if not isinstance(row[name], str) or not row[name].strip():
                raise UsageError(
                    f"{where}.source: {part.source!r}, {place}: {name!r} must be a text, got {row[name]!r}"
                )
        question, answer = str(row[part.question]).strip(), str(row[part.answer]).strip()
        if not for_validation(row[part.question]):
            prompt = part.template.replace("{question}", question)
            found.append(
                Sample(
                    prompt,
                    f" {answer}",
                    "worked",
                    max(1, answer.count("<<")),
                    "worked",
                    origin=f"{part.source!r}, {place}",
                )
            )
        if part.limit and len(found) == part.limit:
            break
    require(bool(found), f"{where}.source", "a data set with rows", part.source)
    return tuple(found)
