"""A calculator beside the student: after ``a op b =`` the exact result is inserted, and the student goes on from it.

Source: Calc-X, arXiv 2305.15017; the calculator annotations of GSM8K, arXiv 2110.14168, have the same form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from forgetting import seeds
from forgetting.answering._shared import answered, go_on, words_of
from forgetting.contracts import Answered, Answering, Model
from forgetting.errors import require
from forgetting.world.vocabulary import MAX_NUMBER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Not preceded by an operator: of 3 + 4 + 5 = the calculator would see the last sum alone.
EQUATION = re.compile(r"(?<![-+*/.,\d])(?<![-+*/.,]\s)(\d{1,9})\s?([-+*/])\s?(\d{1,9})\s?=(\s?)")


@dataclass(frozen=True)
class Symbolic(Answering):
    """Greedy answers whose results are a calculator's, wherever the result is a whole number that has a word.

    An inserted result counts among the tokens generated, as one that the student writes does.

    Args:
        results: ``exact``; or ``random``, a control: in the same places any number from 0 to 40
        seed: of the random results
    """

    results: Literal["exact", "random"] = "exact"
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.seed >= 0, "symbolic.seed", "0 or more", self.seed)

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """One answer to each prompt. What a round writes behind an inserted result is written anew in the next."""
        heads: list[list[int]] = [[] for _ in prompts]
        written = go_on(model, prompts, heads, limit=max_new_tokens, batch_items=batch_items)
        given = [0] * len(prompts)  # equations that have their result
        going = list(range(len(prompts)))
        while going:
            still = []
            for row in going:
                head, given[row] = self._next(row, given[row], written[row], model.tokenizer)
                if head is not None and len(head) <= max_new_tokens:
                    heads[row] = head
                    still.append(row)
            again = go_on(
                model, [prompts[row] for row in still], [heads[row] for row in still],
                limit=max_new_tokens, batch_items=batch_items,
            )  # fmt: skip
            for row, own in zip(still, again, strict=True):
                written[row] = own
            going = still
        return [[answered(own, model.ends)] for own in written]

    def _next(
        self, row: int, given: int, written: list[int], words: PreTrainedTokenizerFast
    ) -> tuple[list[int] | None, int]:
        """The answer up to and with the next result that the student wrote otherwise, if there is one; those given."""
        (text,) = words_of([written], words)
        for number, found in enumerate(EQUATION.finditer(text)):
            if number < given:
                continue
            given = number + 1
            result = self._result(row, number, int(found[1]), found[2], int(found[3]))
            if result is None:
                continue
            own = words.encode(f"{found[4]}{result}", add_special_tokens=False)
            length = _tokens_before(found.end(3), written, words)
            if words.unk_token_id in own or not words_of([written[:length]], words)[0].endswith("="):
                continue
            if written[length : length + len(own)] != own:
                return [*written[:length], *own], given
        return None, given

    def _result(self, row: int, place: int, left: int, symbol: str, right: int) -> int | None:
        """The number to insert; None where the exact one is no whole number from 0 up."""
        if symbol == "/":
            exact = left // right if right and left % right == 0 else -1
        else:
            exact = left + right if symbol == "+" else left - right if symbol == "-" else left * right
        if exact < 0:
            return None
        if self.results == "exact":
            return exact
        return int(seeds.generator(self.seed, "random results", row, place).integers(0, MAX_NUMBER + 1))


def _tokens_before(place: int, written: Sequence[int], words: PreTrainedTokenizerFast) -> int:
    """How many tokens it takes to reach the sign ``=`` that follows a place of the text."""
    low, high = 0, len(written)
    while low < high:
        middle = (low + high) // 2
        reached = words_of([written[:middle]], words)[0]
        if len(reached) > place and "=" in reached[place:]:
            high = middle
        else:
            low = middle + 1
    return low
