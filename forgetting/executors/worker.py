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
from pathlib import Path
from typing import Any

from forgetting.contracts import Report


def carry_out(task: dict[str, Any], report: Report) -> None:
    """Make what the task says: ``teacher``, ``student`` (with its seed and, for a joint run, its arm),
    ``students`` of several seeds together, ``run``, a ``stack`` of runs, or the measurement of what ``stacking`` a rung
    gives.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _make(task, report)
    finally:
        torch.set_num_threads(threads)


def _make(task: dict[str, Any], report: Report) -> None:
    from forgetting.analysis.early_stop import Rule
    from forgetting.executors import ranks
    from forgetting.record.store import REFERENCE, Store
    from forgetting.spec import from_plain
    from forgetting.stages import contaminate, distil
    from forgetting.study.run import RunKey
    from forgetting.study.study import construct

    study = construct(from_plain(task["spec"]))
    store = Store(Path(task["store"]), reference=REFERENCE if task.get("shipped", True) else None)
    if task["make"] == "teacher":
        distil.teacher(study, store, report)
    elif task["make"] == "student":
        student = next(s for s in study.students if s.name == task["student"])
        also = study.arm(task["arm"]) if task.get("arm") else None
        distil.student(study, student, task["distillation_seed"], store, report, also)
    elif task["make"] == "students":
        from forgetting.stages.distil_stack import distil_stack

        student = next(s for s in study.students if s.name == task["student"])
        distil_stack(study, student, task["distillation_seeds"], store, report)
    elif study.spec.machine.devices > 1 and not ranks.is_rank():
        ranks.carry_out(task, study.spec.machine.devices, report)
    elif task["make"] == "stacking":
        from forgetting.models.ladder import architecture
        from forgetting.record.files import write_json
        from forgetting.training import stack_gain

        found = stack_gain.measure(study, architecture(task["student"]), task["batch_size"])
        write_json(Path(task["file"]), found)
    elif task["make"] == "stack":
        from forgetting.stages.contaminate_stack import contaminate_stack

        runs = [study.run(RunKey(**key)) for key in task["keys"]]
        rules = [rule and Rule.of(rule) for rule in task.get("rules", ())]
        contaminate_stack(study, runs, [Path(folder) for folder in task["folders"]], store, report, rules)
    else:
        rule = Rule.of(task["rule"]) if task.get("rule") else None
        run = study.run(RunKey(**task["key"]))
        contaminate.contaminate(study, run, Path(task["folder"]), store, report, rule=rule)


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
    from forgetting.stages import contaminate  # noqa: F401 (with torch and all else, before the first task)

    gc.freeze()
    gc.set_threshold(100_000, 20, 20)  # in vain while a run goes on; what it leaves in circles goes when it has ended
    gc.enable()
    for line in sys.stdin:
        kind, message = outcome(partial(carry_out, json.loads(line), report))
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
