"""Greedy decoding whose logits are edited before each token: prompts and an edit in, answers out.

It reads the whole text anew for every token, which any model can; texts are short where it is used.

Shape suffixes: B rows, T tokens, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from forgetting.contracts import Answered, Model

if TYPE_CHECKING:
    from torch import Tensor

Edit = Callable[["Tensor", Sequence[Sequence[int]]], "Tensor"]  # logits [B, V] and what each row wrote so far


def written(
    model: Model, prompts: Sequence[Sequence[int]], edit: Edit, *, max_new_tokens: int, batch_items: int
) -> list[list[Answered]]:
    """One answer to each prompt, by a model of one replica."""
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    with model.at_rest():
        for start in range(0, len(order), batch_items):
            going = order[start : start + batch_items]
            while going := [i for i in going if _goes_on(answers[i], model, max_new_tokens)]:
                logits_BV = _next(model, [[*prompts[i], *answers[i]] for i in going])
                chosen = edit(logits_BV, [answers[i] for i in going]).argmax(-1).tolist()
                for i, token in zip(going, chosen, strict=True):
                    answers[i].append(token)
    whole = [answer[:-1] if answer and answer[-1] in model.ends else answer for answer in answers]
    return [[Answered(own, len(w), len(own) == len(w))] for own, w in zip(whole, answers, strict=True)]


def _goes_on(answer: Sequence[int], model: Model, limit: int) -> bool:
    return len(answer) < limit and not (answer and answer[-1] in model.ends)


def _next(model: Model, rows: Sequence[Sequence[int]]) -> Tensor:
    """Logits ``[B, V]`` after each row."""
    import torch

    width, pad = max(map(len, rows)), int(model.tokenizer.pad_token_id)
    tokens_BT = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=model.device)
    places_B = torch.tensor([b * width + len(row) - 1 for b, row in enumerate(rows)], device=model.device)
    with torch.no_grad():
        return model.logits_at(tokens_BT[None], places_B[None])[0].float()
