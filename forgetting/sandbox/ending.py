"""How a sandboxed program comes to its end: by itself, as the interpreter would let it, or by force."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

PATIENCE_SECONDS = 4.0  # between the closing of a dying process's pipes and its end


def finish() -> None:
    """What the interpreter does at its end: wait for threads that are no daemons, run ``atexit``, write what is held.

    Without it whether their output is seen would depend on how busy the machine is.
    """
    if threading := sys.modules.get("threading"):
        threading._shutdown()
    atexit._run_exitfuncs()
    for stream in dict.fromkeys((sys.stdout, sys.__stdout__)):
        with suppress(ValueError, AttributeError):  # closed, or none any more
            stream.flush()  # type: ignore[union-attr]


def ended(candidate: int, judge: int, *, gone: bool, sweep: bool) -> dict[str, Any]:
    """Kill both process groups (and ``sweep`` the namespace); how they ended, where they ended by themselves."""
    patience = time.monotonic() + (PATIENCE_SECONDS if gone else 0)
    while time.monotonic() < patience and os.waitid(os.P_PID, candidate, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.0005)
    for process in filter(None, (candidate, judge)):
        with suppress(OSError):
            os.killpg(process, signal.SIGKILL)
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
    _, status, usage = os.wait4(candidate, 0)
    judged = os.waitpid(judge, 0)[1] if judge else 0
    if sweep:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.wait()
    return {
        "signal": os.WTERMSIG(status) if gone and os.WIFSIGNALED(status) else 0,
        "status": os.WEXITSTATUS(status) if gone and os.WIFEXITED(status) else 0,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "judge_signal": os.WTERMSIG(judged) if gone and os.WIFSIGNALED(judged) else 0,
    }
