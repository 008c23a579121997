"""Verdicts on honest programs of every form and ending, on hostile ones, and what stays behind: nothing."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from forgetting.errors import UsageError
from forgetting.sandbox import confinement, pool
from forgetting.sandbox.limits import Limits, Outcome
from forgetting.sandbox.policy import Policy, policy
from forgetting.sandbox.pool import Asserts, Calls, Sandbox, Script
from forgetting.sandbox.waiting import waited
from tests.conftest import cases
from tests.sandbox.hostile import HOSTILE, SOME_OF_EACH_KIND, WANTS_IMPORT
from tests.sandbox.image import image

LIMITS = Limits(cpu_seconds=1, wall_seconds=4, memory_mebibytes=256, output_bytes=1_000_000)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(LIMITS, workers=2) as started:
        yield started


@pytest.fixture(scope="module")
def hasty() -> Iterator[Sandbox]:
    """For programs that never end: how long they are waited for plays no part."""
    with Sandbox(dataclasses.replace(LIMITS, wall_seconds=1.5), workers=1) as started:
        yield started


NEEDS_ALL = "this machine lacks a layer of the sandbox: "


@pytest.fixture
def whole(sandbox: Sandbox) -> Sandbox:
    """A sandbox with every layer."""
    if sandbox.missing():
        pytest.skip(NEEDS_ALL + sandbox.missing())
    return sandbox


THREAD = """
import threading, time
def late():
    time.sleep(0.3)
    print(5)
