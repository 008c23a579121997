"""Small tasks for executors: a teacher of half a second, and one whose spec cannot be."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from forgetting.executors.contract import Executor, Task
from forgetting.record.store import Store
from forgetting.study.fingerprints import fingerprint, teacher_form
from forgetting.study.study import construct
from tests.contracts.small import spec

Heard = list[tuple[int, int, int]]


def teacher(store: Path, seed: int = 0) -> Task:
    """A task of half a second."""
    plan = spec(ladder=dataclasses.replace(spec().ladder, seed=seed))
    return {
        "make": "teacher",
        "spec": json.loads(json.dumps(dataclasses.asdict(plan))),
        "store": str(store),
        "shipped": False,
    }


def home(store: Path, seed: int = 0) -> Path | None:
    """Where that task leaves its teacher."""
    study = construct(spec(ladder=dataclasses.replace(spec().ladder, seed=seed)))
    return Store(store, reference=None).find(fingerprint(teacher_form(study)))


def bad(store: Path, **changes: Any) -> Task:
    """A task whose spec cannot be."""
    task = teacher(store)
    return {**task, "spec": {**task["spec"], **changes}}


def run(executor: Executor, tasks: list[Task]) -> Heard:
    """Carry tasks out, and give what was heard of them."""
    heard: Heard = []
    executor.run(tasks, lambda *what: heard.append(what))
    return heard
