"""Boxes of LaTeX: where the last one of a text is, and what it holds."""

from __future__ import annotations

import re

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])[ \t\n]{0,9}(?:\\bgroup\b)?")


def last_box(text: str) -> tuple[int, str | None]:
    r"""The place and the content of the last box (``\boxed{18}``, ``\boxed {18}``, ``\boxed 18``); -1 and None.

    An unclosed box reaches to the end of the text.
    """
    found = list(_BOX.finditer(text))
    if not found:
        return -1, None
    last = found[-1]
    start = last.end()
    if text[start : start + 1] != "{":
        return last.start(), _token(text, start)
    depth = 0
    for end in range(start, len(text)):
        if text[end] in "{}" and text[end - 1] != "\\":
            depth += 1 if text[end] == "{" else -1
            if depth == 0:
                return last.start(), text[start + 1 : end]
    return last.start(), text[start + 1 :]


def _token(text: str, start: int) -> str:
    """What a command without braces takes: a number that stands there, else one character, as TeX does."""
    found = re.compile(r"-?\d[\d,]*(?:\.\d+)?").match(text, start)
    return found[0] if found else text[start : start + 1]
