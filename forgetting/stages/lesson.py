"""What makes one student: a study, its shape and a seed in; its fingerprint, untaught weights and stream out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetting import seeds
from forgetting.models.checkpoint import Checkpoint, load
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.scratch import fresh
from forgetting.record.store import Store
from forgetting.stages.lesson_plan import lesson_plan
from forgetting.stages.mentor import Mentor
from forgetting.stages.storing import add
from forgetting.study.arms import Arm
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.training.plan import MixPlan
from forgetting.training.stopwatch import Stopwatch
from forgetting.world.tokenizer import tokenizer

if TYPE_CHECKING:
    from forgetting.study.taught import DistillationStage


@dataclass(frozen=True)
class Lesson:
    """What makes one student in its first stages: its shape, the root of all its randomness, the last one's stream."""

    study: Study
    of: Student
    form: dict[str, Any]
    distillation_seed: int
    also: Arm | None
    stages: int

    @property
    def mark(self) -> str:
        """The student's fingerprint."""
        return fingerprint(self.form)

    @property
    def root(self) -> int:
        """The seed of this stage; the first one's is the student's own."""
        own = seeds.integer(self.study.spec.ladder.seed, "student", self.distillation_seed)
        return own if self.stages == 1 else seeds.integer(own, "stage", self.stages)

    @property
    def generators(self) -> int:
        """The seed of the global generators while it is taught."""
        return seeds.integer(self.root, "generators")

    @property
    def stage(self) -> DistillationStage:
        """The last of its stages."""
        return self.study.stages_of(self.of)[self.stages - 1]

    def untaught(self, mentor: Mentor) -> HuggingFaceModel:
        """The student before it is taught: the checkpoint, or fresh weights for the words of its teacher."""
        if isinstance(self.of, Checkpoint):
            return load(self.of)
        if self.study.language == "natural":
            return fresh(self.of, mentor.tokenizer, self.root, words=int(mentor.network.config.vocab_size))
        return HuggingFaceModel.create(self.of, tokenizer(), self.root)

    def plan(self) -> MixPlan:
        """The stream laid out."""
        return lesson_plan(self.study, self.stage.fit, self.root, self.also)

    def keep(self, model: HuggingFaceModel, watch: Stopwatch, store: Store, **more: Any) -> Path:
        """Store the student that was taught; ``more`` is for its manifest."""
        return add(self.study, store, self.mark, model, {"role": "student", "made_from": self.form, **more}, watch)


def lesson(
    study: Study, of: Student, distillation_seed: int, also: Arm | None = None, stages: int | None = None
) -> Lesson:
    """The lesson of the student of a seed, in all stages or in the first so many."""
    count = len(study.stages_of(of)) if stages is None else stages
    return Lesson(study, of, student_form(study, of, distillation_seed, also, count), distillation_seed, also, count)
