"""Answers that can only be well formed: greedy decoding among the words that the grammar of steps allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forgetting.answering._edited import written
from forgetting.contracts import Answered, Answering, Model
from forgetting.errors import UsageError
from forgetting.world.vocabulary import NUMBERS

if TYPE_CHECKING:
    import torch

SYMBOLS = ("+", "-", "*", "/")
FINAL = "answer"


@dataclass(frozen=True)
class Grammar(Answering):
    """The likeliest word of those that may come next in ``12 + 5 = 17 ; 17 - 3 = 14 ; answer 14``.

    Six states of a step (number, symbol, number, ``=``, number, ``;``); in the place of a further step's first number
    ``answer``, then a number and the end. What is written is well formed unless the limit cuts it; whether it is true
    nothing says. For word problems and speeds of the embedded world. The control is the same mask on a student that was
    never taught (``{name: relearning}`` has one).
    """

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """One answer to each prompt; ``UsageError`` where the tokenizer lacks a word of the grammar."""
        import torch

        words = model.tokenizer
        known = words.get_vocab()
        wanted = (*NUMBERS, *SYMBOLS, "=", ";", FINAL)
        if lacking := [word for word in wanted if word not in known]:
            raise UsageError(f"answering grammar: takes the world's words, this tokenizer has no {lacking[0]!r}")
        final, size = known[FINAL], max(len(words), int(max(known.values())) + 1)

        def only(*allowed: str) -> torch.Tensor:
            ids = [known[word] for word in allowed]
            return torch.zeros(size, dtype=torch.bool).index_fill_(0, torch.tensor(ids), True)

        number, symbol, equals, further = only(*NUMBERS), only(*SYMBOLS), only("="), only(";")
        end = torch.zeros(size, dtype=torch.bool)
        end[list(model.ends)] = True
        of_step = (number, symbol, number, equals, number, further)

        def allowed(answer: Sequence[int]) -> torch.Tensor:
            if final in answer:
                return number if answer[-1] == final else end
            place = len(answer) % len(of_step)
            return number | only(FINAL) if answer and place == 0 else of_step[place]

        def edit(logits_BV: torch.Tensor, answers: Sequence[Sequence[int]]) -> torch.Tensor:
            may_BV = torch.stack([allowed(answer)[: logits_BV.shape[1]] for answer in answers])
            return logits_BV.masked_fill(~may_BV.to(logits_BV.device), -torch.inf)

        return written(model, prompts, edit, max_new_tokens=max_new_tokens, batch_items=batch_items)
