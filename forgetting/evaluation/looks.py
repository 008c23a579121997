"""The looks of a contamination run: what is measured at a dose, and how it is written to the run's record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import pandas as pd

from forgetting.answering import sampled
from forgetting.batching import Encoded
from forgetting.contracts import Model, Report
from forgetting.evaluation.backend_evaluator import WrittenElsewhere
from forgetting.evaluation.evaluator import Evaluator, same_weights
from forgetting.evaluation.questions import together
from forgetting.evaluation.recorder import Recorder
from forgetting.models.stacked import StackedModel
from forgetting.record.files import RunFolder, write_json
from forgetting.study.study import Study
from forgetting.training.plan import MixPlan


@dataclass(frozen=True)
class Looks:
    """A run's looks. ``leading`` says whether this process writes, ``spread`` whether the weights lie over several."""

    study: Study
    run: RunFolder
    evaluator: Evaluator
    recorder: Recorder
    plan: MixPlan
    stops: Mapping[int, int]
    encoded: Encoded
    report: Report
    leading: bool
    spread: bool
    at_look: Callable[[Model], AbstractContextManager[Any]] = nullcontext  # a mitigation's stand-ins for the weights

    def measure(self, dose: int, student: Model) -> None:
        """One look, written."""
        with self.at_look(student):
            seen = self._seen(dose, student)
            with self.recorder.watch("evaluation"):
                rows = self.evaluator.measure(seen, **self._how(dose))
            self._write(dose, seen, rows)

    @staticmethod
    def measure_together(looks: Sequence[Looks], dose: int, stack: StackedModel, replicas: Sequence[Model]) -> None:
        """The looks of all replicas of a stack at a dose above 0, written."""
        with ExitStack() as stand_ins:
            for own, one in zip(looks, replicas, strict=True):
                stand_ins.enter_context(own.at_look(one))
            with looks[0].recorder.watch("evaluation"):
                asked = zip(looks, replicas, strict=True)
                found = together(stack, [own.evaluator.look(one, **own._how(dose)) for own, one in asked])
            for own, one, rows in zip(looks, replicas, found, strict=True):
                own._write(dose, one, rows)

    def _seen(self, dose: int, student: Model) -> Model:
        """The base in place of a student that still is it."""
        return self.evaluator.base if dose == 0 and same_weights(student, self.evaluator.base) else student

    def _how(self, dose: int) -> dict[str, Any]:
        perturbed = self.study.spec.evaluation.perturbed
        everything = perturbed == "every" or (perturbed == "ends" and self._at_an_end(dose))
        return {"perturbed": everything, "earlier": None if self.spread else self.recorder.answers}

    def _at_an_end(self, dose: int) -> bool:
        return dose in (0, max(self.stops.values()))

    def _write(self, dose: int, student: Model, rows: pd.DataFrame) -> None:
        sampled = self._sampled(student) if self._at_an_end(dose) else None
        if not self.leading:
            return
        step = next(step for step, reached in self.stops.items() if reached == dose)
        trained = self.plan.trained(step)
        clock = {
            "dose": dose,
            "dose_tokens": self.encoded.answer_tokens(trained[self.plan.contaminating[trained]]),
            "stream_samples": len(trained),
        }
        with self.recorder.watch("logging"):
            of = self.evaluator
            if isinstance(of, WrittenElsewhere) and of.writer.noise and not self.run.backend.is_file():
                noise = of.writer.noise
                write_json(self.run.backend, {**dataclasses.asdict(noise), "text": str(noise)})
            if sampled is not None:
                self.recorder.add_sampled(sampled, dose)
            self.recorder.add(rows, clock)
        self.report(step, self.plan.steps)

    def _sampled(self, student: Model) -> pd.DataFrame | None:
        """Sampled answers, where they are asked for; those of a base are drawn once for all its runs."""
        study, evaluator = self.study, self.evaluator
        if not study.spec.evaluation.sampling.samples:
            return None
        with self.recorder.watch("sampling"):

            def draw() -> pd.DataFrame:
                return sampled.look(student, study.benchmarks, study.spec.evaluation)

            return evaluator.drawn_from_base(draw) if student is evaluator.base else draw()
