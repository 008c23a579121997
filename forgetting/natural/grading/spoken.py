"""What of a model's text is its answer: not the thought before it, nor what a base model that runs on asks itself next.

All in one pass over the text, and without a word about what the answer is.
"""

from __future__ import annotations

import re

_END = re.compile(r"<\|(?:endoftext|end_of_text|im_end|im_start|eot_id|eom_id|end|user|return)\|>|<end_of_turn>|</s>")
# The head of another question, at the beginning of a line. lm-eval stops at the first kind; the other one may also
# restate the question that was asked, so that it counts only after an answer in the place that is asked for.
_NEXT = re.compile(
    r"^[ \t>*_#]*(?:(?P<always>(?:Question|Q)(?: ?\d+)?[*_]*:)"
    r"|(?:Problem|Exercise|Human|User|Instruction)(?: ?\d+)?[*_]*:|Please reason step by step)",
    re.MULTILINE,
)
_DIGIT, _PLACE = re.compile(r"\d"), re.compile(r"\\f?box(?:ed)?\b|####[^\n\d]{0,40}\d")


def spoken(text: str) -> str:
    """The text with one kind of line end, after the last closed thought and before a token that ends a turn.

    The whole of it where nothing is left.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for shorter in (text.rpartition("</think>")[2], _END.split(text.rpartition("</think>")[2], maxsplit=1)[0]):
        if shorter.strip():
            text = shorter
    return text


def first_answer(text: str) -> str:
    """The text up to the next question that a model which runs on asks itself, where it had answered before."""
    text = spoken(text)
    digit, place = _DIGIT.search(text), _PLACE.search(text)
    for found in _NEXT.finditer(text):
        answered = digit if found["always"] else place
        if answered and answered.end() <= found.start():
            return text[: found.start()]
    return text
