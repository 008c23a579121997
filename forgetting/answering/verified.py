"""Every step is checked as soon as it stands, exactly; one that does not hold is drawn anew.

The check (``world/coherence.py``) knows neither the prompt nor the gold answer: it finds false equations, broken chains
and parts that are no step, and not a true step that is the wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forgetting.answering._shared import answered, go_on, joined, parts_of, words_of, world_words
from forgetting.contracts import Answered, Answering, Model, Sampling
from forgetting.errors import require
from forgetting.world.coherence import faults

LONGEST = 6  # tokens of a step and what ends it: 12 + 5 = 17 ;


@dataclass(frozen=True)
class Verified(Answering):
    """Greedy answers whose faulty parts are drawn anew, up to ``attempts`` times; then the greedy one stands.

    What is dropped counts among the tokens generated. For word problems of the embedded world.

    Args:
        attempts: draws of a part that does not hold, at most
        temperature: divides the logits of the draws
        top_p: draws come from the likeliest words that together have this probability
        seed: of the draws
    """

    attempts: int = 4
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        Sampling(self.temperature, self.top_p, self.seed)  # checks them
        require(self.attempts >= 1, "verified.attempts", "1 or more", self.attempts)

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """One answer to each prompt."""
        between, _ = world_words(model, "verified")
        written = go_on(model, prompts, [[] for _ in prompts], limit=max_new_tokens, batch_items=batch_items)
        rows = [_Row(model, between, own) for own in written]
        step = 0
        while going := [number for number, row in enumerate(rows) if row.seek(self.attempts)]:
            step += 1
            how = Sampling(self.temperature, self.top_p, self.seed, step)
            asked = [[*prompts[number], *rows[number].head()] for number in going]
            drawn = model.generate([asked], max_new_tokens=LONGEST, batch_items=batch_items, sampling=how)[0]
            held = [n for n, own in zip(going, drawn, strict=True) if rows[n].offer(own, max_new_tokens)]
            heads = [rows[number].tokens for number in held]
            open_ones = [(n, head) for n, head in zip(held, heads, strict=True) if head[-1] not in model.ends]
            again = go_on(
                model, [prompts[number] for number, _ in open_ones], [head for _, head in open_ones],
                limit=max_new_tokens, batch_items=batch_items,
            )  # fmt: skip
            for (number, _), own in zip(open_ones, again, strict=True):
                rows[number].tokens = own
        return [[answered(row.tokens, model.ends, len(row.tokens) + row.dropped)] for row in rows]


class _Row:
    """An answer under way: its tokens, the part that is looked at, its draws so far, and the tokens dropped."""

    def __init__(self, model: Model, between: int, tokens: list[int]) -> None:
        self.model, self.between, self.tokens = model, between, tokens
        self.place = self.tries = self.dropped = 0

    def seek(self, attempts: int) -> bool:
        """Move to the first part that does not hold and may still be drawn anew; whether there is one."""
        found = self._faults(self._own())
        while self.place < len(found) and (not found[self.place] or self.tries >= attempts):
            self.place, self.tries = self.place + 1, 0
        return self.place < len(found)

    def head(self) -> list[int]:
        """What stands before the part that is looked at."""
        before = joined(parts_of(self._own(), self.between)[: self.place], self.between)
        return [*before, self.between] if self.place else before

    def offer(self, drawn: Sequence[int], limit: int) -> bool:
        """Take a drawn part in the place of that which does not hold, if it holds itself; whether it does."""
        self.tries += 1
        part = list(drawn[: drawn.index(self.between) + 1] if self.between in drawn else drawn)
        head, ended = self.head(), part[-1] in self.model.ends
        own = part[:-1]
        whole = [*head, *own]
        found = self._faults(whole)
        last = len(found) == self.place + 1  # the end itself, and not a step before one
        closed = ended if last else part[-1] == self.between
        if len(head) + len(part) > limit or not closed or found[self.place]:
            self.dropped += len(part)
            return False
        parts = parts_of(self._own(), self.between)
        self.dropped += 1 + (len(parts[self.place]) if self.place < len(parts) else 0)
        self.tokens, self.place, self.tries = [*head, *part], self.place + 1, 0
        return True

    def _own(self) -> list[int]:
        """The answer without its end token."""
        return self.tokens[:-1] if self.tokens and self.tokens[-1] in self.model.ends else self.tokens

    def _faults(self, tokens: Sequence[int]) -> list[str]:
        return faults(words_of([tokens], self.model.tokenizer)[0])
