"""A branch that teaches another one of the same trunk, and a stage with samples of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from forgetting.contracts import Sample
from forgetting.record.store import Store
from forgetting.spec import Fit
from forgetting.stages import distil
from forgetting.stages.lesson import lesson
from forgetting.stages.teach import teacher
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.study import Study, construct
from tests.contracts.small import spec

LOOKUP = {"name": "original", "maths": 0.0, "code": 0.0, "traps": 0.0, "lookup": 1.0, "classification": 0.0}
SHOWN = {"name": "shown", "stages": [{"method": "gold", "original": LOOKUP, "samples": 128}]}
OWN = {"name": "own", "stages": [{"method": "off_policy", "teacher": "shown", "samples": 64}]}


def study(*branches: dict[str, Any]) -> Study:
    few = Fit(samples=64, pool=64)
    return construct(spec(ladder=dataclasses.replace(spec().ladder, teaching=few, distilling=few, branches=branches)))


def test_a_student_of_the_same_trunk_teaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = list[Path](), distil.mentor_of

    def noted(home: Any, *more: Any) -> Any:
        asked.append(home)
        return real(home, *more)

    monkeypatch.setattr(distil, "mentor_of", noted)
    of, store = study(SHOWN, OWN), Store(tmp_path, reference=None)
    shown, own = of.students
    distil.student(of, own, 0, store)  # which needs the other, and makes it
    taught_by = tmp_path / fingerprint(student_form(of, shown, 0))
    assert taught_by.is_dir() and sorted(asked) == sorted([teacher(of, store)] * 2 + [taught_by])


def test_a_stage_is_taught_its_own_samples() -> None:
    of = study(SHOWN, OWN)
    pools: list[list[Sample]] = [list(lesson(of, one, 0).plan().samples) for one in of.students]
    assert {sample.skill for sample in pools[0]} == {"lookup"}
    assert {sample.skill for sample in pools[1]} > {"lookup"}
