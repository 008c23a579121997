"""What ``check`` chooses within a budget of minutes: items, doses, control; costs by formula, so always the same."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from forgetting import registry
from forgetting.analysis.curves import ORIGINAL
from forgetting.contracts import Benchmark
from forgetting.spec import Device
from forgetting.study.estimates import CORE, GPU, GPUS, ParameterCounts, asking_seconds, training_seconds

ITEMS = (200, 150, 100, 70, 50, 30, 20)  # of each benchmark that does not say how many itself
FEW_ITEMS = 50  # fewer only when nothing else is left to give up
SMALLEST_DOSE = 64
BATCH_ITEMS = 32
SECONDS_A_STEP = 0.005  # of training or decoding, beside the arithmetic
LONGEST = {"retrieval": 16, "sums": 16}  # tokens of an answer; of others 256
LONG = 256
# Tokens of prompt and gold answer; of other benchmarks those of LENGTHS[""].
LENGTHS = {"sums": (93, 4), "retrieval": (98, 2), "gsm8k": (60, 130), "humaneval": (140, 70), "": (128, 192)}
COUNTS = ("item_count", "limit")  # settings that say how many items are asked


@dataclass(frozen=True)
class Costs:
    """What a study costs: by the model's size, the mean tokens of a sample, and the machine it runs on."""

    weights: ParameterCounts
    tokens: float
    answers: float  # of the tokens, those that are learned
    machine: GPU
    slots: int  # runs side by side
    adapters_only: bool = False

    def seconds(self, extent: Extent) -> float:
        """Wall seconds, by formula."""
        samples, doses = extent.dose, extent.doses()
        training = training_seconds(
            self.weights, samples, self.tokens, self.answers, self.machine, adapters_only=self.adapters_only
        )
        training += SECONDS_A_STEP * samples / extent.batch_size
        rounds = math.ceil((1 + extent.control) * extent.seeds / self.slots)
        return rounds * (training + len(doses) * self._look(extent))

    def memory_gb(self, extent: Extent) -> float:
        """Of the runs that go on side by side, in fp32.

        Weights, those at dose 0, gradients and two moments of Adam, and a snapshot of weights and moments; or of
        adapters, which are small, the weights twice.
        """
        copies = 2 if self.adapters_only else 8
        return min(self.slots, (1 + extent.control) * extent.seeds) * copies * 4 * self.weights.parameters / 1e9

    def _look(self, extent: Extent) -> float:
        seconds = 0.0
        for value in extent.asked():
            name, items = str(registry.settings_of("benchmarks", value)["name"]), _items(value) or extent.items
            prompt, answer = LENGTHS.get(name, LENGTHS[""])
            prompt += _shots(value) * (LENGTHS["gsm8k"][0] + LENGTHS["gsm8k"][1]) if name == "gsm8k" else 0
            seconds += asking_seconds(
                self.weights, items, self.machine, prompt=prompt, answer=answer, longest=extent.longest(),
                batch_items=BATCH_ITEMS,
            )  # fmt: skip
            seconds += SECONDS_A_STEP * math.ceil(items / BATCH_ITEMS) * extent.longest()
        return seconds


