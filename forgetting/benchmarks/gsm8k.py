"""GSM8K: grade-school word problems with worked answers, graded by the final number; steps by their annotations.

Source: Cobbe et al., arXiv 2110.14168 (MIT licence). The prompt is the question; the answer is the worked one, with the
calculator annotations ``<<16-3-4=9>>`` unless they are asked to be left out, and ``#### 18`` at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from forgetting.benchmarks._text import TextBenchmark
from forgetting.contracts import Failure, Grade, Item
from forgetting.errors import UsageError, require
from forgetting.natural.corpora import TextRow
from forgetting.natural.grading import numbers
from forgetting.natural.grading.verdicts import of_number
from forgetting.natural.grading.worked_failures import of_worked
from forgetting.natural.twins import rewording
from forgetting.natural.twins.renumber import ANNOTATION, Refused, Twin, renumber
from forgetting.world.splits import from_seed

REWORDED = {"renamed": rewording.renamed, "reordered": rewording.reordered, "distractor": rewording.distracted}
MOST_SHOTS = 16
PROMPT = "Question: {question}\nAnswer:"


@dataclass(frozen=True)
class GSM8K(TextBenchmark):
    """Word problems whose worked answers end with ``#### number``. Depth is the number of annotated steps.

    ``renumbered`` has other numbers and the recomputed answer; ``renamed``, ``reordered`` and ``distractor`` keep the
    problem. A variant leaves out the problems for which it is not safe (see docs/real.md for the counts).

    Args:
        source: hub name, or a local path where ``{split}`` stands for ``train`` or ``test``
        limit: items of each split; 0 for all
        annotations: keep the calculator annotations in the gold answers
        shots: worked problems of the training rows that stand before each, as a base model needs them; 0 to 16
    """

    source: str = "openai/gsm8k"
    limit: int = 0
    annotations: bool = True
    shots: int = 0

    version: ClassVar[int] = 3  # 3: numbers in LaTeX, the first answer of a model that runs on
    skill: ClassVar[str] = "maths"
    config: ClassVar[str] = "main"
    train_split: ClassVar[str] = "train"
    variants: ClassVar[tuple[str, ...]] = ("original", "renumbered", *REWORDED)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.shots <= MOST_SHOTS, f"{self.short_name()}.shots", f"from 0 to {MOST_SHOTS}", self.shots)

    def problem(self, row: TextRow) -> str:
        return str(row["question"])

    def item(self, row: TextRow, index: int, variant: str) -> Item | None:
        for name in ("question", "answer"):
            told = f"{self.short_name()}.source: row {index + 1} of {self.data_source!r}"
            if not isinstance(row[name], str):
                raise UsageError(f"{told}: {name!r} must be a text, got {row[name]!r}")
        require("####" in row["answer"], f"{self.short_name()}.source", "rows with an answer after ####", row["answer"])
        if numbers.strict(row["answer"]) is None:
            return None
        twin = _twin(row["question"].strip(), row["answer"].strip(), variant)
        if twin is None:
            return None
        before = _examples(self)
        if row["question"] in before:  # a file without training rows of its own
            return None
        steps, head = ANNOTATION.findall(twin.answer), "".join(before.values())
        return self.made(
            row, index, variant, prompt=head + PROMPT.format(question=twin.question),
            answer=f" {self.told(twin.answer)}", depth=max(1, len(steps)),
            check=tuple(steps) if self.annotations else (), same_problem=variant != "renumbered",
        )  # fmt: skip

    def told(self, answer: str) -> str:
        """A worked answer, with its annotations or without them."""
        return answer if self.annotations else ANNOTATION.sub("", answer)

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the number after ``####`` (or in a box) is; a step where its annotation is the gold one."""
        return [_grade(item, answer) for item, answer in zip(items, answers, strict=True)]

    def failure(self, item: Item, answer: str, grade: Grade, *, ended: bool) -> Failure:
        """As far as it can be decided: every equation in the text is checked, the path is not."""
        asked = item.prompt.rpartition(PROMPT.partition("{")[0])[2]  # without the examples, whose numbers are others
        return of_worked(asked, answer, grade, ended=ended)


@lru_cache(maxsize=16)
def _examples(part: GSM8K) -> dict[str, str]:
    """The first worked problems of the training rows, by their questions."""
    found: dict[str, str] = {}
    for row in part.source_rows("train") if part.shots else ():
        texts = [row.get(name) for name in ("question", "answer")]
        if all(isinstance(text, str) for text in texts) and numbers.strict(str(texts[1])) is not None:
            question, answer = map(str, texts)
            prompt = PROMPT.format(question=question.strip())
            found[question] = f"{prompt} {part.told(answer.strip())}\n\n"
        if len(found) == part.shots:
            break
    return found


def _twin(question: str, answer: str, variant: str) -> Twin | None:
    """The problem in a variant, always the same one."""
    rng = from_seed(0, "benchmarks/gsm8k", variant, question)
    if variant == "original":
        return Twin(question, answer)
    if variant in REWORDED:
        return REWORDED[variant](question, answer, rng)
    try:
        return renumber(question, answer, rng)
    except Refused:
        return None


def _grade(item: Item, answer: str) -> Grade:
    given = ANNOTATION.findall(answer)
    right = sum(_same(own, gold) for own, gold in zip(given, item.check, strict=False))
    return of_number(item.answer, answer, steps_right=right, steps_total=len(item.check))


def _same(own: tuple[str, str], gold: tuple[str, str]) -> bool:
    return ["".join(part.split()) for part in own] == ["".join(part.split()) for part in gold]
