"""What ways of answering share: going on from a beginning, an answer's parts, and the final answer that is voted on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from forgetting.contracts import Answered, Model, Sampling
from forgetting.errors import UsageError
from forgetting.natural.grading.boxes import last_box
from forgetting.natural.grading.numbers import strict
from forgetting.world.steps import read

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BETWEEN, FINAL = ";", "answer"  # words of the world: between steps, and before the final number


def go_on(
    model: Model,
    prompts: Sequence[Sequence[int]],
    heads: Sequence[Sequence[int]],
    *,
    limit: int,
    batch_items: int,
    sampling: Sampling | None = None,
) -> list[list[int]]:
    """Whole answers of at most ``limit`` tokens that begin with ``heads``, with the end token where the model ended."""
    written = [list(head[:limit]) for head in heads]
    going = [row for row, head in enumerate(written) if len(head) < limit]
    if going:
        rows = [[*prompts[row], *written[row]] for row in going]
        room = limit - min(len(written[row]) for row in going)
        more = model.generate([rows], max_new_tokens=room, batch_items=batch_items, sampling=sampling)[0]
        for row, own in zip(going, more, strict=True):
            written[row] = [*written[row], *own][:limit]
    return written


def answered(written: Sequence[int], ends: frozenset[int], generated: int | None = None) -> Answered:
    """An answer as it was written; ``generated`` counts all that was written for it, by default the answer alone."""
    ended = bool(written) and written[-1] in ends
    count = len(written) if generated is None else generated
    return Answered(list(written[:-1] if ended else written), count, not ended)


def world_words(model: Model, way: str) -> tuple[int, int]:
    """The tokens between steps and before the final number. ``UsageError`` where the model's text has no such words."""
    known = model.tokenizer.get_vocab()
    if BETWEEN in known and FINAL in known:
        return known[BETWEEN], known[FINAL]
    raise UsageError(f"{way}: takes a student of the embedded world, whose answers are steps with ';' between them")


def parts_of(tokens: Sequence[int], between: int) -> list[list[int]]:
    """An answer's parts, without the words between them; no part of nothing."""
    parts: list[list[int]] = [[]]
    for token in tokens:
        if token == between:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts if parts != [[]] else []


def joined(parts: Sequence[Sequence[int]], between: int) -> list[int]:
    """The inverse of ``parts_of``."""
    return [token for number, part in enumerate(parts) for token in ((between, *part) if number else part)]


def samples_of(
    model: Model, prompts: Sequence[Sequence[int]], count: int, sampling: Sampling, *, limit: int, batch_items: int
) -> list[list[list[int]]]:
    """``count`` drawn answers to each prompt, as written."""
    asked = [prompt for prompt in prompts for _ in range(count)]
    flat = model.generate([asked], max_new_tokens=limit, batch_items=batch_items, sampling=sampling)[0]
    return [flat[start : start + count] for start in range(0, len(flat), count)]


def words_of(written: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Answers as text, without special tokens."""
    from forgetting.batching import texts

    return texts(written, tokenizer)


def final_answer(text: str) -> str | None:
    """What an answer ends with: the world's final number, a box, the number where GSM8K wants it; None without any."""
    if (number := read(text)[1]) is not None:
        return str(number)
    if (box := last_box(text)[1]) is not None:
        return box.strip()
    found = strict(text)
    return None if found is None or found.beyond else str(found.value)


def winner(answers: Sequence[str]) -> tuple[int, int]:
    """The first of the answers with the commonest end, and how often that is; what ends with none counts as its text.

    An answer that ends with none only wins where none has an end.
    """
    ends = [final_answer(text) for text in answers]
    votes = Counter(end for end in ends if end is not None)
    if not votes:
        texts = Counter(answers)
        best = max(texts.values())
        return next(place for place, text in enumerate(answers) if texts[text] == best), best
    best = max(votes.values())
    return next(place for place, end in enumerate(ends) if end is not None and votes[end] == best), best
