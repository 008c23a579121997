"""A worker process: tasks come in as JSON lines, progress and outcomes go out as JSON lines; one torch thread.

A task is a plain value (a spec, what to make, where), so that any executor can carry it. ``carry_out`` runs one in this
process; ``python -m forgetting.executors.worker`` serves them from standard input until it closes.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from forgetting.contracts import Report

if TYPE_CHECKING:
    from forgetting.evaluation.bench import Bench


def carry_out(task: dict[str, Any], report: Report, bench: Bench) -> None:
    """Make what the task says, one of those in ``forgetting.executors.tasks``, measuring on ``bench``.

    An error that comes out of a part of another package is a RuntimeError that names the part.
    """
    import torch

    from forgetting import registry
    from forgetting.errors import UsageError

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _make(task, report, bench)
    except (UsageError, OSError):
        raise
    except Exception as error:
        if place := registry.place_outside(error):
            raise RuntimeError(f"{place}: {type(error).__name__}: {error}") from error
        raise
    finally:
        torch.set_num_threads(threads)


def _make(task: dict[str, Any], report: Report, bench: Bench) -> None:
    from forgetting.executors import ranks
    from forgetting.executors.tasks import task_of

    own, study, store = task_of(task)
    if own.ranked and study.spec.machine.devices > 1 and not ranks.is_rank():
        ranks.carry_out(task, study.spec.machine.devices, report)
    else:
        own.carry_out(study, store, bench, report)


def serve() -> None:
    """Carry out tasks until standard input closes; dies with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: an orphan would write beside its successor
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")

    def report(done: int, total: int) -> None:
        if os.getppid() != parent:
            os._exit(1)
        say(done=done, total=total)

    gc.disable()  # half a million objects come now and never go away; each full collection would look at all of them
    from forgetting.evaluation.bench import Bench
    from forgetting.stages import contaminate  # noqa: F401 (with torch and all else, before the first task)

    bench = Bench()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)  # in vain while a run goes on; what it leaves in circles goes when it has ended
    gc.enable()
    for line in sys.stdin:
        kind, message = outcome(partial(carry_out, json.loads(line), report, bench))
        gc.collect()
        say(outcome=kind, message=message)


def outcome(work: Callable[[], None]) -> tuple[str, str]:
    """Do the work and say how it ended: ``done``, ``usage`` (for the user to mend) or ``failed``, with the message."""
    from forgetting.errors import UsageError

    try:
        work()
    except UsageError as error:
        return "usage", str(error)
    except OSError as error:
        return "usage", f"{error.filename or 'files'}: {error.strerror or error}"
    except Exception as error:  # noqa: BLE001 (whatever it was goes to the parent, with its traceback)
        return "failed", f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    return "done", ""


if __name__ == "__main__":
    serve()
