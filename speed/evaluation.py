"""Interval evaluation: answers a second of ``Model.generate`` with drafts, against Hugging Face's ``generate``.

A student is contaminated with dialogues and looked at while everything is kept (dose 0, drafts: the gold answers), at
the dose where about half is kept, and at the one where nothing is (drafts: the answers of the dose before, half as
much). Both sides give the same tokens, which is checked. ``generate`` gets the batch size that suits it best. Beside
it stands the whole look of a study, which also grades the answers and sums the losses on the gold ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from measuring import (
    bare,
    batches,
    begin,
    device,
    in_turns,
    parser,
    ratio,
    spread,
    stream,
    student_folder,
    timed,
    write,
)

from forgetting import registry
from forgetting.batching import prompt_tokens, texts, tokens
from forgetting.contracts import Benchmark
from forgetting.evaluation.evaluator import Evaluator
from forgetting.models.checkpoint import load
from forgetting.spec import Evaluation, Optimiser

Answers = list[list[int]]
WANTED = (1.0, 0.5, 0.0)
APART = 2  # looks from one to the one that it has its drafts from: half the dose


@dataclass
class Look:
    """A student's weights at a dose, its answers, and the drafts that are known before."""

    dose: int
    weights: dict[str, torch.Tensor]
    drafts: Answers
    answers: Answers
    accuracy: float
    retention: float = field(default=1.0)


class Exam:
    """Items with their prompts, and both ways to have them answered."""

    def __init__(self, folder: Path, per_depth: int, max_new_tokens: int) -> None:
        self.folder, self.model, self.max_new_tokens = folder, load(folder), max_new_tokens
        self.model.network.to(device())
        parts = [registry.build("benchmarks", {"name": n, "items_per_depth": per_depth}) for n in ("maths", "code")]
        benchmarks = [b for b in parts if isinstance(b, Benchmark)]
        self.sets = [(b, b.items("test")) for b in benchmarks]
        how = Evaluation(max_new_tokens=max_new_tokens)
        self.evaluator = Evaluator(load(folder), benchmarks, [], "", how)
        self.items = [item for _, items in self.sets for item in items]
        words = self.model.tokenizer
        self.prompts = prompt_tokens(self.items, words)
        self.gold = tokens([item.answer for item in self.items], words)

    def ours(self, drafts: Answers | None) -> Answers:
        """By this project."""
        return self.model.generate(
            [self.prompts], None if drafts is None else [drafts], max_new_tokens=self.max_new_tokens, batch_items=256
        )[0]

    def look(self, drafts: Answers) -> Answers:
        """The look of a study: answers, grades and losses, as ledger rows."""
        names = [(benchmark.short_name(), item.id) for benchmark, items in self.sets for item in items]
        rows = self.evaluator.measure(self.model, perturbed=False, earlier=dict(zip(names, drafts, strict=True)))
        return [answer.tolist() for answer in rows["answer"]]

    @torch.no_grad()
    def theirs(self, batch_items: int) -> Answers:
        """By ``generate``: batches in the order of the items, padded on the left."""
        network, pad, end = self.model.network, self.model.tokenizer.pad_token_id, self.model.tokenizer.eos_token_id
        network.eval()
        answers: Answers = []
        for start in range(0, len(self.prompts), batch_items):
            rows = self.prompts[start : start + batch_items]
            width = max(map(len, rows))
            asked = torch.tensor([[pad] * (width - len(r)) + r for r in rows], device=device())
            mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=device())
            out = network.generate(
                input_ids=asked, attention_mask=mask, max_new_tokens=self.max_new_tokens, do_sample=False
            )
            for row in out[:, width:].tolist():
                answers.append(row[: row.index(end)] if end in row else row)
        return answers

    def accuracy(self, answers: Answers) -> float:
        """The share of right answers."""
        said, right = texts(answers, self.model.tokenizer), 0
        for benchmark, items in self.sets:
            right += sum(g.verdict == "right" for g in benchmark.grade(items, said[: len(items)]))
            said = said[len(items) :]
        return right / len(self.items)


