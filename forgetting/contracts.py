"""The five families of parts and the types that they share. A member of a family subclasses one class of this file.

A part is a frozen dataclass: its fields are its settings, its ``__post_init__`` validates them (``UsageError``), and
nothing is computed or loaded before it is used. A part lives in one file of its family's folder; its short name is
the file's name. Nothing here imports torch at run time.

Shape suffixes: R replicas, B samples of a batch, T tokens, V words of the vocabulary.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

Split = Literal["train", "validation", "test"]
Verdict = Literal["right", "wrong", "unparsed", "right_in_dialect"]
Layers = list[tuple["Tensor", "Tensor"]]  # keys and values of each layer, [B, heads, T, head size]
Language = Literal["world", "natural"]  # the embedded world's words, or any text, which wants a real tokenizer


@dataclass(frozen=True, slots=True)
class Sample:
    """One training sample: text in, text out. ``depth`` counts reasoning steps; ``template`` is the key of its form.

    A dialogue also has its ``turns`` (role, content), the answer's included: where the tokenizer has a chat template,
    every assistant turn of them is learned instead of the answer alone, but for the first ``given_turns`` turns.
    """

    prompt: str
    answer: str
    skill: str
    depth: int
    template: str
    turns: tuple[tuple[str, str], ...] = ()
    given_turns: int = 0


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


@dataclass(frozen=True)
class Batch:
    """One step's data: ``tokens_RBT``, right-padded, and ``answer_RBT``, true where the token is to be predicted.

    Prompt tokens and padding are false in ``answer_RBT`` and never enter a loss. Losses are sums over true positions
    divided by ``denominator``, which is that of the *whole* step: answer tokens x (full batch / samples), so that
    micro-batches add up to their batch and a last, smaller batch weighs by its samples. A stack has one a replica.
    ``predicted`` is what ``batching.answer_places`` gives, if that is known: finding it needs the values themselves, so
    it is found before they go to a device, which no step then has to wait for.
    """

    tokens_RBT: Tensor
    answer_RBT: Tensor
    denominator: float | Tensor
    predicted: tuple[Tensor, Tensor] | None = None


class Stream(ABC):
    """What a fit trains on: a pool of samples and which of them are in each step's batch; resumable at any step.

    ``batch_size`` is the full batch; a batch may be smaller (the last one before a dose is measured).
    """

    samples: Sequence[Sample]
    contaminating: (
        np.ndarray
    )  # bool, for each pool sample: of the contamination, whose answers are to be learned as they are
    batch_size: int

    @abstractmethod
    def __iter__(self) -> Iterator[np.ndarray]:
        """For each step from the fit's first on: indices ``[B]`` into ``samples``, a pure function of seed and step."""


@dataclass(frozen=True)
class Part:
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

    Laws: ``generate`` is greedy and gives the same answers every time; drafts change its cost, never its answers;
    ``load_state(state())`` changes nothing; logits at position t do not depend on tokens after t.
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

    def read(self, tokens_BT: Tensor, places_N: Tensor) -> tuple[Tensor, Layers | None]:
        """``logits_at`` of one replica, ``[N, V]``, and what the pass leaves to go on from, where ``decoding`` can."""
        return self.logits_at(tokens_BT[None], places_N[None])[0], None

    def decoding(self, limit: int, batch_items: int) -> Any:
        """Answers that go on from what the model's ``read`` leaves behind; None: only ``generate`` writes answers."""
        return None

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Inside, the network is in evaluation mode and not compiled; afterwards as it was."""
        import torch

        training = self.network.training
        self.network.eval()
        try:
            with torch.compiler.set_stance("force_eager"):
                yield
        finally:
            self.network.train(training)

    @abstractmethod
    def generate(
        self,
        prompts_RB: Sequence[Sequence[Sequence[int]]],
        drafts: Sequence[Sequence[Sequence[int]]] | None = None,
        *,
        max_new_tokens: int,
        batch_items: int = 128,
    ) -> list[list[list[int]]]:
        """Greedy answers as token lists without the end token, in the order of the prompts."""

    @abstractmethod
    def named_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """The trainable parameters with their names, in a fixed order; tied ones once."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The weights by name, as they are (not copies)."""

    @abstractmethod
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Put weights in place, in the model's own dtype and device."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face checkpoint (safetensors, config, tokenizer)."""


@dataclass(frozen=True)
class Distillation(Part):
    """How a student learns from a teacher.

    Laws: the loss is finite, sends no gradient to the teacher, ignores tokens outside ``answer_RBT``.
    """

    family: ClassVar[str] = "distillation"
    stacks: ClassVar[bool] = False  # whether students learn stacked too: no batch depends on what a student has learned

    @abstractmethod
    def batches(self, student: Model, teacher: Model, stream: Stream) -> Iterator[Batch]:
        """The batches of the stream's steps, in order; on-policy methods let the student write."""

    @abstractmethod
    def loss(self, student: Model, teacher: Model, batch: Batch) -> Tensor:
        """The loss of each replica, ``[R]``, divided by ``batch.denominator``."""


@dataclass(frozen=True)
class Contamination(Part):
    """A source of data that competes with reasoning. Law: equal generators give equal samples, without end."""

    family: ClassVar[str] = "contamination"
    language: ClassVar[Language] = "world"

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


@dataclass(frozen=True)
class Mitigation(Part):
    """What may slow forgetting. Law: at strength 0, or with this class's seams, a run is bit for bit unmitigated."""

    family: ClassVar[str] = "mitigation"
    stacks: ClassVar[bool] = False  # whether runs under it may be stacked: it leaves the network's form as it is

    def prepare(self, student: Model, original: Sequence[Sample]) -> Any:
        """Called once before the first step with some original samples; its result goes to the other seams."""
        return None

    def mix(self, shift: float) -> float:
        """The share of contaminating samples in the stream, given the arm's shift (replay lowers it)."""
        return shift

    def penalty(self, student: Model, memory: Any) -> Tensor | None:
        """A term ``[R]`` added to the loss of every step, or None."""
        return None

    def after_step(self, student: Model, memory: Any) -> None:
        """Called after each optimizer step."""


FAMILIES: dict[str, type[Part]] = {
    "distillation": Distillation,
    "contamination": Contamination,
    "benchmarks": Benchmark,
    "mitigation": Mitigation,
}
