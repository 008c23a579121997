"""A study as data: frozen dataclasses that hold everything a result depends on, and the few settings that it does not.

A part is given as ``"name"`` or ``{"name": ..., setting: value}``, by short name or import path. A spec checks its own
fields when it is made; ``forgetting.study.study`` constructs the parts, the arms and the doses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, NamedTuple, cast, get_type_hints

from forgetting.errors import check_fields, file_name, require, under, unknown

MOST_LOOKS, MOST_RUNS = 1_000, 100_000
MOST_SEED = 2**32 - 1
PartValue = str | dict[str, Any]
RatePolicy = Literal["constant", "inverse_width", "matched_plasticity"]
Schedule = Literal["constant", "linear"]
Spacing = Literal["geometric", "linear"]
Perturbed = Literal["ends", "every", "never"]
Strategy = Literal["ddp", "fsdp"]
Precision = Literal["float32", "bfloat16_mixed"]
Device = Literal["auto", "cpu", "gpu"]
Keep = Literal["all", "last", "none"]
LoggerName = Literal["wandb", "mlflow"]
Control = Literal["sham", "rate_quarter", "rate_four", "original", "noise", "replay_1", "replay_5", "joint"]


@dataclass(frozen=True)
class Optimiser:
    """AdamW with warm-up; by default at constant rate afterwards, so that every interval is a valid end point.

    Args:
        batch_size: samples a step
        learning_rate: rate after warm-up, before the rate policy and the arm's multiple
        rate_policy: ``constant``; ``inverse_width``: the rate times 32 / hidden size; ``matched_plasticity``: the rate
            at which students of its capacity learn the new task as the reference's do at the constant rate
        schedule: after warm-up: ``constant``, or ``linear`` to zero at the last step
        warmup_steps: steps of linear warm-up
        betas: AdamW's two decay rates
        weight_decay: AdamW's decoupled weight decay
        clip_norm: largest gradient norm; 0 switches clipping off
    """

    batch_size: int = 32
    learning_rate: float = 2e-3
    rate_policy: RatePolicy = "constant"
    schedule: Schedule = "constant"
    warmup_steps: int = 20
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.0
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        for name in ("learning_rate", "weight_decay", "clip_norm"):
            value = getattr(self, name)
            require(value >= 0, name, "a finite number, 0 or more", value)
        require(self.warmup_steps >= 0, "warmup_steps", "0 or more", self.warmup_steps)
        require(all(0 <= b < 1 for b in self.betas), "betas", "two numbers from 0 to below 1", self.betas)


@dataclass(frozen=True)
class Until:
    """Where a fit stops before its last sample: at an accuracy, so that students start from equal skill.

    Until then the rate is constant after warm-up; then it falls to 0 over a share of the steps taken. A fit that gains
    less than .01 in a fifth of its steps, or that would pass its samples, ends in the same way; the student's manifest
    says which.

    Args:
        benchmark: whose items of the split ``validation`` are asked, by name or with settings; empty: no target
        accuracy: reached where two checks running find it
        every: steps between checks
        decay: that share of the steps taken; 0: the fit ends with the check, at the skill that was asked for
        max_new_tokens: longest answer of a check, in tokens
        answering: how a check is answered, a way that learns nothing, by name or with settings; empty: greedily
    """

    benchmark: PartValue = ""
    accuracy: float = 0.95
    every: int = 100
    decay: float = 0.1
    max_new_tokens: int = 48
    answering: PartValue = ""

    def __post_init__(self) -> None:
        check_fields(self)
        require(0 < self.accuracy <= 1, "accuracy", "above 0 and at most 1", self.accuracy)
        require(0 <= self.decay <= 1, "decay", "a share from 0 to 1", self.decay)
        for name in ("every", "max_new_tokens"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        require(not self.answering or bool(self.benchmark), "answering", "empty without a benchmark", self.answering)


@dataclass(frozen=True)
class Fit(Optimiser):
    """One training from scratch: an optimiser and the data it sees.

    Args:
        samples: samples trained on, in all, or at most where there is a target
        pool: distinct samples that they are drawn from, one epoch after another
        shared_pool: samples that all students share, of which each draws its ``pool``, so that the teacher writes once;
            0: each has a pool of its own
        until: a target at which it stops, in place of ``schedule``
        original: what it is taught, a source of samples, in place of the ladder's; empty: that
    """

    batch_size: int = 64
    learning_rate: float = 1.2e-2
    rate_policy: RatePolicy = "inverse_width"
    schedule: Schedule = "linear"
    warmup_steps: int = 100
    samples: int = 192_000
    pool: int = 48_000
    shared_pool: int = 0
    until: Until = field(default_factory=Until)
    original: PartValue = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = "constant or inverse_width where a model is trained from nothing"
        require(self.rate_policy != "matched_plasticity", "rate_policy", rule, self.rate_policy)
        require(self.samples >= 1, "samples", "at least 1", self.samples)
        require(self.pool >= 1, "pool", "at least 1", self.pool)
        rule = f"0, or at least the pool ({self.pool})"
        require(self.shared_pool == 0 or self.shared_pool >= self.pool, "shared_pool", rule, self.shared_pool)


class StageSpec(NamedTuple):
    """A stage of distillation as it is asked for; ``teacher`` is the branch that teaches it, empty: the ladder's.

    ``fields`` are the paths in a spec at which its method is written, and the target and the samples of its fit.
    """

    method: PartValue
    fit: Fit
    fields: dict[str, str]
    teacher: str = ""


@dataclass(frozen=True)
class Ladder:
    """How the students are made: which capacities, by which teacher, from which data.

    Args:
        students: capacities by name, ascending (``forgetting list models``); or checkpoints: folders, hub names, or
            mappings with ``source``, ``dtype``, ``attention``, ``chat_template``, ``thinking``, ``local``, ``name``
        teacher: the teacher's capacity by name, or a checkpoint, which then teaches on natural text; empty: of
            capacities the ladder's own (1m), of checkpoints none, so that these are taken as they are
        original: the original distribution, a source of samples with its shares of skills
        teaching: how the teacher is trained
        distillation: how students learn from the teacher; or a list of stages, one after another, each a mapping with
            its ``method`` and those settings of ``distilling`` that differ for it
        branches: ways on from there, each a mapping with its ``name`` and its ``stages``, as in ``distillation``: each
            capacity is then a trunk, made once, and a student for each branch; empty: the trunk is the student. A stage
            may also name an earlier branch as its ``teacher``: that student of the same trunk then teaches
        distilling: how long and at which rate
        seed: root of the teacher's and the students' randomness
        fresh_students: distil a fresh student for each seed (a published verdict) or share one (exploratory)
    """

    students: tuple[PartValue, ...] = ("10k", "34k", "100k", "175k")
    teacher: PartValue = ""
    original: PartValue = "original"
    teaching: Fit = field(default_factory=lambda: Fit(samples=96_000))
    distillation: PartValue | tuple[dict[str, Any], ...] = "off_policy"
    branches: tuple[dict[str, Any], ...] = ()
    distilling: Fit = field(default_factory=Fit)
    seed: int = 0
    fresh_students: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        require(len(self.students) > 0, "students", "at least one capacity", self.students)
        repeats = len({repr(s) for s in self.students}) < len(self.students)
        require(not repeats, "students", "free of repeats", self.students)
        require(0 <= self.seed <= MOST_SEED, "seed", f"from 0 to {MOST_SEED:,}", self.seed)
        self.stages()
        names = list(self.branch_stages())
        require(len(names) == len(self.branches), "branches", "of different names", [b["name"] for b in self.branches])

    def stages(self) -> list[StageSpec]:
        """The stages of distillation, of the trunk where there are branches: each one's method and fit."""
        if not isinstance(self.distillation, tuple):
            return [StageSpec(self.distillation, self.distilling, self._fields(method="distillation"))]
        require(len(self.distillation) > 0, "distillation", "a method, or at least one stage", self.distillation)
        return [self._stage(f"distillation[{i}]", one) for i, one in enumerate(self.distillation)]

    def branch_stages(self) -> dict[str, list[StageSpec]]:
        """By branch its own stages."""
        found: dict[str, list[StageSpec]] = {}
        for i, given in enumerate(self.branches):
            where = f"branches[{i}]"
            for key in given:
                if key not in ("name", "stages"):
                    raise unknown(where, key, ("name", "stages"))
            stages = given.get("stages")
            several = isinstance(stages, list | tuple) and len(stages) > 0 and all(isinstance(s, dict) for s in stages)
            require(several, f"{where}.stages", "a list of at least one stage, each a mapping", stages)
            name = file_name(given.get("name"), f"{where}.name")
            earlier = tuple(found)
            found[name] = [self._stage(f"{where}.stages[{n}]", one, earlier) for n, one in enumerate(cast(Any, stages))]
        return found

    def _stage(self, where: str, given: dict[str, Any], teachers: Sequence[str] | None = None) -> StageSpec:
        """A stage; of a branch with the branches before it, which may teach."""
        own = dict(given)
        require("method" in own, where, "a mapping with its method", given)
        teacher = "" if teachers is None else str(own.pop("teacher", ""))
        require(not teacher or bool(teachers), f"{where}.teacher", "a branch before this one (there is none)", teacher)
        if teacher and teachers and teacher not in teachers:
            raise unknown(f"{where}.teacher", teacher, teachers)
        method, known = own.pop("method"), [f.name for f in fields(Fit)]
        for name in own:
            if name not in known:
                raise unknown(where, name, ["method", *known, *([] if teachers is None else ["teacher"])])
        if "until" in own:
            own["until"] = from_plain(own["until"], Until, f"{where}.until")
        with under(where):
            fit = replace(self.distilling, **own)
        return StageSpec(method, fit, self._fields(**{name: f"{where}.{name}" for name in given}), teacher)

    def _fields(self, **own: str) -> dict[str, str]:
        """Where a stage's method, target and samples are written: in its own settings, or in those of every stage."""
        fields = {"until": "distilling.until", "original": "distilling.original"} | own
        return {name: f"ladder.{fields[name]}" for name in ("method", "until", "original")}