threading.Thread(target=late).start()
print(4, flush=True)
"""
POOL = """
from concurrent.futures import ThreadPoolExecutor
import time
pool = ThreadPoolExecutor(2)
pool.submit(lambda: (time.sleep(0.2), print(5)))
print(4, flush=True)
"""
MATCH = "import re\ndef f(text): return re.match('[aeiou]', text)"
EMPTY = "from collections import deque\ndef f(x): return deque()"
KIND = "def f(values, kind): return [v for v in values if not isinstance(v, kind)]"
SQUARE = "def f(x):\n    return x * x\n"


def test_seconds_that_programs_took_are_known_to_the_process_that_waited_for_them(sandbox: Sandbox) -> None:
    """Its own processor time has none of them; two programs side by side are waited for once."""
    before, began = waited(), time.process_time()
    busy = Script("import time\nwhile time.process_time() < .4: pass\nprint(5)", "", "5")
    assert [verdict.outcome for verdict in sandbox.run([busy, busy])] == [Outcome.passed] * 2
    assert waited() - before > 0.25 > time.process_time() - began


@pytest.mark.parametrize(
    ("job", "outcome"),
    [
        (Asserts(SQUARE, "f", "assert f(3) == 9\nassert candidate(x=2) == 4"), Outcome.passed),
        (Asserts(SQUARE, "f", "assert f(3) == 6"), Outcome.wrong),
        (Asserts(SQUARE, "f", "assert g(3) == 9", prelude="def g(x): return f(x)"), Outcome.passed),
        (Asserts("def f(x): return None", "f", "assert abs(f(3) - 9) < 1"), Outcome.wrong),
        (Asserts("def f(x): return", "f", "import missing_module"), Outcome.wrong),
        (Asserts(SQUARE, "f", "assert f(3 == 9"), Outcome.harness_error),
        (Asserts(SQUARE, "f", "pass", prelude="1 / 0"), Outcome.harness_error),
        (Asserts("def f(x) return x", "f", "assert f(3) == 9"), Outcome.syntax_error),
        (Asserts("def f(x):\n\0", "f", "assert f(3) == 9"), Outcome.syntax_error),
        (Asserts("(" * 5000, "f", "assert f(3) == 9"), Outcome.syntax_error),
        (Asserts("def g(x): return x", "f", "assert f(3) == 9"), Outcome.runtime_error),
        (Asserts("def f(x): return x / 0", "f", "assert f(3) == 9"), Outcome.runtime_error),
        (Asserts("def f(x): raise ValueError", "f", "try:\n    f(1)\nexcept Exception:\n    pass"), Outcome.passed),
        (Asserts("def f(x): return x[1:]", "f", "assert f([1, 2]) == [2] and f((1, 2)) == (2,)"), Outcome.passed),
        (Calls(SQUARE, "f", ((3,), (4,)), (9, 16)), Outcome.passed),
        (Calls(SQUARE, "f", ((3,), (4,)), (9, 17)), Outcome.wrong),
        (Calls("def f(x): return x == 3", "f", ((3,),), (1,)), Outcome.wrong),
        (Calls("def f(x): return [x]", "f", ((3,),), ((3,),)), Outcome.wrong),
        (Calls("def f(x): return 1 / x", "f", ((0,),), (0,)), Outcome.runtime_error),
        (Calls("import time\ndef f(x): time.sleep(60)", "f", ((0,),), (0,)), Outcome.time_limit),
        (Calls("def f(x):\n    while True: pass", "f", ((0,),), (0,)), Outcome.time_limit),
        (Calls("def f(x): return bytearray(10**9)", "f", ((0,),), (0,)), Outcome.memory_limit),
        (Calls("def f(x): return 'x' * 10**7", "f", ((0,),), (0,)), Outcome.output_limit),
        (Calls("import ctypes\ndef f(x): ctypes.string_at(0)", "f", ((0,),), (0,)), Outcome.killed),
        (Script("print(int(input()) + 1)", "4\n", "5"), Outcome.passed),
        (Script("import sys\nfor l in sys.stdin: print(l.upper(), end='')", "a\nb", "A\nB\n"), Outcome.passed),
        (Script("print(5); exit()", "", "5"), Outcome.passed),
        (Script("print(5, flush=True); import os; os._exit(0)", "", "5"), Outcome.passed),
        (Script("print(5); exit(3)", "", "5"), Outcome.runtime_error),
        (Script("print(5)\nif __name__ == '__main__': print(6)", "", "5\n6"), Outcome.passed),
        (Script(THREAD, "", "4\n5"), Outcome.passed),
        (Script(f"{THREAD}\nimport sys\nsys.exit()", "", "4\n5"), Outcome.passed),
        (Script(f"{THREAD}\n1 / 0", "", "4\n5"), Outcome.runtime_error),
        (Script(POOL, "", "4\n5"), Outcome.passed),
        (Script("import atexit\natexit.register(print, 5)\nprint(4)", "", "4\n5"), Outcome.passed),
        (Script("import atexit, time\natexit.register(lambda: (time.sleep(.2), print(5)))", "", "5"), Outcome.passed),
        (Script("import sys\nsys.stdout = open(1, 'w', closefd=False)\nprint(5)", "", "5"), Outcome.passed),
        (Script("from threading import *\nThread(target=Event().wait).start()", "", ""), Outcome.time_limit),
        (Script("print(5); exit(3)", "", "5", lenient=True), Outcome.passed),
        (Script("print(' 5 \\n 1.50  2')", "", "5\n1.5 2.0", lenient=True), Outcome.passed),
        (Script("print('5 x')", "", "5.0 x", lenient=True), Outcome.wrong),
        (Script("print('5')", "", "5\n5", lenient=True), Outcome.wrong),
        (Calls("def f(x): return (x, 1.0)", "f", ((3,),), ([3, True],), lenient=True), Outcome.passed),
        (Calls("def f(x): return [(x,)]", "f", ((3,),), ([[3]],), lenient=True), Outcome.wrong),
        (Calls("def f(x): return map(str, x)", "f", (([3],),), (["3"],), lenient=True), Outcome.wrong),
        (Asserts(MATCH, "f", "assert f('apple') and not f('pear') and f('pear') is None"), Outcome.passed),
        (Asserts(MATCH, "f", "assert f('apple') == 'a'"), Outcome.wrong),
        (Asserts(MATCH, "f", "assert not f('apple')"), Outcome.wrong),
        (Asserts(MATCH, "f", "assert f('apple').group() == 'a'"), Outcome.wrong),
        (Asserts(EMPTY, "f", "assert not f(1)"), Outcome.passed),
        (Asserts(EMPTY, "f", "assert f(1) == []"), Outcome.wrong),
        (Asserts(KIND, "f", "assert f((1, 'a'), int) == ['a'] and f((1, 'a'), object) == []"), Outcome.passed),
        (Asserts("def f(x): return type(x)", "f", "assert f(1) is int and f({}) == dict != f('')"), Outcome.passed),
        (Script("print(4)", "", "5"), Outcome.wrong),
        (Script("print('5')\n1 / 0", "", "5"), Outcome.runtime_error),
        (Script("print(", "", "5"), Outcome.syntax_error),
        (Script("while True: print('x' * 1000)", "", "5"), Outcome.output_limit),
        (Script("while True: pass", "", "5"), Outcome.time_limit),
        (Script("input()", "", ""), Outcome.runtime_error),
    ],
)  # fmt: skip
def test_every_ending(sandbox: Sandbox, hasty: Sandbox, job: pool.Job, outcome: Outcome) -> None:
    (verdict,) = (hasty if outcome is Outcome.time_limit else sandbox).run([job])
    assert verdict.outcome is outcome, verdict


def test_order_is_kept(sandbox: Sandbox) -> None:
    jobs = [Asserts(SQUARE, "f", f"assert f({i}) == {i * i if i % 3 else -1}") for i in range(30)]
    assert [v.passed for v in sandbox.run(jobs)] == [bool(i % 3) for i in range(30)]


def test_nothing_passes_from_one_program_to_the_next(sandbox: Sandbox) -> None:
    writes = "import math, builtins\nmath.pi = builtins.left = 3\ndef f(x): return x"
    reads = "import math, builtins\ndef f(x): return math.pi == 3 or hasattr(builtins, 'left')"
    jobs = [Asserts(p, "f", "assert f(1) == 1") for p in [writes] * 4]
    assert all(v.passed for v in sandbox.run(jobs))
    assert all(v.passed for v in sandbox.run([Asserts(reads, "f", "assert f(1) is False")] * 4))


def test_chance_and_hashes_are_the_same_every_time(sandbox: Sandbox) -> None:
    program = "import random\ndef f(x): return [random.random(), list({str(i) for i in range(20)})]"
    seen = "import random\nrandom.seed(0)\nfirst = random.random()\norder = list({str(i) for i in range(20)})"
    assert all(v.passed for v in sandbox.run([Asserts(program, "f", "assert f(1) == [first, order]", seen)] * 6))


def processes_of(sandbox: Sandbox) -> list[str]:
    """Command lines of everything below the sandbox's own processes."""
    cells = [str(cell.process.pid) for cell in sandbox._cells]
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    below = set(cells)
    for _ in range(6):
        below |= {pid for pid, parent, _ in rows if parent in below}
    return [args for pid, _, args in rows if pid in below - set(cells)]


