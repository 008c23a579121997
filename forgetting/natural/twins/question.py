"""What a question says: its numbers that may be changed, and the constants that its words let a calculation use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w/]*/\d)(?![\d:])|(?<![\w,])\.\d+")
# Parts of a question whose numbers stay: fractions, times, ordinals, years, "24/7", ranges, labels, facts of units.
_FIXED = re.compile(
    r"\d+\s?/\s?\d+|\d+:\d+|\d+(?:st|nd|rd|th)\b|(?<![$\d,.])(?:19|20)\d\d\b(?!,\d|\.\d|\s*dollars)|\b24/7\b"
    r"|\d+(?:\.\d+)?(?=[ -](?:dollar[ -])?(?:bills?|coins?|notes?|legs?|wheels?|sides?|sided|eyes?|ears?|wings?|"
    r"fingers?|toes?|arms?|strings?|decks?)\b)"
    r"|\d+\s?[\u2013\u2014-]\s?\d+|\b\d+[A-Zk]\b"
    r"|\d+(?:\.\d+)?(?=\s(?:cups?|ounces?|oz|quarts?|pints?|tablespoons?|teaspoons?|inches|feet|yards?|cards|seconds|"
    r"minutes|hours|days|weeks|months|grams|pounds|cents|centimeters|meters)\s(?:are\s)?(?:in|per|to|make|makes)\s"
    r"(?:an?|one|1|each|every|the|up)?\s?(?:gallon|quart|pint|pound|cup|foot|yard|mile|minute|hour|day|week|month|year|"
    r"deck|kilogram|kilometer|meter|ton|dollar)s?\b(?!\s(?:if|of|for)))"
)
UNITS = {"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
          "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
          "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
          "sixty": 60, "hundred": 100, "thousand": 1000, "million": 1_000_000}  # fmt: skip
# What a word of the question lets a calculation use. Numbers written as words stay as they are, so they are constants.
CONSTANTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    *((rf"\b{word}\b", (str(value),)) for word, value in UNITS.items()),
    (r"\b(half|halves|halved|twice|double|doubles|doubled|doubling|pair|pairs|couple|both|two-\w+)\b", ("2", "1/2")),
    (r"\b(triple|tripled|triples|thrice|third|thirds)\b", ("3", "1/3")),
    (r"\b(quadruple|quarter|quarters|fourth|fourths)\b", ("4", "1/4", "25")),
    (r"\b(fifth|fifths)\b", ("5",)),
    (r"\b(sixth|sixths)\b", ("6",)),
    (r"\b(eighth|eighths)\b", ("8",)),
    (r"\b(tenth|tenths|dime|dimes)\b", ("10",)),
    (r"\b(dozen|dozens|year|years|annual|annually|yearly|month|months|monthly|foot|feet|inch|inches)\b", ("12",)),
    (r"\b(minute|minutes|hour|hours|hourly|second|seconds)\b", ("60",)),
    (r"\b(day|days|daily|week|weeks|weekly)\b", ("7",)),
    (r"\b(hour|hours|day|days|daily)\b", ("24",)),
    (r"\b(year|years)\b", ("52", "365")),
    (r"\b(month|months|monthly)\b", ("30", "4")),
    (r"(%|\b(percent|percentage|cent|cents|dollar|dollars|century|meter|meters|penny|pennies)\b|\$)", ("100",)),
    (r"(%|\b(percent|half|third|quarter|fourth|fifth|remaining|rest)\b|\d/\d)", ("1",)),
    (r"\b(kilometer|kilometers|kilogram|kilograms|kg|km|liter|liters|gram|grams)\b", ("1000",)),
    (r"\b(yard|yards|triangle|triangular|triplets?|trio)\b", ("3",)),
    (r"\b(rectangle|rectangular|weekend|weekends|bicycle|bicycles|twins?)\b", ("2",)),
    (r"\b(square|squares)\b", ("4",)),
    (r"\b(weekday|weekdays|nickel|nickels)\b", ("5",)),
    (r"\b(decade|decades)\b", ("10",)),
    (r"\b(fortnight)\b", ("14",)),
    (r"(%|\bpercent\b)", ("1/100",)),
    (r"\b(pound|pounds|ounce|ounces)\b", ("16",)),
)
# The largest number that makes sense before such words.
_EACH = r"(a|an|per|each|every|of the|in a|in the|out of the)"
CAPS = ((r"\s*%|\s*percent", 100), (rf"\s*days? {_EACH} week|\s*days?/week", 7),
        (rf"\s*hours? {_EACH} (day|night)|\s*hours?/day", 24), (rf"\s*months? {_EACH} year", 12),
        (rf"\s*weeks? {_EACH} year", 52), (rf"\s*days? {_EACH} month", 28), (rf"\s*days? {_EACH} year", 365),
        (rf"\s*minutes? {_EACH} hour", 59), (rf"\s*hours? {_EACH} week", 120),
        (r"\s*(a\.?m|p\.?m)\b|\s*o'clock", 12), (r"-sided", 12))  # fmt: skip
_MARK = re.compile(r"\b(scored|score of|grade of|an?)( an?)?\s*$")  # before a mark of up to 100 points


@dataclass(frozen=True)
class NumberPlace:
    """A number of the question that may be changed, and the largest that makes sense there."""

    start: int
    end: int
    text: str
    value: Fraction
    most: Fraction | None


def value_of(text: str) -> Fraction:
    """The value of a number as written, with thousands separators. Raises ``ValueError``."""
    return Fraction(text.replace(",", ""))


def places_of(question: str) -> list[NumberPlace]:
    """The numbers of the question that may be changed, in order."""
    fixed = [found.span() for found in _FIXED.finditer(question)]
    examined = re.search(r"\b(tests?|exams?|quiz|quizzes)\b", question) is not None
    places = []
    for found in NUMBER.finditer(question):
        if any(start < found.end() and found.start() < end for start, end in fixed):
            continue
        most = next((Fraction(cap) for unit, cap in CAPS if re.match(unit, question[found.end() :])), None)
        if most is None and examined and value_of(found[0]) <= 100 and _MARK.search(question[: found.start()]):
            most = Fraction(99)
        places.append(NumberPlace(*found.span(), found[0], value_of(found[0]), most))
    return places


def constants_of(question: str, *, words_only: bool = False) -> set[Fraction]:
    """What the question's words and fixed parts let a calculation use; ``words_only``: its numbers in words."""
    text, patterns = question.lower(), CONSTANTS[: len(UNITS)] if words_only else CONSTANTS
    named = {Fraction(value) for pattern, values in patterns if re.search(pattern, text) for value in values}
    if words_only:
        return named
    for found in _FIXED.finditer(question):
        numbers = [Fraction(n) for n in re.findall(r"\d+(?:\.\d+)?", found[0])]
        named |= set(numbers)
        if "/" in found[0] and numbers[1]:
            named.add(numbers[0] / numbers[1])
    return named