@dataclass(frozen=True)
class Doses:
    """At which doses a run is measured; dose 0 always comes first.

    Args:
        dose: the last dose, in contaminating samples
        spacing: ``geometric`` (first, first x ratio, ...) or ``linear`` (first, 2 x first, ...)
        first: the first dose after 0
        ratio: the factor between geometric doses
        stream_cap: most samples of stream, contaminating and original; doses beyond it are reported as not reached
    """

    dose: int = 2_560
    spacing: Spacing = "geometric"
    first: int = 40
    ratio: float = 2.0
    stream_cap: int = 50_000

    def __post_init__(self) -> None:
        check_fields(self)
        require(self.dose >= 1, "dose", "at least 1", self.dose)
        require(1 <= self.first <= self.dose, "first", f"from 1 to the dose ({self.dose})", self.first)
        require(self.ratio > 1, "ratio", "above 1", self.ratio)
        require(self.stream_cap >= 1, "stream_cap", "at least 1", self.stream_cap)
        span = self.dose / self.first
        looks = span if self.spacing == "linear" else math.log(span) / math.log(self.ratio)
        rule = f"so that there are at most {MOST_LOOKS:,} of them (spacing {self.spacing}, first {self.first})"
        require(looks <= MOST_LOOKS, "dose", rule, self.dose)

    def values(self) -> tuple[int, ...]:
        """All doses in samples, ascending: 0, the spaced ones, the last one."""
        doses, position = [0], float(self.first)
        while round(position) < self.dose:
            doses.append(round(position))
            position = position * self.ratio if self.spacing == "geometric" else position + self.first
        return tuple(sorted({*doses, self.dose}))


