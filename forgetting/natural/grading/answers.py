r"""Whether two final answers in LaTeX are the same, where ``math-verify`` would say so wrongly, or not say so wrongly.

Decided here: sets against ordered tuples, numbers with a base, intervals against inequalities, arithmetic of whole
numbers of any size. Everything else is left to ``math-verify``, which is handed in as ``other``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass

from forgetting.natural.grading import exact

Same = Callable[[str, str], bool]
MOST_CHARACTERS = 2_000  # of an answer that is more than one number; a longer one is no final answer


class Match(enum.Enum):
    """How an answer stands to the gold one."""

    same = "the same"
    form = "the same in another form than was asked for"
    other = "another one"


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``; the brackets say which ends are in it."""

    left: str
    low: str
    high: str
    right: str


_NOTHING = re.compile(r"\\(?:left|right|displaystyle|big|Big|bigl|bigr|,|!|;|:| )(?![A-Za-z])|\$|~")
_BLANKS = re.compile(r"(\\[A-Za-z]+)?\s+(?=([A-Za-z])?)")  # after a command one that is needed
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_GROUPED = re.compile(r"\d{1,3}(?:(?:,|\{,\})\d{3})+")
_RELATIONS = {"\\leqslant": "\\le", "\\geqslant": "\\ge", "\\leq": "\\le", "\\geq": "\\ge", "\u2264": "\\le",
              "\u2265": "\\ge", "\\lt": "<", "\\gt": ">", "&lt;": "<", "&gt;": ">", "\u221e": "\\infty",
              "\\infin": "\\infty"}  # fmt: skip
_RELATION = re.compile(r"\\(?:leqslant|geqslant|leq|geq|lt|gt|infin)(?![A-Za-z])|[\u2264\u2265\u221e]|&[lg]t;")
_ORDER = re.compile(r"(\\le(?![A-Za-z])|\\ge(?![A-Za-z])|<|>)")
_VARIABLE = re.compile(r"[A-Za-z]|\\(?:theta|alpha|beta|lambda|mu|phi|omega)")
_MEMBER = re.compile(rf"(?:{_VARIABLE.pattern})(?:\\in(?![A-Za-z])|=)")
_UNION = re.compile(r"\\(?:text|mathrm|mbox)\{or\}|\\cup(?![A-Za-z])|\\lor(?![A-Za-z])|\\vee(?![A-Za-z])|or")
_BASED = re.compile(r"([0-9A-Za-z]+)_(?:\{?(?:\\text\{)?(\d+)\}{0,2}|\{?(?:\\text\{)?(two|eight|ten|sixteen)\}{0,2})")
_NAMED = {"two": "2", "eight": "8", "ten": "10", "sixteen": "16"}
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def match(gold: str, answer: str, other: Same) -> Match:
    """How an answer stands to the gold one. Linear in their lengths, but for what ``other`` takes of short ones."""
    mine, wanted = plain(answer), plain(gold)
    if mine == wanted:
        return Match.same
    if not mine or (len(mine) > MOST_CHARACTERS and not mine.isdigit()):
        return Match.other
    if (based := _based(wanted, mine)) is not None:
        return based
    if (equal := exact.equal(wanted, mine)) is not None:
        return Match.same if equal else Match.other
    if len(mine) > MOST_CHARACTERS:
        return Match.other
    if (within := _intervals(wanted, mine, other)) is not None:
        return Match.same if within else Match.other
    theirs, own = _bracket(wanted), _bracket(mine)
    if {theirs, own} == {"{", "("} or (theirs, own) == ("", "("):
        return Match.other
    if (theirs, own) == ("(", "") and len(_parts(mine)) > 1:
        answer = f"({answer})"  # the same tuple without its brackets: its order counts
    return Match.same if other(gold, answer) else Match.other


def plain(text: str) -> str:
    """The text without blanks and LaTeX's layout, with one way to write fractions, relations and large numbers."""
    text = _RELATION.sub(lambda found: _RELATIONS[found[0]], _FRACTION.sub(r"\\frac", text))
    text = _BLANKS.sub(lambda found: (found[1] + " " * bool(found[2])) if found[1] else "", _NOTHING.sub("", text))
    text = text.rstrip(".")
    text = text[1:-1] if _encloses(text) and text[0] == "{" else text
    return text.replace(",", "").replace("{}", "") if _GROUPED.fullmatch(text) else text


