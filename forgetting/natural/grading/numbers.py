r"""The number that a worked answer ends with: strictly, where the format asks for it, or leniently, the last one.

Strict: after a ``####`` or in the last ``\boxed{}`` stands a number and nothing else; of several ``####`` the first
one counts, since a base model runs on into the next question. Lenient: a number with words around it in that place, the
result of a calculation there, else the last number anywhere. Thousands separators (LaTeX's too), a currency sign,
trailing zeros, a final period, fractions, mixed numbers and a per cent sign are read in both; words after the number
only leniently. Values are exact; ``75%`` equals 75 and 3/4.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from forgetting.natural.grading.boxes import last_box
from forgetting.natural.grading.spoken import first_answer

VERSION = 2
MOST_DIGITS = 4_000  # Python converts 4,300 at most; a number beyond equals none
_SPACE = r"(?:\\[,!;: ]|\{\\?[,!;: ]\}|~|[\u2009\u202f\u00a0])"
_GROUPS = re.compile(rf"(?<=\d)(?:,?{_SPACE}+|\{{,\}})(?=\d{{3}}(?!\d))")
_DELIMITERS = re.compile(rf"\\[()\[\]]|\\left\b|\\right\b|\\displaystyle\b|\^\s?\{{?\\circ\}}?|\\degree\b|{_SPACE}")
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|mbox|bm|boldsymbol|emph)\s?(?=\{)")
_CURRENCY = {"\\$": "$", "\\pounds": "£", "\\euro": "€", "\\yen": "¥"}
_PART = r"(?:\{\s?(-?\d[\d,]*(?:\.\d+)?)\s?\}|(\d))"
_FRACTION = re.compile(rf"\\[dtc]?frac\s?{_PART}\s?{_PART}")
_NUMBER = re.compile(
    r"(?<![\w.])([-+\u2212]?\s?[$€£¥]?\s?[-\u2212]?)"
    r"((?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+)?)"
    r"(?:\s(?:and\s)?(\d+)\s?/\s?(\d+)(?![\d/])|\s?/\s?(\d[\d,]*(?:\.\d+)?))?\s?(\\?%)?"
)
_NOISE = str.maketrans({"*": " ", "`": " ", "{": " ", "}": " "})
_VULGAR = re.compile("[\u00bc-\u00be\u2150-\u215e]")
_MARK = re.compile(r"#{4,}")
_CALCULATION = re.compile(r"\d\s*(?:[+*\u00d7\u00b7]|\\times|\\cdot|\s[-\u2212x]\s)\s*[$(]?\d")
_HEADING = re.compile(
    r"\W*(?:(?:step|part|case|stage|phase|section|method|option|approach|round|note|example|question|problem)\b"
    r"|[1-9][.):]\s+[^\W\d])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Number:
    """An exact value; ``per_cent``: a per cent sign followed it; ``beyond``: it has too many digits to be one."""

    value: Fraction
    per_cent: bool = False
    beyond: bool = False

    def equals(self, other: Number) -> bool:
        """Equal in value; a per cent counts as itself or as its hundredth. What has too many digits equals nothing."""
        if self.beyond or other.beyond:
            return False
        mine = {self.value, self.value / 100} if self.per_cent else {self.value}
        return not mine.isdisjoint({other.value, other.value / 100} if other.per_cent else {other.value})


def strict(text: str) -> Number | None:
    """The number in the place where the format wants it, or None."""
    return _strict(first_answer(text))


def lenient(text: str) -> Number | None:
    """The number in the right place with words around it, else the last number of the text, or None."""
    text = first_answer(text)
    if (found := _strict(text)) is not None:
        return found
    for place in _places(text):
        if not _HEADING.match(place) and not _unfinished(place) and (number := _result(place)) is not None:
            return number
    return next(_all(text, last=True), None)


def _unfinished(place: str) -> bool:
    """Whether a place holds a calculation without its result."""
    return "=" not in place and bool(_CALCULATION.search(place))


def _strict(text: str) -> Number | None:
    return next((number for place in _places(text) if (number := _alone(place)) is not None), None)


def _places(text: str) -> Iterator[str]:
    """Where an answer may stand: the last box if nothing asked for comes after it, what follows each mark, the box."""
    place, box = last_box(text)
    marks = list(_MARK.finditer(text))
    later = box is not None and (not marks or place > marks[-1].start())
    if later and box is not None:
        yield box
    for mark, end in zip(marks, [*(m.start() for m in marks[1:]), len(text)], strict=False):
        yield text[mark.end() : end].strip().partition("\n")[0]
    if box is not None and not later:
        yield box


def _plain(text: str) -> str:
    """The text with LaTeX's and Unicode's ways to write a number as plain ones."""
    text = _GROUPS.sub(",", text)
    for command, sign in _CURRENCY.items():
        text = text.replace(command, sign)
    text = _FRACTION.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]} ", _WRAPPER.sub(" ", _DELIMITERS.sub(" ", text)))
    if not text.isascii():
        text = _VULGAR.sub(lambda m: f" {Fraction(unicodedata.numeric(m[0])).limit_denominator(10)} ", text)
    return re.sub(" {2,}", " ", text.translate(_NOISE))


def _alone(text: str) -> Number | None:
    clean = _plain(text).strip(" \t\n#_\"'").rstrip(".").strip().strip("$").strip()
    match = _NUMBER.fullmatch(clean)
    return _number(match) if match else None


def _result(place: str) -> Number | None:
    """The number of a place with words: after the last equals sign where there is one, else the first one."""
    return next(_all(place.rpartition("=")[2]), None) or next(_all(place), None)


def _all(text: str, *, last: bool = False) -> Iterator[Number]:
    """The numbers of a text in order; ``last``: from the end."""
    found = list(_NUMBER.finditer(_plain(text)))
    return (number for match in (reversed(found) if last else found) if (number := _number(match)) is not None)


def _number(match: re.Match[str]) -> Number | None:
    sign, digits, above, below, divisor, per_cent = match.groups()
    if not digits or sign.replace("\u2212", "-").count("-") > 1:
        return None
    parts = [_value(text or "0") for text in (digits, above, below or "1", divisor or "1")]
    if any(part is None for part in parts):
        return Number(Fraction(0), beyond=True)
    whole, over, under, by = (part or Fraction(0) for part in parts)
    if not under or not by:
        return None
    value = (whole + over / under) / by
    return Number(-value if "-" in sign.replace("\u2212", "-") else value, bool(per_cent))


def _value(digits: str) -> Fraction | None:
    """The value of digits with at most a sign before them, or None where they are too many."""
    whole, point, rest = digits.replace(",", "").partition(".")
    text = (whole.lstrip("0") or "0") + (point + rest.rstrip("0") if rest.rstrip("0") else "")
    return Fraction(text) if len(text) <= MOST_DIGITS else None