@dataclass(frozen=True)
class Evaluation:
    """What is measured at every interval.

    Args:
        benchmarks: the benchmarks, by name or with settings
        perturbed: evaluate the perturbed variants at both ``ends``, at ``every`` dose, or ``never``
        probe_items: held-out samples of the contamination, for plasticity and KL on new inputs
        max_new_tokens: longest answer, in tokens
        batch_items: items decoded together; changes speed, and at most one verdict in a thousand
        answering: ways of answering beside greedy decoding, measured at dose 0 and at the last dose
        answering_benchmarks: names of the benchmarks that they are measured on; empty for all
    """

    benchmarks: tuple[PartValue, ...] = (
        {"name": "maths", "items_per_depth": 40},
        {"name": "code", "items_per_depth": 40},
        {"name": "traps", "items_per_form": 20},
        {"name": "lookup", "item_count": 40},
        {"name": "classification", "item_count": 40},
    )
    perturbed: Perturbed = "ends"
    probe_items: int = 200
    max_new_tokens: int = 48
    batch_items: int = 256
    answering: tuple[PartValue, ...] = ()
    answering_benchmarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        require(len(self.benchmarks) > 0, "benchmarks", "at least one benchmark", self.benchmarks)
        for name in ("probe_items", "max_new_tokens", "batch_items"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))


