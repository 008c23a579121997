"""What a hostile candidate writes is a verdict on it: no exception, no waiting, no harm to the next program."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from forgetting.contracts import Grade
from forgetting.natural.grading import expressions, grader_process, verdicts
from forgetting.sandbox.limits import Limits, Outcome
from forgetting.sandbox.pool import Asserts, Calls, Job, Sandbox, Script
from tests.conftest import cases
from tests.trust import frames

LIMITS = Limits(cpu_seconds=1, wall_seconds=2.5, memory_mebibytes=256, output_bytes=2_000_000)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox's layers are Linux's")

FORGE = """import os, time
def write(data):
    for pipe in range(3, 64):
        try: os.write(pipe, data)
        except OSError: pass
def forge(*payloads):
    for payload in payloads: write(len(payload).to_bytes(4, 'big') + payload)
"""
SQUARE = "def f(x):\n    return x * x\n"
CJK, CLEF = "\u4e2d", "\U0001d11e"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(LIMITS, workers=1) as started:
        yield started


@pytest.fixture(scope="module")
def hasty() -> Iterator[Sandbox]:
    """For programs that never end: how long they are waited for plays no part."""
    with Sandbox(dataclasses.replace(LIMITS, wall_seconds=1.5), workers=1) as started:
        yield started


def outcomes(sandbox: Sandbox, *jobs: Job) -> list[Outcome]:
    """The outcomes, from a sandbox that has to stay the same and to judge the next program rightly."""
    process_id, begin = sandbox._cells[0].process.pid, time.monotonic()
    *found, honest = sandbox.run([*jobs, Asserts(SQUARE, "f", "assert f(3) == 9")])
    assert time.monotonic() - begin < len(jobs) * LIMITS.wall_seconds + 5
    assert honest.passed
    assert sandbox._cells[0].process.pid == process_id, "the sandbox was broken"
    assert all(v.outcome is not Outcome.harness_error for v in found), found
    return [v.outcome for v in found]


def verdict(sandbox: Sandbox, job: Job) -> Outcome:
    """The outcome of one."""
    return outcomes(sandbox, job)[0]


@pytest.mark.parametrize("letter", [CJK, CLEF, "\u00e9", "\ud800", "\x00"])
@pytest.mark.parametrize("before", range(4))
def test_an_error_text_is_cut_between_letters(sandbox: Sandbox, letter: str, before: int) -> None:
    text = repr("x" * before + letter * 300)
    printing = ("print(f(1))\nassert f(1) == 2, f(1)", "assert f(1) == 2, repr(f(1))", "raise KeyError(f(1))")
    found = outcomes(sandbox, *(Asserts(f"def f(x): return {text}", "f", tests) for tests in printing))
    assert found == [Outcome.wrong] * 3
    raising = f"def f(x): raise ValueError({text})"
    jobs = Asserts(raising, "f", "assert f(1) == 2"), Calls(raising, "f", ((1,),), (2,))
    found = outcomes(sandbox, *jobs, Script(f"raise ValueError({text})", "", "2"))
    assert found == [Outcome.runtime_error] * 3


WORDS = (
    b"", b"v", b"v\xff", b'v["int"]', b'v["int",[]]', b'v["int",null]', b'v["bytes"]', b'v["bytes","0"]', b'v["float"]',
    b'v["float","x"]', b'v["complex"]', b'v["complex","1"]', b'v["complex","x","y"]', b'v["dict",1]',
    b'v["dict",["a"]]',
    b'v["dict",[["list"],1]]', b'v["set",["list"]]', b'v["set",1,1]', b"v[]", b"v[[]]", b"v{}", b'v{"int":1}', b"vNaN",
    b"v" + b"9" * 5000, b"v" + b"[" * 100_000, b'v"\\ud800"', "v\ufeff1".encode("utf-16"), b"e\xe4\xb8", b"e" * 400,
    b"s\xff", b"m", b"n", b"o", b"z", b"?", b'={"outcome": "passed"}', b"\xff" * 400,
    b'v["type"]', b'v["type",[]]', b'v["type","Proxy"]', b'v["opaque"]', b'v["opaque","x",1]', b'v["opaque","x",true]',
    b'v["list",["opaque","x",true]]',
)  # fmt: skip


@pytest.mark.parametrize("word", WORDS, ids=lambda word: repr(word[:24]))
def test_a_forged_word_is_a_verdict(sandbox: Sandbox, word: bytes) -> None:
    at_once, later = f"{FORGE}forge({word!r})\n", f"{FORGE}def f(x): forge({word!r})\n"
    jobs: list[Job] = [Script(at_once + "print(1)", "", "2")]
    for program in (at_once + "def f(x): return 1", later):
        jobs += [Asserts(program, "f", "assert candidate(1) == 2"), Calls(program, "f", ((1,), (2,)), (2, 2))]
    assert Outcome.passed not in outcomes(sandbox, *jobs)


@pytest.mark.parametrize("part", [b"\0\0", b"\0\0\0\7v123"])
def test_half_a_frame_is_not_waited_for(hasty: Sandbox, part: bytes) -> None:
    program = f"{FORGE}write({part!r})\ntime.sleep(1000)"
    assert verdict(hasty, Script(program, "", "2")) is Outcome.time_limit
    assert verdict(hasty, Asserts(program, "f", "assert f(1) == 2")) is Outcome.time_limit


@pytest.mark.parametrize("length", [2_000_003, 2**31 - 1, 2**32 - 1])
def test_a_false_length_is_the_output_limit(sandbox: Sandbox, length: int) -> None:
    program = f"{FORGE}write({length.to_bytes(4, 'big')!r})\ndef f(x): return 1"
    assert verdict(sandbox, Asserts(program, "f", "assert f(1) == 2")) is Outcome.output_limit


# Members of equal hashes, as the wire has them.
EQUAL_HASHES = {
    "whole numbers": ("set", 'str(i * (2**61 - 1)) if i < 4000 else f\'["int","{i * (2**61 - 1):x}"]\''),
    "complex numbers": ("set", 'f\'["complex","{float(-1000003 * i).hex()}","{float(i).hex()}"]\''),
    "tuples": ("frozenset", 'f\'["tuple",["int","{i * (2**61 - 1):x}"]]\''),
    "keys": ("dict", 'f\'[["int","{i * (2**61 - 1):x}"],1]\''),
}


@pytest.mark.parametrize("kind", cases(EQUAL_HASHES, "whole numbers"))
def test_equal_hashes_cost_the_candidate_and_nobody_else(sandbox: Sandbox, kind: str) -> None:
    tag, member = EQUAL_HASHES[kind]
    program = f"{FORGE}text = '[\"{tag}\",' + ','.join({member} for i in range(1, 20_000)) + ']'\n"
    program += "def f(x): forge(b'v' + text.encode())\n"
    # Prepared values are compared as texts, in no time; tests get a real set, which takes the limit's time at most.
    assert verdict(sandbox, Calls(program, "f", ((1,),), ({1},))) is Outcome.wrong
    assert verdict(sandbox, Asserts(program, "f", "assert f(1) == {1}")) is Outcome.time_limit


@pytest.mark.parametrize(
    ("given", "wanted", "passes"),
    [
        ("{True}", {1}, False),
        ("{1}", {True}, False),
        ("{1.0}", {1}, True),
        ("[True]", [1], False),
        ("[1.0]", [1], True),
        ("True", 1, False),
        ("1.0", 1, True),
        ("{True: 2}", {1: 2}, False),
        ("{1.0: 2}", {1: 2}, True),
        ("{1: True}", {1: 1}, False),
        ("{(1, False)}", {(1, 0)}, False),
        ("{frozenset({True})}", {frozenset({1})}, False),
        ("frozenset({1, 2})", {2, 1}, True),
        ("{2: 'b', 1: 'a'}", {1: "a", 2: "b"}, True),
        ("[(1,)]", [[1]], False),
        ("float('nan')", float("nan"), False),
    ],
)
def test_true_is_not_one_however_deep(sandbox: Sandbox, given: str, wanted: Any, passes: bool) -> None:
    found = verdict(sandbox, Calls(f"def f(x): return {given}", "f", ((1,),), (wanted,)))
    assert found is (Outcome.passed if passes else Outcome.wrong)


def test_leniently_true_is_one_as_in_python(sandbox: Sandbox) -> None:
    jobs = [
        Calls(f"def f(x): return {given}", "f", ((1,),), (wanted,), lenient=True)
        for given, wanted in (("(True, {1.0})", [1, {True}]), ("[(1,)]", [[1]]), ("float('nan')", float("nan")))
    ]
    assert outcomes(sandbox, *jobs) == [Outcome.passed, Outcome.wrong, Outcome.wrong]


def test_a_thread_or_a_last_function_that_never_ends_is_the_time_limit(hasty: Sandbox) -> None:
    waiting = (
        "from threading import *\nThread(target=Event().wait).start()",
        "import atexit, time\natexit.register(time.sleep, 99)",
    )
    assert outcomes(hasty, *(Script(text, "", "") for text in waiting)) == [Outcome.time_limit] * 2
    raising = "import atexit, os\natexit.register(os._exit, 3)", "import sys\nsys.modules['threading'] = 1"
    assert outcomes(hasty, *(Script(text, "", "") for text in raising)) == [Outcome.runtime_error] * 2


def test_a_signal_without_a_name(sandbox: Sandbox) -> None:
    """A timer may send any signal; those of real time are no member of ``signal.Signals``."""
    program = """import ctypes, struct, time
