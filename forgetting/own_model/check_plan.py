"""A model and data of one's own in; the study that says what fine-tuning on them costs, chosen by their sizes, out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from forgetting import registry
from forgetting.errors import require
from forgetting.executors import of_workers
from forgetting.executors.own_data import check_own
from forgetting.models import checkpoint
from forgetting.own_model.at_hand import ALWAYS, at_hand
from forgetting.own_model.extent import BATCH_ITEMS, Costs, Extent, counted, round_down, this_machine, within
from forgetting.own_model.given import (
    ADAPTERS,
    HELD_OUT,
    NO_PEFT,
    STAND_IN,
    adapters_at_hand,
    default_rate,
    drawn_sizes,
    is_base,
    look_at,
    look_at_benchmarks,
    parameter_counts,
    shown_how,
    source_of,
    student_of,
    without_template,
)
from forgetting.spec import (
    Device,
    Doses,
    Evaluation,
    Ladder,
    LoggerName,
    Machine,
    Optimiser,
    PartValue,
    Precision,
    Spec,
)
from forgetting.study import handed
from forgetting.study.study import Study, construct

ADAPTERS_FROM = 1_000_000_000  # parameters from which adapters are trained instead of all weights
FEW_ROWS, PASSES = 1_000, 3  # data with fewer rows are passed over three times, others once
MOST_DOSE, STREAM_CAP = 10_000, 50_000
WITHOUT_END = 2_560  # the dose of a source that has no end
MUCH_UNKNOWN = 0.01  # share of the data's tokens from which a warning is worth it
SHOTS = 4  # worked problems before each of GSM8K's, for a model without a chat template


@dataclass(frozen=True)
class Wishes:
    """What is not left to ``check``; see there."""

    benchmarks: PartValue | tuple[PartValue, ...] | None = None
    original: Any = None
    minutes: float = 30.0
    dose: int | None = None
    learning_rate: float | None = None
    mitigation: PartValue | None = None
    seeds: int = 1
    max_new_tokens: int | None = None
    name: str = "check"
    workers: int | None = None
    loggers: tuple[LoggerName, ...] = ()
    batch_size: int | None = None
    precision: Precision = "float32"
    device: Device = "auto"

    def __post_init__(self) -> None:
        self.machine()
        plain = type(self.minutes) in (int, float) and 0 < self.minutes < float("inf")
        require(plain, "minutes", "a number above 0", self.minutes)
        for name, most in (("dose", STREAM_CAP), ("max_new_tokens", 100_000), ("batch_size", STREAM_CAP)):
            value = getattr(self, name)
            whole = value is None or (type(value) is int and 1 <= value <= most)
            require(whole, name, f"a whole number from 1 to {most:,}", value)
        rate = self.learning_rate
        fits = rate is None or (type(rate) in (int, float) and 0 < rate < 1)
        require(fits, "learning_rate", "a number above 0 and below 1", rate)

    def machine(self) -> Machine:
        """How the runs are laid out. ``UsageError`` for what is no precision, device or logger."""
        return Machine(loggers=self.loggers, precision=self.precision, device=self.device)


@dataclass(frozen=True)
class CheckPlan:
    """The study, and what is said of it before it starts."""

    study: Study
    student: str
    parameters: int
    tokens: float  # mean of a sample
    samples: int  # distinct ones; 0: the source has no end
    seconds: float  # by formula
    memory_gb: float  # of all runs side by side, by formula
    machine: str  # that the formula is of
    notes: tuple[str, ...]


def planned(model: Any, data: Any, wishes: Wishes) -> CheckPlan:
    """Reads the data and the tokenizer, loads no weights. ``UsageError`` for everything that cannot be carried out."""
    student = student_of(handed.handed(model, "model"))
    natural = checkpoint.looks_like_one(student)
    source = source_of(handed.handed(data, "data"), natural=natural)
    given = wishes.benchmarks
    several = handed.several(given, "benchmarks") if given else ()
    if given:
        look_at_benchmarks(given)
    given_original = handed.handed(wishes.original, "original") if wishes.original is not None else None
    original = None if given_original is None else source_of(given_original, natural=natural, field="original")
    extra, notes = at_hand() if natural and not several else ([], [])
    default = tuple(ALWAYS) if natural else Evaluation().benchmarks
    extent = Extent(
        several or default, tuple(extra), wishes.dose or 1, 8, wishes.seeds, control=not natural or original is not None
    )

    def spec(extent: Extent, rate: float, mitigation: PartValue) -> Spec:
        return _spec(student, source, original, extent, wishes, natural=natural, rate=rate, mitigation=mitigation)

    look_at(source, "data")
    if original is not None:
        look_at(original, "original")
    first = construct(spec(extent, 1e-5, "none"))
    base = is_base(first.students[0])
    source, said = without_template(first.arms[0].contamination, source, base=base)
    first = construct(spec(extent, 1e-5, "none"))
    check_own(first)
    contamination = first.arms[0].contamination
    contamination.check()
    samples = int(contamination.told().get("samples", 0))
    sizes, held_out = drawn_sizes(first, contamination, samples)
    weights = parameter_counts(first.students[0])
    parameters = weights.parameters
    if sizes.unknown > MUCH_UNKNOWN:
        notes.append(
            f"warning: of the data's tokens {sizes.unknown:.0%} stand for words that the tokenizer does not know"
        )
    mitigation = wishes.mitigation or (ADAPTERS if natural and parameters >= ADAPTERS_FROM else "none")
    if base:
        extra, left_out = shown_how(extra, SHOTS)
        notes += left_out
    extent = dataclasses.replace(
        extent,
        optional=tuple(extra),
        most_tokens=wishes.max_new_tokens or 0,
        probe_items=held_out,
        **_doses(samples, wishes),
    )
    machine, name, side_by_side = this_machine(wishes.device)
    slots = 1 if wishes.workers == 0 or not side_by_side else of_workers(wishes.workers).slots
    adapters_only = registry.build("mitigation", mitigation, "mitigation").short_name() in ("lora", "o_lora")
    costs = Costs(weights, sizes.tokens, sizes.learned, machine, slots, adapters_only)
    chosen = within(extent, costs, wishes.minutes)
    rate = wishes.learning_rate or (default_rate(parameters) if natural else Optimiser().learning_rate)
    study = construct(spec(chosen, rate, mitigation))
    rule = f"none (all weights) where peft is not installed; {NO_PEFT}"
    require(not adapters_only or adapters_at_hand(), "mitigation", rule, mitigation)
    if natural and original is None:
        replays = study.arms[0].share() < study.arms[0].shift or study.arms[0].mitigation.memory_samples()
        require(not replays, "original", "given where the mitigation replays or looks at original samples", original)
    notes += [*said, *_given_up(extent, chosen, costs, wishes.minutes)]
    told = study.students[0].name, parameters, sizes.tokens, samples, costs.seconds(chosen), costs.memory_gb(chosen)
    return CheckPlan(study, *told, name, tuple(notes))


def _doses(samples: int, wishes: Wishes) -> dict[str, Any]:
    """The last dose by the data's size, and the samples of a step by the dose."""
    passes = PASSES if samples < FEW_ROWS else 1
    dose = min(MOST_DOSE, round_down((1 - HELD_OUT) * samples * passes)) if samples else WITHOUT_END
    dose = wishes.dose or dose
    size = wishes.batch_size or (32 if dose >= 2_000 else 8)
    return {"dose": dose, "batch_size": size, "fixed": ("dose",) if wishes.dose else ()}


