"""The families of parts and the types that they share. A member of a family subclasses one class of this file.

It is long because it is the one page that somebody with a part of his own has to read.

A part is a frozen dataclass: its fields are its settings, its ``__post_init__`` validates them (``UsageError``), and
nothing is computed or loaded before it is used. A part lives in one file of its family's folder; its short name is
the file's name. Nothing here imports torch at run time.

Shape suffixes: R replicas, B samples of a batch, T tokens, V words of the vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final, get_args
from zlib import crc32

from forgetting import seeds
from forgetting.errors import UsageError, require, unknown

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

Split = Literal["train", "validation", "test"]
Verdict = Literal["right", "wrong", "unparsed", "right_in_dialect"]
Answers = list[list[list[int]]]  # of each replica and prompt: tokens
Layers = list[tuple["Tensor", "Tensor"]]  # keys and values of each layer, [B, heads, T, head size]
Report = Callable[[int, int], None]  # progress: done, of how many
PLAIN = "text"  # the skill of a sample that is a text by itself: no chat template is put around it
Language = Literal["world", "natural"]  # the embedded world's words, or any text, which wants a real tokenizer
Halt = Literal["never", "entropy", "change"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One training sample: text in, text out. ``depth`` counts reasoning steps; ``template`` is the key of its form.

    A dialogue also has its ``turns`` (role, content), the answer's included: where the tokenizer has a chat template,
    every assistant turn of them is learned instead of the answer alone, but for the first ``given_turns`` turns and
    those at the places ``context_turns``. ``ended`` is false where the answer was cut at a limit: then no end is
    learned behind it. ``origin`` says where the sample was read, for messages about it.
    """

    prompt: str
    answer: str
    skill: str
    depth: int
    template: str
    turns: tuple[tuple[str, str], ...] = ()
    given_turns: int = 0
    ended: bool = True
    context_turns: tuple[int, ...] = ()
    origin: str = dataclasses.field(default="", compare=False, repr=False)


def is_held_out(sample: Sample) -> bool:
    """Whether a contaminating sample is kept for the probe: one text in twenty, by its hash; no stream trains on it."""
    return crc32(f"{sample.prompt}\n{sample.answer}".encode()) % 20 == 0


@dataclass(frozen=True, slots=True)
class Item:
    """One benchmark item. Variants of one problem share ``problem`` (the canonical problem's hash).

    ``id`` is unique within a benchmark over all variants; ``check`` is what the grader needs beside the gold answer,
    as plain values (for code: the hidden unit tests). ``coverage`` says how much of the training data is of this kind.
    """

    id: str
    prompt: str
    answer: str
    skill: str
    depth: int
    template: str
    variant: str
    problem: str
    coverage: Literal["common", "rare"] = "common"
    check: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Grade:
    """A grader's word on one answer. ``kind`` classes the error (``""`` where right); steps count written-out steps."""

    verdict: Verdict
    kind: str = ""
    steps_right: int = 0
    steps_total: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """How an answer failed: a class of the tree in docs/failures.md (empty: it did not) with its kind.

    ``place`` is where it begins: the word of an intrusion, or the step (-1: nowhere in particular). ``size`` is by how
    much a slip is off, written minus true.
    """

    name: str = ""
    kind: str = ""
    place: int = -1
    size: int = 0


@final
@dataclass(frozen=True)
class Batch:
    """One step's data: ``tokens_RBT``, right-padded, and ``answer_RBT``, true where the token is to be predicted.

    Prompt tokens and padding are false in ``answer_RBT`` and never enter a loss. Losses are sums over true positions
    divided by ``denominator``, which is that of the *whole* step: answer tokens x (full batch / samples), so that
    micro-batches add up to their batch and a last, smaller batch weighs by its samples. A stack has one a replica.

    What a method adds to a token or a row travels here, since micro-batches, stacks and devices carry these fields and
    no others: ``weight_RBT`` is a factor of each token's loss (None: 1 everywhere; an advantage, the weight of a step,
    0 to mask), ``reference_RB`` a number for each row (the log-probability of its answer under a reference), and
    ``group`` says how many rows that follow one another belong together and never part (pairs, samples of a prompt).
    ``predicted`` is what ``batching.answer_places`` gives, if that is known: finding it needs the values themselves, so
    it is found before they go to a device, which no step then has to wait for. ``notes`` are numbers that a method
    wants recorded of a step (groups without a gradient, answers that were cut); they stay with the whole batch.
    """

    tokens_RBT: Tensor
    answer_RBT: Tensor
    denominator: float | Tensor
    weight_RBT: Tensor | None = None
    reference_RB: Tensor | None = None
    group: int = 1
    predicted: tuple[Tensor, Tensor] | None = None
    notes: Mapping[str, float] = field(default_factory=dict)