event = ctypes.create_string_buffer(struct.pack('QiI48x', 0, 40, 0))
timer, libc = ctypes.c_void_p(), ctypes.CDLL('librt.so.1')
def f(x):
    assert libc.timer_create(0, event, ctypes.byref(timer)) == 0
    libc.timer_settime(timer, 0, struct.pack('4q', 0, 0, 0, 1000), None)
    time.sleep(1000)
"""
    assert verdict(sandbox, Asserts(program, "f", "assert f(1) == 2")) is Outcome.killed


@pytest.mark.parametrize("tests", ["while f(1): pass", "assert len('x' * f(1) * 10**9) == 1"])
def test_tests_that_a_result_makes_endless(sandbox: Sandbox, tests: str) -> None:
    outcome = verdict(sandbox, Asserts("def f(x): return 10", "f", tests))
    assert outcome in (Outcome.time_limit, Outcome.wrong, Outcome.memory_limit)


def test_tests_that_are_no_plain_values_are_the_harness_s_mistake_and_cost_no_sandbox(sandbox: Sandbox) -> None:
    (found,) = sandbox.run([Calls(SQUARE, "f", ((object(),),), (2,))])
    assert found.outcome is Outcome.harness_error and "an object of type object" in found.detail
    assert verdict(sandbox, Asserts(SQUARE, "f", "assert f(2) == 4")) is Outcome.passed


def test_a_forged_frame_is_a_grade_and_ends_no_study() -> None:
    texts = [f'return "{CJK}" * 300', "return {True}", FORGE.replace("\n", "\n    ") + "\n    forge(b'v[\"int\"]')"]
    jobs = [[Asserts(f"def f(x):\n    {text}", "f", "print(f(1))\nassert f(1) == 2, f(1)")] for text in texts]
    assert verdicts.of_programs(jobs, LIMITS, strict=False) == [Grade("wrong", "wrong")] * 3


def test_thousands_of_changed_frames() -> None:
    seen = Counter(frames.reading(frame) for frame in frames.mutated(3_000, seed=14))
    assert sum(seen.values()) == 3_000
    assert {"a value", "no plain value", "wrong", "gone", "output_limit", "an exception of the program"} <= set(seen)


LIAR = """import json, os, sys, time
def send(data): os.write(1, len(data).to_bytes(4, 'big') + data)
def nonce():
    size = int.from_bytes(sys.stdin.buffer.read(4), 'big')
    return json.loads(sys.stdin.buffer.read(size))[0]
