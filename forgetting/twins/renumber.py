"""GSM8K with other numbers: a question and its annotated answer in, both with new numbers out, or the reason why not.

Cobbe et al. (arXiv 2110.14168) annotate every calculation of a worked answer as ``<<16-3-4=9>>``, so the answer can be
computed anew. A twin is given only if every number of every calculation is known to come from the question's numbers,
from an earlier result, or from a constant that the question names (``CONSTANTS``); if each step stays a whole number of
similar size; and if putting the old numbers back gives the old answer, letter by letter. A value stands for itself
wherever it occurs, so two equal numbers of a question change together. A number that may come from the question or
from a constant (2 where the question says "2 weeks" and "twice") is left as it is.
"""

from __future__ import annotations

import ast
import enum
import math
import operator
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

TRIES = 400
NEAR = Fraction(3)  # a result may grow or shrink by this factor
ANNOTATION = re.compile(r"<<([^<>=]*)=([^<>]*)>>")
NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w/]*/\d)(?![\d:])|(?<![\w,])\.\d+")
_IN_ANSWER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+")
# Parts of a question whose numbers stay: fractions, times, ordinals, years, "24/7".
_FIXED = re.compile(
    r"\d+\s?/\s?\d+|\d+:\d+|\d+(?:st|nd|rd|th)\b|(?<![$\d,.])(?:19|20)\d\d\b(?!,\d|\.\d|\s*dollars)|\b24/7\b"
    r"|\d+(?:\.\d+)?(?=[ -](?:dollar[ -])?(?:bills?|coins?|notes?|legs?|wheels?|sides?|sided|eyes?|ears?|wings?|"
    r"fingers?|toes?|arms?|strings?|decks?)\b)"
)
SMALL = 12  # a number up to this that is used more often than it is written may mean two things
_UNITS = {"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
          "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
          "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
          "sixty": 60, "hundred": 100, "thousand": 1000, "million": 1_000_000}  # fmt: skip
# What a word of the question lets a calculation use. Numbers written as words stay as they are, so they are constants.
CONSTANTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    *((rf"\b{word}\b", (str(value),)) for word, value in _UNITS.items()),
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
CAPS = ((r"\s*%|\s*percent", 100), (r"\s*days? (a|per|each|every|of the) week|\s*days?/week", 7),
        (r"\s*hours? (a|per|each|every) (day|night)|\s*hours?/day", 24), (r"\s*(months? (a|per|of the) year)", 12),
        (r"\s*(a\.?m|p\.?m)\b|\s*o'clock", 12), (r"-sided", 12))  # fmt: skip
