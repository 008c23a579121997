"""Mathematical expressions against gold answers, by ``math-verify`` in a process of its own that can be killed.

``math-verify`` evaluates text with sympy, and its time limits work in a main thread only; so a worker process, confined
like a program's, does it, and is ended and replaced where it hangs. Needs the extra ``forgetting[math]``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from forgetting.errors import UsageError
from forgetting.natural.grading.grader_process import GraderEnded, Helper

VERSION = 2


@dataclass(frozen=True)
class Agreement:
    """Whether an answer equals the gold one: read strictly (boxed), leniently (any expression); if one was found."""

    strict: bool
    lenient: bool
    parsed: bool


def available() -> bool:
    """Whether ``math-verify`` is installed."""
    return importlib.util.find_spec("math_verify") is not None


def check_available() -> None:
    """Raise ``UsageError`` where ``math-verify`` is missing."""
    if not available():
        raise UsageError("math-verify: is not installed; pip install 'forgetting[math]'")


def agree(gold: Sequence[str], answers: Sequence[str]) -> list[Agreement]:
    """One word for each pair, in order. An answer at which the worker hangs or dies counts as not parsed."""
    check_available()
    return [_agreement(right, answer) for right, answer in zip(gold, answers, strict=True)]


@lru_cache(maxsize=100_000)
def _agreement(gold: str, answer: str) -> Agreement:
    try:
        found = _worker().ask(gold, answer)
        if type(found) is not list or [type(word) for word in found] != [bool] * 3:
            raise GraderEnded
    except GraderEnded:
        _worker().stop()
        _worker.cache_clear()
        return Agreement(strict=False, lenient=False, parsed=False)
    return Agreement(*found)


@cache
def _worker() -> Helper:
    try:
        return Helper("forgetting.natural.grading.expression_worker")
    except GraderEnded:
        raise UsageError("math-verify: its worker process cannot be started") from None
