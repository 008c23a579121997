"""Which runs and students of a study are trained as one stack: by shape, step schedule, memory, and where it pays."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar

from forgetting.errors import require
from forgetting.record.field_kinds import NONE, NUMBER, TEXT, WHOLE
from forgetting.record.provenance import hardware, versions
from forgetting.record.schema import RESULTS_VERSION
from forgetting.record.seals import read_shaped
from forgetting.study.run import Run
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.world.vocabulary import vocabulary

Stack = int | Literal["auto", "off"]
Group = tuple[Run, ...]
Measure = Callable[[str, int, Path], None]  # of which student, samples of a step, into which file
T = TypeVar("T")

MOST = {"cpu": 8, "cuda": 64}  # replicas of a stack under auto
SMALLEST = 4  # runs of one schedule from which auto looks at stacking at all
MEASURED = {
    "device": TEXT,
    **dict.fromkeys(("fixed_bytes", "replica_bytes", "free_bytes"), WHOLE),
    "gain": (NUMBER, NONE),
}
PAYS = 1.5  # on a CPU auto stacks where it is that many times faster, for it moves the last bits of the numbers


def stack_of(value: Any) -> Stack:
    """``auto``, ``off`` or a whole number, at least 1; also from text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    rule = "auto, off, or a whole number, at least 1"
    number = type(value) is int and value >= 1
    require(number or value in ("auto", "off"), "stack", rule, value)
    return value if number or value == "auto" else "off"


def groups(study: Study, runs: Iterable[Run]) -> list[Group]:
    """Runs of one shape and step schedule together, all others alone; a function of the study and the runs alone.

    Looped students are trained by themselves; checkpoints, and students of one, fill a device, and so does a study
    whose machine settings are not the default ones, graphs aside.
    """
    found: dict[tuple[Any, ...], list[Run]] = {}
    small = study.language == "world" and study.spec.machine.stacks
    for run in runs:
        together = (run.student.name, run.arm.share(), run.doses)
        alone = not small or looped(run.student) or run.arm.at_once or not run.arm.mitigation.stacks
        found.setdefault((run,) if alone else together, []).append(run)
    return [tuple(together) for together in found.values()]


def looped(student: Student) -> bool:
    """Whether a student draws how often it passes through its layers, step by step: then it is trained by itself."""
    return getattr(student, "loops", 1) > 1


def stacks(
    study: Study,
    stack: Stack,
    folder: Path,
    measure: Measure,
    say: Callable[[str], None],
    done: Callable[[Run], bool],
) -> list[Group]:
    """All runs of a study in stacks. ``measure`` is called for a rung that this machine has not measured yet."""
    size = Sizes(study, stack, folder, study.spec.fine_tuning.batch_size, measure, say)
    return in_stacks(study, study.runs(), size, done)


def in_stacks(study: Study, runs: Iterable[Run], size: Sizes, done: Callable[[Run], bool]) -> list[Group]:
    """Some runs in stacks; a function of these runs, whichever of them are done, but for groups that are done whole."""
    return [
        part
        for group in groups(study, runs)
        for part in _evenly(group, 1 if all(map(done, group)) else size.of(group[0].student.name, len(group)))
    ]


def student_stacks(
    study: Study,
    stack: Stack,
    folder: Path,
    measure: Measure,
    say: Callable[[str], None],
    lacks: Callable[[str, int], bool],
) -> list[tuple[str, tuple[int, ...]]]:
    """The students of the study's runs in stacks: names, each with distillation seeds, but for those of joint arms.

    A function of the study alone but for groups of which the store ``lacks`` (by name and seed) nothing.
    """
    size = Sizes(study, stack, folder, study.stages[0].fit.batch_size, measure, say)
    together = study.language == "world" and study.spec.machine.stacks and study.distils_in_stacks
    seeds: dict[str, list[int]] = {}
    for run in study.runs():
        seeds.setdefault(run.student.name, []).append(run.distillation_seed)
    parts: list[tuple[str, tuple[int, ...]]] = []
    for name, own in seeds.items():
        group = tuple(dict.fromkeys(own))
        own_pace = any(looped(s) for s in study.students if s.name == name)
        alone = not together or own_pace or not any(lacks(name, seed) for seed in group)
        parts += [(name, part) for part in _evenly(group, 1 if alone else size.of(name, len(group)))]
    return parts


class Sizes:
    """How many replicas of a rung share a stack, for steps of ``batch_size`` samples; each line is said once."""

    def __init__(
        self, study: Study, stack: Stack, folder: Path, batch_size: int, measure: Measure, say: Callable[[str], None]
    ) -> None:
        self.study, self.stack, self.folder, self.batch_size = study, stack, folder, batch_size
        self.measure, self.say = measure, say
        self._measured: dict[str, dict[str, Any]] = {}
        self._said: set[str] = set()

    def of(self, student: str, wanted: int) -> int:
        """Replicas of a stack, where so many students or runs of one shape are wanted."""
        if self.stack in ("off", 1) or wanted < (SMALLEST if self.stack == "auto" else 2):
            return 1
        if student not in self._measured:
            self._measured[student] = _measured(self.study, student, self.folder, self.batch_size, self.measure)
        return _size(student, self.stack, self._measured[student], wanted, self._once)

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self.say(line)


def _measured(study: Study, student: str, folder: Path, batch_size: int, measure: Measure) -> dict[str, Any]:
    """What this machine measured for this shape, kept beside the students."""
    shape = next(s for s in study.students if s.name == student)
    of = [hardware(), versions(), RESULTS_VERSION, dataclasses.asdict(shape), batch_size]
    mark = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]
    file = folder / "machine" / f"stacking-{mark}.json"
    if not file.is_file():
        measure(student, batch_size, file)
    if not file.is_file():
        return {"why": f"stack: nothing measured in {str(file)!r}"}
    remedy = "delete it: it is measured again"
    found = read_shaped(file, {"why": TEXT}, remedy)
    if not found["why"]:
        read_shaped(file, MEASURED, remedy)
    if study.spec.machine.graphs and not found["why"]:
        found["replica_bytes"] += _graph_bytes(shape, batch_size)
    return found


def _graph_bytes(shape: Student, batch_size: int) -> int:
    """What captured passes keep of a replica, at answers of 16 tokens: gradients, logits and their gradients."""
    from forgetting.models.graphs import MOST

    words = len(vocabulary())
    return MOST * 4 * (shape.parameters(words) + 2 * 16 * batch_size * words)


def _size(student: str, stack: Stack, found: dict[str, Any], runs: int, say: Callable[[str], None]) -> int:
    """Replicas of a stack."""
    if found["why"]:
        say(f"{found['why']}; {student} is trained one at a time")
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


def _evenly(group: tuple[T, ...], size: int) -> list[tuple[T, ...]]:
    """A group in as few parts as possible, none larger than ``size``, as equal as they can be."""
    parts = -(-len(group) // size)
    bounds = [len(group) * part // parts for part in range(parts + 1)]
    return [group[start:end] for start, end in pairwise(bounds)]
