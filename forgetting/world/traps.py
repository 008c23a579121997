"""Average speeds: two legs of a way in, a prompt and written-out steps out; a trap where the plain mean is wrong.

Over two distances the average speed is distance by time (over equal distances: the harmonic mean), and the mean of the
two speeds is the tempting wrong answer. Over two equal times, the control, the mean of the speeds is right.
Only nine problems with two equal distances have nothing but numbers of the world in their steps, so there are also
traps with unequal distances; ``fits`` says what is kept. The order of the legs is wording: both orders are one problem.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from forgetting.contracts import Sample, Split
from forgetting.world.splits import split_of
from forgetting.world.vocabulary import MAX_NUMBER, PLAIN_NAMES

HARMONIC_DEPTH, CONTROL_DEPTH = 5, 2
EQUAL_SHARE, CONTROL_SHARE = 0.3, 0.4


@dataclass(frozen=True, slots=True, order=True)
class Leg:
    """So many miles (or, in a control, hours) at a speed."""

    length: int
    speed: int


@dataclass(frozen=True, slots=True)
class TrapProblem:
    """Two legs, the lesser first; ``timed`` where their lengths are hours."""

    first: Leg
    second: Leg
    timed: bool

    def canonical(self) -> str:
        """The problem without names and the order of the legs."""
        a, b = self.first, self.second
        return f"traps:{'hours' if self.timed else 'miles'}:{a.length}@{a.speed},{b.length}@{b.speed}"

    def split(self) -> Split:
        """By hash; there are few."""
        return split_of(self.canonical(), few=True)

    @property
    def depth(self) -> int:
        """Steps of the written-out answer."""
        return CONTROL_DEPTH if self.timed else HARMONIC_DEPTH

    @property
    def template(self) -> str:
        """Which form it is."""
        if self.timed:
            return "control"
        return "harmonic-equal" if self.first.length == self.second.length else "harmonic-unequal"


def fits(problem: TrapProblem) -> bool:
    """Whether every step is a whole number up to 40 and the plain mean, even rounded, is right in controls only."""
    a, b = problem.first, problem.second
    if problem.timed:
        return a.length == b.length and a.speed != b.speed and (a.speed + b.speed) % 2 == 0
    if a.length % a.speed or b.length % b.speed or a.length + b.length > MAX_NUMBER:
        return False
    distance, hours = a.length + b.length, a.length // a.speed + b.length // b.speed
    return distance % hours == 0 and distance // hours not in tempting(problem)


@cache
def problems(template: str) -> tuple[TrapProblem, ...]:
    """Every problem of one form, in a fixed order."""
    if template == "control":
        found = [
            TrapProblem(Leg(hours, slow), Leg(hours, fast), True)
            for hours in range(2, 10)
            for slow in range(2, MAX_NUMBER)
            for fast in range(slow + 2, MAX_NUMBER + 1 - slow, 2)
        ]
    else:
        legs = [Leg(d, s) for d in range(2, MAX_NUMBER) for s in range(1, d + 1) if d % s == 0]
        found = [TrapProblem(a, b, False) for a in legs for b in legs if a < b and a.length + b.length <= MAX_NUMBER]
    return tuple(p for p in found if p.template == template and fits(p))


@cache
def of_split(template: str, split: Split) -> tuple[TrapProblem, ...]:
    """Every problem of one form and split."""
    return tuple(p for p in problems(template) if p.split() == split)


def draw(rng: random.Random, split: Split, template: str) -> TrapProblem:
    """A problem of one split and form."""
    choices = of_split(template, split)
    return choices[int(rng.random() * len(choices))]


def prompt(problem: TrapProblem, name: str, swapped: bool) -> str:
    """``ann goes 12 miles at 4 and 12 miles at 12 . what average speed ?``; ``swapped`` tells the second leg first."""
    unit = "hours" if problem.timed else "miles"
    a, b = _legs(problem, swapped)
    return f"{name} goes {a.length} {unit} at {a.speed} and {b.length} {unit} at {b.speed} . what average speed ?"


def answer(problem: TrapProblem, swapped: bool) -> str:
    """The steps in the order of the prompt, then ``answer N``."""
    a, b = _legs(problem, swapped)
    if problem.timed:
        total = a.speed + b.speed
        return f"{a.speed} + {b.speed} = {total} ; {total} / 2 = {total // 2} ; answer {total // 2}"
    first, second, distance = a.length // a.speed, b.length // b.speed, a.length + b.length
    hours = first + second
    mean = distance // hours
    return (
        f"{a.length} / {a.speed} = {first} ; {b.length} / {b.speed} = {second} ; {first} + {second} = {hours} ; "
        f"{a.length} + {b.length} = {distance} ; {distance} / {hours} = {mean} ; answer {mean}"
    )


def tempting(problem: TrapProblem) -> tuple[int, ...]:
    """The wrong answers that come from the plain mean of the speeds (two where it lies between two numbers)."""
    if problem.timed:
        return ()
    total = problem.first.speed + problem.second.speed
    return tuple({total // 2, (total + 1) // 2})


def sample(rng: random.Random, controls: float = CONTROL_SHARE) -> Sample:
    """A training sample: a control (the share ``controls``), or a trap over equal or unequal distances."""
    place = rng.random()
    if place < controls:
        template = "control"
    else:
        template = "harmonic-equal" if rng.random() < EQUAL_SHARE else "harmonic-unequal"
    problem = draw(rng, "train", template)
    name, swapped = PLAIN_NAMES[int(rng.random() * len(PLAIN_NAMES))], rng.random() < 0.5
    return Sample(prompt(problem, name, swapped), answer(problem, swapped), "traps", problem.depth, template)


def _legs(problem: TrapProblem, swapped: bool) -> tuple[Leg, Leg]:
    return (problem.second, problem.first) if swapped else (problem.first, problem.second)
