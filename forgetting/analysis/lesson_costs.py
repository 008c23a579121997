"""What it cost to take students from their trunk to a skill: a record in, operations and seconds by student out.

With N parameters of the student and M of the teacher, 6 N operations a token trained on and 2 N a token read or written
(arXiv 2001.08361): a student that writes its answers reads their prompts too, a teacher that is asked at every step
reads prompt and answer, and one whose answers are learned writes them once to every sample of the pool that was used.
Checks on validation items are the experiment's and not counted; nor is what the teacher itself cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

COLUMNS = ("trunk capacity branch distillation_seed arrived steps samples student teacher processor_seconds").split()
UNTAUGHT, WRITTEN, ASKED = "gold", "off_policy", "on_policy"


@dataclass(frozen=True)
class SampleLengths:
    """Mean tokens of a sample of the original distribution, and of a teacher's parameters."""

    prompt: float
    answer: float
    teacher: int


def lesson_costs(record: dict[str, Any], lengths: SampleLengths) -> pd.DataFrame:
    """One row a student and seed of methods whose cost is known.

    These are ``gold``, ``off_policy`` at sequence level and ``on_policy``.

    ``student`` and ``teacher`` are operations, of all stages after the trunk; ``processor_seconds`` is of training with
    what was written for it, NaN where a stage's is not known; ``arrived`` says that the last stage reached its target.
    """
    rows = []
    for student in (one for one in record.get("students", []) if "branch" in one):
        size = int(student["capacity"])
        for seed, stages in student.get("taught", {}).items():
            taught = stages[int(student.get("trunk_stages", 1)) :]
            if not taught or any("samples" not in one for one in taught):
                continue
            costs = [_stage(one, size, lengths) for one in taught]
            if None in costs:
                continue
            own, teacher = (sum(side) for side in zip(*(cost for cost in costs if cost is not None), strict=True))
            rows.append({
                "trunk": student["trunk"], "capacity": size, "branch": student["branch"],
                "distillation_seed": int(seed), "arrived": taught[-1].get("why") == "reached",
                "steps": sum(int(one["steps"]) for one in taught),
                "samples": sum(int(one["samples"]) for one in taught),
                "student": own, "teacher": teacher + _writing(taught, lengths),
                "processor_seconds": sum(float(one.get("processor_seconds", float("nan"))) for one in taught),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _stage(taught: dict[str, Any], size: int, lengths: SampleLengths) -> tuple[float, float] | None:
    """Operations of student and teacher in one stage; None of a method that is not known."""
    samples, method = int(taught["samples"]), taught["method"]
    answer = float(taught.get("notes", {}).get("answer_tokens", lengths.answer))
    tokens = samples * (lengths.prompt + answer)
    if method in (UNTAUGHT, WRITTEN):
        return 6.0 * size * tokens, 0.0
    if method == ASKED:
        return (6.0 + 2.0) * size * tokens, 2.0 * lengths.teacher * tokens
    return None


def _writing(taught: list[dict[str, Any]], lengths: SampleLengths) -> float:
    """Operations of a teacher that writes an answer to each sample of the one pool that all stages draw from."""
    stages = [one for one in taught if one["method"] == WRITTEN]
    samples = sum(int(one["samples"]) for one in stages)
    distinct = min(samples, max((int(one.get("pool", samples)) for one in stages), default=0))
    return 2.0 * lengths.teacher * distinct * (lengths.prompt + lengths.answer)
