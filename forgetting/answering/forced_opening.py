"""Answers whose opening is given: what a student still knows once it has begun as it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forgetting.answering.greedy import Greedy
from forgetting.errors import require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class ForcedOpening(Greedy):
    """Greedy answers that begin with the first tokens, or the first written-out step, of the gold answer.

    The control is the opening of another problem: the next one whose opening differs, the last one's being the first.
    An opening gives part of the answer away: a first step leaves a problem of d steps with d - 1.

    Args:
        tokens: how many of the gold answer's tokens; 0: its first step, the mark that ends it included
        other: the opening of another problem instead
    """

    tokens: int = 2
    other: bool = False

    def __post_init__(self) -> None:
        require(self.tokens >= 0, "forced_opening.tokens", "0 (the first step) or more", self.tokens)

    def openings(self, gold: Sequence[Sequence[int]], words: PreTrainedTokenizerFast) -> list[list[int]]:
        """The first tokens of each gold answer, or of another's."""
        own = [list(answer[: self.tokens]) if self.tokens else first_step(answer, words) for answer in gold]
        return [_another(own, i) for i in range(len(own))] if self.other else own


def first_step(answer: Sequence[int], words: PreTrainedTokenizerFast) -> list[int]:
    """The tokens up to the first semicolon or end of a line, which is kept; all where there is none."""
    for place, token in enumerate(answer):
        text = words.convert_ids_to_tokens(int(token))
        if text in (";", "<nl>") or "\n" in words.decode([int(token)]):
            return list(answer[: place + 1])
    return list(answer)


def _another(own: list[list[int]], i: int) -> list[int]:
    """The next opening that differs; nothing where all are equal."""
    return next((one for one in [*own[i + 1 :], *own[:i]] if one != own[i]), [])
