"""Programs with their tests in, verdicts out: a warm pool of sandboxes, one for each core, that fork for each program.

What is prevented, on Linux with every layer (``Sandbox.layers``): reading files other than Python's own library and the
system's, writing files, opening sockets, starting programs or processes, signalling or tracing other processes, using
more than the limits. What is not: exploits of the kernel, side channels, reading the library folders (the code of
installed packages may lie there), and burning processor time up to the limit. It is no substitute for a virtual
machine where the author of the programs means harm.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from forgetting.errors import UsageError, require
from forgetting.sandbox import codec, wire
from forgetting.sandbox.comparison import same_text
from forgetting.sandbox.limits import Limits, Outcome, ProgramVerdict
from forgetting.sandbox.policy import Policy, policy
from forgetting.sandbox.waiting import waiting

GRACE_SECONDS = 20.0  # beyond the wall limit, for the sandbox's own work on a busy machine
START_SECONDS = 60.0
POLITE_SECONDS = 1.0
ENVIRONMENT = {
    "PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1",
    "LC_ALL": "C.UTF-8",
}  # fmt: skip
TRIES = 2


@dataclass(frozen=True)
class Asserts:
    """A program that defines ``entry``, and test code that calls it by that name or as ``candidate``.

    ``prelude`` is run before (imports, helper functions). Test code runs in another process than the program.
    """

    program: str
    entry: str
    tests: str
    prelude: str = ""


@dataclass(frozen=True)
class Calls:
    """A program that defines ``entry``, the positional arguments of each call, and the value that each must give."""

    program: str
    entry: str
    arguments: tuple[Any, ...]
    expected: tuple[Any, ...]
    lenient: bool = False  # see codec.same


@dataclass(frozen=True)
class Script:
    """A program that reads its standard input and prints. Leniently, any ``SystemExit`` is a regular end."""

    program: str
    stdin: str
    expected: str
    lenient: bool = False  # see comparison.py


Job = Asserts | Calls | Script


class _Broken(Exception):
    """The sandbox itself failed; the text says how."""


class _Cell:
    """One warm sandbox: the process that forks, and the pipes to it."""

    def __init__(self, wanted: Policy) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="forgetting-sandbox-")
        os.chmod(self.folder.name, 0o555)
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        own = dict(os.environ) if wanted.image else {"PATH": os.environ.get("PATH", "")} if wanted.bubblewrap else {}
        self.process = subprocess.Popen(
            wanted.command(self.folder.name),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            cwd=self.folder.name, env={**own, **ENVIRONMENT}, start_new_session=True, bufsize=0,
        )  # fmt: skip
        assert self.process.stdin and self.process.stdout
        self._to, self._from = self.process.stdin.fileno(), self.process.stdout.fileno()
        try:
            self.layers: dict[str, str] = json.loads(self._receive(time.monotonic() + START_SECONDS))
        except _Broken:
            self.stop()
            raise

    def run(self, control: dict[str, Any], *frames: dict[str, Any]) -> tuple[dict[str, Any], bytes, bytes]:
        """One program: how it ended, the judge's frame, what was printed. Raises ``_Broken``."""
        deadline = time.monotonic() + control["wall_seconds"] + GRACE_SECONDS
        try:
            for frame in (control, *frames):
                wire.send(self._to, json.dumps(frame).encode())
        except OSError as error:
            raise _Broken(f"the sandbox does not read: {error}") from error
        head, verdict, printed = (self._receive(deadline) for _ in range(3))
        return json.loads(head), verdict, printed

    def _receive(self, deadline: float) -> bytes:
        try:
            return wire.receive(self._from, until=deadline)
        except wire.Late:
            raise _Broken("the sandbox does not answer") from None
        except wire.Ended:
            self.log.seek(0)
            lines = self.log.read().decode(errors="replace").split("\n")
            raise _Broken("the sandbox ended: " + " ".join(lines[-3:]).strip()) from None

    def stop(self) -> None:
        """End the process and everything it started: politely, then by force."""
        assert self.process.stdin
        with suppress(OSError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(POLITE_SECONDS)
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        self.log.close()
        self.folder.cleanup()


class Sandbox:
    """A warm pool. Use it as a context manager, or ``shared`` for one that lives as long as the process.

    Args:
        limits: of each program
        workers: sandboxes, by default one for each core
        strict: refuse to run (``UsageError``) where a layer is missing
        wanted: what the sandboxes are put into; by default what the process's setting says (``policy``)
    """

    def __init__(
        self, limits: Limits | None = None, *, workers: int | None = None, strict: bool = False,
        wanted: Policy | None = None,
    ) -> None:  # fmt: skip
        count = workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        require(count >= 1, "sandbox.workers", "at least 1", workers)
        self.limits = limits or Limits()
        self._wanted = wanted or policy()
        self._idle: SimpleQueue[_Cell] = SimpleQueue()
        self._cells: list[_Cell] = []
        for _ in range(count):
            self._add()
        self.layers: Mapping[str, str] = self._cells[0].layers
        if (strict or self._wanted.strict) and (lacking := self.missing()):
            self.close()
            raise UsageError(f"sandbox: strict, but this machine lacks {lacking}")

    def missing(self) -> str:
        """The layers that are missing, with the reasons, in one line; empty where all hold."""
        return missing(self.layers)

    def run(self, jobs: Sequence[Job]) -> list[ProgramVerdict]:
        """One verdict for each program, in order. The tests decide; nothing that a program prints can."""
        with waiting(), ThreadPoolExecutor(len(self._cells)) as threads:
            return list(threads.map(self._one, jobs))

    def close(self) -> None:
        """End all processes."""
        for cell in self._cells:
            cell.stop()
        self._cells.clear()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _add(self) -> None:
        try:
            cell = _Cell(self._wanted)
        except _Broken as error:
            self.close()
            raise UsageError(f"sandbox: cannot be started: {error}") from error
        self._cells.append(cell)
        self._idle.put(cell)

    def _one(self, job: Job) -> ProgramVerdict:
        for _ in range(TRIES):
            cell = self._idle.get()
            try:
                verdict = self._verdict(cell, job)
            except (_Broken, LookupError, TypeError, ValueError) as error:  # the last three: words that make no sense
                cell.stop()
                self._cells.remove(cell)
                self._add()
                verdict = ProgramVerdict(Outcome.harness_error, f"{type(error).__name__.strip('_')}: {error}")
            else:
                self._idle.put(cell)
                return verdict
        return verdict

    def _verdict(self, cell: _Cell, job: Job) -> ProgramVerdict:
        control = {
            "script": isinstance(job, Script),
            "cpu_seconds": self.limits.cpu_seconds,
            "wall_seconds": self.limits.wall_seconds,
            "memory_bytes": self.limits.memory_mebibytes * 2**20,
            "output_bytes": self.limits.output_bytes,
        }
        if isinstance(job, Script):
            control["lenient"] = job.lenient
            head, answer, printed = cell.run(control, {"program": job.program, "input": job.stdin})
            return _of_script(head, answer, printed, job, self.limits)
        nonce = secrets.token_hex(16)
        tests: dict[str, Any] = {"nonce": nonce}
        if isinstance(job, Calls):
            pairs = zip(job.arguments, job.expected, strict=True)
            tests["lenient"] = job.lenient
            tests["calls"] = [(codec.dumps((tuple(a), {})).decode(), codec.dumps(e).decode()) for a, e in pairs]
        else:
            tests |= {"prelude": job.prelude, "tests": job.tests, "entry": job.entry}
        head, answer, _ = cell.run(control, {"program": job.program, "entry": job.entry}, tests)
        if (early := _of_end(head, answer, self.limits)) is not None:
            return early
        result = json.loads(answer[1:])
        if result.get("nonce") != nonce:
            return ProgramVerdict(Outcome.harness_error, "the verdict does not carry the nonce")
        return ProgramVerdict(Outcome[result["outcome"]], result["detail"], head["cpu_seconds"])


def _of_end(head: dict[str, Any], answer: bytes, limits: Limits) -> ProgramVerdict | None:
    """The verdict on a program that did not end with an answer; None where it did."""
    cpu = head["cpu_seconds"]
    if head["late"]:
        return ProgramVerdict(Outcome.time_limit, f"wall time, {limits.wall_seconds:g} s", cpu)
    exhausted = getattr(signal, "SIGXCPU", -1)
    if head["judge_signal"] == exhausted:  # tests that never end also count against the program, as by wall time
        return ProgramVerdict(Outcome.time_limit, f"processor time of the tests, {limits.cpu_seconds} s", cpu)
    if head["signal"] == exhausted or (head["signal"] and cpu >= limits.cpu_seconds):
        return ProgramVerdict(Outcome.time_limit, f"processor time, {limits.cpu_seconds} s", cpu)
    if head["signal"]:
        return ProgramVerdict(Outcome.killed, _signal_name(head["signal"]), cpu)
    if answer[:1] == b"?":
        return ProgramVerdict(Outcome.runtime_error, f"left with status {head['status']} before it had answered", cpu)
    if not answer:
        return ProgramVerdict(Outcome.harness_error, "no verdict", cpu)
    return None


def _signal_name(number: int) -> str:
    """Signals of real time have no name of their own."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _of_script(head: dict[str, Any], answer: bytes, printed: bytes, job: Script, limits: Limits) -> ProgramVerdict:
    cpu = head["cpu_seconds"]
    if len(printed) >= limits.output_bytes:
        return ProgramVerdict(Outcome.output_limit, f"{limits.output_bytes} bytes", cpu)
    left = not answer and not head["late"] and not head["signal"]  # os._exit: what it printed counts
    if not left and (early := _of_end(head, answer, limits)) is not None:
        return early
    bad = {b"s": Outcome.syntax_error, b"m": Outcome.memory_limit, b"e": Outcome.runtime_error}
    if answer[:1] in bad or (left and head["status"]):
        return ProgramVerdict(bad.get(answer[:1], Outcome.runtime_error), answer[1:].decode(errors="replace"), cpu)
    right = same_text(printed.decode(errors="replace"), job.expected, lenient=job.lenient)
    return ProgramVerdict(Outcome.passed if right else Outcome.wrong, "", cpu)


@lru_cache(maxsize=4)
def shared(limits: Limits = Limits(), *, strict: bool = False) -> Sandbox:  # noqa: B008 (frozen)
    """The pool of this process for these limits, started at the first call and ended with the process."""
    sandbox = Sandbox(limits, strict=strict)
    atexit.register(sandbox.close)
    return sandbox


def missing(layers: Mapping[str, str]) -> str:
    """The layers that are missing, with the reasons, in one line; empty where all hold."""
    return "; ".join(f"{name} ({reason})" for name, reason in layers.items() if reason)


def layers() -> dict[str, str]:
    """The layers that hold on this machine under the process's policy, each with the reason where it is missing."""
    with Sandbox(workers=1) as sandbox:
        return dict(sandbox.layers)
