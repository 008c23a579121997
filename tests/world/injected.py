"""Gold answers with faults put in: a word problem, a kind of fault and a generator in, the faulty answer out.

A plan is what an answer does, step by step; faults change the plan, or the text that is rendered from it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from forgetting.benchmarks.maths import Maths
from forgetting.benchmarks.traps import Traps
from forgetting.contracts import Item
from forgetting.world import dialects, dialogue

STRANGE = tuple(word for word in (*dialogue.EXTRA_WORDS, *dialects.EXTRA_WORDS) if word not in ("answer", ";"))
TRIES = 400


@dataclass(frozen=True)
class Planned:
    """One step: the operation; how far its result is off; what it starts from, if not from the value before."""

    symbol: str
    operand: int
    error: int = 0
    left: int | None = None


@dataclass(frozen=True)
class Plan:
    """Steps from a start, and how far the final answer is from the last result."""

    item: Item
    start: int
    steps: tuple[Planned, ...]
    final: int = 0
    words: Callable[[list[str], random.Random], list[str]] = lambda words, rng: words
    ended: bool = True

    def put(self, place: int, *steps: Planned, instead: int = 1) -> Plan:
        return replace(self, steps=(*self.steps[:place], *steps, *self.steps[place + instead :]))

    def value(self, place: int) -> int:
        """The value before a step, as the plan goes until there."""
        value = self.start
        for step in self.steps[:place]:
            value = _result(value if step.left is None else step.left, step) + step.error
        return value

    def render(self, rng: random.Random) -> str:
        value, parts = self.start, []
        for step in self.steps:
            left = value if step.left is None else step.left
            value = _result(left, step) + step.error
            if not 0 <= value <= 40:
                raise ValueError(value)
            if not 0 <= left <= 40:
                raise ValueError(left)
            parts.append(f"{left} {step.symbol} {step.operand} = {value}")
        final = value + self.final
        if not 0 <= final <= 40:
            raise ValueError(final)
        return " ".join(self.words(" ; ".join([*parts, f"answer {final}"]).split(), rng))


def _result(left: int, step: Planned) -> int:
    if step.symbol == "/":
        result, rest = divmod(left, step.operand)
        if rest:
            raise ValueError(left)
        return result
    return {"+": left + step.operand, "-": left - step.operand, "*": left * step.operand}[step.symbol]


def plan_of(item: Item) -> Plan:
    """The gold plan of a word problem."""
    parts = [part.split() for part in item.answer.split(" ; ")[:-1]]
    return Plan(item, int(parts[0][0]), tuple(Planned(part[1], int(part[2])) for part in parts))


def _other(rng: random.Random, plan: Plan, place: int) -> Planned:
    """An operation with another effect than that of a step (at the end: any), at the value before it."""
    value = plan.value(place)
    now = _result(value, plan.steps[place]) if place < len(plan.steps) else None
    symbol = rng.choice("+-*/")
    new = Planned(symbol, rng.randint(1, 6) if symbol in "+-" else rng.choice((2, 3)))
    if _result(value, new) == now:
        raise ValueError("the same")
    return new


def _early(plan: Plan, rng: random.Random, first: bool, last: int) -> int:
    """The place of a fault: 0 (``first``), or 1 to ``last``."""
    if first:
        return 0
    if last < 1:
        raise ValueError("too short")
    return rng.randint(1, last)


def _slip(plan: Plan, rng: random.Random) -> Plan:
    place = rng.randrange(len(plan.steps))
    return plan.put(place, replace(plan.steps[place], error=rng.choice((-3, -2, -1, 1, 2, 3))))


def _symbol(plan: Plan, rng: random.Random) -> Plan:
    place = rng.randrange(len(plan.steps))
    step = plan.steps[place]
    new = replace(step, symbol={"+": "-", "-": "+", "*": "/", "/": "*"}[step.symbol], error=rng.choice((-2, -1, 1, 2)))
    _differ(plan, place, new)
    return plan.put(place, new)


def _invented(plan: Plan, rng: random.Random) -> Plan:
    return _operand(plan, rng, known=False)


def _miscopied(plan: Plan, rng: random.Random) -> Plan:
    return _operand(plan, rng, known=True)


def _operand(plan: Plan, rng: random.Random, known: bool) -> Plan:
    place = rng.randrange(len(plan.steps))
    numbers = {int(word) for word in plan.item.prompt.split() if word.isdigit()}
    numbers |= {step.operand for step in plan.steps} | {plan.value(i + 1) for i in range(place)}
    choices = [n for n in range(1, 13) if (n in numbers) == known and n != plan.steps[place].operand]
    new = replace(plan.steps[place], operand=rng.choice(choices or [0]), error=rng.choice((-2, -1, 1, 2)))
    _differ(plan, place, new)
    return plan.put(place, new)


def _differ(plan: Plan, place: int, new: Planned) -> None:
    """A changed step must neither do what the old one does nor lead to the same number."""
    value, old = plan.value(place), plan.steps[place]
    if new.operand == 0 or _result(value, old) in (_result(value, new), _result(value, new) + new.error):
        raise ValueError("the same")


def _substituted(plan: Plan, rng: random.Random, first: bool = False) -> Plan:
    place = _early(plan, rng, first, len(plan.steps) - 1)
    return plan.put(place, _other(rng, plan, place))


def _omitted(plan: Plan, rng: random.Random, first: bool = False) -> Plan:
    if len(plan.steps) < 2:
        raise ValueError("too short")
    place = _early(plan, rng, first, len(plan.steps) - 1)
    shorter = plan.put(place)
    if first and _result(plan.start, shorter.steps[0]) == _result(plan.start, plan.steps[0]):
        raise ValueError("the same")
    return shorter


def _inserted(plan: Plan, rng: random.Random, first: bool = False) -> Plan:
    place = _early(plan, rng, first, len(plan.steps))
    return plan.put(place, _other(rng, plan, place), instead=0)


def _swapped(plan: Plan, rng: random.Random, first: bool = False) -> Plan:
    place = _early(plan, rng, first, len(plan.steps) - 2)
    one, other = plan.steps[place : place + 2]
    value = plan.value(place)
    after = _result(value, other)
    if _result(value, one) == after or _result(after, one) == _result(after, other):
        raise ValueError("the same")
    return plan.put(place, other, one, instead=2)


def _broken_chain(plan: Plan, rng: random.Random, first: bool = False) -> Plan:
    place = _early(plan, rng, first, len(plan.steps) - 1)
    left = plan.value(place) + rng.choice((-4, -3, -2, -1, 1, 2, 3, 4))
    step = plan.steps[place]
    if step.symbol in "+*" and step.operand == plan.value(place):
        raise ValueError("may stand on either side")
    return plan.put(place, replace(step, left=left))


def _camouflage(plan: Plan, rng: random.Random) -> Plan:
    return rng.choice((_substituted, _omitted, _inserted, _swapped, _broken_chain))(plan, rng, True)


def _wrong_start(plan: Plan, rng: random.Random) -> Plan:
    changed = _camouflage(plan, rng)
    if rng.random() < 0.5 and len(changed.steps) > 1:
        return _broken_chain(changed, rng)
    return replace(changed, final=rng.choice((-2, -1, 1, 2)))


def _wrong_answer(plan: Plan, rng: random.Random) -> Plan:
    return replace(plan, final=rng.choice((-3, -2, -1, 1, 2, 3)))


def _right_answer(plan: Plan, rng: random.Random) -> Plan:
    """A fault in the steps, and the gold number in the end."""
    fault = rng.choice((_slip, _substituted, _omitted, _inserted, _broken_chain))
    changed = fault(plan, rng)
    return replace(changed, final=plan.value(len(plan.steps)) - changed.value(len(changed.steps)))


def _text(
    change: Callable[[list[str], random.Random], list[str]], *, ended: bool = True, off: bool = False
) -> Callable[..., Plan]:
    """A fault of the text; ``off``: where it may leave the final number as it is, that one is made wrong as well."""

    def fault(plan: Plan, rng: random.Random) -> Plan:
        before = plan.words
        final = rng.choice((-2, -1, 1, 2)) if off and not plan.final else plan.final
        return replace(
            plan, words=lambda words, r: change(before(words, r), r), ended=plan.ended and ended, final=final
        )

    return fault


def _looping(words: list[str], rng: random.Random) -> list[str]:
    place = rng.randrange(max(1, len(words) - 3))
    run = words[place : place + 4]
    return [*words[:place], *run, *run, *run]


def _cut(words: list[str], rng: random.Random) -> list[str]:
    return words[: rng.randrange(1, max(2, len(words)))]


def _intruded(words: list[str], rng: random.Random) -> list[str]:
    place = rng.randrange(len(words) + 1)
    return [*words[:place], rng.choice(STRANGE), *words[place + rng.randrange(2) :]]


def _no_answer(words: list[str], rng: random.Random) -> list[str]:
    return words[: -rng.randrange(1, 3)] if rng.random() < 0.5 else [*words, rng.choice("; = 3 answer".split())]


def _bad_step(words: list[str], rng: random.Random) -> list[str]:
    ends = words.index("answer") - 1 if "answer" in words else len(words)
    place = rng.choice([i for i in range(ends) if words[i] != ";"])
    return [*words[:place], *words[place + 1 :]]


def _no_steps(words: list[str], rng: random.Random) -> list[str]:
    return ["answer", str(rng.randrange(1, 41))]


# What each fault, put into a gold answer by itself, must come back as: class and kind (None: any kind).
FAULTS: dict[str, tuple[Callable[..., Plan], tuple[str, str | None]]] = {
    "empty": (_text(lambda words, rng: []), ("empty", "")),
    "loop": (_text(_looping), ("loop", "")),
    "truncated": (_text(_cut, ended=False), ("truncated", "")),
    "intrusion": (_text(_intruded, off=True), ("intrusion", "")),
    "no answer": (_text(_no_answer), ("malformed", "no_answer")),
    "bad step": (_text(_bad_step, off=True), ("malformed", "step")),
    "no steps": (_text(_no_steps), ("malformed", "no_steps")),
    "slip": (_slip, ("symbol_error", "slip")),
    "symbol": (_symbol, ("symbol_error", "symbol")),
    "invented": (_invented, ("symbol_error", "invented")),
    "miscopied": (_miscopied, ("symbol_error", "miscopied")),
    "substituted": (_substituted, ("inconsistent_path", "substituted")),
    "omitted": (_omitted, ("inconsistent_path", "omitted")),
    "inserted": (_inserted, ("inconsistent_path", "inserted")),
    "swapped": (_swapped, ("inconsistent_path", "swapped")),
    "broken chain": (_broken_chain, ("inconsistent_path", "broken_chain")),
    "camouflage": (_camouflage, ("camouflage", None)),
    "wrong start": (_wrong_start, ("wrong_start", None)),
    "wrong answer": (_wrong_answer, ("unfaithful", "")),
    "right answer": (_right_answer, ("right_by_wrong_steps", None)),
}


@dataclass(frozen=True)
class Injected:
    """An item and a faulty answer to it."""

    item: Item
    answer: str
    ended: bool = True


def items() -> list[Item]:
    """Word problems of depth 1 to 6."""
    return Maths(items_per_depth=40, depths=(1, 2, 3, 4, 5, 6)).items()


def inject(problems: list[Item], rng: random.Random, *names: str) -> Injected:
    """An answer with the named faults, put in one after another; right only where a fault is for that."""
    for _ in range(TRIES):
        plan = plan_of(rng.choice(problems))
        try:
            for name in names:
                plan = FAULTS[name][0](plan, rng)
            answer = plan.render(rng)
        except (ValueError, IndexError):
            continue
        right = answer.split()[-2:] == plan.item.answer.split()[-2:]
        if right == ("right answer" in names):
            return Injected(plan.item, answer, plan.ended)
    raise ValueError(f"no answer with {' and '.join(names)} in {TRIES} tries")


def shortcuts(rng: random.Random, count: int) -> list[Injected]:
    """Traps answered with the plain mean of the speeds by its own steps."""
    traps = [item for item in Traps().items() if item.check]
    found = []
    for _ in range(count):
        item = rng.choice(traps)
        a, b = (int(part.split()[0]) for part in item.prompt.split(" at ")[1:])
        mean = rng.choice(item.check)
        one, other = rng.sample((a, b), 2)
        found.append(Injected(item, f"{one} + {other} = {a + b} ; {a + b} / 2 = {mean} ; answer {mean}"))
    return found
