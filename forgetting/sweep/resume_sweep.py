"""A sweep's folder in; its result out, after the runs that were left to do were carried out as at first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forgetting.errors import UsageError, require
from forgetting.executors import executor_of
from forgetting.executors.contract import Executor
from forgetting.executors.stacking import Stack, stack_of
from forgetting.record.provenance import other_version
from forgetting.record.seals import read_sealed
from forgetting.record.signing import SIGNATURE, check_trusted, is_ours
from forgetting.report.result import Result
from forgetting.study.needs import study_needs, sweep_needs
from forgetting.study.spec_files import built_from
from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.sweep import run_sweep
from forgetting.sweep.sweep_record import read_sweep_record
from forgetting.sweep.sweep_spec import SweepSpec


def resume_sweep(
    folder: Path,
    *,
    executor: Executor | None = None,
    store: Path | None = None,
    stack: Stack | None = None,
    quiet: bool = False,
    trust: bool = False,
) -> Result:
    """Go on with the sweep in ``folder``, by default on its own executor and stacked as before.

    ``UsageError`` if other code made it. Of a folder that was not laid out on this machine nothing is imported,
    started, fetched or connected to without ``trust``.
    """
    try:
        plan = read_sweep_record(folder)
        given, mark = plan["spec"], plan["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"resume: no sweep in {str(folder)!r}: {error}") from error
    other = f"resume: {folder} {other_version({**plan, **_plan(folder)})}"
    try:
        spec = built_from(SweepSpec, given)
    except UsageError as error:
        raise UsageError(f"{other} ({error})") from error
    ours = is_ours([given, mark], plan.get(SIGNATURE))
    needs = study_needs(spec.study) + sweep_needs("inline" if executor else spec.executor, spec.storage)
    check_trusted(folder, needs, ours=ours, trust=trust)
    try:
        made = construct_sweep(spec)
    except UsageError as error:
        raise UsageError(f"{other} ({str(error).partition(';')[0]})") from error
    rule = "of a sweep that starts no other process, since nothing that a folder says is started; sweep it again"
    command = list(spec.study.machine.backend.command)
    require(not command, "resume", rule, command)
    if mark != made.fingerprint:
        raise UsageError(other)
    require(folder.name == made.folder_name, "resume", f"a folder that is called {made.folder_name}", folder.name)
    executor = executor or executor_of(spec.executor)
    stack = stack_of(_plan(folder).get("stack", "off")) if stack is None else stack
    return run_sweep(spec, executor=executor, output=folder.parent, store=store, stack=stack, quiet=quiet)


def _plan(folder: Path) -> dict[str, Any]:
    """What is written of the sweep's study, how its runs were stacked and by which version they were begun."""
    try:
        return dict(read_sealed(folder / "spec.json", ""))
    except (OSError, ValueError):  # not written yet, or damaged and written anew
        return {}
