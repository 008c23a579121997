"""What a model makes of texts, the states that its output layer reads and its logits; and what is fitted to these.

Shape suffixes: B rows of a pass, T tokens, D features of a state, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from forgetting.contracts import Model

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 64  # of a pass, whatever the batch of the study, so that no number depends on that


def passes(model: Model, rows: Mapping[int, Sequence[int]]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Rows of like length together: their names, states ``[B, T, D]`` and logits ``[B, T, V]``, in fp32 on the CPU."""
    import torch

    head = model.network.get_output_embeddings()  # type: ignore[operator]  # torch knows no such method
    pad, kept = int(model.tokenizer.pad_token_id), list[Any]()
    order = sorted(rows, key=lambda row: len(rows[row]))
    hook = head.register_forward_pre_hook(lambda _, given: kept.append(given[0].detach()))
    try:
        with model.at_rest(), torch.no_grad():
            for start in range(0, len(order), ROWS):
                chunk = order[start : start + ROWS]
                width = max(len(rows[row]) for row in chunk)
                padded = [[*rows[row], *[pad] * (width - len(rows[row]))] for row in chunk]
                kept.clear()
                logits_BTV = model.logits(torch.tensor(padded, device=model.device)[None])[0]
                yield chunk, kept[0].float().cpu(), logits_BTV.float().cpu()
    finally:
        hook.remove()


def minimise(weights: Sequence[Tensor], loss: Callable[[], Tensor], steps: int) -> None:
    """Leave in ``weights`` what minimises a convex loss: at most so many steps of L-BFGS, strong Wolfe line search."""
    import torch

    search = torch.optim.LBFGS(weights, max_iter=steps, line_search_fn="strong_wolfe")

    def value() -> Tensor:
        search.zero_grad()
        found = loss()
        found.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return found

    with torch.enable_grad():
        search.step(value)  # type: ignore[no-untyped-call]  # as above
