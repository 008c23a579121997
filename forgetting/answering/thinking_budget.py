"""Answers under a thinking budget: at the budget the thought is closed with the end-of-thinking token, then answered.

Qwen's recipe, in two passes of greedy decoding. Source: the Qwen3 technical report, arXiv 2505.09388, section 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forgetting.contracts import Answered, Answering, Model
from forgetting.errors import UsageError, require

CLOSING = "</think>"


@dataclass(frozen=True)
class ThinkingBudget(Answering):
    """Greedy answers after at most ``budget`` tokens of thought, of a checkpoint whose template lets it think.

    Args:
        budget: tokens of thought, 0 or more
        closing: the one token that ends a thought
    """

    budget: int = 256
    closing: str = CLOSING

    def __post_init__(self) -> None:
        require(self.budget >= 0, "thinking_budget.budget", "0 or more tokens", self.budget)
        require(bool(self.closing), "thinking_budget.closing", "the token that ends a thought", self.closing)

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """What follows the thought is graded; the thought counts among the tokens generated."""
        thoughts = think(
            model, prompts, budget=self.budget, max_new_tokens=max_new_tokens, closing=self.closing,
            batch_items=batch_items,
        )  # fmt: skip
        return [[Answered(t.answer, len(t.tokens), t.cut)] for t in thoughts]


@dataclass(frozen=True)
class Thought:
    """One answer: its tokens, thinking included; what follows the thought; whether the budget closed it."""

    tokens: list[int]
    answer: list[int]
    cut: bool

    @property
    def thought_tokens(self) -> int:
        """Tokens of thought, without the closing one."""
        return max(len(self.tokens) - len(self.answer) - 1, 0)


def think(
    model: Model,
    prompts: Sequence[Sequence[int]],
    *,
    budget: int,
    max_new_tokens: int,
    closing: str = CLOSING,
    batch_items: int = 128,
) -> list[Thought]:
    """Greedy answers of at most ``budget`` tokens of thought and ``max_new_tokens`` after it.

    A thought that ends by itself within the budget is left alone. Raises ``UsageError`` where ``closing`` is no single
    token of the tokenizer.
    """
    from forgetting.batching import without_end

    require(budget >= 0, "thinking budget", "0 or more tokens", budget)
    ids = model.tokenizer.encode(closing, add_special_tokens=False)
    if len(ids) != 1:
        raise UsageError(f"thinking budget: {closing!r} is no token of this tokenizer, so thinking cannot be closed")
    (close,) = ids
    first: list[list[int]] = [[] for _ in prompts]
    if budget:
        # One token more than the budget tells an answer that ended at the budget from one that would go on.
        first = model.generate([prompts], max_new_tokens=budget + 1, batch_items=batch_items)[0]
        first = without_end(first, model.ends)
    ended = [close not in answer[:budget] and 0 < len(answer) <= budget for answer in first]
    cut = [close not in answer[:budget] and not done for answer, done in zip(first, ended, strict=True)]
    head = [
        [*answer[:budget], close] if over else answer[: answer.index(close) + 1] if close in answer[:budget] else answer
        for answer, over in zip(first, cut, strict=True)
    ]
    going = [i for i, done in enumerate(ended) if not done]
    open_rows = [[*prompts[i], *head[i]] for i in going]
    rest = model.generate([open_rows], max_new_tokens=max_new_tokens, batch_items=batch_items)[0] if going else []
    tails = dict(zip(going, without_end(rest, model.ends), strict=True))
    whole = [[*tokens, *tails.get(i, [])] for i, tokens in enumerate(head)]
    ends = [tokens.index(close) + 1 if close in tokens else 0 for tokens in whole]
    return [Thought(tokens, tokens[end:], over) for tokens, end, over in zip(whole, ends, cut, strict=True)]
