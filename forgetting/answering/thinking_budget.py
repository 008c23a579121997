"""Answers under a thinking budget: at the budget the thought is closed, and the student answers.

Of a checkpoint with the end-of-thinking token, Qwen's recipe, in two passes of greedy decoding (the Qwen3 technical
report, arXiv 2505.09388, section 4.3). Of a student of the embedded world the steps are the thoughts: at the budget
``; answer`` stands for whatever it would write, and a thought that ends before is gone on with, from its last result
(budget forcing, arXiv 2501.19393, where a word stands for that). One that has no step has no result to go on from: it
may be opened with a number in place of what the student would write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal

from forgetting.answering._edited import written as edited
from forgetting.answering._shared import answered, go_on, joined, parts_of, words_of, world_words
from forgetting.contracts import Answered, Answering, Model
from forgetting.errors import UsageError, require, unknown
from forgetting.world.steps import read
from forgetting.world.vocabulary import NUMBERS

if TYPE_CHECKING:
    from torch import Tensor

STEP_TOKENS = 6  # of a step and what ends it: 12 + 5 = 17 ;
CLOSING = "</think>"
OPENINGS = ("", "likeliest", "first")


@dataclass(frozen=True)
class ThinkingBudget(Answering):
    """Greedy answers after at most ``budget`` tokens of thought, or after just so many steps.

    Args:
        budget: how much thought, 0 or more
        unit: ``tokens``, of a checkpoint whose template lets it think; ``steps``, of a student of the embedded world
        filler: for steps, a control: as many words that say nothing in their place, to tell thoughts from time
        closing: for tokens, the one that ends a thought
        opened: for steps, with which number every thought begins, that of a student that would not think too: the
            ``likeliest`` one, or the ``first`` of the prompt, if it has any, which is a copy less to make; "": with
            what it will
    """

    budget: int = 256
    unit: Literal["tokens", "steps"] = "tokens"
    filler: bool = False
    closing: str = CLOSING
    opened: Literal["", "likeliest", "first"] = ""

    def __post_init__(self) -> None:
        require(self.budget >= 0, "thinking_budget.budget", "0 or more", self.budget)
        steps = self.unit == "steps"
        require(steps or not self.filler, "thinking_budget.filler", "false unless the unit is steps", True)
        if self.opened not in OPENINGS:
            raise unknown("thinking_budget.opened", self.opened, OPENINGS[1:])
        opens = steps and not self.filler and self.budget > 0
        rule = "empty where the unit is tokens, the budget 0, or filler true"
        require(opens or not self.opened, "thinking_budget.opened", rule, self.opened)
        require(bool(self.closing), "thinking_budget.closing", "the token that ends a thought", self.closing)

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """What follows a thought in tokens is graded; the whole answer where steps are the thoughts, as always."""
        if self.unit == "steps":
            written = self._in_steps(model, prompts, max_new_tokens, batch_items)
            return [[answered(own, model.ends)] for own in written]
        thoughts = think(
            model, prompts, budget=self.budget, max_new_tokens=max_new_tokens, closing=self.closing,
            batch_items=batch_items,
        )  # fmt: skip
        return [[Answered(t.answer, len(t.tokens), t.cut)] for t in thoughts]

    def _in_steps(
        self, model: Model, prompts: Sequence[Sequence[int]], limit: int, batch_items: int
    ) -> list[list[int]]:
        between, final = world_words(model, "thinking_budget")
        most = max(limit - 2, 0)  # the final word and the number fit behind
        if self.filler:
            heads = [[between] * min(STEP_TOKENS * self.budget, most) + [final] for _ in prompts]
            return go_on(model, prompts, heads, limit=limit, batch_items=batch_items)
        heads = self._openings(model, prompts, batch_items)
        going, written = list(range(len(prompts))), heads[:]
        while going:
            again = go_on(
                model, [prompts[row] for row in going], [heads[row] for row in going],
                limit=limit, batch_items=batch_items,
            )  # fmt: skip
            still = []
            for row, own in zip(going, again, strict=True):
                if heads[row][-1:] == [final]:
                    written[row] = own
                    continue
                heads[row] = self._next(own[:-1] if own[-1] in model.ends else own, between, final, most, model)
                still.append(row)
            going = still
        return written

    def _openings(self, model: Model, prompts: Sequence[Sequence[int]], batch_items: int) -> list[list[int]]:
        """How thoughts begin: with a number, where they are opened; the likeliest is a thinking student's own."""
        if not self.opened:
            return [[] for _ in prompts]
        numbers = [model.tokenizer.get_vocab()[word] for word in NUMBERS]
        if self.opened == "first":
            return [[token for token in prompt if token in numbers][:1] for prompt in prompts]

        def edit(logits_BV: Tensor, _: Sequence[Sequence[int]]) -> Tensor:
            edited_BV = logits_BV.new_full(logits_BV.shape, -inf)
            edited_BV[:, numbers] = logits_BV[:, numbers]
            return edited_BV

        found = edited(model, prompts, edit, max_new_tokens=1, batch_items=batch_items)
        return [one.tokens for (one,) in found]

    def _next(self, own: list[int], between: int, final: int, most: int, model: Model) -> list[int]:
        """The beginning from which a thought goes on: closed at the budget, or opened again with its last result."""
        parts = parts_of(own, between)
        steps = parts[: next((place for place, part in enumerate(parts) if part[:1] == [final]), len(parts))]
        head = joined(steps[: self.budget], between)
        if len(steps) < self.budget:
            results = [
                found[0][3] for text in words_of(steps, model.tokenizer) if (found := read(text)[0]) and found[0]
            ]
            again = (
                [*head, between, *model.tokenizer.encode(str(results[-1]), add_special_tokens=False)] if results else []
            )
            if again and len(again) < most:
                return again
        head = head[: most - 1] if head else []
        return [*head, between, final] if head else [final]


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
