"""The tree of failures a second time: prompt, gold answer and an answer in steps in, class and kind out.

Written from docs/failures.md, with regular expressions and by trying every alignment; the package has no part in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache

EQUATION = r"\d+ [-+*/] \d+ = \d+"
FORM = re.compile(rf"{EQUATION}(?: ; {EQUATION})* ; answer \d+")
KNOWN = re.compile(r"(?:\d|[1-3]\d|40|[-+*/=;]|answer)")
PARTS = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
Does = Callable[[int, int], bool]
Step = tuple[int, str, int, int]
Moves = list[tuple[str, int, int]]
ORDER = ("same", "substituted", "swapped", "omitted", "inserted")


def classify(
    prompt: str, gold: str, answer: str, *, chain: bool, ended: bool, tempting: tuple[int, ...] = ()
) -> tuple[str, str]:
    """(class, kind); ("", "") where nothing failed."""
    said, wanted = last_part(answer), last_part(gold)
    right = said is not None and said == wanted
    name, kind = of_wrong(prompt, gold, answer, chain, ended, tempting)
    if right and name:
        return "right_by_wrong_steps", name
    return name, kind


def last_part(text: str) -> str | None:
    """The answer that a text ends with, in a part of its own."""
    part = re.split(" ; ", text)[-1]
    return part if re.fullmatch(r"answer \d+", part) else None


def of_wrong(
    prompt: str, gold: str, answer: str, chain: bool, ended: bool, tempting: tuple[int, ...]
) -> tuple[str, str]:
    """The tree from the top, whether the answer is right or not."""
    words = answer.split(" ") if answer else []
    formed = FORM.fullmatch(answer) is not None
    if not words:
        return "empty", ""
    fours = [" ".join(words[i : i + 4]) for i in range(len(words) - 3)]
    usual = gold.split(" ")
    golden = [" ".join(usual[i : i + 4]) for i in range(len(usual) - 3)]
    if not formed and any(fours.count(four) > max(2, golden.count(four)) for four in fours):
        return "loop", ""
    if not ended:
        return "truncated", ""
    if any(KNOWN.fullmatch(word) is None for word in words):
        return "intrusion", ""
    if not formed:
        if last_part(answer) is None:
            return "malformed", "no_answer"
        return "malformed", "no_steps" if answer.count(";") == 0 else "step"
    return of_equations(prompt, gold, answer, chain, tempting)


def of_equations(prompt: str, gold: str, answer: str, chain: bool, tempting: tuple[int, ...]) -> tuple[str, str]:
    """An answer of the form: ``shortcut`` and what is below it."""
    final = int(answer.rsplit(" ", 1)[1])
    wanted = [(int(a), s, int(b), int(c)) for a, s, b, c in PARTS.findall(gold)]
    steps = [(int(a), s, int(b), int(c)) for a, s, b, c in PARTS.findall(answer)]
    if final in tempting and len(steps) == 2:
        one, other = re.findall(r"at (\d+)", prompt)
        total = int(one) + int(other)
        mean = rf"({one} \+ {other}|{other} \+ {one}) = {total} ; {total} / 2 = {final} ; answer {final}"
        if re.fullmatch(mean, answer):
            return "shortcut", ""
    values = [wanted[0][0]] + [step[3] for step in steps]  # before each step, in a chain
    if chain:
        steps = [
            (b, s, a, c) if s in ("+", "*") and b == value and a != value else (a, s, b, c)
            for value, (a, s, b, c) in zip(values, steps, strict=False)
        ]

    def does(w: int, g: int) -> bool:
        a, s, b, _ = steps[w]
        x, t, y, _ = wanted[g]
        if chain:
            return (s, b) == (t, y) or (worth(a, s, b) is not None and worth(a, s, b) == worth(a, t, y))
        return s == t and ((a, b) == (x, y) or (s in ("+", "*") and (b, a) == (x, y)))

    moves = best(len(steps), len(wanted), does)
    given = {int(word) for word in re.findall(r"(?<!\S)\d+(?!\S)", prompt)}
    for place, (a, s, b, c) in enumerate(steps):
        if worth(a, s, b) != c:
            return "symbol_error", kind_of_false(steps, wanted, values, moves, place, chain, given)
    last = steps[-1][3]

    def holds(start: int) -> bool:
        if chain:
            return all(step[0] == (values[i] if i else start) for i, step in enumerate(steps))
        return all(n in given or n in values[1 : i + 1] for i, step in enumerate(steps) for n in (step[0], step[2]))

    right_way = len(steps) == len(wanted) and any(True for _ in matchings(len(steps), does))
    if final == wanted[-1][3] == last and holds(wanted[0][0]) and right_way:
        return "", ""
    return of_path(steps, values, moves, chain, holds(steps[0][0]) and final == last)


def of_path(steps: list[Step], values: list[int], moves: Moves, chain: bool, valid: bool) -> tuple[str, str]:
    """True equations that do not lead to the gold answer."""
    good = 0
    for name, w, _ in moves:
        kind = name
        if name == "same":
            if not chain or steps[w][0] == values[w]:
                good += 1
                continue
            kind = "broken_chain"
        if good:
            return "inconsistent_path", kind
        return ("camouflage" if valid else "wrong_start"), kind
    return "unfaithful", ""


def kind_of_false(
    steps: list[Step], wanted: list[Step], values: list[int], moves: Moves, place: int, chain: bool, given: set[int]
) -> str:
    """The kind of the false equation at a place."""
    a, s, b, _ = steps[place]
    partner, same = None, False
    for name, w, g in moves:
        if name == "swapped" and place - w in (0, 1):
            partner, same = wanted[g + 1 - (place - w)], True
        elif name in ("same", "substituted") and w == place:
            partner, same = wanted[g], name == "same"
    known = given | set(values[1 : place + 1]) | ({y for _, _, y, _ in wanted} if chain else set())
    if partner is None:
        return "miscopied" if a in known and b in known else "invented"
    x, t, y, _ = partner
    start = values[place] if chain else x
    if same and (a == start or not chain):
        return "slip"
    if not same and s != t:
        return "symbol"
    if chain:
        wrong = ([a] if a != start else []) + ([b] if b != y and not same else [])
    elif s in ("+", "*"):
        rest = [x, y]
        wrong = []
        for n in (a, b):
            if n in rest:
                rest.remove(n)
            else:
                wrong.append(n)
    else:
        wrong = ([a] if a != x else []) + ([b] if b != y else [])
    return "invented" if any(n not in known for n in wrong) else "miscopied"


def worth(a: int, s: str, b: int) -> Fraction | None:
    """The exact value of an operation."""
    if s == "/":
        return None if b == 0 else Fraction(a, b)
    return Fraction({"+": a + b, "-": a - b, "*": a * b}[s])


def best(n: int, m: int, does: Does) -> Moves:
    """Of all alignments the cheapest; of those, the first in the order of ``ORDER`` from the left."""

    @cache
    def from_here(w: int, g: int) -> tuple[int, tuple[int, ...], tuple[tuple[str, int, int], ...]]:
        if w == n and g == m:
            return 0, (), ()
        found = []
        for rank, name in enumerate(ORDER):
            dw, dg = {"omitted": (0, 1), "inserted": (1, 0), "swapped": (2, 2)}.get(name, (1, 1))
            if w + dw > n or g + dg > m:
                continue
            if name in ("same", "substituted") and does(w, g) != (name == "same"):
                continue
            if name == "swapped" and not (does(w, g + 1) and does(w + 1, g)):
                continue
            cost, ranks, rest = from_here(w + dw, g + dg)
            found.append((cost + (name != "same"), (rank, *ranks), ((name, w, g), *rest)))
        return min(found)

    return list(from_here(0, 0)[2])


def matchings(n: int, does: Does, taken: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Every way to give each written step a gold step of its own."""
    if len(taken) == n:
        yield taken
        return
    for g in range(n):
        if g not in taken and does(len(taken), g):
            yield from matchings(n, does, (*taken, g))
