"""Answers that begin with a wrong step: does a student notice, and go on from the right number?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forgetting.answering.forced_opening import first_step
from forgetting.answering.greedy import Greedy

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class WrongStep(Greedy):
    """Greedy answers that begin with the gold answer's first step, its result off by one (one more, or less).

    A right answer after it is a self-correction. Its control is the first step as it is
    (``{name: forced_opening, tokens: 0}``). Answers without a first equation of whole numbers begin as they will.

    Args:
        less: one less, instead of one more
    """

    less: bool = False

    def openings(self, gold: Sequence[Sequence[int]], words: PreTrainedTokenizerFast) -> list[list[int]]:
        """First steps with a wrong result."""
        return [self._spoilt(first_step(answer, words), words) for answer in gold]

    def _spoilt(self, step: list[int], words: PreTrainedTokenizerFast) -> list[int]:
        text = words.convert_ids_to_tokens(step)
        place = text.index("=") + 1 if "=" in text else len(text)
        if place >= len(text) or not text[place].isdigit():
            return []
        value, aside, known = int(text[place]), -1 if self.less else 1, words.get_vocab()
        wrong = known.get(str(value + aside), known.get(str(value - aside)))  # at an end of the numbers, the other side
        return [] if wrong is None else [*step[:place], wrong, *step[place + 1 :]]
