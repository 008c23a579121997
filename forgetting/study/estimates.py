"""What a run on a checkpoint will take: a study in; memory on each GPU and GPU-hours by student out, by formula.

Memory, with N parameters of which T are trained, w bytes a weight (4 in fp32, 2 in bfloat16), in bytes:

- weights w N, the base's copy w N, gradients and AdamW's two averages 4 T + 8 T (adapters learn in fp32), or 3 w T;
- activations of a micro-batch of b samples of s tokens, hidden size h, L layers, V words: 34 s b h a layer at two bytes
  a number (arXiv 2205.05198, table 2, without attention scores, which sdpa does not keep), of one layer only and
  2 s b h for each of the others with activation checkpointing; and logits with their gradient, 3 x 4 s b V.

A teacher adds what distillation takes: its own weights beside a student of which every weight is trained. Students that
branch from one trunk share it, so that its stages are counted with the first of them.

Time: 6 N floating-point operations a token trained on (8 N with checkpointing, 4 N and 6 N where only adapters are
trained), 2 N a token read, at 40% of the peak; and each decoding step reads every weight once, at 60% of the bandwidth.
The teacher writes an answer to each sample of the pool, once for all students, and is counted with the first of them.
The lengths of samples and answers are not known before data are read, so they are settings with round defaults. These
are estimates to plan by, within a factor of two; nothing here was measured on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from forgetting.errors import UsageError, unknown
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.ladder import QWEN3, Architecture, Published
from forgetting.study.arms import Arm
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.study.taught import DistillationStage


@dataclass(frozen=True)
class GPU:
    """Memory in GB, peak rates in operations a second by dtype, bandwidth in bytes a second (vendor's data sheets)."""

    memory_gb: float
    bfloat16: float
    float32: float
    bandwidth: float


GPUS = {
    "a100": GPU(80, 312e12, 19.5e12, 2.0e12),
    "h100": GPU(80, 989e12, 67e12, 3.35e12),
    "h200": GPU(141, 989e12, 67e12, 4.8e12),
}
CORE = GPU(0, 1e11, 1e11, 1e10)  # one core of a processor, on which a run trains where there is no GPU; round figures
UTILISATION, DECODING = 0.4, 0.6  # shares of the peak rate and of the bandwidth that are reached
ANSWERED_TOGETHER = 128  # samples of the pool to which a teacher writes answers at a time
ITEMS = {"gsm8k": 1_319, "humaneval": 164, "math500": 500, "mbpp": 500, "aime": 60, "livecodebench": 1_055}


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a training sample, of a benchmark's prompt, and of its gold answer."""

    sample: int = 512
    prompt: int = 128
    answer: int = 192


@dataclass(frozen=True)
class Estimate:
    """Of one student: GB on each GPU by part, and GPU-hours of one run in the most costly arm.

    Distillation, where there is a teacher, is done before the runs and on one GPU: its GB in all, and its hours.
    """

    student: str
    weights_gb: float
    base_gb: float
    optimiser_gb: float
    activations_gb: float
    training_hours: float
    evaluation_hours: float
    distillation_gb: float = 0.0
    distillation_hours: float = 0.0

    @property
    def memory_gb(self) -> float:
        """All parts, or what distillation takes where that is more."""
        run = self.weights_gb + self.base_gb + self.optimiser_gb + self.activations_gb
        return max(run, self.distillation_gb)

    @property
    def hours(self) -> float:
        """Training and evaluation."""
        return self.training_hours + self.evaluation_hours


def estimates(study: Study, gpu: str, lengths: Lengths = Lengths()) -> list[Estimate]:
    """One estimate for each student.

    Raises ``UsageError`` for an unknown GPU, and unless students or their teacher are published Qwen3.
    """
    if gpu not in GPUS:
        raise unknown("estimate", gpu, GPUS)
    teacher = _published(study.teacher) if isinstance(study.teacher, Checkpoint) else None
    found, trunks = [], set[str]()
    for place, student in enumerate(study.students):
        if isinstance(student, Architecture) and teacher:
            known, dtype = Published(student, True, teacher.vocabulary), "float32"
        else:
            known, dtype = _published(student), getattr(student, "dtype", "")
        one = _estimate(study, student.name, dtype, known, GPUS[gpu], lengths)
        if teacher:
            trunk = study.rung(student).name
            stages = study.stages_of(student)[len(study.stages) if trunk in trunks else 0 :]
            trunks.add(trunk)
            one = _with_distillation(one, study, stages, dtype, known, teacher, GPUS[gpu], lengths, writes=place == 0)
        found.append(one)
    return found


def _published(model: Student) -> Published:
    known = QWEN3.get(model.source.partition("@")[0]) if isinstance(model, Checkpoint) else None
    if known is None:
        raise UsageError(f"estimate: students and teacher must be among {', '.join(QWEN3)}, got {model.name!r}")
    return known


def adapters(model: Published, rank: int) -> int:
    """Parameters of LoRA adapters of that rank beside every linear layer but the head."""
    a = model.architecture
    sizes = [(a.hidden_size, a.heads * a.head_dim), (a.heads * a.head_dim, a.hidden_size)]
    sizes += 2 * [(a.hidden_size, a.key_value_heads * a.head_dim)]
    sizes += 3 * [(a.hidden_size, a.intermediate_size)]
    return a.layers * rank * sum(inputs + outputs for inputs, outputs in sizes)


def _estimate(study: Study, name: str, dtype: str, model: Published, gpu: GPU, lengths: Lengths) -> Estimate:
    machine, spec = study.spec.machine, study.spec
    n, width = model.parameters(), 4 if dtype == "float32" else 2
    ranks = [getattr(arm.mitigation, "rank", 0) for arm in study.arms]
    full = 0 in ranks
    trained = n if full else adapters(model, max(ranks))
    samples = math.ceil(spec.fine_tuning.batch_size / machine.micro_batches / machine.devices)
    fast = dtype != "float32" or machine.precision == "bfloat16_mixed"
    rate = UTILISATION * (gpu.bfloat16 if fast else gpu.float32)
    cost = (6 if full else 4) + (2 if machine.activation_checkpointing else 0)
    tokens = max(_stream(study, arm) for arm in study.arms) * lengths.sample
    return Estimate(
        student=name,
        weights_gb=n * width / 1e9,
        base_gb=n * width / 1e9,
        optimiser_gb=trained * (3 * width if full else 12) / 1e9,
        activations_gb=_activations(
            model, samples * lengths.sample, 2 if fast else 4, machine.activation_checkpointing
        ),
        training_hours=cost * n * tokens / rate / 3600,
        evaluation_hours=max(_evaluation(study, arm, n, width, gpu, rate, lengths) for arm in study.arms) / 3600,
    )


def _with_distillation(
    one: Estimate, study: Study, stages: Sequence[DistillationStage], dtype: str, model: Published, teacher: Published,
    gpu: GPU, lengths: Lengths, *, writes: bool,
) -> Estimate:  # fmt: skip
    """The estimate with what these stages take; ``writes``: the time in which the teacher answers the pool too."""
    fit, n, width = study.stages[0].fit, model.parameters(), 4 if dtype == "float32" else 2
    taught = study.teacher
    teacher_width = 4 if isinstance(taught, Checkpoint) and taught.dtype == "float32" else 2
    rate, teacher_rate = (UTILISATION * (gpu.float32 if w == 4 else gpu.bfloat16) for w in (width, teacher_width))
    tokens, read = (
        sum(stage.fit.samples * lengths.sample for stage in own)
        for own in (stages, [stage for stage in stages if stage.method.compares])
    )
    seconds = 6.0 * n * tokens / rate + 2.0 * teacher.parameters() * read / teacher_rate
    if writes:
        longest = getattr(study.stages[0].method, "max_new_tokens", lengths.answer)
        pool = fit.shared_pool or fit.pool
        steps = math.ceil(pool / ANSWERED_TOGETHER) * longest
        seconds += 2.0 * teacher.parameters() * pool * lengths.prompt / teacher_rate
        seconds += steps * teacher.parameters() * teacher_width / (DECODING * gpu.bandwidth)
    return replace(
        one,
        distillation_gb=(4 * width * n + teacher_width * teacher.parameters()) / 1e9
        + _activations(model, fit.batch_size * lengths.sample, width, False),
        distillation_hours=seconds / 3600,
    )


def _stream(study: Study, arm: Arm) -> float:
    return study.reached(arm)[-1] / arm.share()


def _activations(model: Published, tokens: int, width: int, checkpointing: bool) -> float:
    a = model.architecture
    layer, kept = 34 * tokens * a.hidden_size * width / 2, tokens * a.hidden_size * width
    count = a.layers * a.loops
    layers = layer + kept * (count - 1) if checkpointing else layer * count
    return (layers + 12.0 * tokens * model.vocabulary) / 1e9


def _evaluation(study: Study, arm: Arm, n: int, width: int, gpu: GPU, rate: float, lengths: Lengths) -> float:
    """Seconds of all looks of a run: gold answers are read, answers decoded at their longest."""
    evaluation, doses = study.spec.evaluation, len(study.reached(arm))
    seconds = 0.0
    for benchmark in study.benchmarks:
        items = getattr(benchmark, "limit", 0) or ITEMS.get(benchmark.short_name(), 1_000)
        more = len(benchmark.variants) - 1
        looks = doses + {"never": 0, "ends": 2 * more, "every": doses * more}[evaluation.perturbed]
        steps = math.ceil(items / evaluation.batch_items) * evaluation.max_new_tokens
        reading = 2.0 * n * items * (lengths.prompt + lengths.answer) / rate
        seconds += looks * (reading + steps * n * width / (DECODING * gpu.bandwidth))
    return seconds


@dataclass(frozen=True)
class ParameterCounts:
    """Parameters in all, and those of the embedding, which as the head work only where an answer is predicted."""

    parameters: int
    embedding: int = 0

    def operations(self, tokens: float, answers: float) -> float:
        """Multiplications and additions of one pass over so many tokens, of which so many predict an answer's."""
        return 2.0 * ((self.parameters - self.embedding) * tokens + self.embedding * answers)


def training_seconds(
    weights: ParameterCounts, samples: float, tokens: float, answers: float, gpu: GPU, *, adapters_only: bool = False
) -> float:
    """Of a fine-tuning in fp32 on so many samples of so many tokens each, of which so many are learned."""
    passes = 2 if adapters_only else 3
    return passes * samples * weights.operations(tokens, answers) / (UTILISATION * gpu.float32)


def asking_seconds(
    weights: ParameterCounts, items: int, gpu: GPU, *, prompt: float, answer: float, longest: int, batch_items: int
) -> float:
    """Of one look in fp32 at so many items: prompt and gold answer are read once, and answers decoded from what that
    pass left behind, at their longest.
    """
    steps = math.ceil(items / batch_items) * longest
    read = weights.operations(items * (prompt + answer + longest), items * (answer + longest))
    return read / (UTILISATION * gpu.float32) + steps * 4.0 * weights.parameters / (DECODING * gpu.bandwidth)


def table(study: Study, gpu: str) -> str:
    """The estimates as text, a line a student; what does not fit is marked."""
    limit = GPUS[gpu].memory_gb if gpu in GPUS else 0.0
    head = "student  weights    base  optimiser  activations   GB each GPU  train h  evaluate h  (one run)"
    lines = [f"{head}  distil h (once)" if study.teacher else head]
    for one in estimates(study, gpu):
        note = "" if one.memory_gb <= limit else f"  does not fit {limit:g} GB"
        lines.append(
            f"{one.student:<7}{one.weights_gb:>9.1f}{one.base_gb:>8.1f}{one.optimiser_gb:>11.1f}"
            f"{one.activations_gb:>13.1f}{one.memory_gb:>14.1f}{one.training_hours:>9.2f}{one.evaluation_hours:>12.2f}"
            + (f"{one.distillation_hours:>28.2f}" if study.teacher else "")
            + note
        )
    runs = len(study.runs())
    hours = {e.student: e.hours * study.spec.machine.devices for e in estimates(study, gpu)}
    whole = sum(hours[run.student.name] for run in study.runs())
    distilled = {(run.student.name, run.distillation_seed) for run in study.runs()} if study.teacher else set()
    once = {e.student: e.distillation_hours for e in estimates(study, gpu)}
    whole += sum(once[student] for student, _ in distilled)
    lines.append(
        f"{runs} runs, at most {whole:,.0f} GPU-hours on {gpu}; by formula (forgetting.study.estimates), not measured"
    )
    return "\n".join(lines) + "\n"