def _spec(
    student: PartValue, source: PartValue, original: PartValue | None, extent: Extent, wishes: Wishes, *,
    natural: bool, rate: float, mitigation: PartValue,
) -> Spec:  # fmt: skip
    steps = extent.dose / extent.batch_size
    how: dict[str, Any] = {"perturbed": "never", "max_new_tokens": extent.longest(), "batch_items": BATCH_ITEMS}
    if not natural:
        how = {"max_new_tokens": wishes.max_new_tokens} if wishes.max_new_tokens else {}
    how["probe_items"] = extent.probe_items
    asked: Any = counted(extent.asked(), extent.items) if natural else extent.asked()
    own: Any = {"original": original or STAND_IN} if natural else {"original": original} if original is not None else {}
    return Spec(
        name=wishes.name,
        ladder=Ladder(students=(student,), **own),
        contaminations=(source,),
        mitigations=(mitigation,),
        controls=("original",) if extent.control else (),
        doses=Doses(dose=extent.dose, first=extent.first(), ratio=extent.ratio, stream_cap=STREAM_CAP),
        fine_tuning=Optimiser(
            batch_size=extent.batch_size, learning_rate=rate, warmup_steps=min(20, max(1, round(steps / 20)))
        ),
        evaluation=Evaluation(benchmarks=asked, **how),
        machine=wishes.machine(),
        keep="none" if natural else "last",
        seeds=wishes.seeds,
    )


def _given_up(wanted: Extent, chosen: Extent, costs: Costs, minutes: float) -> list[str]:
    """A line for each thing that the budget took, and one where it is not kept."""
    lines = [f"{name}: left out, since --minutes {minutes:g} leave no room for it" for name in chosen.dropped]
    if chosen.dose < wanted.dose:
        lines.append(f"dose: {chosen.dose:,} instead of {wanted.dose:,}, since --minutes {minutes:g} leave no more")
    if costs.seconds(chosen) > 60 * minutes:
        lines.append(f"about {costs.seconds(chosen) / 60:,.0f} minutes at least, more than --minutes {minutes:g}")
    return lines
