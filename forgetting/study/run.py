"""A run: a student in an arm, up to its doses, with its two seeds; its key is only its name."""

from __future__ import annotations

from dataclasses import dataclass

from forgetting.study.arms import Arm
from forgetting.study.students import Student


@dataclass(frozen=True)
class RunKey:
    """The name of a run as plain values: what ledgers and tasks carry."""

    student: str
    arm: str
    distillation_seed: int
    seed: int

    def __str__(self) -> str:
        return f"{self.student}-{self.arm}-d{self.distillation_seed}-s{self.seed}"


@dataclass(frozen=True)
class Run:
    """One run with all that it is made of. ``doses`` are those that its stream reaches."""

    student: Student
    arm: Arm
    doses: tuple[int, ...]
    distillation_seed: int
    seed: int

    @property
    def key(self) -> RunKey:
        """The run's name."""
        return RunKey(self.student.name, self.arm.name, self.distillation_seed, self.seed)

    @property
    def looks(self) -> tuple[int, ...]:
        """The doses at which it is measured: of a student that learns all at once there are only two ends."""
        return (self.doses[0], self.doses[-1]) if self.arm.at_once else self.doses

    @property
    def stream(self) -> float:
        """Samples of its stream, contaminating and original."""
        return self.doses[-1] / self.arm.share()

    def __str__(self) -> str:
        return str(self.key)

    def __hash__(self) -> int:  # settings of parts may be lists, which have none
        return hash(self.key)
