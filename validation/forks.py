"""Commands of the package in processes that are killed: after a time on the processor, or before an act on a disk.

A process is forked from this one, which has imported what commands import and done nothing with it; so it is at work
at once, and hundreds can be killed in minutes. It has a session, a working folder, a state folder and a temporary
folder of its own, and goes the way of the command line from its arguments to its exit status. ``interpreter`` starts
one as a user does, workers and all.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LONGEST_SECONDS = 600.0
CHECKPOINT_STEPS = 16
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
ACTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.chmod", "fcntl.flock"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Ending:
    """How a process ended: killed or by itself, after how many seconds and acts on a disk, with what it gave back."""

    killed: bool
    seconds: float
    processor: float = 0.0
    acts: int = 0
    value: Any = None


def import_everything() -> None:
    """What commands import as they go: once, before the first fork. Nothing of it starts threads.

    A ladder's models are durable every 16 steps instead of every 500: short fits have checkpoints to go on from.
    """
    os.environ.update(THREADS)
    import lightning  # noqa: F401
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_svg
    import matplotlib.pyplot  # noqa: F401
    import optuna  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import scipy.optimize
    import scipy.stats  # noqa: F401
    import transformers.models.qwen3.modeling_qwen3  # noqa: F401

    import forgetting.cli
    import forgetting.executors.distilling
    import forgetting.executors.tasks
    import forgetting.report.build
    import forgetting.report.figures
    import forgetting.report.html
    import forgetting.report.sweeps.views
    import forgetting.report.tensorboard
    import forgetting.resume
    import forgetting.simulate
    import forgetting.stages.contaminate
    import forgetting.stages.contaminate_stack
    import forgetting.stages.distil
    import forgetting.stages.teach
    import forgetting.stages.train
    import forgetting.sweep.resume_sweep
    import forgetting.sweep.sweep

    forgetting.stages.train.CHECKPOINT_STEPS = CHECKPOINT_STEPS
    gc.collect()
    gc.freeze()  # else each fork's first collection copies what is imported


def command(argv: list[str], folder: Path, *, seconds: float | None = None, act: int | None = None) -> Ending:
    """A command in ``folder``, killed after ``seconds`` on the processor or before its ``act``-th act on a disk."""
    from forgetting.cli import main

    ending = forked(lambda: main(argv), folder, seconds, act)
    if not ending.killed and ending.value != 0:
        raise RuntimeError(f"{argv} ended with status {ending.value}: {(folder / 'log').read_text()[-2000:]}")
    return ending


def interpreter(argv: list[str], folder: Path, *, seconds: float | None = None) -> Ending:
    """A command as a user starts it, killed with all that it started after ``seconds`` of the clock."""
    _lay_out(folder)
    words = [sys.executable, "-P", "-m", "forgetting", *argv]
    begin = time.monotonic()
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen(
            words, cwd=folder, env={**os.environ, **_variables(folder), "PYTHONPATH": str(ROOT)}, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(LONGEST_SECONDS if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Ending(True, time.monotonic() - begin)
    if status:
        raise RuntimeError(f"{argv} ended with status {status}: {(folder / 'log').read_text()[-2000:]}")
    return Ending(False, time.monotonic() - begin)


def forked(work: Callable[[], Any], folder: Path, seconds: float | None = None, act: int | None = None) -> Ending:
    """What ``work`` gives (JSON can hold it), computed in a process of its own, unless that is killed before."""
    _lay_out(folder)
    there, back = os.pipe()
    begin = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        _child(work, folder, back, act)
    os.close(back)
    number = os.pidfd_open(child)
    with os.fdopen(there, "rb") as pipe:
        if not _ends(child, number, seconds):
            _kill(child)
        status = os.waitpid(child, 0)[1]
        os.close(number)
        took = time.monotonic() - begin
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and (seconds is not None or act):
            return Ending(True, took)
        if status:
            raise RuntimeError(f"a process ended with status {status}: {(folder / 'log').read_text()[-2000:]}")
        return Ending(False, took, **json.loads(pipe.read()))


def _ends(child: int, number: int, seconds: float | None) -> bool:
    """Wait until it ends by itself, or has been on the processor for so long. Others' work does not move the moment."""
    waiting, late = select.poll(), time.monotonic() + LONGEST_SECONDS
    waiting.register(number, select.POLLIN)
    left = LONGEST_SECONDS if seconds is None else seconds
    while not waiting.poll(1000 * max(left, 0.002)):
        if seconds is not None:
            left = seconds - time.clock_gettime((~child << 3) | 2)  # clock_getcpuclockid(3), which Python lacks
        if time.monotonic() > late or (seconds is not None and left <= 0):
            return False
    return True


def _kill(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # it has no group of its own yet
        os.kill(child, signal.SIGKILL)


def _lay_out(folder: Path) -> None:
    for place in (folder, folder / "state", folder / "tmp"):
        place.mkdir(parents=True, exist_ok=True)


def _variables(folder: Path) -> dict[str, str]:
    return {**THREADS, "XDG_STATE_HOME": str(folder / "state"), "TMPDIR": str(folder / "tmp")}


def _child(work: Callable[[], Any], folder: Path, back: int, act: int | None) -> None:
    """Work as a process that was started by itself would, tell what came of it, and end."""
    import tempfile

    try:
        os.setsid()
        os.chdir(folder)
        log, nothing = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), os.open(os.devnull, os.O_RDONLY)
        for stream, number in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(stream, number)
        os.environ.update(_variables(folder))
        tempfile.tempdir = None
        _forget_endings()
        acts = _counted(act)
        value = work()
        sys.stdout.flush()
        atexit._run_exitfuncs()
        found = {"value": value, "acts": acts[0], "processor": time.process_time()}
        os.write(back, json.dumps(found).encode())
        os._exit(0)
    except BaseException:  # noqa: BLE001 (a forked process must not go on in its parent's code)
        traceback.print_exc()
    finally:
        os._exit(1)


def _forget_endings() -> None:
    """What the parent has to do when it ends, such as removing its temporary folder, is not this process's to do."""
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]


def _counted(last: int | None) -> list[int]:
    """Counts what this process does to a disk, and kills it and its group before the act of that number."""
    acts = [0]

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event in ACTS or (event == "open" and isinstance(values[2], int) and values[2] & WRITES):
            acts[0] += 1
            if acts[0] == last:
                os.killpg(0, signal.SIGKILL)

    sys.addaudithook(hook)
    return acts
