"""A training step of R replicas through our fit, against R bare torch loops around the Hugging Face module, by rung.

Ours are one stack, and (on a CPU, where ``auto`` seldom stacks) R fits one after another. Each replica has its own
weights and its own data. All sides get the same batches, ready before the clock starts, and the losses of the stack and
of the loops at the end are compared.
"""

from __future__ import annotations

from typing import Any

import torch
from measuring import (
    bare,
    batches,
    begin,
    device,
    earlier,
    fresh,
    in_turns,
    parser,
    ratio,
    spread,
    stream,
    timed,
    write,
)

from forgetting import losses
from forgetting.contracts import Batch
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import LADDER
from forgetting.models.stacked import StackedModel
from forgetting.spec import Optimiser
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.stack import stacked_batch

Data = list[list[Batch]]  # of each replica


class Sides:
    """R fresh students with their data, trained either way."""

    def __init__(self, rung: str, data: Data) -> None:
        self.rung, self.data, self.steps = rung, data, len(data[0])
        self.last: dict[str, torch.Tensor] = {}
        pad = fresh(rung).tokenizer.pad_token_id
        self.stacked = [stacked_batch(each, pad) for each in zip(*data, strict=True)]

    def _students(self) -> list[HuggingFaceModel]:
        models = [fresh(self.rung, seed) for seed in range(len(self.data))]
        for model in models:
            model.network.to(device()).train()
        return models

    def one_by_one(self) -> float:
        """Wall seconds of a fit for each replica."""
        models = self._students()

        def fits() -> None:
            for model, data in zip(models, self.data, strict=True):
                self._fit(model, data)

        return timed(fits)

    def _fit(self, student: HuggingFaceModel | StackedModel, data: list[Batch]) -> None:
        module = FitModule(student, lambda b: losses.cross_entropy(student, b), Optimiser(), total_steps=self.steps)
        fit(module, lambda: iter(data))

    def stack(self) -> float:
        """Wall seconds of one stacked fit; a single replica is fitted as it is."""
        models = self._students()
        student = StackedModel(models) if len(models) > 1 else models[0]
        given = self.stacked if len(models) > 1 else self.data[0]
        seconds = timed(lambda: self._fit(student, given))
        with torch.no_grad():
            self.last["stack"] = losses.cross_entropy(student, given[-1]).cpu()
        return seconds

    def theirs(self) -> float:
        """Wall seconds of the loops, one after another."""
        models = self._students()

        def loops() -> None:
            for model, data in zip(models, self.data, strict=True):
                for _ in bare(model, data, Optimiser()):
                    pass

        seconds = timed(loops)
        with torch.no_grad():
            found = [losses.cross_entropy(m, data[-1]) for m, data in zip(models, self.data, strict=True)]
        self.last["bare"] = torch.cat(found).cpu()
        return seconds


def compare(rung: str, replicas: int, steps: int, pairs: int) -> dict[str, Any]:
    """One rung and one number of replicas."""
    words = fresh(rung)
    data = [batches(stream([0, 32 * steps], seed=seed), words) for seed in range(replicas)]
    sides = Sides(rung, data)
    all_sides = {"stack": sides.stack, "bare": sides.theirs}
    if replicas > 1:
        all_sides["one_by_one"] = sides.one_by_one
    for side in all_sides.values():
        side()
    seconds = in_turns(all_sides, pairs)
    apart = (sides.last["stack"] - sides.last["bare"]).abs() / sides.last["bare"]
    return {
        "student": rung,
        "replicas": replicas,
        "steps": steps,
        "times_faster": {name: ratio(seconds, "bare", name) for name in seconds if name != "bare"},
        "milliseconds_a_step_and_replica": {
            name: round(1000 * spread(each)["median"] / steps / replicas, 3) for name, each in seconds.items()
        },
        "largest_relative_difference_of_losses": float(f"{float(apart.max()):.2g}"),
    }


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "replicas")
    options_of.add_argument("--students", nargs="+", default=["10k", "34k", "100k", "455k", "3m"])
    options_of.add_argument("--replicas", nargs="+", type=int, default=[1, 4, 16, 64])
    options_of.add_argument("--work", type=float, default=4.0, help="million parameters x replicas x steps a side")
    options_of.add_argument("--most-steps", type=int, default=40)
    options = options_of.parse_args()
    begin(options)
    students, counts, most = options.students, options.replicas, options.most_steps
    if options.tiny:
        students, counts, most = ["10k"], [1, 2], 2
    rows = earlier(options).get("rows", [])
    sizes = {a.name: a.parameters(255) for a in LADDER}
    for rung in students:
        for count in counts:
            steps = min(most, max(2, round(1e6 * options.work / count / sizes[rung])))
            rows.append(compare(rung, count, steps, options.pairs))
            row = rows[-1]
            times = [f"{name} {t['median']:.2f} times" for name, t in row["times_faster"].items()]
            print(
                f"{rung} x {count}: {', '.join(times)}, "
                f"{row['milliseconds_a_step_and_replica']} ms a step and replica, losses apart by at most "
                f"{row['largest_relative_difference_of_losses']}",
                flush=True,
            )
    what = "time of R bare torch loops, one after another, over that of our fits: of one stack, and one by one"
    write(options.output, {"what": what, "threads": options.threads, "rows": rows})


if __name__ == "__main__":
    main()
