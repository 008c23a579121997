"""What a program printed or gave back against what is expected, in this process, as text and exact builtin types.

Strictly by default; leniently as LiveCodeBench's own runner compares (arXiv 2403.07974, ``testing_util.py``).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from forgetting.sandbox import codec


def same_text(printed: str, expected: str, *, lenient: bool) -> bool:
    """Line for line without the blanks at their ends; leniently without those at their beginnings, numbers by value."""
    if not lenient:
        return _lines(printed) == _lines(expected)
    mine, wanted = printed.strip().split("\n"), expected.strip().split("\n")
    return len(mine) == len(wanted) and all(map(_same_line, mine, wanted))


def same_value(value: Any, expected: Any, *, lenient: bool) -> bool:
    """As ``codec.same``; leniently as Python's ``==`` says, after a tuple has become a list."""
    if not lenient:
        return codec.same(value, expected)
    return bool((list(value) if isinstance(value, tuple) else value) == expected)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _same_line(mine: str, wanted: str) -> bool:
    if mine.strip() == wanted.strip():
        return True
    try:
        return list(map(Decimal, mine.split())) == list(map(Decimal, wanted.split()))
    except InvalidOperation:
        return False
