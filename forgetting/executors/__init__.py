"""Who carries tasks out: this process, worker processes, a Ray cluster or SLURM jobs, behind one contract."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from forgetting.errors import require, unknown
from forgetting.executors.contract import Executor

MEMBERS = {"inline": "Inline", "processes": "Processes", "ray": "Ray", "slurm": "Slurm"}


def executor_of(value: str | dict[str, Any], field: str = "executor") -> Executor:
    """The executor of that name, or of a mapping with a name and settings. ``UsageError`` names the field."""
    given: Any = {"name": value} if isinstance(value, str) else value
    require(isinstance(given, dict) and "name" in given, field, "a name or a mapping with a name", value)
    settings = {k: v for k, v in given.items() if k != "name"}
    member = member_of(str(given["name"]), field)
    known = [f.name for f in dataclasses.fields(member) if f.init]
    for name in settings:
        if name not in known:
            raise unknown(f"{field}.{name}", name, known)
    made: Executor = member(**settings)
    return made


def member_of(name: str, field: str = "executor") -> Any:
    """The class of that name."""
    if name not in MEMBERS:
        raise unknown(field, name, MEMBERS)
    return getattr(importlib.import_module(f"forgetting.executors.{name}"), MEMBERS[name])


def of_workers(workers: int | None) -> Executor:
    """As many processes as cores, that many, or (0) this process."""
    rule = "0 (in this process) or more"
    require(workers is None or (type(workers) is int and workers >= 0), "workers", rule, workers)
    return executor_of("inline" if workers == 0 else {"name": "processes", "workers": workers or 0})
