"""What a program may use, and how its run can end."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from forgetting.errors import require


class Outcome(enum.Enum):
    """How a run ended. The text is what it means."""

    passed = "every test was passed"
    wrong = "a test was not passed, or the result was no plain value"
    syntax_error = "the program does not parse"
    runtime_error = "the program raised an exception, lacks the function, or left before it had answered"
    time_limit = "the processor-time limit of the program or of its tests, or the wall-time backstop, was reached"
    memory_limit = "the memory limit was reached"
    output_limit = "more was written than is allowed"
    killed = "the program was ended by a signal that no limit sent"
    harness_error = "the tests or the sandbox failed, so nothing is known about the program"


@dataclass(frozen=True)
class Limits:
    """Limits of one run. Processor time decides; wall time is a backstop, so that a busy machine changes no score.

    Args:
        cpu_seconds: processor time of the program, whole seconds
        wall_seconds: wall time of program and tests together
        memory_mebibytes: address space of the program
        output_bytes: what is printed (of a script), and the size of each result (of a function)
    """

    cpu_seconds: int = 5
    wall_seconds: float = 60.0
    memory_mebibytes: int = 512
    output_bytes: int = 4_000_000

    def __post_init__(self) -> None:
        require(type(self.cpu_seconds) is int and self.cpu_seconds >= 1, "cpu_seconds", "at least 1", self.cpu_seconds)
        enough = math.isfinite(self.wall_seconds) and self.wall_seconds > self.cpu_seconds
        require(enough, "wall_seconds", "more than cpu_seconds", self.wall_seconds)
        require(self.memory_mebibytes >= 64, "memory_mebibytes", "at least 64", self.memory_mebibytes)
        require(self.output_bytes >= 1_000, "output_bytes", "at least 1000", self.output_bytes)


@dataclass(frozen=True)
class ProgramVerdict:
    """The word on one program: the outcome, a line of detail, and what the run took."""

    outcome: Outcome
    detail: str = ""
    cpu_seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every test was passed."""
        return self.outcome is Outcome.passed
