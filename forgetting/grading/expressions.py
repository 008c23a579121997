"""Mathematical expressions against gold answers, by ``math-verify`` in a process of its own that can be killed.

``math-verify`` evaluates text with sympy, and its time limits work in a main thread only; so a worker process, confined
like a program's, does it, and is ended and replaced where it hangs. Needs the extra ``forgetting[math]``.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache

from forgetting.errors import UsageError

VERSION = 1
SECONDS = 30.0  # for one pair; the worker's own limits are 5 seconds for parsing and 5 for comparing
START_SECONDS = 120.0


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
        return _worker().ask(gold, answer)
    except _Ended:
        _worker().stop()
        _worker.cache_clear()
        return Agreement(strict=False, lenient=False, parsed=False)


class _Ended(Exception):
    """The worker does not answer."""


class _Worker:
    def __init__(self) -> None:
        paths = os.pathsep.join(p for p in sys.path if p)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "forgetting.grading.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={"PYTHONPATH": paths, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}, start_new_session=True,
        )  # fmt: skip
        atexit.register(self.stop)
        self._line(START_SECONDS)

    def ask(self, gold: str, answer: str) -> Agreement:
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps([gold, answer]) + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise _Ended from error
        strict, lenient, parsed = json.loads(self._line(SECONDS))
        return Agreement(strict, lenient, parsed)

    def _line(self, seconds: float) -> str:
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise _Ended
        line = self.process.stdout.readline()
        if not line:
            raise _Ended
        return line

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                assert stream
                stream.close()


@cache
def _worker() -> _Worker:
    try:
        return _Worker()
    except _Ended:
        raise UsageError("math-verify: its worker process cannot be started") from None