def gains_nothing(sandbox: Sandbox, name: str, folder: Path) -> None:
    """The program is not scored as a pass, leaves nothing behind, and the sandbox works on."""
    secret = folder / "secret"
    secret.write_text("assert candidate(1) == 2")
    secret.chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        program = WANTS_IMPORT + HOSTILE[name].replace("{secret!r}", repr(str(secret))).replace(
            "{parent}", str(os.getpid())
        ).replace("{port}", str(server.getsockname()[1]))
        begin, resting = time.monotonic(), processes_of(sandbox)
        (verdict,) = sandbox.run([Asserts(program, "f", "assert candidate(1) == 2")])
        with pytest.raises(BlockingIOError):
            server.accept()
    assert verdict.outcome not in (Outcome.passed, Outcome.harness_error), verdict
    assert time.monotonic() - begin < LIMITS.wall_seconds + 5
    assert secret.read_text() == "assert candidate(1) == 2" and secret.stat().st_mode & 0o777 == 0o644
    assert not Path("/tmp/forgetting-hostile").exists()
    assert all(not os.listdir(cell.folder.name) for cell in sandbox._cells)
    assert processes_of(sandbox) == resting
    assert [v.passed for v in sandbox.run([Asserts(SQUARE, "f", "assert f(3) == 9")] * 2)] == [True, True]


@pytest.mark.parametrize("name", cases(HOSTILE, *SOME_OF_EACH_KIND))
def test_a_hostile_program_gains_nothing(whole: Sandbox, name: str, tmp_path: Path) -> None:
    gains_nothing(whole, name, tmp_path)


