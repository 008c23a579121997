"""Teacher and students of a spec: rungs of the ladder or checkpoints, and parts that speak their language."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from forgetting import registry
from forgetting.contracts import Benchmark, Contamination, Language
from forgetting.errors import UsageError, require
from forgetting.models import checkpoint
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.ladder import Architecture, architecture
from forgetting.spec import PartValue, Spec
from forgetting.world.vocabulary import vocabulary

Student = Architecture | Checkpoint
OWN_TEACHER = "1m"


def teacher_of(spec: Spec) -> Student | None:
    """The one that is named; else the ladder's own, and None for checkpoints, which are then taken as they are."""
    value, ladder = spec.ladder.teacher, spec.ladder
    natural = any(map(checkpoint.looks_like_one, ladder.students))
    if not value:
        return None if natural else architecture(OWN_TEACHER)
    teacher = _student(value, "ladder.teacher")
    rule = "a checkpoint for students that are checkpoints, or left out, which takes them as they are"
    require(isinstance(teacher, Checkpoint) or not natural, "ladder.teacher", rule, value)
    return teacher


def students_of(spec: Spec, teacher: Student | None) -> tuple[Student, ...]:
    """Rungs of the ladder or checkpoints, in ascending order of capacity as far as it is known here."""
    ladder = spec.ladder
    students = tuple(_student(value, f"ladder.students[{i}]") for i, value in enumerate(ladder.students))
    taken = [isinstance(s, Checkpoint) for s in students]
    require(len(set(taken)) == 1, "ladder.students", "names of the ladder or checkpoints, not both", ladder.students)
    names = [s.name for s in students]
    rule = "of different names (a mapping may give a name)"
    require(len(set(names)) == len(names), "ladder.students", rule, names)
    if teacher is None:
        rule = "false for checkpoints without a teacher, which are taken as they are"
        require(not ladder.fresh_students, "ladder.fresh_students", rule, ladder.fresh_students)
    words = (teacher.vocabulary() if isinstance(teacher, Checkpoint) else None) or len(vocabulary())
    sizes = [s.capacity() if isinstance(s, Checkpoint) else s.parameters(words) for s in students]
    known = [size for size in sizes if size is not None]
    require(known == sorted(known), "ladder.students", "in ascending order of capacity", ladder.students)
    return students


def check_language(
    student: Student, language: Language, parts: Iterable[tuple[str, Contamination | Benchmark]]
) -> None:
    """Students of the embedded world read nothing else, and checkpoints read natural text; ``parts`` have fields."""
    for field, part in parts:
        if part.language == language:
            continue
        classes = [registry.part_class(part.family, name) for name in registry.names(part.family)]
        family = [cast(type[Contamination | Benchmark], one) for one in classes]
        fitting = ", ".join(one.short_name() for one in family if one.language == language)
        if language == "natural":
            whose = "checkpoint" if isinstance(student, Checkpoint) else "student of a checkpoint,"
            why = f"is of the embedded world, and the {whose} {student.name!r} reads natural text"
        else:
            why = f"is natural text, and the student {student.name!r} reads the embedded world alone"
        raise UsageError(f"{field}: {part.short_name()!r} {why}; give one of {fitting}")


def _student(value: PartValue, field: str) -> Student:
    return checkpoint.from_value(value, field) if checkpoint.looks_like_one(value) else architecture(str(value), field)
