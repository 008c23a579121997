"""What a script printed against what is expected, as texts: strictly by default, or as LiveCodeBench's own runner does.

Its rules are those of ``testing_util.py`` (arXiv 2403.07974).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def same_text(printed: str, expected: str, *, lenient: bool) -> bool:
    """Line for line without the blanks at their ends; leniently without those at their beginnings, numbers by value."""
    if not lenient:
        return _lines(printed) == _lines(expected)
    mine, wanted = printed.strip().split("\n"), expected.strip().split("\n")
    return len(mine) == len(wanted) and all(map(_same_line, mine, wanted))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _same_line(mine: str, wanted: str) -> bool:
    if mine.strip() == wanted.strip():
        return True
    try:
        return list(map(Decimal, mine.split())) == list(map(Decimal, wanted.split()))
    except InvalidOperation:
        return False