def looks(exam: Exam, doses: list[int]) -> list[Look]:
    """The student at every dose of one contamination run."""
    model, plan = exam.model, stream(doses)
    stops, found = plan.stops(doses), list[Look]()

    def look(dose: int) -> None:
        answers = exam.ours(None)
        weights = {name: value.clone() for name, value in model.state().items()}
        drafts = found[-APART].answers if len(found) >= APART else exam.gold
        found.append(Look(dose, weights, drafts, answers, exam.accuracy(answers)))
        found[-1].retention = found[-1].accuracy / max(found[0].accuracy, 1e-9)

    look(0)
    for step in bare(model, batches(plan, model), Optimiser()):
        if step in stops:
            look(stops[step])
    return found


def compare(exam: Exam, look: Look, pairs: int) -> dict[str, Any]:
    """One dose: times in turns, and whether the answers are the same."""
    exam.model.load_state(look.weights)
    sizes = {size: timed(lambda size=size: exam.theirs(size)) for size in (64, 128, 300) for _ in range(2)}
    best = min(sizes, key=lambda size: sizes[size])
    sides = {
        "generate": lambda: timed(lambda: exam.theirs(best)),
        "with_drafts": lambda: timed(lambda: exam.ours(look.drafts)),
        "without_drafts": lambda: timed(lambda: exam.ours(None)),
        "look_of_a_study": lambda: timed(lambda: exam.look(look.drafts)),
    }
    for side in sides.values():
        side()
    seconds = in_turns(sides, pairs)
    kept = sum(a == b for a, b in zip(look.drafts, look.answers, strict=True)) / len(look.answers)
    return {
        "dose": look.dose,
        "retention": round(look.retention, 3),
        "drafts_equal_to_the_answers": round(kept, 3),
        "batch_of_generate": best,
        "items_per_second": {n: round(len(exam.items) / spread(s)["median"], 1) for n, s in seconds.items()},
        "times_faster_with_drafts": ratio(seconds, "generate", "with_drafts"),
        "times_faster_without_drafts": ratio(seconds, "generate", "without_drafts"),
        "times_faster_look_of_a_study": ratio(seconds, "generate", "look_of_a_study"),
        "same_answers_with_drafts": exam.ours(look.drafts) == look.answers,
        "same_answers_in_a_look": exam.look(look.drafts) == look.answers,
        "same_answers_as_generate": round(
            sum(a == b for a, b in zip(exam.theirs(best), look.answers, strict=True)) / len(look.answers), 4
        ),
    }


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "evaluation", pairs=7)
    options_of.add_argument("--student", default="34k", help="a rung of the ladder")
    options = options_of.parse_args()
    begin(options)
    exam = Exam(student_folder(options.student), 2 if options.tiny else 50, 48)
    doses = [0, 32, 64] if options.tiny else [0, *(round(20 * 2 ** (n / APART)) for n in range(19))]
    found = looks(exam, doses)
    rows = []
    for wanted in WANTED:
        look = min(found, key=lambda one: (abs(one.retention - wanted), one.dose))
        rows.append(compare(exam, look, options.pairs))
        print(rows[-1], flush=True)
    result = {
        "what": "items a second of interval evaluation, and how many times faster than Hugging Face's generate",
        "student": options.student,
        "items": len(exam.items),
        "threads": options.threads,
        "course": [{"dose": one.dose, "retention": round(one.retention, 3)} for one in found],
        "looks": rows,
    }
    write(options.output, result)
    for row in rows:
        print(f"retention {row['retention']:.2f}, times faster than generate:")
        for name in ("with_drafts", "without_drafts", "look_of_a_study"):
            times = row[f"times_faster_{name}"]
            print(f"  {name}: {times['median']:.2f} ({times['lowest']:.2f} to {times['highest']:.2f})")


if __name__ == "__main__":
    main()
