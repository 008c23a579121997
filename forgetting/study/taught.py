"""How students are taught, constructed and checked: the stages of distillation, of trunks and of branches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from forgetting import registry
from forgetting.contracts import Answering, Contamination, Distillation, Language
from forgetting.errors import require
from forgetting.spec import Fit, Ladder, StageSpec
from forgetting.study.students import Student

TEACHING = {name: f"ladder.teaching.{name}" for name in ("until", "original")}


@dataclass(frozen=True)
class DistillationStage:
    """One stage of how students are taught: by a student of the same trunk that ``taught_by`` made, or the teacher.

    ``fields`` are the paths in the spec at which its parts are written.
    """

    method: Distillation
    fit: Fit
    taught_by: tuple[DistillationStage, ...] = ()
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Branch:
    """How a student goes on from its trunk: the capacity whose trunk it is, and all stages, the trunk's first."""

    name: str
    of: Student
    stages: tuple[DistillationStage, ...]


def trunk_of(ladder: Ladder) -> tuple[DistillationStage, ...]:
    """The stages that all students of the ladder have, constructed."""
    return _stages(ladder.stages(), {})


def branches_of(ladder: Ladder, rungs: Sequence[Student], trunk: tuple[DistillationStage, ...]) -> dict[str, Branch]:
    """By name of the student: each rung goes on by each branch."""
    ways: dict[str, tuple[DistillationStage, ...]] = {}
    for name, given in ladder.branch_stages().items():
        ways[name] = trunk + _stages(given, ways)
    return {f"{rung.name}-{name}": Branch(name, rung, stages) for rung in rungs for name, stages in ways.items()}


def _stages(
    given: Sequence[StageSpec], ways: Mapping[str, tuple[DistillationStage, ...]]
) -> tuple[DistillationStage, ...]:
    return tuple(
        DistillationStage(
            cast(Distillation, registry.build("distillation", one.method, one.fields["method"])),
            one.fit, ways.get(one.teacher, ()), one.fields,
        )
        for one in given
    )  # fmt: skip


def own_source(fit: Fit, field: str = "original") -> Contamination | None:
    """The source of its own that a fit is taught from, built as the field ``field``; None: the ladder's."""
    return cast(Contamination, registry.build("contamination", fit.original, field)) if fit.original else None


def check_stages(ladder: Ladder, stages: Sequence[DistillationStage], language: Language) -> None:
    """``UsageError`` where a method does not suit the language, or a fit has no target that can be checked."""
    for stage in stages:
        with registry.told_as(stage.fields["method"], stage.method):
            stage.method.check(language)
    for fit, field in _fits(ladder, stages, "until"):
        if fit.until.benchmark:
            registry.build("benchmarks", fit.until.benchmark, f"{field}.benchmark")
        if fit.until.answering:
            way = cast(Answering, registry.build("answering", fit.until.answering, f"{field}.answering"))
            plain = way.count == 1 and not way.memory_samples() and type(way).openings is Answering.openings
            rule = "a way that answers once, without gold answers and without learning"
            require(plain, f"{field}.answering", rule, fit.until.answering)


def own_sources(ladder: Ladder, stages: Sequence[DistillationStage]) -> list[tuple[str, Contamination]]:
    """The sources of fits that have their own, each with the field that it is written in."""
    built = [(field, own_source(fit, field)) for fit, field in _fits(ladder, stages, "original")]
    return [(field, source) for field, source in built if source is not None]


def _fits(ladder: Ladder, stages: Sequence[DistillationStage], setting: str) -> Iterator[tuple[Fit, str]]:
    """The teacher's fit and those of the stages, each with the field that a setting of it is written in."""
    yield ladder.teaching, TEACHING[setting]
    for stage in stages:
        yield stage.fit, stage.fields[setting]