def _based(gold: str, answer: str) -> Match | None:
    """Numbers with a base as a subscript: digits and base have to be the same; a base that is missing is a form."""
    theirs, own = _BASED.fullmatch(gold), _BASED.fullmatch(answer)
    if theirs is None and own is None:
        return None
    digits, base = _digits(theirs, gold)
    mine, given = _digits(own, answer)
    if mine != digits:
        return Match.other
    return Match.same if base == given else Match.form if None in (base, given) else Match.other


def _digits(found: re.Match[str] | None, text: str) -> tuple[str, str | None]:
    if found is None:
        return text.lstrip("0").upper(), None
    return found[1].lstrip("0").upper(), found[2] or _NAMED[found[3]]


def _intervals(gold: str, answer: str, other: Same) -> bool | None:
    """Whether two unions of intervals are the same; None unless one of them is written as inequalities."""
    if not (_ORDER.search(gold) or _ORDER.search(answer)):
        return None
    theirs, own = _union(gold), _union(answer)
    if theirs is None or own is None:
        return None
    left = list(own)
    for wanted in theirs:
        found = next((i for i in left if _same_interval(wanted, i, other)), None)
        if found is None:
            return False
        left.remove(found)
    return not left


def _same_interval(one: Interval, two: Interval, other: Same) -> bool:
    if (one.left, one.right) != (two.left, two.right):
        return False
    return all(_same_end(mine, yours, other) for mine, yours in ((one.low, two.low), (one.high, two.high)))


def _same_end(one: str, two: str, other: Same) -> bool:
    if one == two or "\\infty" in one + two:
        return one == two
    found = exact.equal(one, two)
    return other(one, two) if found is None else found


def _union(text: str) -> list[Interval] | None:
    pieces = _UNION.split(text)
    if len(pieces) == 1 and _ORDER.search(text) and len(parts := _parts(text)) > 1:
        pieces = parts
    found = [_interval(piece) for piece in pieces]
    return None if None in found else [interval for interval in found if interval]


def _interval(text: str) -> Interval | None:
    r"""The interval that ``[-2,7)``, ``x\in[-2,7)``, ``-2\le x<7``, ``x<7`` or ``7>x`` stands for."""
    text = _MEMBER.sub("", text, count=1) if _MEMBER.match(text) else text
    if text[:1] in ("(", "[") and text[-1:] in (")", "]"):
        ends = _parts(text[1:-1])
        if len(ends) != 2:
            return None
        return Interval(text[0], ends[0], ends[1].removeprefix("+"), text[-1])
    low, high, left, right = "-\\infty", "\\infty", "(", ")"
    terms = [term.strip() for term in _ORDER.split(text)]
    if len(terms) == 3:
        first, order, second = terms
        if _VARIABLE.fullmatch(second):
            first, order, second = second, _turned(order), first
        if not _VARIABLE.fullmatch(first) or not second:
            return None
        if order in ("<", "\\le"):
            high, right = second, "]" if order == "\\le" else ")"
        else:
            low, left = second, "[" if order == "\\ge" else "("
        return Interval(left, low, high, right)
    if len(terms) != 5 or not _VARIABLE.fullmatch(terms[2]):
        return None
    below, one, _, two, above = terms
    if (one in ("<", "\\le")) != (two in ("<", "\\le")) or not below or not above:
        return None
    if one in (">", "\\ge"):
        below, one, two, above = above, _turned(two), _turned(one), below
    return Interval("[" if one == "\\le" else "(", below, above.removeprefix("+"), "]" if two == "\\le" else ")")


def _turned(order: str) -> str:
    return {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}[order]


def _bracket(text: str) -> str:
    """The bracket around the whole of a list: ``{`` of a set, ``(`` of a tuple; empty where there is none."""
    text = _MEMBER.sub("", text, count=1) if _MEMBER.match(text) else text
    if text.startswith("\\{") and text.endswith("\\}"):
        inside = text[2:-2]
        return "{" if "\\}" not in inside else ""
    return "(" if text[:1] == "(" and _encloses(text) and len(_parts(text[1:-1])) > 1 else ""


def _encloses(text: str) -> bool:
    """Whether the bracket that opens the text is closed by its end."""
    if len(text) < 2 or _PAIRS.get(text[0]) != text[-1]:
        return False
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return place == len(text) - 1
    return False


def _parts(text: str) -> list[str]:
    """The text at its commas outside brackets."""
    found, depth, start = list[str](), 0, 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            found.append(text[start:place])
            start = place + 1
    return [*found, text[start:]]
