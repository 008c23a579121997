"""Self-replay: what stands for the original data is written by the student before it forgets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from forgetting.contracts import Contamination, Language, Mitigation, Model, Sample, Sampling
from forgetting.errors import require
from forgetting.judges import Judge, check_judge, judge_named
from forgetting.mitigation._shared import asked

if TYPE_CHECKING:
    import numpy as np

CHUNK = 64  # samples written together
PATIENCE = 8  # chunks without a new sample after which a student is taken to have nothing more to say
FIELD = "self_replay.judge"
HERE = "PROMPT-HERE"


@dataclass(frozen=True)
class SelfReplay(Mitigation):
    """Samples that the student of dose 0 draws from itself take a share of the stream (LAMOL, arXiv 1909.03329).

    It writes prompts first and then an answer to each. Whatever of the stream is not contaminating is written so, at a
    shift below 1 as well. Where training left prompts out of the loss, as distillation here does, a student never
    learned to write any: what it writes from ``begun`` prompts shows how much that matters beside ``given`` ones.

    Args:
        share: of the stream, from 0 (nothing is replaced) to below 1
        prompts: ``begun`` by the first word of an original prompt and cut at its length; ``written`` from the
            tokenizer's start or its chat template's, for which no original data is needed (arXiv 2406.08464); or
            ``given``: original ones
        filter: ``none``, only answers that the student ``ended`` itself, or of these only ``right`` ones: to ``given``
            prompts, since written ones have no gold answer; more are written until there are enough
        deduplicate: take no written prompt twice (leaving out repeated answers instead would prefer the rare ones);
            given ones are drawn again and again
        temperature: of all draws; below 1 rare answers vanish
        pool: distinct original prompts
        max_new_tokens: longest prompt, and longest answer
        judge: of the filter ``right``: ``world``, or a benchmark whose grader needs no hidden tests
    """

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"share": 0.0}
    share: float = 0.05
    prompts: Literal["begun", "written", "given"] = "begun"
    filter: Literal["none", "ended", "right"] = "none"
    deduplicate: bool = True
    temperature: float = 1.0
    pool: int = 256
    max_new_tokens: int = 48
    judge: str | dict[str, Any] = "world"

    def __post_init__(self) -> None:
        require(0 <= self.share < 1, "self_replay.share", "from 0 to below 1", self.share)
        kinds = ("begun", "written", "given")
        require(self.prompts in kinds, "self_replay.prompts", "begun, written or given", self.prompts)
        require(self.filter in ("none", "ended", "right"), "self_replay.filter", "none, ended or right", self.filter)
        rule = "none or ended where prompts are not given ones, since those that a student writes have no gold answer"
        require(self.filter != "right" or self.prompts == "given", "self_replay.filter", rule, self.filter)
        for name in ("pool", "max_new_tokens"):
            require(getattr(self, name) >= 1, f"self_replay.{name}", "1 or more", getattr(self, name))
        Sampling(self.temperature)

    def check(self, language: Language) -> None:
        """Natural text takes a benchmark as the judge."""
        if self.filter == "right":
            check_judge(self.judge, language, FIELD)

    def memory_samples(self) -> int:
        """The pool, where prompts come from it."""
        return self.pool if self.share and self.prompts != "written" else 0

    def prepare(self, student: Model, original: Sequence[Sample]) -> Sequence[Sample]:
        """The original samples, of which the prompts are used."""
        needs = self.share and self.prompts == "written"
        rule = "begun or given where the tokenizer has neither a chat template nor a start token"
        require(not needs or bool(_start(student)), "self_replay.prompts", rule, self.prompts)
        return original

    def mix(self, shift: float) -> float:
        """The contaminating share that is left."""
        return shift * (1 - self.share)

    def samples(
        self, student: Model, memory: Sequence[Sample], original: Contamination, rng: np.random.Generator
    ) -> Iterator[Sample]:
        """Written in chunks as they are asked for, which is before the first step, also of a run that goes on."""
        if not self.share:
            yield from original.samples(rng)
            return
        judge = judge_named(self.judge, memory, FIELD) if self.filter == "right" else None
        seed, seen, idle = int(rng.integers(2**31)), set[str](), 0
        for chunk in count(1):
            fresh = 0
            draws = [Sampling(self.temperature, seed=seed, step=step) for step in (2 * chunk - 1, 2 * chunk)]
            prompts = self._prompts(student, memory, rng, draws[0])
            if self.deduplicate and self.prompts != "given":
                new = {sample.prompt: sample for sample in prompts if sample.prompt not in seen}
                prompts, seen = list(new.values()), seen | new.keys()
            for sample in self._answered(student, prompts, draws[1], judge):
                yield sample
                fresh += 1
            idle = 0 if fresh else idle + 1
            if idle == PATIENCE:
                return

    def _prompts(
        self, student: Model, memory: Sequence[Sample], rng: np.random.Generator, sampling: Sampling
    ) -> list[Sample]:
        from forgetting.batching import texts, tokens, without_end

        drawn = [memory[i] for i in rng.integers(len(memory), size=CHUNK)] if memory else []
        if self.prompts == "given":
            return drawn
        start, begun = _start(student), list[list[int]]([[] for _ in range(CHUNK)])
        limits = [self.max_new_tokens] * CHUNK
        if drawn:
            originals = [row[: self.max_new_tokens] for row in tokens([s.prompt for s in drawn], student.tokenizer)]
            begun, limits = [row[:1] for row in originals], [len(row) - 1 for row in originals]
        rows = [[*start, *first] for first in begun]
        written = student.generate([rows], max_new_tokens=max(1, *limits), sampling=sampling)[0]
        ended = without_end([row[:limit] for row, limit in zip(written, limits, strict=True)], student.ends)
        whole = [first + row for first, row in zip(begun, ended, strict=True)]
        return [Sample(text, "", "self", 0, "self_replay") for text in texts(whole, student.tokenizer) if text.strip()]

    def _answered(
        self, student: Model, prompts: Sequence[Sample], sampling: Sampling, judge: Judge | None
    ) -> Iterator[Sample]:
        """The samples that pass the filter."""
        from forgetting.batching import texts, without_end

        if not prompts:
            return
        rows = asked(prompts, student)
        answers = student.generate([rows], max_new_tokens=self.max_new_tokens, sampling=sampling)[0]
        written = texts(without_end(answers, student.ends), student.tokenizer)
        right = judge(prompts, written) if judge else [True] * len(prompts)
        for sample, row, text, passes in zip(prompts, answers, written, right, strict=True):
            ended = row[-1] in student.ends
            if not passes or not (ended or self.filter == "none"):
                continue
            turns = (*sample.turns[:-1], ("assistant", text)) if sample.turns else ()
            yield dataclasses.replace(
                sample, answer=text, turns=turns, given_turns=len(turns[:-1]), ended=ended, skill="self", depth=0
            )


def _start(student: Model) -> list[int]:
    """What stands before a prompt: the chat template's head of a user turn, or the start token; empty without both."""
    from forgetting.batching import prompts, tokens

    head, _, _ = prompts([Sample(HERE, "", "self", 0, "self_replay")], student.tokenizer)[0].partition(HERE)
    first = student.tokenizer.bos_token_id
    return tokens([head], student.tokenizer)[0] if head else [int(first)] if first is not None else []
