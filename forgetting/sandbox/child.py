"""The inside of the sandbox, a script for an interpreter of its own: frames with programs in, frames with verdicts out.

This is the one file of the package that executes text as Python. Nothing imports it: ``pool.py`` starts it with ``-s -S
-P`` and an environment of its own. It confines itself, says which layers hold, and then forks for each program

- a *candidate*, which reads the program, confines itself further, and answers calls with plain values;
- a *judge*, which reads the tests, confines itself likewise, and calls the candidate through two pipes.

So the tests and the expected values are never in the memory of the process that runs the program, nor is an earlier
program, and what the judge compares are plain values. The process that forks reads neither. A script (a program that
reads its input and prints) has no judge: its output is given back and compared outside. Whatever a candidate writes,
in or out of turn, is read as a verdict on it; no process waits beyond the wall limit for what it began to write.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import json
import os
import random
import select
import sys
import time
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# Last, so that no file beside the package takes the place of one of Python's own.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from forgetting.sandbox import codec, confinement, wire
from forgetting.sandbox.ending import ended, finish
from forgetting.sandbox.proxy import DETAIL, CandidateError, Over, Proxy, described

del sys.path[-1]

LIBRARY = os.path.dirname(os.__file__)
READABLE = (LIBRARY, "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/dev/urandom", "/dev/null")
# Imported once, so that programs have them at once. None opens a file or starts a thread.
WARM = (
    "bisect collections copy dataclasses datetime decimal enum fractions functools hashlib heapq io itertools math"
    " operator random re statistics string struct textwrap typing"
).split()
JOBS, REPLIES = 0, 1
GONE, DECIDED = b"?", b"="
MOST_OF_VERDICT = 100_000

ControlFrame = dict[str, Any]


def _run(work: Callable[[], bytes], most: int) -> bytes:
    """The outcome of a piece of the program as a raw answer."""
    try:
        answer = b"v" + work()
    except MemoryError:
        return b"m"
    except SyntaxError as error:
        return b"s" + described(error)
    except BaseException as error:  # noqa: BLE001 (whatever a program raises, SystemExit too)
        return b"e" + described(error)
    return answer if len(answer) <= most else b"o"


def _load(source: str, name: str) -> types.ModuleType:
    """The program, executed as a module of that name."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    try:
        code = compile(source, "<program>", "exec", dont_inherit=True)
    except (ValueError, RecursionError, OverflowError) as error:  # null bytes, nesting
        raise SyntaxError(str(error)) from None
    exec(code, module.__dict__)  # noqa: S102
    return module


def _candidate(control: ControlFrame, calls: int, answers: int) -> None:
    job = json.loads(wire.receive(JOBS))
    _settle(control, calls, answers)
    wire.send(answers, b"")
    most, loaded = control["output_bytes"], types.ModuleType("")

    def load() -> bytes:
        nonlocal loaded
        loaded = _load(job["program"], "program")
        if not callable(loaded.__dict__.get(job["entry"])):
            raise NameError(f"no function {job['entry']!r}")
        return b"null"

    loading = _run(load, most)
    wire.send(answers, loading)
    if loading[:1] != b"v":
        return
    while True:
        arguments, named = codec.loads(wire.receive(calls))
        function = loaded.__dict__.get(job["entry"])
        wire.send(answers, _run(lambda: _answer(function(*arguments, **named)), most))  # type: ignore[misc] # noqa: B023


def _script(control: ControlFrame, _: int, answers: int) -> None:
    job = json.loads(wire.receive(JOBS))
    source, stdin = job["program"], job["input"].encode("utf-8", "surrogatepass")
    while stdin:
        stdin = stdin[os.write(control["input"], stdin) :]
    os.lseek(control["input"], 0, os.SEEK_SET)
    _settle(control, -1, answers)
    wire.send(answers, b"")

    def main() -> bytes:
        try:
            _load(source, "__main__")
        except SystemExit as left:
            if left.code not in (None, 0) and not control["lenient"]:
                raise
        finally:
            finish()
        return b""

    wire.send(answers, _run(main, 1 + DETAIL))


def _answer(value: Any) -> bytes:
    """A result as a raw answer: its plain value, or of what is none no more than its truth."""
    try:
        return codec.dumps(value)
    except codec.NotPlain as error:
        return codec.dumps(codec.Opaque(str(error), truth=bool(value)))


def _judge(control: ControlFrame, calls: int, answers: int, verdicts: int) -> None:
    frame = wire.receive(JOBS)
    job, room = json.loads(frame), control["memory_bytes"] + 4 * len(frame)  # long tests are not the program's fault
    _settle({**control, "memory_bytes": room}, calls, answers, verdicts)
    proxy = Proxy(calls, answers, control["output_bytes"] + 1)
    try:
        proxy.encoded(proxy.answer())
        result = _calls(proxy, job) if "calls" in job else _asserts(proxy, job)
    except CandidateError as error:
        result = {"outcome": "runtime_error", "detail": str(error)}
    except Over:
        assert proxy.over
        result = {"outcome": proxy.over[0], "detail": proxy.over[1]}
    except MemoryError:
        result = {"outcome": "memory_limit", "detail": "of the tests, with what the program gave"}
    mark = GONE if result["outcome"] == "gone" else DECIDED
    wire.send(verdicts, mark + json.dumps({**result, "nonce": job["nonce"]}).encode())


