r"""The number that a worked answer ends with: strictly, where the format asks for it, or leniently, the last one.

Strict: after the last ``####`` or in the last ``\boxed{}`` stands a number and nothing else. Lenient: the last number
anywhere. Thousands separators, a currency sign, trailing zeros, a final period, fractions and a per cent sign are read
in both; words after the number only leniently. Values are exact; ``75%`` equals 75 and 3/4. What is longer than
``MOST_CHARACTERS`` is no number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

VERSION = 1
MOST_CHARACTERS = 1_000  # Python reads at most 4,300 digits
_DIGITS = r"[-+\u2212]?\s?[$€£]?\s?[-\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?"
_NUMBER = re.compile(rf"(?<![\w.])({_DIGITS})(?:\s?/\s?(\d+))?\s?(\\?%)?")
_FRACTION = re.compile(r"([-\u2212]?)\s?\\[dt]?frac\s?\{\s?(-?\d+)\s?\}\s?\{\s?(\d+)\s?\}")
_NOISE = str.maketrans({"*": " ", "`": " ", "\u00a0": " "})


@dataclass(frozen=True)
class Number:
    """An exact value; ``per_cent`` where it was followed by a per cent sign."""

    value: Fraction
    per_cent: bool = False

    def equals(self, other: Number) -> bool:
        """Equal in value; a per cent counts as itself or as its hundredth."""
        mine = {self.value, self.value / 100} if self.per_cent else {self.value}
        return not mine.isdisjoint({other.value, other.value / 100} if other.per_cent else {other.value})


def strict(text: str) -> Number | None:
    """The number in the place where the format wants it, or None."""
    return _alone(marked(text) or "")


def lenient(text: str) -> Number | None:
    """The number in the right place with words around it, else the last number of the text, or None."""
    place = marked(text)
    if place is not None and (found := _all(place)):
        return found[0]
    found = _all(text)
    return found[-1] if found else None


def marked(text: str) -> str | None:
    """What stands after the last ``####`` (one line) or in the last box; None where there is neither."""
    mark, box = text.rfind("####"), text.rfind("\\boxed{")
    if mark < 0 and box < 0:
        return None
    if mark > box:
        return text[mark + 4 :].strip().split("\n")[0]
    depth, start = 1, box + len("\\boxed{")
    for end in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[start:end]
    return text[start:]


def _alone(text: str) -> Number | None:
    clean = text.translate(_NOISE).strip().rstrip(".").strip().strip("$").strip()
    if (fraction := _FRACTION.fullmatch(clean)) and (number := _of_fraction(fraction)):
        return number
    match = _NUMBER.fullmatch(clean)
    return _number(match) if match else None


def _all(text: str) -> list[Number]:
    clean = text.translate(_NOISE)
    places = [(m.start(), n) for m in _FRACTION.finditer(clean) if (n := _of_fraction(m)) is not None]
    rest = _FRACTION.sub(lambda m: " " * len(m[0]), clean)
    places += [(m.start(), n) for m in _NUMBER.finditer(rest) if (n := _number(m)) is not None]
    return [number for _, number in sorted(places, key=lambda p: p[0])]


def _number(match: re.Match[str]) -> Number | None:
    digits = re.sub(r"[\s$€£,+]", "", match[1]).replace("\u2212", "-")
    if len(match[0]) > MOST_CHARACTERS or not any(c.isdigit() for c in digits) or digits.count("-") > 1:
        return None
    value = Fraction(digits)
    if match[2]:
        if int(match[2]) == 0:
            return None
        value /= int(match[2])
    return Number(value, bool(match[3]))


def _of_fraction(match: re.Match[str]) -> Number | None:
    if len(match[0]) > MOST_CHARACTERS or int(match[3]) == 0:
        return None
    return Number(Fraction(int(match[2]), int(match[3])) * (-1 if match[1] else 1))