@dataclass(frozen=True)
class Matching:
    """How rates are matched under the rate policy ``matched_plasticity``; without it these settings do nothing.

    Args:
        reference: the student whose learning at the constant rate the others are to match; empty: the smallest
        dose: dose at which learning is compared, one of the doses; 0 is the last dose that the arm reaches
        pilots: most pilot runs of a student, the one at the constant rate among them
        tolerance: how far learning, -log(NLL - floor), may be from the wanted one
    """

    reference: str = ""
    dose: int = 0
    pilots: int = 8
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        check_fields(self)
        require(self.dose >= 0, "dose", "0 (the last dose) or more", self.dose)
        require(self.pilots >= 2, "pilots", "at least 2", self.pilots)
        require(0 < self.tolerance < 1, "tolerance", "above 0 and below 1", self.tolerance)


@dataclass(frozen=True)
class Backend:
    """Another process that writes the greedy answers; by default the run's own process does.

    Args:
        command: an interpreter with vLLM, in an environment of its own; a program after it takes the place of this
            package's for vLLM and must speak its protocol; empty: no other process
        dtype: of its weights and arithmetic
        max_length: longest prompt and answer together, in tokens
        memory_share: share of the GPU's memory that it may take
        gpus: GPUs that its model is split over
        noise_prompts: prompts on which its noise floor is measured, at dose 0
    """

    command: tuple[str, ...] = ()
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    max_length: int = 4096
    memory_share: float = 0.45
    gpus: int = 1
    noise_prompts: int = 64

    def __post_init__(self) -> None:
        check_fields(self)
        require(all(self.command), "command", "an interpreter, with or without a program after it", self.command)
        for name in ("max_length", "gpus", "noise_prompts"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        require(0 < self.memory_share <= 1, "memory_share", "above 0 and at most 1", self.memory_share)


@dataclass(frozen=True)
class Machine:
    """How the fine-tuning of one run is laid out on the machine; any layout gives the same losses, but for rounding.

    Args:
        device: where students are trained and measured; ``auto``: on a GPU where there is one
        devices: processes of one run, each with a GPU of its own where there are GPUs
        strategy: of several devices: ``ddp`` (each has the whole student) or ``fsdp`` (they share its weights)
        micro_batches: pieces in which each device takes its part of a step, one after another
        precision: ``float32``, or ``bfloat16_mixed``: weights in fp32, computed with in bfloat16
        activation_checkpointing: compute activations a second time instead of keeping them
        compile: train by ``torch.compile`` (looks go on without it); of one device, with a C++ compiler at hand
        graphs: replay the training passes of stacks of runs (``--stack``) as CUDA graphs; beside no other setting
        backend: another process that writes the answers
        loggers: where scores are sent to beside the record: ``wandb``, ``mlflow``; no number depends on them
    """

    device: Device = "auto"
    devices: int = 1
    strategy: Strategy = "ddp"
    micro_batches: int = 1
    precision: Precision = "float32"
    activation_checkpointing: bool = False
    compile: bool = False
    graphs: bool = False
    backend: Backend = field(default_factory=Backend)
    loggers: tuple[LoggerName, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        require(len(set(self.loggers)) == len(self.loggers), "loggers", "free of repeats", self.loggers)
        for name in ("devices", "micro_batches"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        require(not (self.compile and self.devices > 1), "compile", "false with several devices", self.compile)
        require(not self.graphs or self.device != "cpu", "graphs", "false on a processor", self.graphs)
        rule = "false beside other settings of the machine, with which no runs are stacked"
        require(not self.graphs or self.stacks, "graphs", rule, self.graphs)

    @property
    def stacks(self) -> bool:
        """Whether runs laid out so may be stacked: one device, whole steps, float32."""
        return vars(self) | {"graphs": False, "loggers": (), "device": "auto"} == vars(Machine())

    @property
    def plain(self) -> Machine:
        """The same device and no other setting: how what comes before the runs is laid out."""
        return Machine(device=self.device)


@dataclass(frozen=True)
class Spec:
    """A study: students of a ladder, each contaminated in every arm with every seed, measured at every dose.

    The arms are all combinations of ``contaminations``, ``shifts``, ``rate_multiples``, ``rate_policies`` and
    ``mitigations``; ``controls`` adds arms to each contamination at the first shift.

    Args:
        name: names the study's folder; no result depends on it
        ladder: the students and how they are made
        contaminations: sources of competing data
        shifts: shares of contaminating samples in the stream, above 0, at most 1
        rate_multiples: multiples of the learning rate; 0 is the sham
        rate_policies: rate policies as an axis of the arms; empty: that of ``fine_tuning`` alone
        mitigations: what may slow forgetting, such as none, or replay with its share of the stream
        interventions: what is done to finished students before they are measured once more
        controls: the controls of the protocol, as further arms
        doses: the dose axis
        fine_tuning: how the contaminating stream is trained on
        matching: how rates are matched under the rate policy ``matched_plasticity``
        machine: how the fine-tuning is laid out on devices
        evaluation: what is measured
        seeds: contamination seeds, counted from ``first_seed``
        first_seed: the first of them
        keep: checkpoints that stay after completion; until then the last durable one always stays
    """

    name: str = "quick"
    ladder: Ladder = field(default_factory=Ladder)
    contaminations: tuple[PartValue, ...] = ("dialogue", "altered_syntax")
    shifts: tuple[float, ...] = (1.0,)
    rate_multiples: tuple[float, ...] = (1.0,)
    rate_policies: tuple[RatePolicy, ...] = ()
    mitigations: tuple[PartValue, ...] = ("none",)
    interventions: tuple[PartValue, ...] = ()
    controls: tuple[Control, ...] = ()
    doses: Doses = field(default_factory=Doses)
    fine_tuning: Optimiser = field(default_factory=Optimiser)
    matching: Matching = field(default_factory=Matching)
    machine: Machine = field(default_factory=Machine)
    evaluation: Evaluation = field(default_factory=Evaluation)
    seeds: int = 1
    first_seed: int = 0
    keep: Keep = "last"

    def __post_init__(self) -> None:
        check_fields(self)
        file_name(self.name, "name")
        for name in ("contaminations", "shifts", "rate_multiples", "mitigations"):
            require(len(getattr(self, name)) > 0, name, "at least one value", getattr(self, name))
        for shift in self.shifts:
            require(0 < shift <= 1, "shifts", "above 0 and at most 1", shift)
        for rate in self.rate_multiples:
            require(rate >= 0, "rate_multiples", "0 or more", rate)
        require(self.seeds >= 1, "seeds", "at least 1", self.seeds)
        axes = (self.ladder.students, self.contaminations, self.shifts, self.rate_multiples)
        runs = self.seeds * math.prod(map(len, (*axes, self.mitigations)))
        require(runs <= MOST_RUNS, "seeds", f"so that there are at most {MOST_RUNS:,} runs", self.seeds)
        last = MOST_SEED + 1 - self.seeds
        require(0 <= self.first_seed <= last, "first_seed", f"from 0 to {last:,}", self.first_seed)


def from_plain(data: Any, kind: type[Any] = Spec, where: str = "") -> Any:
    """The spec (or a dataclass of it, at the path ``where``) that ``dataclasses.asdict`` made plain.

    ``UsageError`` where it is none.
    """
    require(isinstance(data, dict), where or "spec", "a mapping", data)
    known = {f.name: f for f in fields(kind)}
    hints = get_type_hints(kind)
    values = {}
    for name, value in data.items():
        if name not in known:
            raise unknown(where or "spec", name, known)
        if is_dataclass(hints[name]):
            value = from_plain(value, cast(type[Any], hints[name]), f"{where}.{name}".lstrip("."))
        values[name] = tuple(value) if isinstance(value, list) else value
    with under(where):
        return kind(**values)
