"""The looks of a contamination run: what is measured at a dose, and how it is written to the run's record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import Tensor

from forgetting.batching import Encoded
from forgetting.contracts import Model, Report
from forgetting.evaluation.backend_evaluator import WrittenElsewhere
from forgetting.evaluation.evaluator import Evaluator, same_weights
from forgetting.evaluation.other_answers import other_answers
from forgetting.evaluation.questions import together
from forgetting.evaluation.recorder import Recorder
from forgetting.models.stacked import StackedModel
from forgetting.record.files import RunFolder
from forgetting.record.schema import ADDED
from forgetting.record.seals import write_sealed
from forgetting.study.study import Study
from forgetting.training.plan import MixPlan

Variant = tuple[str, dict[str, Tensor], bool]  # its label, its weights, whether it answers in other ways too


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
        others = self._others(student) if self._at_an_end(dose) else None
        if not self.leading:
            return
        with self.recorder.watch("logging"):
            of = self.evaluator
            if isinstance(of, WrittenElsewhere) and of.writer.noise and not self.run.backend.is_file():
                noise = of.writer.noise
                write_sealed(self.run.backend, {**dataclasses.asdict(noise), "text": str(noise)})
            self.recorder.add(rows if others is None else pd.concat([_plain(rows), others]), self._clock(dose))
        self.report(self._step(dose), self.plan.steps)

    def measure_variants(self, dose: int, student: Model, variants: Iterator[Variant]) -> None:
        """The finished student with other weights, one after another; it is left as it was."""
        frames = []
        for label, weights, otherwise in variants:
            own = {name: tensor.clone() for name, tensor in student.state().items()}
            seen = student if weights.keys() == own.keys() else student.untied()
            seen.load_state(weights)
            with self.recorder.watch("interventions"):
                rows = [_plain(self.evaluator.measure(seen, perturbed=False, earlier=self.recorder.answers))]
            if otherwise and (others := self._others(seen)) is not None:
                rows.append(others)
            frames += [one.assign(intervention=label) for one in rows]
            student.load_state(own)
        self.recorder.add_interventions(pd.concat(frames, ignore_index=True), self._clock(dose))

    def _step(self, dose: int) -> int:
        return next(step for step, reached in self.stops.items() if reached == dose)

    def _clock(self, dose: int) -> dict[str, int]:
        trained = self.plan.trained(self._step(dose))
        tokens = self.encoded.answer_tokens(trained[self.plan.contaminating[trained]])
        return {"dose": dose, "dose_tokens": tokens, "stream_samples": len(trained)}

    def _others(self, student: Model) -> pd.DataFrame | None:
        """Answers in other ways, where they are asked for; those of a base are written once for all its runs."""
        study, evaluator = self.study, self.evaluator
        ways = [way for way in study.answering if way.suits(student.loops)]
        if not ways:
            return None

        def write() -> pd.DataFrame:
            of = study.spec.evaluation
            return other_answers(student, ways, study.benchmarks, of, study.original, evaluator.base)

        with self.recorder.watch("answering"):
            return evaluator.written_by_base(write) if student is evaluator.base else write()


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Greedy rows with the columns in which others differ from them."""
    return rows.assign(**{name: value for name, value in ADDED.items() if name not in rows})
