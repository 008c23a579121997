"""Variants of a tuned student: what all interventions on one student cost, and a batch of them against one by one.

A shipped student is contaminated with dialogues. First each intervention measures all of its variants as a study does:
weights put in place, answers confirmed from those of the look before, losses on the gold answers. Then some variants of
``restore`` are measured in three ways in turns: as a study does; as replicas of one stack whose questions are answered
together; and as one would write it around the Hugging Face module, with ``generate`` and no drafts.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import pandas as pd
from evaluation import Exam
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

from forgetting import registry, seeds
from forgetting.contracts import Contamination, Intervention, Model
from forgetting.evaluation.questions import together
from forgetting.models.checkpoint import load
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.stacked import StackedModel
from forgetting.spec import Optimiser

INTERVENTIONS: list[dict[str, Any]] = [
    {"name": "average"},
    {"name": "relearning"},
    {"name": "restore", "sets": True, "draws": 5},
    {"name": "transplant", "draws": 5},
]
Variants = list[tuple[str, dict[str, Any]]]


class Tuned:
    """A student before and after its contamination, and what its answers were."""

    def __init__(self, student: str, per_depth: int, dose: int) -> None:
        folder = student_folder(student)
        self.exam, self.base = Exam(folder, per_depth, 64), load(folder)
        self.model: HuggingFaceModel = self.exam.model
        for _ in bare(self.model, batches(stream([0, dose]), self.model), Optimiser()):
            pass
        self.model.network.eval()
        self.base.network.to(device())
        rows = self.exam.evaluator.measure(self.model, perturbed=False)
        self.right = float((rows["verdict"] == "right").mean())
        self.drafts = {(row.benchmark, row.item): list(row.answer) for row in rows.itertuples()}

    def variants(self, part: dict[str, Any]) -> Variants:
        """Labels and weights that an intervention makes of the student, ``relearning``'s training included."""
        one, original = registry.build("intervention", part), registry.build("contamination", "original")
        assert isinstance(one, Intervention) and isinstance(original, Contamination)
        drawn = original.samples(seeds.generator(0, "intervention memory"))
        return list(one.variants(self.base, self.model, list(islice(drawn, one.memory_samples()))))

    def alone(self, variants: Variants) -> list[pd.DataFrame]:
        """One after another, as a study measures them; the student is left as it was."""
        own = {name: tensor.clone() for name, tensor in self.model.state().items()}
        found = []
        for _, weights in variants:
            seen: Model = self.model if weights.keys() == own.keys() else self.model.untied()
            seen.load_state(weights)
            found.append(self.exam.evaluator.measure(seen, perturbed=False, earlier=self.drafts))
        self.model.load_state(own)
        return found

    def stacked(self, variants: Variants) -> list[pd.DataFrame]:
        """As replicas of one stack."""
        replicas = [load(self.exam.folder) for _ in variants]
        for replica, (_, weights) in zip(replicas, variants, strict=True):
            replica.load_state(weights)
        stack = StackedModel(replicas)
        stack.network.to(device())
        each = [stack.replica(number) for number in range(len(variants))]
        looks = [self.exam.evaluator.look(one, perturbed=False, earlier=self.drafts) for one in each]
        return together(stack, looks)

    def plainly(self, variants: Variants, batch_items: int) -> list[list[list[int]]]:
        """Around the Hugging Face module: answers only, neither graded nor their losses found."""
        own, found = {name: tensor.clone() for name, tensor in self.model.state().items()}, []
        for _, weights in variants:
            self.model.load_state(weights)
            found.append(self.exam.theirs(batch_items))
        self.model.load_state(own)
        return found


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "variants", pairs=3)
    options_of.add_argument("--student", default="34k")
    options_of.add_argument("--items-per-depth", type=int, default=60)
    options_of.add_argument("--dose", type=int, default=1280)
    options_of.add_argument("--batch", type=int, default=8, help="variants that are measured in three ways")
    options = options_of.parse_args()
    begin(options)
    student, per_depth, dose, batch = options.student, options.items_per_depth, options.dose, options.batch
    if options.tiny:
        student, per_depth, dose, batch = "10k", 1, 32, 2
    tuned = Tuned(student, per_depth, dose)
    costs = []
    for part in [one for one in INTERVENTIONS if not options.tiny or one["name"] != "relearning"]:
        made: Variants = []
        making = timed(lambda part=part, made=made: made.extend(tuned.variants(part)))
        asking = timed(lambda made=made: tuned.alone(made))
        costs.append({
            "intervention": part["name"], "variants": len(made), "making": round(making, 2), "asking": round(asking, 2),
        })  # fmt: skip
        print(costs[-1])
    some = [one for one in tuned.variants(INTERVENTIONS[2]) if one[1].keys() == tuned.model.state().keys()]
    some = some[:: max(1, len(some) // batch)][:batch]
    sizes = {size: timed(lambda size=size: tuned.plainly(some[:2], size)) for size in (64, 128, 300)}
    best = min(sizes, key=lambda size: sizes[size])
    seconds = in_turns(
        {
            "generate": lambda: timed(lambda: tuned.plainly(some, best)),
            "as_a_study_does": lambda: timed(lambda: tuned.alone(some)),
            "as_one_stack": lambda: timed(lambda: tuned.stacked(some)),
        },
        options.pairs,
    )
    asked = [[list(answer) for answer in rows["answer"]] for rows in tuned.alone(some)]
    written = tuned.plainly(some, best)
    answers = [pair for one, other in zip(asked, written, strict=True) for pair in zip(one, other, strict=True)]
    write(options.output, {
        "what": "seconds of all variants of a tuned student; a batch of them as a study does, stacked, and by generate",
        "student": student, "dose": dose, "items": len(tuned.exam.items), "right_after": round(tuned.right, 3),
        "interventions": costs,
        "seconds_in_all": round(sum(one["making"] + one["asking"] for one in costs), 1),
        "batch": {
            "labels": [label for label, _ in some],
            "seconds": {name: spread(values) for name, values in seconds.items()},
            "times_faster_than_generate": ratio(seconds, "generate", "as_a_study_does"),
            "times_faster_as_a_stack": ratio(seconds, "as_a_study_does", "as_one_stack"),
            "batch_items_of_generate": best,
            "answers": len(answers),
            "answers_that_differ": sum(one != other for one, other in answers),
        },
    })  # fmt: skip


if __name__ == "__main__":
    main()
