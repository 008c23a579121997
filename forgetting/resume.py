"""A study's folder in; its result out, after what was left to do was carried out as it would have been at first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from forgetting.errors import UsageError, require
from forgetting.executors import of_workers
from forgetting.executors.stacking import Stack, stack_of
from forgetting.record.provenance import other_version
from forgetting.record.seals import read_sealed
from forgetting.record.signing import SIGNATURE, check_trusted, is_ours
from forgetting.record.store import Store
from forgetting.simulate import tell
from forgetting.spec import from_plain
from forgetting.study.fingerprints import study_fingerprint
from forgetting.study.needs import study_needs
from forgetting.study.study import construct

if TYPE_CHECKING:
    from forgetting.report.result import Result


def resume(
    folder: Path,
    *,
    store: Path | None = None,
    workers: int | None = None,
    stack: Stack | None = None,
    quiet: bool = False,
    trust: bool = False,
) -> Result:
    """Go on with the study in ``folder``, stacked as before. ``UsageError`` if there is none, or other code made it.

    Of a folder that was not laid out on this machine nothing is imported, started or fetched without ``trust``.
    """
    file = folder / "spec.json"
    require(file.is_file(), "resume", "the folder of a study (with a spec.json)", str(folder))
    plan = read_sealed(file, "simulate the same spec again to go on")
    mark, other = plan.get("fingerprint"), f"resume: {folder} {other_version(plan)}"
    try:
        spec = from_plain(plan.get("spec"))
    except UsageError as error:
        raise UsageError(f"{other} ({str(error).partition(';')[0]})") from error
    ours = is_ours([plan["spec"], mark], plan.get(SIGNATURE))
    check_trusted(folder, study_needs(spec), ours=ours, trust=trust)
    try:
        study = construct(spec)
    except UsageError as error:
        raise UsageError(f"{other} ({str(error).partition(';')[0]})") from error
    rule = "of a study that starts no other process, since nothing that a folder says is started; simulate it again"
    command = list(study.spec.machine.backend.command)
    require(not command, "resume", rule, command)
    if mark != study_fingerprint(study):
        raise UsageError(other)
    stack = stack_of(plan.get("stack", "off") if stack is None else stack)
    return tell(study, folder, Store(store), of_workers(workers), stack=stack, quiet=quiet)