class Stream(ABC):
    """What a fit trains on: a pool of samples and which of them are in each step's batch; resumable at any step.

    ``batch_size`` is the full batch; a batch may be smaller (the last one before a dose is measured). Iteration begins
    at ``first_step``, counted from the fit's own start: a method that counts steps goes on from there after a resume.
    ``start`` is the student as it was before the fit's first step, for a method that compares with it
    (``keeps_start``); where it is None, the student is still as it was.
    """

    samples: Sequence[Sample]
    contaminating: (
        np.ndarray
    )  # bool, for each pool sample: of the contamination, whose answers are to be learned as they are
    batch_size: int
    first_step: int = 0
    start: Model | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[np.ndarray]:
        """For each step from ``first_step`` on: indices ``[B]`` into ``samples``, a pure function of seed and step."""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn, token by token, instead of taking the most probable one.

    Every draw is a function of the seed, the step, the row and the position, so it depends neither on how rows are
    batched nor on whether a run was interrupted.

    Args:
        temperature: divides the logits; 1 draws from the model itself
        top_p: draws come from the likeliest words that together have this probability (nucleus, arXiv 1904.09751)
        seed: of the draws
        step: of the fit, where it is a fit that draws
        samples: how many rows that follow one another answer the same prompt; names their draws, repeats no prompt
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    step: int = 0
    samples: int = 1

    def __post_init__(self) -> None:
        warm = math.isfinite(self.temperature) and self.temperature > 0
        require(warm, "sampling.temperature", "above 0 (greedy decoding is without sampling)", self.temperature)
        require(0 < self.top_p <= 1, "sampling.top_p", "above 0 and at most 1", self.top_p)
        for name, least in (("seed", 0), ("step", 0), ("samples", 1)):
            value = getattr(self, name)
            require(type(value) is int and value >= least, f"sampling.{name}", f"{least} or more", value)

    def uniforms(self, row: int, count: int) -> np.ndarray:
        """The numbers in [0, 1) that decide the tokens of one row, in order."""
        when = (self.step,) if self.step else ()
        return seeds.generator(self.seed, "sampled decoding", *when, *divmod(row, self.samples)).random(count)


@dataclass(frozen=True)
class Depth:
    """How often a looped student passes through its layers while it answers; see ``answering/looped.py``.

    Args:
        loops: passes for prompt and answer, at most; 0: those that it was taught with
        written: passes for each written token, at most; 0: as many as ``loops``
        halt: what ends them sooner
        threshold: below which entropy or change ends them
    """

    loops: int = 0
    written: int = 0
    halt: Halt = "never"
    threshold: float = 0.0

    def __post_init__(self) -> None:
        for name in ("loops", "written"):
            require(getattr(self, name) >= 0, f"looped.{name}", "0 or more", getattr(self, name))
        rule = f"at most loops ({self.loops})"
        require(not self.loops or self.written <= self.loops, "looped.written", rule, self.written)
        if self.halt not in get_args(Halt):
            raise unknown("looped.halt", self.halt, get_args(Halt))
        if self.halt == "never":
            require(self.threshold == 0, "looped.threshold", "0 where halt is never", self.threshold)
        else:
            fits = math.isfinite(self.threshold) and self.threshold > 0
            require(fits, "looped.threshold", f"a finite number above 0 for halt: {self.halt}", self.threshold)

    @property
    def halts(self) -> bool:
        """Whether written tokens may take fewer passes than the prompt."""
        return self.written > 0 or self.halt != "never"


@dataclass(frozen=True, eq=False)
class AnswerRequest:
    """What a model is asked to write: see ``Model.generate``."""

    prompts_RB: Sequence[Sequence[Sequence[int]]]
    drafts_RB: Sequence[Sequence[Sequence[int]]] | None
    max_new_tokens: int
    batch_items: int
    sampling: Sequence[Sampling] | None  # one for each replica


