"""GSM8K with other numbers: a question and its annotated answer in, both with new numbers out, or the reason why not.

Cobbe et al. (arXiv 2110.14168) annotate every calculation of a worked answer as ``<<16-3-4=9>>``, so the answer can be
computed anew. A twin is given only if every number of every calculation is known to come from the question's numbers,
from an earlier result, or from a constant that the question names (``CONSTANTS``); if each step stays a whole number of
similar size, and what was larger stays larger; and if putting the old numbers back into the twin gives the old problem
and answer. A value stands for itself wherever it occurs, so two equal numbers of a question change together. A number
that may have two sources (2 where the question says "2 weeks" and "twice", 20 where it is given and also computed) is
left as it is in both roles.
"""

from __future__ import annotations

import ast
import enum
import itertools
import math
import operator
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from forgetting.natural.twins.question import NumberPlace, constants_of, places_of, value_of

TRIES = 600
FREE_TRIES = 200  # draws of all numbers; later draws keep each with a chance of one half
NEAR = Fraction(3)  # a result may grow or shrink by this factor
ANNOTATION = re.compile(r"<<([^<>=]*)=([^<>]*)>>")
_IN_ANSWER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+")
SMALL = 12  # a number up to this that is used more often than it is written may mean two things
OPERATIONS: dict[type[ast.AST], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


class Refusal(enum.Enum):
    """Why a problem has no numeric twin."""

    no_annotation = "the answer has no calculation, or its last one is not the answer"
    unreadable = "a calculation is not of numbers, + - * / and brackets, or is wrong"
    hidden_constant = "a calculation uses a number that the question does not name"
    ambiguous = "a number may be one of the question's and an earlier result, and nothing else can change around it"
    in_words = "the numbers of the question are in words"
    unexplained = "the answer's text has a number that is in no calculation and not in the question"
    not_whole = "a step of the original is not a whole number"
    redundant = "a number that no calculation uses follows from two that would change"
    nothing_to_change = "every number of the question may mean two things, or is 1, a fraction or a constant"
    magnitude = "no draw kept every step a whole number of similar size and the order of the numbers"
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
class _Step:
    """One calculation: an expression over ``v0``, ``v1``, ...; what each stands for; its old result."""

    tree: ast.expr
    leaves: tuple[Fraction, ...]
    result: Fraction


Mapping = dict[Fraction, Fraction]


def renumber(question: str, answer: str, rng: random.Random) -> Twin:
    """The problem with other numbers. Raises ``Refused``."""
    steps, last = _steps(answer)
    places, constants = places_of(question), constants_of(question)
    derived = {value for p in places if p.most == 100 for value in _per_cent(p.value)}
    used, pinned = _used(places, derived, constants, steps)
    _explained(answer, {p.value for p in places} | derived | constants, steps)
    fixed = constants | pinned | _used_too_often(places, steps) | constants_of(answer.lower(), words_only=True)
    changeable = [p for p in places if (p.value in used or _per_cent(p.value) & used) and p.value not in fixed | {1}]
    if not changeable:
        words = not any(p.value > 1 for p in places) and bool(constants_of(question, words_only=True))
        raise Refused(Refusal.ambiguous if pinned else Refusal.in_words if words else Refusal.nothing_to_change)
    _not_redundant([p.value for p in places if p.value not in used], [p.value for p in places if p.value in used])
    if _rewritten(question, answer, places, {p.value: p.value for p in places}) != Twin(question, answer):
        raise Refused(Refusal.format)
    kept = ({p.value for p in places} | _constant_leaves(steps, constants) | pinned) - {p.value for p in changeable}
    for attempt in range(TRIES):
        drawn: Mapping = {value: value for value in kept}
        for place in changeable:
            stays = attempt >= FREE_TRIES and rng.random() < 0.5
            drawn.setdefault(place.value, place.value if stays else _draw(place, rng))
        mapping = _recomputed(steps, drawn, {p.value for p in changeable if p.most == 100})
        if mapping is not None and mapping[last] != last and _same_order(mapping, places, steps):
            twin = _rewritten(question, answer, places, mapping)
            if _restores(twin, Twin(question, answer), mapping):
                return twin
    raise Refused(Refusal.ambiguous if pinned else Refusal.magnitude)


def _same_order(mapping: Mapping, places: list[NumberPlace], steps: list[_Step]) -> bool:
    """Whether what was larger is larger still, among all numbers but per cents; and all new values are distinct.

    A question implies more than its calculations say (a part is no larger than the whole, the later age than the
    earlier); no such thing is turned round where no order is.
    """
    mine = {p.value for p in places if p.most != 100} | {step.result for step in steps}
    new = [mapping.get(value, value) for value in sorted(mine)]
    return all(a < b for a, b in itertools.pairwise(new)) and len(set(mapping.values())) == len(mapping)


def _per_cent(value: Fraction) -> set[Fraction]:
    """What a calculation may use instead of n per cent: n/100, the rest of the whole, the whole and n more."""
    return {value / 100, 1 - value / 100, 1 + value / 100}


def _used_too_often(places: list[NumberPlace], steps: list[_Step]) -> set[Fraction]:
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
        return value_of(text.lstrip("$"))
    except ValueError:
        raise Refused(Refusal.unreadable) from None


def _computed(node: ast.expr, leaves: tuple[Fraction, ...]) -> Fraction:
    if isinstance(node, ast.Name):
        return leaves[int(node.id[1:])]
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        return OPERATIONS[type(node.op)](_computed(node.left, leaves), _computed(node.right, leaves))
    raise ValueError(f"no arithmetic: {type(node).__name__}")


def _used(
    places: list[NumberPlace], derived: set[Fraction], constants: set[Fraction], steps: list[_Step]
) -> tuple[set[Fraction], set[Fraction]]:
    """The values of the question that calculations use, each of known source; and those that may be of two sources.

    A value that is the question's and an earlier result as well is to stay as it is in both roles, so that the twin is
    right whichever of them was meant.
    """
    values, results = {p.value for p in places}, set[Fraction]()
    used, pinned = set[Fraction](), set[Fraction]()
    for step in steps:
        for leaf in step.leaves:
            own = leaf in values or leaf in derived
            if leaf in results and (own or (leaf in constants and leaf > 1)):
                pinned.add(leaf)
            if not own and leaf not in results and leaf not in constants:
                raise Refused(Refusal.hidden_constant)
            used |= {leaf} if own else set()
        results.add(step.result)
    return used, pinned


def _draw(place: NumberPlace, rng: random.Random) -> Fraction:
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


def _rewritten(question: str, answer: str, places: list[NumberPlace], mapping: Mapping) -> Twin:
    """Both texts with every number that the mapping knows replaced, in the form in which it stood."""
    parts, end = [], 0
    for place in places:
        parts += [question[end : place.start], _like(place.text, mapping.get(place.value, place.value))]
        end = place.end

    def new(found: re.Match[str]) -> str:
        value = _value(found[0])
        return _like(found[0], mapping[value]) if value in mapping else found[0]

    return Twin("".join([*parts, question[end:]]), _IN_ANSWER.sub(new, answer))


def _restores(twin: Twin, original: Twin, mapping: Mapping) -> bool:
    """Whether the old numbers, put back for the new ones wherever these stand, give the old problem and answer.

    Compared are all words and all values; a thousands separator may get lost on the way (1,200 to 950 to 1200).
    """
    back = {new: old for old, new in mapping.items()}
    for new_text, old_text in ((twin.question, original.question), (twin.answer, original.answer)):
        if _IN_ANSWER.sub("#", new_text) != _IN_ANSWER.sub("#", old_text):
            return False
        pairs = zip(_IN_ANSWER.findall(new_text), _IN_ANSWER.findall(old_text), strict=True)
        if any(back.get(_value(new), _value(new)) != _value(old) for new, old in pairs):
            return False
    return True


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