@dataclass(frozen=True)
class Extent:
    """A study within its budget or on the way to it. ``optional`` benchmarks may be dropped, ``benchmarks`` not.

    ``fixed`` names what the user gave and nobody changes: ``dose``.
    """

    benchmarks: tuple[Any, ...]
    optional: tuple[Any, ...]
    dose: int
    batch_size: int
    seeds: int
    control: bool
    items: int = ITEMS[0]
    ratio: float = 2.0
    span: float = 16.0  # from the first dose to the last
    probe_items: int = 200
    most_tokens: int = 0  # of an answer; 0: by the benchmarks
    fixed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = field(default=())

    def asked(self) -> tuple[Any, ...]:
        """All benchmarks."""
        return (*self.benchmarks, *self.optional)

    def longest(self) -> int:
        """Tokens of the longest answer."""
        names = [str(registry.settings_of("benchmarks", value)["name"]) for value in self.asked()]
        return self.most_tokens or max(LONGEST.get(name, LONG) for name in names)

    def first(self) -> int:
        """The first dose after 0: a step at least, for a part of one says nothing."""
        return max(min(self.batch_size, self.dose), math.ceil(self.dose / self.span))

    def doses(self) -> list[int]:
        """All doses, 0 and the last one included."""
        found, dose = [0], float(self.first())
        while round(dose) < self.dose:
            found.append(round(dose))
            dose *= self.ratio
        return [*found, self.dose]

    def less(self) -> Extent | None:
        """The next cheaper study; None where there is none. What tells least is given up first."""
        fewer = next((n for n in ITEMS if n < self.items), 0)
        counted = any(count_of(value) == 0 for value in self.asked())
        if counted and self.items > 100:
            return dataclasses.replace(self, items=fewer)
        if self.optional:
            name = str(registry.settings_of("benchmarks", self.optional[-1])["name"])
            return dataclasses.replace(self, optional=self.optional[:-1], dropped=(*self.dropped, name))
        if counted and self.items > FEW_ITEMS:
            return dataclasses.replace(self, items=fewer)
        if self.ratio == 2 and self.dose >= self.span:
            return dataclasses.replace(self, ratio=4.0)
        if "dose" not in self.fixed and self.dose >= 2 * SMALLEST_DOSE:
            return dataclasses.replace(self, dose=round_down(self.dose / 2))
        if self.control:
            return dataclasses.replace(self, control=False, dropped=(*self.dropped, "control"))
        if counted and fewer:
            return dataclasses.replace(self, items=fewer)
        return dataclasses.replace(self, span=1.0) if self.span > 1 else None


def within(extent: Extent, costs: Costs, minutes: float) -> Extent:
    """The first study from ``extent`` on that takes no longer; the cheapest where none does."""
    while costs.seconds(extent) > 60 * minutes and (cheaper := extent.less()) is not None:
        extent = cheaper
    return extent


def this_machine(device: Device = "auto") -> tuple[GPU, str, bool]:
    """What a run is carried out on: rates by the data sheet, its name, and whether runs have one each (cores)."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return CORE, "one core of a processor", True
    card = torch.cuda.get_device_name().lower()
    known = next((name for name in GPUS if name in card), "a100")
    return GPUS[known], known if known in card else f"{known} (in place of {card})", False


def _shots(value: Any) -> int:
    """Worked examples before each question."""
    given: Any = registry.settings_of("benchmarks", value).get("shots", 0)
    return given if type(given) is int else 0


def count_of(value: Any) -> int:
    """How many items a benchmark's spec itself asks for; 0: it leaves that open; -1: it has no such setting."""
    settings = registry.settings_of("benchmarks", value)
    given: Any = next((settings[name] for name in COUNTS if settings.get(name)), 0)
    if given:
        return int(given) if type(given) is int else 0
    return 0 if setting_of(value) else -1


def _items(value: Any) -> int:
    """Items that a benchmark asks: by its setting, or counted where it has none; 0: it leaves that open."""
    count = count_of(value)
    return len(_built(value).items("test", ORIGINAL)) if count < 0 else count


def _built(value: Any) -> Benchmark:
    return cast(Benchmark, registry.build("benchmarks", value, "benchmarks"))


def setting_of(value: Any) -> str:
    """The setting that says how many items a benchmark asks; empty where it has none."""
    settings = registry.settings_of("benchmarks", value)
    known = [f.name for f in dataclasses.fields(registry.part_class("benchmarks", str(settings.get("name", ""))))]
    return next((name for name in COUNTS if name in known), "")


def counted(values: Sequence[Any], items: int) -> tuple[Any, ...]:
    """The benchmarks, each that leaves it open with so many items."""
    return tuple(
        {**registry.settings_of("benchmarks", value), setting_of(value): items} if count_of(value) == 0 else value
        for value in values
    )


def round_down(number: float) -> int:
    """Two digits that count; at least 1."""
    whole = max(1, int(number))
    unit: int = 10 ** max(0, len(str(whole)) - 2)
    return whole // unit * unit
