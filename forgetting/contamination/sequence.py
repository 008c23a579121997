"""A sequence of tasks as contamination: one source after another, each with its own dose, in one of three orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np

from forgetting import registry, seeds
from forgetting.contracts import Contamination, Sample, is_held_out
from forgetting.errors import file_name, require, unknown

Order = Literal["blocked", "cyclic", "interleaved"]
MOST_PHASES = 200
WHERE = "contamination.sequence"


@dataclass(frozen=True)
class Sequence(Contamination):
    """Several sources, one after another. After the last phase it begins again, and each source goes on.

    A phase ends when as many of its samples were trained on as its dose says: those that are kept for the probe do not
    count. A source gives the same samples in every sequence, where its name in it and the seed are the same.

    Args:
        phases: the tasks in their order, by name; a task may come again, and then goes on with new samples
        tasks: sources with settings, by the names that ``phases`` calls them; a phase that is not among them is a
            source by its own name
        doses: contaminating samples of each phase; one number is that of every phase
        order: ``blocked``: each phase as a whole; ``cyclic``: in ``rounds`` rounds, each with an equal part of every
            phase; ``interleaved``: all at once, sample by sample, in shares by their doses
        rounds: of the cyclic order; must divide every dose
    """

    phases: tuple[str, ...] = ("dialogue", "altered_syntax")
    tasks: dict[str, str | dict[str, Any]] = field(default_factory=dict)
    doses: tuple[int, ...] = (1_280,)
    order: Order = "blocked"
    rounds: int = 4

    def __post_init__(self) -> None:
        require(len(self.phases) > 0, f"{WHERE}.phases", "at least one task", list(self.phases))
        require(isinstance(self.tasks, dict), f"{WHERE}.tasks", "sources by name", self.tasks)
        for name in self.phases:
            file_name(name, f"{WHERE}.phases")
            if name not in self.tasks and name not in registry.names("contamination"):
                raise unknown(f"{WHERE}.phases", name, [*self.tasks, *registry.names("contamination")])
        unused = [name for name in self.tasks if name not in self.phases]
        require(not unused, f"{WHERE}.tasks", f"free of what no phase is ({', '.join(self.phases)})", unused)
        rule = f"1 or {len(self.phases)} whole numbers, 1 or more"
        right = len(self.doses) in (1, len(self.phases)) and min(self.doses) >= 1
        require(right, f"{WHERE}.doses", rule, list(self.doses))
        require(self.rounds >= 1, f"{WHERE}.rounds", "1 or more", self.rounds)
        if self.order == "cyclic":
            rule = f"one that divides every dose ({', '.join(map(str, self.doses))})"
            require(not any(dose % self.rounds for dose in self.doses), f"{WHERE}.rounds", rule, self.rounds)
        count = len(self.phases) * (self.rounds if self.order == "cyclic" else 1)
        require(count <= MOST_PHASES, f"{WHERE}.phases", f"at most {MOST_PHASES} over all rounds", count)
        built = {name: self._source(name) for name in dict.fromkeys(self.phases)}
        object.__setattr__(self, "tasks", {name: built[name].settings() for name in self.tasks})
        kinds = {source.language for source in built.values()}
        require(len(kinds) == 1, f"{WHERE}.tasks", "all of the embedded world, or all natural text", sorted(built))
        object.__setattr__(self, "language", kinds.pop())

    def __hash__(self) -> int:
        return hash(repr(self.settings()))

    def learned(self) -> dict[str, Contamination]:
        """Its tasks, in the order in which they first come."""
        return {name: self._source(name) for name in dict.fromkeys(self.phases)}

    def blocks(self) -> tuple[tuple[str, int], ...]:
        """Name and dose of each stretch of one pass; of an interleaved one there is a single stretch."""
        each = self._each()
        if self.order == "interleaved":
            return (("interleaved", sum(dose for _, dose in each)),)
        rounds = self.rounds if self.order == "cyclic" else 1
        return tuple((name, dose // rounds) for _ in range(rounds) for name, dose in each)

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        root = int(rng.integers(0, 2**63))
        streams = {name: task.samples(seeds.generator(root, "task", name)) for name, task in self.learned().items()}
        while True:
            for name in self._turns():
                counted = False
                while not counted:
                    sample = next(streams[name])
                    counted = not is_held_out(sample)
                    yield sample

    def check(self) -> None:
        """Each source checks its own data."""
        for name, task in self.learned().items():
            with registry.told_as(self._where(name), task):
                task.check()

    def told(self) -> dict[str, Any]:
        """What each source tells, by the name of its task."""
        return {name: told for name, task in self.learned().items() if (told := task.told())}

    def _each(self) -> list[tuple[str, int]]:
        doses = self.doses * (len(self.phases) if len(self.doses) == 1 else 1)
        return list(zip(self.phases, doses, strict=True))

    def _turns(self) -> Iterator[str]:
        """Whose sample comes next, in one pass; interleaved, the one that lags furthest behind its share."""
        if self.order != "interleaved":
            for name, dose in self.blocks():
                yield from (name for _ in range(dose))
            return
        doses = Counter[str]()
        for name, dose in self._each():
            doses[name] += dose
        given, total = Counter[str](), sum(doses.values())
        for place in range(1, total + 1):
            lag = {name: dose * place - given[name] * total for name, dose in doses.items()}
            chosen = max(lag, key=lambda name: lag[name])
            given[chosen] += 1
            yield chosen

    def _source(self, name: str) -> Contamination:
        where = self._where(name)
        source = cast(Contamination, registry.build("contamination", self.tasks.get(name, name), where))
        require(not source.blocks(), where, "a source that is no sequence itself", name)
        return source

    def _where(self, name: str) -> str:
        return f"{WHERE}.tasks.{name}" if name in self.tasks else f"{WHERE}.phases"
