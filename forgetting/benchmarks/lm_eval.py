"""Tasks of lm-eval, for skills that are expected to stay: each item asked and judged as the task does it.

A choice is the likeliest continuation, an answer is written greedily, both without a chat template. Needs the extra
``forgetting[harness]``. Source: the Language Model Evaluation Harness, doi 10.5281/zenodo.10256836.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Benchmark, Grade, Item, Language, Model, Split
from forgetting.errors import require, unknown
from forgetting.world.splits import SPLITS, problem_hash

if TYPE_CHECKING:
    from forgetting.natural.lm_eval_tasks import TaskQuestion


@dataclass(frozen=True)
class LmEval(Benchmark):
    """Test items of one task or several, right where the task's ``acc`` or ``exact_match`` is 1.

    Args:
        task: a task's name, or several with commas, as lm-eval lists them
        limit: items of each task, the first so many; 0 for all
        shots: examples before each item; -1 for as many as the task says
        folder: holds more tasks as YAML files; empty for none. All files in it count, rows that lie elsewhere do not
    """

    task: str = "arc_easy"
    limit: int = 0
    shots: int = -1
    folder: str = ""

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "knowledge"
    language: ClassVar[Language] = "natural"
    asks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(all(self._names()), "lm_eval.task", "a name, or several with commas", self.task)
        require(self.limit >= 0, "lm_eval.limit", "0 (all items) or more", self.limit)
        require(self.shots >= -1, "lm_eval.shots", "-1 (as many as the task says) or more", self.shots)

    def form(self) -> dict[str, Any]:
        """The settings, with the hash of its files in place of the folder: what they say counts, not where they lie."""
        found = super().form()
        if self.folder:
            from forgetting.natural.lm_eval_tasks import content

            found["folder"] = content(Path(self.folder))
        return found

    @property
    def chance(self) -> float:  # type: ignore[override]  # of the items that are there
        """The mean over items of one in as many choices; 0 for an answer that is written."""
        found = self._questions()
        return sum(1 / q.choices if q.choices else 0.0 for q in found) / len(found)

    def made_by(self) -> dict[str, str]:
        """lm-eval makes the prompts and judges the answers."""
        from forgetting.natural.lm_eval_tasks import installed

        return {"lm_eval": installed()}

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """The items that the tasks are evaluated on; none of other splits."""
        if variant != "original":
            raise unknown("lm_eval.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown("lm_eval.split", split, SPLITS)
        if split != "test":
            return []
        return [
            Item(
                id=f"lm_eval/{q.task}/{q.number:05d}", prompt=q.context, answer=q.gold, skill=self.skill, depth=1,
                template=q.task, variant=variant, problem=problem_hash(f"{q.task}: {q.context}{q.gold}"),
            )
            for q in self._questions()
        ]  # fmt: skip

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the answer is the gold text; ``ask`` has the task's own judgement."""
        return [_grade(a.strip() == i.answer.strip(), a) for i, a in zip(items, answers, strict=True)]

    def ask(self, model: Model, batch_items: int) -> list[tuple[str, Grade]]:
        """The likeliest choice or the written answer, right where the task says so."""
        from forgetting.natural.lm_eval_tasks import outcomes

        found = outcomes(model, self._names(), self._shots(), self.limit, self.folder, batch_items=batch_items)
        return [(text, _grade(right, text)) for text, right in found]

    def _names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.task.split(","))

    def _shots(self) -> int | None:
        return None if self.shots < 0 else self.shots

    def _questions(self) -> tuple[TaskQuestion, ...]:
        from forgetting.natural.lm_eval_tasks import questions

        return questions(self._names(), self._shots(), self.limit, self.folder)


def _grade(right: bool, text: str) -> Grade:
    if right:
        return Grade("right")
    return Grade("wrong", "wrong_answer") if text.strip() else Grade("unparsed", "no_answer")
