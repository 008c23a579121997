"""Written-out steps: a gold answer and a model's answer in, a grade out; ``12 + 5 = 17 ; 17 - 3 = 14 ; answer 14``.

The verdict is the final answer's alone. A step counts as right when its equation is true and it does what the gold
step does; in a chain, to the number that the answer itself has reached, so that one slip costs one step.
"""

from __future__ import annotations

import re
from functools import lru_cache

from forgetting.contracts import Grade

_STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
_ANSWER = re.compile(r"answer (\d+)")

WrittenStep = tuple[int, str, int, int]


def read(text: str) -> tuple[list[WrittenStep | None], int | None]:
    """The steps (None where one is no equation) and the final answer (None where the text does not end with one)."""
    parts = " ".join(text.split()).split(" ; ")
    final = _ANSWER.fullmatch(parts[-1])
    return [_step(part) for part in (parts[:-1] if final else parts)], int(final[1]) if final else None


def _step(part: str) -> WrittenStep | None:
    found = _STEP.fullmatch(part)
    return (int(found[1]), found[2], int(found[3]), int(found[4])) if found else None


def is_true(step: WrittenStep) -> bool:
    """Whether the equation holds, exactly."""
    left, symbol, right, result = step
    if symbol == "/":
        return right * result == left and right != 0
    return result == (left + right if symbol == "+" else left - right if symbol == "-" else left * right)


@lru_cache(maxsize=65536)
def grade_steps(gold: str, answer: str, *, chain: bool) -> Grade:
    """The grade of one answer. ``chain``: every step works on the result before it (word problems)."""
    gold_steps, gold_final = read(gold)
    steps, final = read(answer)
    faults = [_fault(i, steps, gold_steps, chain) for i in range(min(len(steps), len(gold_steps)))]
    right, total = faults.count(""), len(gold_steps)
    if final is None:
        return Grade("unparsed", "malformed" if None in steps else "incomplete", right, total)
    if final == gold_final:
        return Grade("right", "", right, total)
    return Grade("wrong", _kind(faults, steps, total), right, total)


def _fault(index: int, steps: list[WrittenStep | None], gold_steps: list[WrittenStep | None], chain: bool) -> str:
    step, gold = steps[index], gold_steps[index]
    if step is None or gold is None:
        return "malformed"
    if not is_true(step):
        return "arithmetic"
    if not chain:
        return "" if step == gold else "wrong_operation"
    before = steps[index - 1] if index else (0, "", 0, gold[0])
    if before is not None and step[0] != before[3]:
        return "broken_chain"
    return "" if step[1:3] == gold[1:3] else "wrong_operation"


def _kind(faults: list[str], steps: list[WrittenStep | None], total: int) -> str:
    """The first thing that went wrong."""
    if first := next(filter(None, faults), ""):
        return first
    return "inconsistent" if len(steps) == total else "incomplete" if len(steps) < total else "extra_steps"
