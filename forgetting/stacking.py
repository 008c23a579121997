"""Which runs of a study are carried out as one stack: by shape and step schedule, by memory, and where it pays."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from forgetting.errors import require
from forgetting.provenance import hardware, versions
from forgetting.spec import Machine
from forgetting.study import RunKey, Study

Stack = int | Literal["auto", "off"]
Group = tuple[RunKey, ...]
Measure = Callable[[str, Path], None]  # of which student, into which file

MOST = {"cpu": 8, "cuda": 64}  # replicas of a stack under auto
SMALLEST = 4  # runs of one schedule from which auto looks at stacking at all
PAYS = 1.5  # on a CPU auto stacks where it is that many times faster, for it moves the last bits of the numbers


def stack_of(value: Any) -> Stack:
    """``auto``, ``off`` or a whole number, at least 1; also from text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    rule = "auto, off, or a whole number, at least 1"
    number = type(value) is int and value >= 1
    require(number or value in ("auto", "off"), "stack", rule, value)
    return value if number or value == "auto" else "off"


def groups(study: Study) -> list[Group]:
    """Runs of one shape and step schedule together, all others alone; a function of the study alone.

    Checkpoints, and students of one, fill a device by themselves, and so does a study whose machine settings are not
    the default ones.
    """
    found: dict[tuple[Any, ...], list[RunKey]] = {}
    small = study.language == "world" and study.spec.machine == Machine()
    for key in study.runs():
        arm = study.arm(key.arm)
        together = (key.student, arm.share(), study.reached(arm))
        alone = not small or arm.joint or not arm.mitigation.stacks
        found.setdefault((key,) if alone else together, []).append(key)
    return [tuple(keys) for keys in found.values()]


def stacks(
    study: Study,
    stack: Stack,
    folder: Path,
    measure: Measure,
    say: Callable[[str], None],
    done: Callable[[RunKey], bool],
) -> list[Group]:
    """All runs of a study in stacks. ``measure`` is called for a rung that this machine has not measured yet."""
    out: list[Group] = []
    measured: dict[str, dict[str, Any]] = {}
    said: set[str] = set()

    def once(line: str) -> None:
        if line not in said:
            said.add(line)
            say(line)

    for group in groups(study):
        least = SMALLEST if stack == "auto" else 2
        if stack in ("off", 1) or len(group) < least or all(map(done, group)):
            out += [(key,) for key in group]
            continue
        student = group[0].student
        if student not in measured:
            measured[student] = _measured(study, student, folder, measure)
        out += _evenly(group, _size(student, stack, measured[student], len(group), once))
    return out


def _measured(study: Study, student: str, folder: Path, measure: Measure) -> dict[str, Any]:
    """What this machine measured for this shape, kept beside the students."""
    shape = next(s for s in study.students if s.name == student)
    of = [hardware(), versions(), dataclasses.asdict(shape), study.spec.fine_tuning.batch_size]
    mark = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]
    file = folder / "machine" / f"stacking-{mark}.json"
    if not file.is_file():
        measure(student, file)
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {"why": f"stack: nothing measured in {str(file)!r}"}
    return found if isinstance(found, dict) else {"why": f"stack: {str(file)!r} is damaged"}


def _size(student: str, stack: Stack, found: dict[str, Any], runs: int, say: Callable[[str], None]) -> int:
    """Replicas of a stack."""
    if found["why"]:
        say(f"{found['why']}; the runs of {student} are carried out one after another")
        return 1
    device, gain = found["device"], found["gain"]
    wanted = min(stack if isinstance(stack, int) else MOST[device], runs)
    fits = largest(found)
    if wanted > max(fits, 1):
        need, free = (found["fixed_bytes"] + wanted * found["replica_bytes"]) / 2**20, found["free_bytes"] / 2**20
        say(f"stack: {wanted} replicas of {student} would take {need:.0f} of {free:.0f} MiB; stacks of {max(fits, 1)}")
        wanted = max(fits, 1)
    if stack == "auto" and device == "cpu":
        if gain < PAYS:
            return 1
        say(f"stack: {student} in stacks of up to {wanted}, {gain:.1f} times faster than one after another")
    return wanted


def largest(found: dict[str, Any]) -> int:
    """The most replicas whose predicted peak fits into the free memory."""
    return int((found["free_bytes"] - found["fixed_bytes"]) // max(1, found["replica_bytes"]))


def _evenly(group: Group, size: int) -> list[Group]:
    """A group in as few parts as possible, none larger than ``size``, as equal as they can be."""
    parts = -(-len(group) // size)
    bounds = [len(group) * part // parts for part in range(parts + 1)]
    return [group[start:end] for start, end in pairwise(bounds)]