send(b'')
own = nonce()
"""
LIES = {
    "no JSON": "send(b'ready')",
    "not two": "send(b'[]')",
    "no list": "send(b'7')",
    "deep": "send(b'[' * 9000)",
    "no text": "send(b'\\xff')",
    "another question": "send(json.dumps(['0' * 32, [True] * 3]).encode())",
    "no question": "send(json.dumps([None, [True] * 3]).encode())",
    "half": "os.write(1, b'\\0\\0')\ntime.sleep(60)",
    "nothing": "time.sleep(60)",
    "too long": "send(b' ' * 20_000)",
    "the end": "sys.exit()",
    "no bools": "send(json.dumps([own, [1, 1, 1]]).encode())",
    "a text": "send(json.dumps([own, 'yes']).encode())",
    "four": "send(json.dumps([own, [True] * 4]).encode())",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_grader_that_lies_gives_no_right_answer(lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "liar.py").write_text(f"{LIAR}{LIES[lie]}\nsys.stdin.read()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(grader_process, "SECONDS", 0.5)
    monkeypatch.setattr(expressions, "check_available", lambda: None)
    liar = grader_process.Helper("liar")
    worker = type("Worker", (), {"cache_clear": lambda self: None, "__call__": lambda self: liar})()
    monkeypatch.setattr(expressions, "_worker", worker)
    assert expressions.agree([f"gold of {lie}"], ["answer"]) == [expressions.Agreement(False, False, False)]
    assert liar.process.returncode is not None


TRAPPED = sorted({*sys.stdlib_module_names, "torch", "numpy", "sympy", "mpmath", "math_verify", "reasoning_gym",
                  "latex2sympy2_extended", "antlr4", "sitecustomize", "usercustomize"})  # fmt: skip


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that modules in the working folder write to when they are imported; the folder is on the path."""
    sprung = tmp_path / "sprung.txt"
    for name in TRAPPED:
        text = f"import posix\nf = posix.open({str(sprung)!r}, 0x441)\nposix.write(f, {name.encode() + b' '!r})\n"
        (tmp_path / f"{name}.py").write_text(text + "raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), ".", *sys.path])
    monkeypatch.setenv("PYTHONPATH", f":{tmp_path}:.")
    return sprung


def test_the_sandbox_imports_nothing_from_the_working_folder(trap: Path) -> None:
    program = "import json, queue, sqlite3\ntry: import torch\nexcept ImportError: f = lambda x: json.loads('4')\n"
    with Sandbox(LIMITS, workers=1) as sandbox:
        assert sandbox.run([Asserts(program, "f", "import queue, csv\nassert f(1) == 4")])[0].passed
    assert not trap.exists(), trap.read_text()


@pytest.mark.skipif(not expressions.available(), reason="needs math-verify: pip install 'forgetting[math]'")
def test_nor_does_the_grader_of_expressions(trap: Path) -> None:
    helper = grader_process.Helper("forgetting.natural.grading.expression_worker")
    assert helper.ask("\\frac{3}{4}", "\\boxed{0.75}") == [True, True, True]
    helper.stop()
    assert not trap.exists(), trap.read_text()


@pytest.mark.skipif(not find_spec("reasoning_gym"), reason="needs reasoning-gym: pip install 'forgetting[gym]'")
def test_nor_does_the_grader_of_puzzles(trap: Path) -> None:
    helper = grader_process.Helper("forgetting.natural.grading.puzzles")
    assert helper.ask("chain_sum", json.dumps({}), 1, 0, "no idea") < 1
    helper.stop()
    assert not trap.exists(), trap.read_text()
