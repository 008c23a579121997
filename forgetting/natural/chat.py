"""A tokenizer's chat template: dialogues in; their text, rendered once as a whole, and which of it is learned, out.

What is learned of an assistant's turn is all that the model has to write there: from where the template leaves off when
it asks for an answer, to the token with which the template ends the turn. Both are found in the rendered text itself.
An answer that was cut at a limit has no such end: of it all that was written is learned, and the text ends there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from forgetting.contracts import Item, Sample
from forgetting.errors import UsageError
from forgetting.record.bounded_work import memory_limit, time_limit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Turns = Sequence[tuple[str, str]]
Span = tuple[int, int]

MARK = "\ue000{}\ue001"  # stands in for a turn's content; of characters that no language has
MARKS = re.compile("\ue000[0-9]+\ue001")
TEMPLATE_SECONDS = 5.0  # of one dialogue
MOST_TEXT = 16 * 2**20  # characters of one dialogue


@dataclass(frozen=True)
class Rendering:
    """A text, the spans of it that are learned, and whether the last of them needs no further end token."""

    text: str
    learned: tuple[Span, ...]
    ended: bool
    said: int = 0  # where the content of the last learned turn ends


def rendered(turns: Turns, tokenizer: PreTrainedTokenizerFast, *, answering: bool) -> str:
    """Turns in the tokenizer's chat template; ``answering``: with the head of an assistant turn at the end.

    Raises ``UsageError`` with the template's own words where it refuses the dialogue or fails, or takes too much time
    or memory, or writes too much.
    """
    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        with memory_limit("chat template"), time_limit(TEMPLATE_SECONDS, "chat template"):
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answering)
    except UsageError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(f"the chat template refuses the dialogue: {said}") from error
    assert isinstance(text, str)
    if len(text) > MOST_TEXT:
        raise UsageError(f"chat template: writes more than {MOST_TEXT / 2**20:.0f} million characters for one dialogue")
    return text


def turns_of(sample: Sample | Item) -> tuple[tuple[str, str], ...]:
    """A sample as a dialogue: its own turns, else the prompt as the user's and the answer as the assistant's.

    The space that parts an answer from its prompt in plain text has no place in a turn.
    """
    if isinstance(sample, Sample) and sample.turns:
        return sample.turns
    answer = sample.answer
    spaced = answer[:1] == " " and not answer[1:2].isspace()
    return ("user", sample.prompt), ("assistant", answer[1:] if spaced else answer)


def asked(sample: Sample | Item, tokenizer: PreTrainedTokenizerFast) -> str:
    """All that stands before the last turn of a sample, with the head of the assistant's turn."""
    with _named(sample):
        return rendered(turns_of(sample)[:-1], tokenizer, answering=True)


def dialogue(sample: Sample | Item, tokenizer: PreTrainedTokenizerFast) -> Rendering:
    """A sample in the chat template, rendered once as a whole. ``UsageError`` names the sample's row, if it has one."""
    turns, learned = turns_of(sample), learned_turns(sample)
    with _named(sample):
        rendering = _rendering(turns, learned, tokenizer)
    cut = isinstance(sample, Sample) and not sample.ended
    return _cut(rendering) if cut and learned[-1:] == [len(turns) - 1] else rendering


def learned_turns(sample: Sample | Item) -> list[int]:
    """The places of the turns that are learned: the assistant's that say something, given ones and context left out."""
    given, context = (sample.given_turns, sample.context_turns) if isinstance(sample, Sample) else (0, ())
    return [
        place
        for place, (role, content) in enumerate(turns_of(sample))
        if role == "assistant" and content.strip() and place >= max(given, 1) and place not in context
    ]


