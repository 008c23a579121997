"""One fit of a teacher or a student: a model, its loss and its stream in; the model trained, and what came of it, out.

It goes on from the last durable checkpoint of an interrupted attempt, and stops at a target where it has one.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, cast

import torch

from forgetting import registry
from forgetting.batching import prompts, texts, tokens
from forgetting.contracts import Answering, Batch, Benchmark, Report
from forgetting.errors import require
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.field_kinds import ANY, NUMBER, WHOLE
from forgetting.record.seals import read_shaped, write_sealed
from forgetting.record.store import Store
from forgetting.spec import Fit, Machine
from forgetting.training import checkpoints
from forgetting.training.checkpoints import Snapshots, last, own_generators, restore_generators
from forgetting.training.fit import Progress, fit
from forgetting.training.module import FitModule
from forgetting.training.plan import MixPlan
from forgetting.training.stopwatch import Stopwatch
from forgetting.training.target import AtTarget, TargetStop

CHECKPOINT_STEPS = 500
NOTES = {"rows": [{"step": WHOLE, ANY: NUMBER}]}


@dataclasses.dataclass(frozen=True)
class Training:
    """What a fit is made of beside the model: settings, stream, loss, batches; where it is kept, and as what.

    ``seed`` is that of the global generators while it lasts.
    """

    fit: Fit
    plan: MixPlan
    loss: Callable[[Batch], torch.Tensor]
    batches: Callable[[MixPlan], Iterator[Batch]]
    store: Store
    mark: str
    seed: int
    keeps_start: bool = False
    machine: Machine = dataclasses.field(default_factory=Machine)


def train(model: HuggingFaceModel, of: Training, watch: Stopwatch, report: Report) -> dict[str, Any]:
    """Train the model; what the manifest is to say of the fit: of a target what came of it, and a method's notes."""
    with own_generators(of.seed):
        return _train(model, of, watch, report)


def _train(model: HuggingFaceModel, of: Training, watch: Stopwatch, report: Report) -> dict[str, Any]:
    work, plan, first, state = of.store.work(of.mark), of.plan, 0, None
    if of.keeps_start:
        plan = dataclasses.replace(plan, start=copy.deepcopy(model))
    if checkpoint := checkpoint_of(of.mark, last(work)):
        model.load_state(checkpoint.weights)
        restore_generators(checkpoint.generators)
        first, state = checkpoint.step, checkpoint.optimiser
    target = TargetStop(of.fit.until, plan.steps, work / "checks.json", first) if of.fit.until.benchmark else None
    stops = {step: step for step in range(CHECKPOINT_STEPS, plan.steps, CHECKPOINT_STEPS)}
    kept = Snapshots(work, model, stops, of.mark, watch)
    module = FitModule(
        model, of.loss, of.fit, total_steps=plan.steps, first_step=first, optimiser_state=state,
        slowing=target.factor if target else None,
    )  # fmt: skip
    notes = Notes(work / "notes.json", first, stops)
    ending = [AtTarget(target, _accuracy(model, of, watch))] if target else []
    try:
        if target is None or first < target.ends_at:
            with watch("training"):
                fit(
                    module, lambda: notes.of(of.batches(plan.starting_at(first))),
                    [*ending, kept, Progress(report, plan.steps)], of.machine,
                )  # fmt: skip
    finally:
        kept.close()
        notes.close()
    return {**({"until": target.summary()} if target else {}), **notes.summary()}


def checkpoint_of(mark: str, file: Path) -> checkpoints.RunCheckpoint | None:
    """The checkpoint in a file, if it is of the student or teacher with that fingerprint."""
    found = checkpoints.read(file) if file.is_file() else None
    return found if found is not None and found.fingerprint == mark else None


def _accuracy(model: HuggingFaceModel, of: Training, watch: Stopwatch) -> Callable[[], float]:
    """Measures the share of right answers to the validation items of the target, given in its way."""
    benchmark = cast(Benchmark, registry.build("benchmarks", of.fit.until.benchmark, "until.benchmark"))
    items = benchmark.items("validation")
    require(len(items) > 0, "until.benchmark", "a benchmark with items of the split validation", benchmark.short_name())
    asked, until = tokens(prompts(items, model.tokenizer), model.tokenizer), of.fit.until
    way = cast(Answering, registry.build("answering", until.answering or "greedy", "until.answering"))

    def measured() -> float:
        with watch("evaluation"):
            found = way.answers(model, asked, max_new_tokens=until.max_new_tokens, batch_items=128)
            said = texts([first.tokens for first, *_ in found], model.tokenizer)
            return sum(grade.verdict == "right" for grade in benchmark.grade(items, said)) / len(items)

    return measured


class Notes:
    """The notes of a fit's batches, kept in a file; a resumed fit drops those of steps that it takes again.

    ``stops`` are the steps after which a snapshot is taken; the file has their notes by then.
    """

    def __init__(self, file: Path, first_step: int, stops: Collection[int]) -> None:
        self.file, self.first_step, self.stops = file, first_step, stops
        remedy = f"delete the folder {str(file.parent)!r} and go on: what it is the work of is made again"
        kept = read_shaped(file, NOTES, remedy)["rows"] if file.is_file() else []
        self.rows: list[dict[str, Any]] = [row for row in kept if row["step"] < first_step]

    def of(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches, their notes taken."""
        for step, batch in enumerate(batches, self.first_step):
            if batch.notes:
                self.rows.append({"step": step, **batch.notes})
                if step + 1 in self.stops:
                    self.close()
            yield batch

    def close(self) -> None:
        """Make them durable."""
        if self.rows:
            write_sealed(self.file, {"rows": self.rows})

    def summary(self) -> dict[str, Any]:
        """Means over the last tenth of the steps that have any."""
        late = self.rows[-max(1, len(self.rows) // 10) :]
        names = [name for name in dict.fromkeys(n for row in late for n in row) if name != "step"]
        means = {n: round(sum(row.get(n, 0.0) for row in late) / len(late), 4) for n in names}
        return {"notes": means} if means else {}
