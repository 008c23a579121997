"""A look of R stacked replicas: their answers and losses found together, against one replica after another.

R copies of a shipped student are contaminated with dialogues of their own, and looked at with the answers of the look
before as drafts. Both sides are the evaluator's looks, grades included; their answers and sums are compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from measuring import batches, begin, device, in_turns, parser, ratio, spread, stream, student_folder, timed, write

from forgetting import losses, registry
from forgetting.contracts import Benchmark
from forgetting.evaluation.evaluator import Evaluator
from forgetting.evaluation.questions import together
from forgetting.models.checkpoint import load
from forgetting.models.stacked import StackedModel
from forgetting.spec import Evaluation, Optimiser
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.stack import stacked_batch
from forgetting.training.stops import IntervalEvaluation

Drafts = dict[tuple[str, str], list[int]]


class Looks:
    """A stack on its way through the doses, and both ways to look at it."""

    def __init__(self, folder: Path, replicas: int, per_depth: int, doses: list[int], pairs: int) -> None:
        self.pairs, self.rows = pairs, list[dict[str, Any]]()
        models = [load(folder) for _ in range(replicas)]
        for model in models:
            model.network.to(device())
        parts = [registry.build("benchmarks", {"name": n, "items_per_depth": per_depth}) for n in ("maths", "code")]
        benchmarks = [b for b in parts if isinstance(b, Benchmark)]
        base = load(folder)
        base.network.to(device())
        self.evaluator = Evaluator(base, benchmarks, [], "", Evaluation())
        at_0 = self.evaluator.measure(base, perturbed=False)
        self.right_at_0 = float((at_0["verdict"] == "right").mean())
        self.stack = StackedModel(models)
        self.stack.network.to(device())
        self.each = [self.stack.replica(number) for number in range(replicas)]
        self.drafts = [_drafts(at_0)] * replicas
        self.found: dict[str, list[pd.DataFrame]] = {}
        plans = [stream([0, *doses], seed=seed) for seed in range(replicas)]
        pad, each = base.tokenizer.pad_token_id, [batches(plan, base) for plan in plans]
        given = [stacked_batch(of_step, pad) for of_step in zip(*each, strict=True)]
        module = FitModule(self.stack, self._loss, Optimiser(), total_steps=len(given))
        stops = {step: dose for step, dose in plans[0].stops(doses).items() if dose}
        fit(module, lambda: iter(given), [IntervalEvaluation(stops, self.compare)])

    def _loss(self, batch: Any) -> Any:
        return losses.cross_entropy(self.stack, batch)

    def _together(self) -> None:
        looks = [
            self.evaluator.look(one, perturbed=False, earlier=drafts)
            for one, drafts in zip(self.each, self.drafts, strict=True)
        ]
        self.found["together"] = together(self.stack, looks)

    def _one_after_another(self) -> None:
        self.found["one_after_another"] = [
            self.evaluator.measure(one, perturbed=False, earlier=drafts)
            for one, drafts in zip(self.each, self.drafts, strict=True)
        ]

    def compare(self, dose: int) -> None:
        """One dose: times in turns, and how far the rows are apart."""
        self._together()
        self._one_after_another()
        sides = {name: lambda w=work: timed(w) for name, work in (
            ("together", self._together), ("one_after_another", self._one_after_another),
        )}  # fmt: skip
        seconds = in_turns(sides, self.pairs)
        pairs = list(zip(self.found["together"], self.found["one_after_another"], strict=True))
        answers = [list(map(list, rows["answer"])) for both in pairs for rows in both]
        right = [float((rows["verdict"] == "right").mean()) for rows in self.found["together"]]
        self.rows.append({
            "dose": dose,
            "retention": round(sum(right) / len(right) / self.right_at_0, 3),
            "times_faster": ratio(seconds, "one_after_another", "together"),
            "seconds": {name: spread(values) for name, values in seconds.items()},
            "answers": sum(map(len, answers[::2])),
            "answers_that_differ": sum(
                a != b for one, other in zip(answers[::2], answers[1::2], strict=True)
                for a, b in zip(one, other, strict=True)
            ),
            "largest_relative_difference_of_nll": float(
                f"{max(float(((a['nll_sum'] - b['nll_sum']).abs() / b['nll_sum']).max()) for a, b in pairs):.2g}"
            ),
        })  # fmt: skip
        self.drafts = [_drafts(rows) for rows in self.found["one_after_another"]]


def _drafts(rows: pd.DataFrame) -> Drafts:
    return {(row.benchmark, row.item): list(row.answer) for row in rows.itertuples()}


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "stacked_looks")
    options_of.add_argument("--students", nargs="+", default=["10k", "34k", "100k"])
    options_of.add_argument("--replicas", nargs="+", type=int, default=[4, 8])
    options_of.add_argument("--items-per-depth", type=int, default=50)
    options_of.add_argument("--doses", nargs="+", type=int, default=[80, 640, 2560])
    options = options_of.parse_args()
    begin(options)
    students, counts, per_depth, doses = options.students, options.replicas, options.items_per_depth, options.doses
    if options.tiny:
        students, counts, per_depth, doses = ["10k"], [2], 1, [32]
    rows: list[dict[str, Any]] = []
    for rung in students:
        for count in counts:
            for found in Looks(student_folder(rung), count, per_depth, doses, options.pairs).rows:
                rows.append({"student": rung, "replicas": count, **found})
                times = found["times_faster"]
                print(
                    f"{rung} x {count} at dose {found['dose']}, retention {found['retention']:.2f}: "
                    f"{times['median']:.2f} times ({times['lowest']:.2f} to {times['highest']:.2f}), "
                    f"{found['answers_that_differ']} of {found['answers']} answers differ, "
                    f"NLL apart by at most {found['largest_relative_difference_of_nll']}",
                    flush=True,
                )
    what = "seconds of looks at R replicas one after another over those of the same looks together"
    write(options.output, {"what": what, "threads": options.threads, "rows": rows})


if __name__ == "__main__":
    main()