def check_template(samples: Sequence[Sample], tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Dialogues of which several turns are to be learned are written by a chat template, which must then be there."""
    if not tokenizer.chat_template and any(len(learned_turns(s)) > 1 for s in samples):
        raise UsageError(
            f"checkpoint: the tokenizer of {name!r} has no chat template, and dialogues need one; give the student "
            "chat_template (a file), or the dialogue source the setting turns: last"
        )


class _named:  # noqa: N801 (a context manager, used as one)
    """Errors inside get the origin of the sample before them."""

    def __init__(self, sample: Sample | Item) -> None:
        self.origin = sample.origin if isinstance(sample, Sample) else f"item {sample.id}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, *_: object) -> None:
        if isinstance(error, UsageError) and self.origin:
            raise UsageError(f"{self.origin}: {error}") from error


def _rendering(turns: Turns, learned: Sequence[int], tokenizer: PreTrainedTokenizerFast) -> Rendering:
    text = rendered(turns, tokenizer, answering=False)
    marked_turns = [(r, MARK.format(i) if i in learned else c) for i, (r, c) in enumerate(turns)]
    marked = rendered(marked_turns, tokenizer, answering=False) if learned else text
    pieces = MARKS.split(marked)
    wanted = [MARK.format(place) for place in learned]
    if MARKS.search(text) or MARKS.findall(marked) != wanted:
        raise UsageError("the chat template does not write every assistant's turn once and in order")
    ends, closing = end_pattern(tokenizer), _closing(tokenizer)
    spans, position, ended = list[Span](), 0, False
    for number, place in enumerate(learned):
        begin = position + _common(text[position:], pieces[number])
        end = _content_end(text, begin, turns[place][1], pieces[number + 1], last=number + 1 == len(learned))
        before = rendered(turns[:place], tokenizer, answering=True)
        start = len(before) if text.startswith(before) and len(before) >= position else begin
        tail = pieces[number + 1]
        last = place + 1 == len(turns)
        close = tail if last else tail[: _common(tail, closing)]
        found = ends.search(close)
        stop = end + (found.end() if found else len(close.rstrip()))
        spans.append((start, stop))
        ended, position = bool(found), end
    return Rendering(text, tuple(spans), ended or not spans, position)


def _cut(whole: Rendering) -> Rendering:
    """A rendering up to where its last answer, which has no end, was cut."""
    *before, (start, _) = whole.learned
    return Rendering(whole.text[: whole.said], (*before, (start, whole.said)), ended=True, said=whole.said)


def _content_end(text: str, begin: int, content: str, after: str, *, last: bool) -> int:
    """Where a turn's content ends: before what the template writes after it."""
    if last:
        if not text.endswith(after):
            raise UsageError("the chat template writes the end of a dialogue in a way that depends on what is said")
        return len(text) - len(after)
    for written in (content, content.strip()):
        if text.startswith(written + after, begin):
            return begin + len(written)
    end = text.find(after, begin) if after else -1
    if end < 0:
        raise UsageError("the chat template writes a turn in a way that depends on what is said in it")
    return end


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def end_pattern(tokenizer: PreTrainedTokenizerFast) -> re.Pattern[str]:
    """Matches the tokens that can end a turn: those added to the vocabulary, but for blanks and the beginning token."""
    own = [str(token) for token in tokenizer.added_tokens_decoder.values()] + list(tokenizer.all_special_tokens)
    first = tokenizer.bos_token if tokenizer.bos_token != tokenizer.eos_token else None
    return _any_of(tuple(dict.fromkeys(t for t in own if t.strip() and t != first)))


@lru_cache(maxsize=16)
def _any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(w) for w in sorted(words, key=len, reverse=True)) or "(?!)")


def _closing(tokenizer: PreTrainedTokenizerFast) -> str:
    """What the template writes after an assistant's turn that is the last one."""
    text = rendered([("user", "Yes?"), ("assistant", MARK.format(0))], tokenizer, answering=False)
    return MARKS.split(text)[-1] if MARKS.search(text) else ""


def turn_end(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The token with which the chat template ends an assistant's turn; None where it writes none or there is none."""
    if not tokenizer.chat_template:
        return None
    try:
        found = end_pattern(tokenizer).search(_closing(tokenizer))
    except UsageError:  # a template that wants more than one question and its answer is heard when it is used
        return None
    number = tokenizer.convert_tokens_to_ids(found[0]) if found else None
    return number if isinstance(number, int) else None