OPERATIONS: dict[type[ast.AST], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


class Refusal(enum.Enum):
    """Why a problem has no numeric twin."""

    no_annotation = "the answer has no calculation, or its last one is not the answer"
    unreadable = "a calculation is not of numbers, + - * / and brackets, or is wrong"
    hidden_constant = "a calculation uses a number that the question does not name"
    ambiguous = "a number may be one of the question's and an earlier result"
    unexplained = "the answer's text has a number that is in no calculation and not in the question"
    not_whole = "a step of the original is not a whole number"
    redundant = "a number that no calculation uses follows from two that would change"
    nothing_to_change = "no number of the question may be changed"
    magnitude = "no draw kept every step a whole number of similar size and every number in one role"
    format = "putting the old numbers back does not give the old text"


class Refused(Exception):
    """Carries the reason."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True)
class Twin:
    """The new question and worked answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class _Place:
    """A number of the question that may be changed."""

    start: int
    end: int
    text: str
    value: Fraction
    most: Fraction | None


@dataclass(frozen=True)
class _Step:
    """One calculation: an expression over ``v0``, ``v1``, ...; what each stands for; its old result."""

    tree: ast.expr
    leaves: tuple[Fraction, ...]
    result: Fraction


Mapping = dict[Fraction, Fraction]


def renumber(question: str, answer: str, rng: random.Random) -> Twin:
    """The problem with other numbers. Raises ``Refused``."""
    steps, last = _steps(answer)
    places, constants = _places(question), _constants(question)
    derived = {value for p in places if p.most == 100 for value in _per_cent(p.value)}
    used = _used(places, derived, constants, steps)
    _explained(answer, {p.value for p in places} | derived | constants, steps)
    fixed = constants | _used_too_often(places, steps) | _constants(answer.lower(), words_only=True)
    changeable = [p for p in places if (p.value in used or _per_cent(p.value) & used) and p.value not in fixed | {1}]
    if not changeable:
        raise Refused(Refusal.nothing_to_change)
    _not_redundant([p.value for p in places if p.value not in used], [p.value for p in places if p.value in used])
    if _rewritten(question, answer, places, {p.value: p.value for p in places}) != Twin(question, answer):
        raise Refused(Refusal.format)
    kept = ({p.value for p in places} | _constant_leaves(steps, constants)) - {p.value for p in changeable}
    for _ in range(TRIES):
        drawn: Mapping = {value: value for value in kept}
        for place in changeable:
            drawn.setdefault(place.value, _draw(place, rng))
        mapping = _recomputed(steps, drawn, {p.value for p in changeable if p.most == 100})
        if mapping is not None and mapping[last] != last:
            return _rewritten(question, answer, places, mapping)
    raise Refused(Refusal.magnitude)


def _per_cent(value: Fraction) -> set[Fraction]:
    """What a calculation may use instead of n per cent: n/100, the rest of the whole, the whole and n more."""
    return {value / 100, 1 - value / 100, 1 + value / 100}


def _used_too_often(places: list[_Place], steps: list[_Step]) -> set[Fraction]:
    """Small numbers that calculations use more often than the question has them: they may mean two things."""
    values, leaves = [p.value for p in places], [leaf for step in steps for leaf in step.leaves]
    return {v for v in values if v <= SMALL and leaves.count(v) > values.count(v)}


def _not_redundant(unused: list[Fraction], used: list[Fraction]) -> None:
    """A total that is told but not used ("16 people: 10 eat this and 6 that") would contradict the new parts."""
    for i, one in enumerate(used):
        for other in used[i + 1 :]:
            if {one + other, one * other, abs(one - other)} & set(unused):
                raise Refused(Refusal.redundant)


def _constant_leaves(steps: list[_Step], constants: set[Fraction]) -> set[Fraction]:
    """The constants that calculations use as such, before any step gave the same value."""
    found, results = set[Fraction](), set[Fraction]()
    for step in steps:
        found |= {leaf for leaf in step.leaves if leaf in constants and leaf not in results}
        results.add(step.result)
    return found


def _explained(answer: str, known: set[Fraction], steps: list[_Step]) -> None:
    """Every number of the answer's text is the question's, a constant or in a calculation; else ``Refused``."""
    known = known | {leaf for step in steps for leaf in step.leaves} | {step.result for step in steps} | {Fraction(1)}
    for number in _IN_ANSWER.findall(ANNOTATION.sub("", answer)):
        if _value(number) not in known:
            raise Refused(Refusal.unexplained)


def _steps(answer: str) -> tuple[list[_Step], Fraction]:
    """The calculations and the final answer."""
    steps, last = [], _value(answer.rpartition("####")[2].strip())
    for expression, result in ANNOTATION.findall(answer):
        leaves: list[Fraction] = []

        def _name(found: re.Match[str], leaves: list[Fraction] = leaves) -> str:
            leaves.append(_value(found[0]))
            return f"v{len(leaves) - 1}"

        text = _IN_ANSWER.sub(_name, expression.replace(" ", ""))
        try:
            tree = ast.parse(text, mode="eval").body
            step = _Step(tree, tuple(leaves), _value(result.strip()))
            right = _computed(tree, step.leaves) == step.result
        except (SyntaxError, ValueError, ZeroDivisionError):
            raise Refused(Refusal.unreadable) from None
        if not right:
            raise Refused(Refusal.unreadable)
        if step.result.denominator != 1:
            raise Refused(Refusal.not_whole)
        steps.append(step)
    if last not in {step.result for step in steps}:
        raise Refused(Refusal.no_annotation)
    return steps, last


def _value(text: str) -> Fraction:
    try:
        return Fraction(text.replace(",", "").lstrip("$"))
    except ValueError:
        raise Refused(Refusal.unreadable) from None


def _computed(node: ast.expr, leaves: tuple[Fraction, ...]) -> Fraction:
    if isinstance(node, ast.Name):
        return leaves[int(node.id[1:])]
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        return OPERATIONS[type(node.op)](_computed(node.left, leaves), _computed(node.right, leaves))
    raise ValueError(f"no arithmetic: {type(node).__name__}")


def _places(question: str) -> list[_Place]:
    fixed = [found.span() for found in _FIXED.finditer(question)]
    places = []
    for found in NUMBER.finditer(question):
        if any(start < found.end() and found.start() < end for start, end in fixed):
            continue
        most = next((Fraction(cap) for unit, cap in CAPS if re.match(unit, question[found.end() :])), None)
        places.append(_Place(*found.span(), found[0], _value(found[0]), most))
    return places


def _constants(question: str, *, words_only: bool = False) -> set[Fraction]:
    """What the question's words and fixed parts let a calculation use; ``words_only``: its numbers in words."""
    text, patterns = question.lower(), CONSTANTS[: len(_UNITS)] if words_only else CONSTANTS
    named = {Fraction(value) for pattern, values in patterns if re.search(pattern, text) for value in values}
    if words_only:
        return named
    for found in _FIXED.finditer(question):
        numbers = [Fraction(n) for n in re.findall(r"\d+", found[0])]
        named |= set(numbers)
        if "/" in found[0] and numbers[1]:
            named.add(numbers[0] / numbers[1])
    return named


def _used(places: list[_Place], derived: set[Fraction], constants: set[Fraction], steps: list[_Step]) -> set[Fraction]:
    """The values of the question that calculations use, each of known source."""
    values, results, used = {p.value for p in places}, set[Fraction](), set[Fraction]()
    for step in steps:
        for leaf in step.leaves:
            own = leaf in values or leaf in derived
            if leaf in results and (own or (leaf in constants and leaf > 1)):
                raise Refused(Refusal.ambiguous)
            if not own and leaf not in results and leaf not in constants:
                raise Refused(Refusal.hidden_constant)
            used |= {leaf} if own else set()
        results.add(step.result)
    return used


def _draw(place: _Place, rng: random.Random) -> Fraction:
    """A number of as many digits and of similar size."""
    decimals = len(place.text.partition(".")[2])
    unit = Fraction(1, 10**decimals)
    digits = len(str(int(place.value)))
    low = max(place.value * 6 / 10, Fraction(10 ** (digits - 1)) if place.value >= 10 else Fraction(2))
    high = min(place.value * 16 / 10, Fraction(10**digits) - unit, place.most or Fraction(10**15))
    if place.value % 10 == 0 and not decimals and place.value >= 20:
        unit = Fraction(10 if place.value < 1000 or place.value % 100 else 100)
    first, last = math.ceil(low / unit), math.floor(high / unit)
    return place.value if last < first else unit * rng.randint(first, last)


def _recomputed(steps: list[_Step], drawn: Mapping, per_cent: set[Fraction]) -> Mapping | None:
    """Old value to new value for every number of the calculations; None where a step is out of bounds."""
    mapping = dict(drawn)
    for old in per_cent:
        new = drawn[old]
        for before, after in ((old / 100, new / 100), (1 - old / 100, 1 - new / 100), (1 + old / 100, 1 + new / 100)):
            if mapping.setdefault(before, after) != after:
                return None
    for step in steps:
        try:
            result = _computed(step.tree, tuple(mapping.get(leaf, leaf) for leaf in step.leaves))
        except ZeroDivisionError:
            return None
        near = step.result / NEAR <= result <= step.result * NEAR
        if result.denominator != 1 or result < 1 or not near or mapping.setdefault(step.result, result) != result:
            return None
    return mapping


def _rewritten(question: str, answer: str, places: list[_Place], mapping: Mapping) -> Twin:
    """Both texts with every number that the mapping knows replaced, in the form in which it stood."""
    parts, end = [], 0
    for place in places:
        parts += [question[end : place.start], _like(place.text, mapping.get(place.value, place.value))]
        end = place.end

    def new(found: re.Match[str]) -> str:
        value = _value(found[0])
        return _like(found[0], mapping[value]) if value in mapping else found[0]

    return Twin("".join([*parts, question[end:]]), _IN_ANSWER.sub(new, answer))


def _like(text: str, value: Fraction) -> str:
    """The value, with thousands separators and decimals as in ``text``."""
    decimals = len(text.partition(".")[2])
    while value * 10**decimals % 1:
        decimals += 1
    digits = f"{abs(value.numerator * 10**decimals // value.denominator):0{decimals + 1}d}"
    whole, rest = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    whole = f"{int(whole):,}" if "," in text else whole
    whole = "" if text.startswith(".") and whole == "0" else whole
    return f"{whole}.{rest}" if rest else whole