@pytest.fixture(scope="module", params=["bubblewrap", pytest.param("container", marks=pytest.mark.slow)])
def wrapped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox inside bubblewrap or a container, where the machine lets one be."""
    words = request.param
    if words == "bubblewrap" and not shutil.which("bwrap"):
        pytest.skip("needs bwrap, of the package bubblewrap")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        if words == "container":
            name = stack.enter_context(image(tmp_path_factory.mktemp("image"), patch))
            words = f"container:{name}"
        try:
            sandbox = stack.enter_context(Sandbox(LIMITS, workers=1, wanted=policy(words)))
        except UsageError as error:
            pytest.skip(f"{words} does not work here: {error}")
        assert not sandbox.missing()
        yield sandbox


@pytest.mark.parametrize("name", SOME_OF_EACH_KIND)
def test_nor_does_it_inside_bubblewrap_or_a_container(wrapped: Sandbox, name: str, tmp_path: Path) -> None:
    gains_nothing(wrapped, name, tmp_path)


def test_the_suite_is_large_and_the_page_has_every_program() -> None:
    assert len(HOSTILE) >= 50
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][2:]
    assert [row[0].removeprefix("| ") for row in rows] == list(HOSTILE)
    assert {row[1] for row in rows} <= {o.name for o in Outcome} - {"passed", "harness_error"}
    assert all(float(row[2]) < LIMITS.wall_seconds + 5 for row in rows)
    assert f"{len(HOSTILE)} programs, 0 scored as a pass" in page


def test_what_is_not_prevented(whole: Sandbox) -> None:
    """The library folders can be read: said in the module's text, and held here so that the text stays true."""
    program = "import os\ndef f(x): return 'def' in open(os.__file__).read()"
    assert whole.run([Asserts(program, "f", "assert f(1) is True")])[0].passed
    assert "reading the library folders" in (pool.__doc__ or "")


def test_a_sandbox_that_is_killed_is_replaced() -> None:
    with Sandbox(LIMITS, workers=1) as sandbox:
        os.killpg(sandbox._cells[0].process.pid, signal.SIGKILL)
        assert sandbox.run([Asserts(SQUARE, "f", "assert f(3) == 9")])[0].passed


def test_nothing_is_left_when_it_closes() -> None:
    sandbox = Sandbox(LIMITS, workers=1)
    folder, process = Path(sandbox._cells[0].folder.name), sandbox._cells[0].process.pid
    sandbox.close()
    assert not folder.exists()
    for _ in range(100):
        try:
            os.killpg(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the process group is still there")


def test_layers_are_named_and_a_missing_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(LIMITS, workers=1) as sandbox:
        assert set(sandbox.layers) == set(confinement.LAYERS)
        assert sandbox.missing() == "; ".join(f"{n} ({r})" for n, r in sandbox.layers.items() if r)

    def without(cell: pool._Cell, wanted: Policy) -> None:
        start(cell, wanted)
        cell.layers = {**cell.layers, "landlock": "landlock: Function not implemented"}

    start = pool._Cell.__init__
    monkeypatch.setattr(pool._Cell, "__init__", without)
    with pytest.raises(UsageError, match=r"^sandbox: strict, but this machine lacks landlock \(landlock: Function"):
        Sandbox(LIMITS, workers=1, strict=True)
    with Sandbox(LIMITS, workers=1) as weak:
        assert weak.missing().startswith("landlock (")


def test_an_interpreter_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(UsageError, match=r"^sandbox: cannot be started"):
        Sandbox(LIMITS, workers=1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cpu_seconds": 0}, "cpu_seconds"),
        ({"wall_seconds": 5}, "wall_seconds"),
        ({"wall_seconds": float("nan")}, "wall_seconds"),
        ({"memory_mebibytes": 3}, "memory_mebibytes"),
        ({"output_bytes": 3}, "output_bytes"),
    ],
)
def test_bad_limits(changes: dict[str, float], field: str) -> None:
    with pytest.raises(UsageError, match=field):
        Limits(**changes)  # type: ignore[arg-type]