@dataclass(frozen=True)
class Part(ABC):
    """A part is its settings. ``family`` is the folder it lives in."""

    family: ClassVar[str]

    @classmethod
    def short_name(cls) -> str:
        """The name used in YAML: the file's name inside the family, an import path outside it."""
        module = cls.__module__
        return (
            module.rsplit(".", 1)[-1]
            if module.startswith(f"forgetting.{cls.family}.")
            else f"{module}.{cls.__qualname__}"
        )

    def settings(self) -> dict[str, Any]:
        """Every setting with its value, defaults filled in: what the fingerprint is made of."""
        return {"name": self.short_name(), **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}}


class Model(ABC):
    """R replicas of one architecture. Every loss, distillation and penalty is computed from ``logits`` and is ``[R]``.

    Laws: ``generate`` gives the same answers every time; drafts change its cost, never its answers; what is sampled
    does not depend on how it is batched; ``load_state(state())`` changes nothing; logits at position t do not depend on
    tokens after t.
    """

    stacked: ClassVar[bool] = False  # whether parameters and state have a first axis of replicas
    network: torch.nn.Module
    tokenizer: PreTrainedTokenizerFast
    replicas: int
    capacity: int
    capacity_non_embedding: int
    hidden_size: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.named_parameters()))[1].device

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer."""
        return frozenset([int(self.tokenizer.eos_token_id)])

    @abstractmethod
    def logits(self, tokens_RBT: Tensor) -> Tensor:
        """Next-token logits ``[R, B, T, V]`` of right-padded tokens."""

    def logits_at(self, tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
        """``[R, N, V]``: of each replica's logits those at N places, counted through its rows (``B x T``)."""
        logits_RPV = self.logits(tokens_RBT).flatten(1, 2)
        return logits_RPV.gather(1, places_RN[..., None].expand(-1, -1, logits_RPV.shape[-1]))

    def targets_at(self, tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
        """``logits_at`` to within rounding, without gradients: what a teacher tells, by the fastest pass there is."""
        import torch

        with torch.no_grad():
            return self.logits_at(tokens_RBT, places_RN)

    def read(self, tokens_BT: Tensor, places_N: Tensor) -> tuple[Tensor, Layers | None]:
        """``logits_at`` of one replica, ``[N, V]``, and what the pass leaves to go on from, where ``decoding`` can."""
        return self.logits_at(tokens_BT[None], places_N[None])[0], None

    def decoding(self, limit: int, batch_items: int) -> Any:
        """Answers that go on from what the model's ``read`` leaves behind; None: only ``generate`` writes answers."""
        return None

    @property
    def loops(self) -> int:
        """How often a text passes through its layers: once, unless it is looped."""
        return 1

    def begin_step(self, step: int) -> None:
        """Told before each step of training, counted from the fit's own start; a looped student draws its passes."""
        return

    def at_depth(self, depth: Depth) -> Model:
        """The same weights, passed through so often; a model that is not looped itself."""
        return self

    def layer_passes(self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> list[int]:
        """How many passes through the layers the tokens of each answer took: one each, unless it is looped."""
        return [len(answer) for answer in answers]

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Inside, the network is in evaluation mode and not compiled; afterwards as it was."""
        import torch

        if not self.network.training:  # a walk over the modules takes as long as writing some tokens
            with torch.compiler.set_stance("force_eager"):
                yield
            return
        self.network.eval()
        try:
            with torch.compiler.set_stance("force_eager"):
                yield
        finally:
            self.network.train()

    def generate(
        self,
        prompts_RB: Sequence[Sequence[Sequence[int]]],
        drafts_RB: Sequence[Sequence[Sequence[int]]] | None = None,
        *,
        max_new_tokens: int,
        batch_items: int = 128,
        sampling: Sampling | Sequence[Sampling] | None = None,
    ) -> Answers:
        """Answers as token lists, in the order of the prompts: greedy ones, or drawn by ``sampling``.

        An answer that the model ended has the end token as its last one; one that was cut at ``max_new_tokens`` has
        none. Drafts are guesses at greedy answers. Replicas of a stack draw by one sampling each, or all by the same.
        """
        own = [sampling] * self.replicas if isinstance(sampling, Sampling) else sampling
        require(own is None or drafts_RB is None, "sampling", "without drafts, which guess greedy answers", "drafts")
        return self.answers(AnswerRequest(prompts_RB, drafts_RB, max_new_tokens, batch_items, own))

    @abstractmethod
    def answers(self, asked: AnswerRequest) -> Answers:
        """What ``generate`` gives."""

    @abstractmethod
    def named_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """The trainable parameters with their names, in a fixed order; tied ones once."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The weights by name, as they are (not copies)."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copy weights into place, in the model's own dtype and device. ``UsageError`` if they are another model's."""
        own = self.state()
        differing = own.keys() ^ state.keys() or {n for n in own if own[n].shape != state[n].shape}
        if differing:
            raise UsageError(f"checkpoint: weights do not fit the model, differing {sorted(differing)[:3]}")
        for name, value in state.items():
            own[name].copy_(value)

    def untied(self) -> Model:
        """A copy of a model of one replica whose output matrix is a weight of its own, equal to the embedding."""
        raise UsageError("untied: takes a Hugging Face model of one replica with a tied embedding")

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face checkpoint (safetensors, config, tokenizer)."""


@dataclass(frozen=True)
class Distillation(Part):
    """How a student learns from a teacher.

    Laws of every kind: the loss is finite and one a replica, sends no gradient to the teacher, ignores tokens outside
    ``answer_RBT``; batches from step k on are the batches after k steps; micro-batches add up to their batch.

    A method that ``imitates`` has a loss above 0 and a gradient at every answer token, and its batches are the samples
    of the stream. One that ``rewards`` may have any rows, in groups, and no gradient where all weights are 0.
    """

    family: ClassVar[str] = "distillation"
    stacks: ClassVar[bool] = False  # whether students learn stacked too: no batch depends on what a student has learned
    keeps_start: ClassVar[bool] = False  # whether it reads ``stream.start``
    kind: ClassVar[Literal["imitates", "rewards"]] = "imitates"

    def check(self, language: Language) -> None:
        """Look at the settings while a study is put together. ``UsageError`` where they do not suit its language."""
        return

    @property
    def compares(self) -> bool:
        """Whether the loss asks the teacher too, at every step: it takes time and memory then."""
        return False

    @abstractmethod
    def batches(self, student: Model, teacher: Model, stream: Stream) -> Iterator[Batch]:
        """The batches of the stream's steps, in order; on-policy methods let the student, as it is then, write.

        The fit trains between two of them: made all at once, they would be written by the student of the first step.
        """

    @abstractmethod
    def loss(self, student: Model, teacher: Model, batch: Batch) -> Tensor:
        """The loss of each replica, ``[R]``, divided by ``batch.denominator``."""


@dataclass(frozen=True)
class Contamination(Part):
    """A source of data that competes with reasoning. Law: equal generators give equal samples, without end."""

    family: ClassVar[str] = "contamination"
    language: ClassVar[Language] = "world"

    def check(self) -> None:
        """Look at data on this machine while a study is put together. ``UsageError`` where they are of no use."""
        return

    def floor(self) -> float:
        """Entropy of its answers, in nats a token, where the prompt is known: no student's NLL stays lower.

        It reads no data. 0 where the answer follows from the prompt, and where nobody knows, as of real text.
        """
        return 0.0

    def told(self) -> dict[str, Any]:
        """What was read and what was left out of it, for the record; nothing of sources that leave nothing out."""
        return {}

    def learned(self) -> Mapping[str, Contamination]:
        """Of a sequence its tasks by name: each is measured on a probe of its own. Nothing where there is one task."""
        return {}

    def blocks(self) -> tuple[tuple[str, int], ...]:
        """Of a sequence its stretches, name and dose (samples that are not held out); students are measured at each
        end. Nothing where there is one task.
        """
        return ()

    @abstractmethod
    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        """An endless iterator of samples, a pure function of the generator's state."""


@dataclass(frozen=True)
class Benchmark(Part):
    """A frozen set of items and their grader.

    Laws: the gold answers get ``chance``-free 1.0, a random guesser gets ``chance``; ``items`` is deterministic; no
    test item's problem occurs in training. ``version`` is raised whenever prompts or grading change.
    """

    family: ClassVar[str] = "benchmarks"
    language: ClassVar[Language] = "world"
    version: ClassVar[int]
    skill: ClassVar[str]
    chance: ClassVar[float]
    variants: ClassVar[tuple[str, ...]] = ("original",)
    sandboxed: ClassVar[bool] = False  # whether answers are run as programs, which the sandbox then holds
    asks: ClassVar[bool] = False  # whether a model is asked by ``ask`` and its prompts stand without a chat template

    def form(self) -> dict[str, Any]:
        """What answers and grades depend on, beside the versions: the settings, what they name by its content."""
        return self.settings()

    def made_by(self) -> dict[str, str]:
        """Packages that make the prompts or judge the answers, with their versions, which then are in the fingerprint.

        ``UsageError`` where one is missing.
        """
        return {}

    def ask(self, model: Model, batch_items: int) -> list[tuple[str, Grade]]:
        """What a model answers to each of the test items, with its grade, where the benchmark asks in its own way."""
        raise NotImplementedError

    @abstractmethod
    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """The items of one split and variant, always the same ones in the same order."""

    def left_out(self, split: Split = "test", variant: str = "original") -> dict[str, int]:
        """How many rows of the source are not asked in this split and variant, by the reason."""
        return {}

    @abstractmethod
    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """One grade per answer, in bulk."""

    def failure(self, item: Item, answer: str, grade: Grade, *, ended: bool) -> Failure:
        """How a graded answer failed, by the text alone; ``ended``: whether the model ended it itself.

        Only benchmarks that decide more than this are in the tables of failures.
        """
        return Failure() if grade.verdict == "right" else Failure("undecided")


@dataclass(frozen=True)
class Mitigation(Part):
    """What may slow forgetting. Each seam does nothing by default; they are called in the order in which they stand.

    Laws: at its neutral setting (``neutral``, where it has one), and with this class's seams, a run is bit for bit
    unmitigated; ``at_look`` leaves weights as it found them; a run goes on from its checkpoint as if never stopped, so
    what a mitigation keeps of the steps so far is in ``kept``.
    """

    family: ClassVar[str] = "mitigation"
    stacks: ClassVar[bool] = False  # whether runs under it may be stacked: it leaves the network's form as it is
    neutral: ClassVar[Mapping[str, Any] | None] = None  # the settings at which it does nothing, where there are any

    def check(self, language: Language) -> None:
        """Look at the settings while a study is put together. ``UsageError`` where they do not suit its language."""
        return

    def rate(self) -> float:
        """A factor of the arm's learning rate."""
        return 1.0

    def memory_samples(self) -> int:
        """How many original samples ``prepare`` is given."""
        return 0

    stream_only: ClassVar[bool] = False  # whether it changes what is trained on, and no other seam
    at_once: ClassVar[bool] = False  # whether the student learns old and new in its distillation, and no run follows

    def prepare(self, student: Model, original: Sequence[Sample]) -> Any:
        """Called before anything else of a run with the student as it is at dose 0; the other seams get its result.

        The student is in evaluation mode and may be differentiated, by ``torch.autograd.grad``: no ``.grad`` is left
        behind. ``original`` is empty unless ``memory_samples`` says how many it takes.
        """
        return None

    def mix(self, shift: float) -> float:
        """The share of contaminating samples in the stream, given the arm's shift (replay lowers it)."""
        return shift

    def samples(
        self, student: Model, memory: Any, original: Contamination, rng: np.random.Generator
    ) -> Iterator[Sample]:
        """What stands in the stream where no contaminating sample does: the original distribution by default.

        Drawn to the end before the first step, and again before a resume, with the student of dose 0 each time. At
        shift 1 nobody asks for it unless ``mix`` makes room: a part that replays overrides both. ``UsageError`` where
        it ends too soon.
        """
        return original.samples(rng)

    def loss(self, student: Model, memory: Any, batch: Batch, loss: Callable[[Batch], Tensor]) -> Tensor:
        """The loss ``[R]`` of a step: ``loss(batch)``, a batch with other weights, or a term of the batch beside it."""
        return loss(batch)

    def penalty(self, student: Model, memory: Any) -> Tensor | None:
        """A term ``[R]`` of the weights added to the loss of every step, or None. Adam rescales it with the rest."""
        return None

    def pull(self, name: str, weight: Tensor, memory: Any, rate: float) -> Tensor | None:
        """What is taken off a weight ``[...]`` after Adam's step, at this learning rate: Adam cannot undo it.

        Not the new weight, but what is subtracted from it: nothing at a rate of 0. Names are those of
        ``named_parameters``.
        """
        return None

    def after_step(self, student: Model, memory: Any) -> None:
        """Called after each optimizer step."""

    def at_look(self, student: Model, memory: Any) -> AbstractContextManager[None]:
        """Inside, other weights may stand in for the trained ones while these are measured."""
        return nullcontext()

    def kept(self, memory: Any) -> dict[str, Tensor]:
        """Tensors of the memory that steps change, as they are: checkpoints copy them, a resume writes into them."""
        return {}

    def told(self, memory: Any) -> dict[str, float]:
        """Numbers of the memory that the record of a run keeps, by name; empty where there are none."""
        return {}


@dataclass(frozen=True)
class Answered:
    """One answer: the ``tokens`` that are graded, without an end token; all tokens ``generated`` for it, the end token
    and thoughts included; whether a limit ``cut`` it.
    """

    tokens: list[int]
    generated: int
    cut: bool = False


@dataclass(frozen=True)
class Answering(Part):
    """How answers come about from a model.

    Laws: as many answers to each prompt as ``count`` says, the same every time, whatever the batch; no answer is longer
    than the limit; the model is left as it was.
    """

    family: ClassVar[str] = "answering"

    @property
    def count(self) -> int:
        """Answers to each prompt."""
        return 1

    @property
    def label(self) -> str:
        """What the record calls it: the name, with the settings that are not at their defaults."""
        default = {f.name: f.default for f in dataclasses.fields(self)}
        told = {name: value for name, value in self.settings().items() if name in default and value != default[name]}
        return " ".join([self.short_name(), *(f"{name}={value}" for name, value in told.items())])

    def suits(self, loops: int) -> bool:
        """Whether students that pass so often through their layers answer in this way; others are not asked."""
        return True

    def passes(self) -> tuple[int, ...]:
        """The k of each pass@k that is computed from its samples."""
        return ()

    def memory_samples(self) -> int:
        """How many original samples ``fitted`` is given."""
        return 0

    def fitted(self, model: Model, samples: Sequence[Sample]) -> Answering:
        """What answers for this model, having learned from original samples how; by default there is nothing to learn.

        The model is left as it was.
        """
        return self

    @property
    def fitted_to_base(self) -> bool:
        """Whether it is fitted to the student at dose 0, and kept, and not to the student that answers."""
        return False

    def openings(self, gold: Sequence[Sequence[int]], words: PreTrainedTokenizerFast) -> list[list[int]]:
        """How each answer has to begin, in tokens, given the gold answers: by default as the model will have it.

        The model goes on from there, and what it is graded by begins with the opening.
        """
        return [[] for _ in gold]

    @abstractmethod
    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """For each prompt its answers, from a model of one replica."""


@dataclass(frozen=True)
class Intervention(Part):
    """What is done to a finished student before it is measured again.

    Laws: variants are the same every time, have labels that differ, and weights of the tuned student's names and
    shapes, beside which there may be an output matrix of its own where the student's is tied (``Model.untied``);
    neither model is changed.
    """

    family: ClassVar[str] = "intervention"
    version: ClassVar[int] = 1  # raised whenever its variants change; from 2 on in the fingerprint

    def memory_samples(self) -> int:
        """How many original samples ``variants`` is given."""
        return 0

    def answers_otherwise(self, label: str) -> bool:
        """Whether the variant of that label answers in the study's other ways too, as a control of theirs."""
        return False

    @abstractmethod
    def variants(self, base: Model, tuned: Model, samples: Sequence[Sample]) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Labels and weights, from the student at dose 0 and after its last dose."""


@dataclass(frozen=True)
class Claim(Part):
    """A claim as a hypothesis: what is computed to judge it. Its entry in the rules file says by which margins.

    Its settings are what the entry gives beside these: a dose, say. A part named ``shape`` is decided by the shape
    rule, every other one by its margin. Laws: a finding has the parts and the rivals named here, in this order; where
    evidence lacks, a part is not testable and says why, and nothing is raised; equal evidence gives equal findings.
    """

    family: ClassVar[str] = "claims"
    identifier: ClassVar[str]  # in the rules file and in verdicts: C5
    parts: ClassVar[tuple[str, ...]]  # the statistics, all of which a supported claim takes
    rivals: ClassVar[tuple[str, ...]] = ()  # other explanations
    of_branches: ClassVar[bool] = False  # judged on students that branch from one trunk, which are no sizes
    parts_apart: ClassVar[bool] = False  # each part is a question of its own, and may come from a study of its own

    @abstractmethod
    def judge(self, study: Any, rule: Any, pair: Any) -> Any:
        """What one study says of one pair: a ``Finding`` from ``Measured``, ``ClaimRule`` and ``Pair``."""


FAMILIES: dict[str, type[Part]] = {
    "distillation": Distillation,
    "contamination": Contamination,
    "benchmarks": Benchmark,
    "mitigation": Mitigation,
    "answering": Answering,
    "intervention": Intervention,
    "claims": Claim,
}