def _calls(proxy: Proxy, job: dict[str, Any]) -> dict[str, Any]:
    """Prepared calls and the value that each must give, until the first that gives another."""
    for index, (call, expected) in enumerate(job["calls"]):
        given, detail = proxy.encoded(proxy.ask(call.encode())), ""
        try:
            right = codec.same(given, expected.encode(), lenient=job["lenient"])
        except codec.NotPlain as error:
            right, detail = False, str(error)
        if not right:
            return {"outcome": "wrong", "detail": f"call {index}: {detail or given[:100].decode('ascii', 'replace')}"}
    return {"outcome": "passed", "detail": ""}


def _asserts(proxy: Proxy, job: dict[str, Any]) -> dict[str, Any]:
    """The benchmark's own test code, with the proxy as ``candidate`` and under the function's name."""
    try:
        module = _load(job["prelude"], "tests")
        tests = compile(job["tests"], "<tests>", "exec", dont_inherit=True)
    except BaseException as error:  # noqa: BLE001 (a benchmark's mistake, not the program's)
        return {"outcome": "harness_error", "detail": described(error).decode()}
    module.__dict__.update({"candidate": proxy, job["entry"]: proxy})
    outcome, detail = "passed", ""
    try:
        exec(tests, module.__dict__)  # noqa: S102
    except (CandidateError, MemoryError, Over):
        raise
    except BaseException as error:  # noqa: BLE001 (an assertion, or tests that cannot use the result)
        outcome, detail = "wrong", described(error).decode()
    if proxy.over:
        raise Over
    return {"outcome": outcome, "detail": detail}


def _settle(control: ControlFrame, *keep: int) -> None:
    """Close what is not this process's, then confine it, for good."""
    standard = (control.get("input", control["null"]), control.get("output", control["null"]), control["null"])
    for target, source in enumerate(standard):
        os.dup2(source, target)
    rules = control["landlock"].rules if control["landlock"] else -1
    opened = sorted({0, 1, 2, *(k for k in (*keep, rules) if k >= 0)})
    for low, high in zip(opened, [*opened[1:], 4096], strict=True):
        os.closerange(low + 1, high)
    os.setsid()
    random.seed(0)
    confinement.limit(
        cpu_seconds=control["cpu_seconds"], memory_bytes=control["memory_bytes"],
        file_bytes=control["output_bytes"] if "output" in control else 0,
    )  # fmt: skip
    if control["landlock"] is not None:
        control["landlock"].enter()
        os.close(rules)
    if control["seccomp"]:
        confinement.refuse_system_calls(forking=False)


def _fork(work: Callable[..., None], *arguments: Any) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work(*arguments)
        status = 0
    except wire.Ended:
        status = 3
    except BaseException as error:  # noqa: BLE001 (goes to the log, where this process still has it)
        os.write(2, b"sandbox: " + described(error) + b"\n")
    finally:
        os._exit(status)


def _one(control: ControlFrame, *, first_of_namespace: bool) -> None:
    """One program: fork, wait for the verdict until the wall limit, end everything, report."""
    script = control["script"]
    if script:
        control |= {"input": os.memfd_create("input"), "output": os.memfd_create("output")}
    calls, answers, verdicts = os.pipe(), os.pipe(), os.pipe()
    deadline = time.monotonic() + control["wall_seconds"]
    candidate = _fork(_script if script else _candidate, control, calls[0], answers[1])
    os.close(answers[1])
    wire.receive(answers[0], 0)  # it has read the program
    judge = 0 if script else _fork(_judge, control, calls[1], answers[0], verdicts[1])
    for pipe in (*calls, verdicts[1]):
        os.close(pipe)
    awaited, verdict = answers[0] if script else verdicts[0], b""
    late = False
    try:
        verdict = wire.receive(awaited, 1 + DETAIL if script else MOST_OF_VERDICT, deadline)
    except wire.Late:
        late = True
    except wire.Ended:
        pass
    head = ended(candidate, judge, gone=not late and verdict[:1] in (b"", GONE), sweep=first_of_namespace)
    printed = b""
    if script:
        printed = os.pread(control["output"], control["output_bytes"] + 1, 0)
        os.close(control["input"])
        os.close(control["output"])
    os.close(answers[0])
    os.close(verdicts[0])
    wire.send(REPLIES, json.dumps({**head, "late": late}).encode())
    wire.send(REPLIES, verdict)
    wire.send(REPLIES, printed)


def _attempt(layers: dict[str, str], name: str, work: Callable[[], Any]) -> Any:
    """Put a layer in place, or note why it is missing."""
    try:
        result = work()
    except OSError as error:
        layers[name] = str(error) or type(error).__name__
        return None
    layers[name] = ""
    return result


def main() -> None:
    """Confine this process, say how, and serve until the other side closes the pipe."""
    null, layers = os.open("/dev/null", os.O_RDWR), dict[str, str]()
    for name in WARM:
        importlib.import_module(name)
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # what the site module would give
    first = bool(_attempt(layers, "namespaces", confinement.new_namespaces))
    if first and (child := os.fork()):
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    landlock = _attempt(layers, "landlock", lambda: confinement.Landlock(READABLE))
    if landlock:
        landlock.enter()
    _attempt(layers, "user", lambda: confinement.drop_user(READABLE[:1], confined=landlock is not None))
    _attempt(layers, "seccomp", lambda: confinement.refuse_system_calls(forking=True))
    with suppress(OSError):
        confinement.system_calls(forking=False)
        confinement.die_with_parent()
        confinement.hide_memory()
    gc.collect()
    gc.freeze()
    wire.send(REPLIES, json.dumps(layers).encode())
    confined = {"null": null, "landlock": landlock, "seccomp": not layers["seccomp"]}
    while select.select([JOBS], [], [])[0]:
        try:
            control = json.loads(wire.receive(JOBS))
        except wire.Ended:
            return
        _one({**control, **confined}, first_of_namespace=first)


if __name__ == "__main__":
    main()
