"""Interval evaluation: a student and its base on every benchmark, variant and probe, as ledger rows.

Between two looks most answers stay what they were, so none is decoded that a forward pass can confirm. The pass over
the gold answers, which the losses need anyway, tells each answer up to its first token that is not gold. What is left
is decoded from there, with the answer of the look before as a draft. The answers are those of plain greedy decoding:
in fp32 token for token, two tokens aside whose logits are equal to within rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from forgetting.batching import encode, prompt_tokens, texts, tokens
from forgetting.contracts import Benchmark, Grade, Item, Layers, Model, Sample
from forgetting.evaluation.gold_traces import PROBE_BYTES, Budget, GoldTraces, Sums, known
from forgetting.evaluation.questions import Asking, Write, alone
from forgetting.models.decoding_slots import selected
from forgetting.spec import Evaluation

Earlier = Mapping[tuple[str, str], Sequence[int]]  # the last answer to each item, by benchmark and item


@dataclass(frozen=True)
class _Set:
    """One benchmark's items of one variant, tokenised once; ``answers`` are the gold ones with the end token."""

    benchmark: Benchmark
    items: list[Item]
    prompts: list[list[int]]
    answers: list[list[int]]
    traces: GoldTraces


class _Look:
    """The answers of one look: what the passes over the gold answers tell of them, and the rest, decoded."""

    def __init__(self, student: Model, evaluation: Evaluation, earlier: Earlier) -> None:
        self.student, self.earlier, self.ends = student, earlier, student.ends
        self.limit, self.batch_items = evaluation.max_new_tokens, evaluation.batch_items
        self._decoding: Any = None  # made when a pass leaves something to go on from
        self._left: list[tuple[list[int], list[int], list[int]]] = []  # where only ``generate`` can go on
        self._all: list[list[int]] = []

    def take(
        self, s: _Set, answers: list[list[int]], places: np.ndarray, greedy: list[list[int]], layers: Layers | None
    ) -> None:
        """Rows of a set whose gold answers were read; ``answers`` are those of the whole set, filled in here."""
        going, drafts, lengths = [], [], []
        for row, (place, own) in enumerate(zip(places, greedy, strict=True)):
            answer, prompt = answers[place], s.prompts[place]
            answer += known(s.answers[place], own, self.ends)[: self.limit]
            self._all.append(answer)
            if len(answer) >= self.limit or answer[-1] in self.ends:
                continue
            before = list(self.earlier.get((s.benchmark.short_name(), s.items[place].id), ()))
            draft = before[len(answer) :] if before[: len(answer)] == answer else []
            if layers is None:
                self._left.append((answer, prompt, draft))
            going.append(row)
            drafts.append(draft)
            lengths.append(len(prompt) + len(answer) - 1)
        if layers is not None:
            self._decoding = self._decoding or self.student.decoding(self.limit, self.batch_items)
            self._decoding.add([answers[places[row]] for row in going], drafts, selected(layers, going), lengths)

    def finish(self) -> Asking[None]:
        """Write every answer to its end, and take the end token off."""
        if self._decoding is not None:
            self._decoding.finish()
        asked = [[*prompt, *answer] for answer, prompt, _ in self._left]
        drafts = [draft for _, _, draft in self._left]
        written = yield Write(asked, drafts, self.limit, self.batch_items)
        for (answer, _, _), rest in zip(self._left, written, strict=True):
            answer += rest
            del answer[self.limit :]
        for answer in self._all:
            if answer and answer[-1] in self.ends:
                answer.pop()


class Evaluator:
    """Measures students of one base model. Nothing is drawn: one set of weights gives the same rows every time."""

    def __init__(
        self,
        base: Model,
        benchmarks: Sequence[Benchmark],
        probe: Sequence[Sample],
        probe_name: str,
        evaluation: Evaluation,
    ) -> None:
        self.base = base
        self.evaluation = evaluation
        self._others: list[pd.DataFrame] = []  # what the base answers in other ways; shared by all probes
        self._budget = Budget()
        self._benchmarks = list(benchmarks)
        self.originals = [self._set(b, "original") for b in benchmarks if not b.asks]
        self.asking = [self._set(b, "original") for b in benchmarks if b.asks]
        self._perturbed: list[_Set] = []
        self._of_base: dict[str, list[pd.DataFrame]] = {}
        self._grades: dict[tuple[str, str], tuple[list[int], Grade]] = {}
        self._take_probe(probe, probe_name)

    def with_probe(
        self, probe: Sequence[Sample], probe_name: str, tasks: Mapping[str, Sequence[Sample]] | None = None
    ) -> Evaluator:
        """An evaluator with another probe that shares everything else, what is known of the base included.

        ``tasks`` are further probes by name: those of the tasks of a sequence.
        """
        other = copy.copy(self)
        other._take_probe(probe, probe_name, tasks or {})
        return other

    def written_by_base(self, write: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Answers of the base in other ways than greedy decoding, written once for all its runs."""
        if not self._others:
            self._others.append(write())
        return self._others[0]

    def _take_probe(
        self, probe: Sequence[Sample], probe_name: str, tasks: Mapping[str, Sequence[Sample]] | None = None
    ) -> None:
        self._probes: list[tuple[str, Sequence[Sample], GoldTraces]] = []
        for name, samples in [(probe_name, probe), *(tasks or {}).items()]:
            if samples:
                gold = encode(samples, self.base.tokenizer)
                traces = GoldTraces(gold, self.base, self.evaluation.batch_items, Budget(PROBE_BYTES))
                self._probes.append((name, samples, traces))

    def _set(self, benchmark: Benchmark, variant: str) -> _Set:
        items, words = benchmark.items("test", variant), self.base.tokenizer
        if benchmark.asks:
            words = copy.copy(words)
            words.chat_template = None
        gold = encode(items, words)
        traces = GoldTraces(gold, self.base, self.evaluation.batch_items, self._budget)
        return _Set(benchmark, items, prompt_tokens(items, words), gold.answers(), traces)

    def _sets(self, group: str) -> list[_Set]:
        if group == "original":
            return self.originals
        if not self._perturbed:
            some = ((b, v) for b in self._benchmarks for v in b.variants if v != "original")
            # A variant may suit none of a few items.
            self._perturbed += [self._set(b, v) for b, v in some if b.items("test", v)]
        return self._perturbed

    def measure(self, student: Model, *, perturbed: bool, earlier: Earlier | None = None) -> pd.DataFrame:
        """Ledger rows of one look, without the columns that name the run and the dose.

        ``earlier`` are drafts: they change the cost of the look and no answer. What a look at the base found is kept.
        """
        return alone(student, self.look(student, perturbed=perturbed, earlier=earlier))

    def look(self, student: Model, *, perturbed: bool, earlier: Earlier | None = None) -> Asking[pd.DataFrame]:
        """As ``measure``, whoever answers for the student."""
        self.base.network.to(student.device)
        frames = []
        for group in ("original", "perturbed") if perturbed else ("original",):
            if student is self.base:
                if group not in self._of_base:
                    self._of_base[group] = yield from self._look(student, self._sets(group), {})
                frames += self._of_base[group]
            else:
                frames += yield from self._look(student, self._sets(group), earlier or {})
        asked = self._of_base.get("asking") if student is self.base else None
        if asked is None:
            asked = []
            for s in self.asking:
                asked.append((yield from self._asked(student, s)))
        if student is self.base:
            self._of_base["asking"] = asked
        frames += asked
        for name, samples, traces in self._probes:
            frames.append(_probe_rows(name, samples, (yield from traces.reading(student is self.base))))
        return pd.concat(frames, ignore_index=True)

    def _look(self, student: Model, sets: Sequence[_Set], earlier: Earlier) -> Asking[list[pd.DataFrame]]:
        """Rows of some sets, whose answers are decoded together; originals share batches with originals only."""
        look = _Look(student, self.evaluation, earlier)
        answers: list[list[list[int]]] = [[[] for _ in s.items] for s in sets]
        sums = []
        for s, own in zip(sets, answers, strict=True):
            sums.append((yield from s.traces.reading(student is self.base, partial(look.take, s, own))))
        yield from look.finish()
        return [self._rows(s, own, found) for s, own, found in zip(sets, answers, sums, strict=True)]

    def _asked(self, student: Model, s: _Set) -> Asking[pd.DataFrame]:
        """Rows of a benchmark that asks in its own way; an answer's tokens are those of its text."""
        told = s.benchmark.ask(student, self.evaluation.batch_items)
        answers = tokens([text for text, _ in told], self.base.tokenizer)
        for item, answer, (_, grade) in zip(s.items, answers, told, strict=True):
            self._grades[s.benchmark.short_name(), item.id] = answer, grade
        rows = self._rows(s, answers, (yield from s.traces.reading(student is self.base)))
        return rows.assign(generated=[len(answer) for answer in answers])

    def _rows(self, s: _Set, answers: list[list[int]], sums: Sums) -> pd.DataFrame:
        grades, name = self._graded(s, answers), s.benchmark.short_name()
        return pd.DataFrame(
            {
                "benchmark": name,
                "skill": s.benchmark.skill,
                "variant": [i.variant for i in s.items],
                "item": [i.id for i in s.items],
                "problem": [i.problem for i in s.items],
                "template": [i.template for i in s.items],
                "depth": [i.depth for i in s.items],
                "coverage": [i.coverage for i in s.items],
                "verdict": [g.verdict for g in grades],
                "kind": [g.kind for g in grades],
                "steps_right": [g.steps_right for g in grades],
                "steps_total": [g.steps_total for g in grades],
                "answer": [np.array(a, dtype=np.int32) for a in answers],
                "generated": [min(len(a) + 1, self.evaluation.max_new_tokens) for a in answers],  # with the end token
                **sums,
            }
        )

    def _graded(self, s: _Set, answers: list[list[int]]) -> list[Grade]:
        """A grade per answer; an item that is answered as it was the last time keeps its grade."""
        keys = [(s.benchmark.short_name(), item.id) for item in s.items]
        new = [i for i, key in enumerate(keys) if key not in self._grades or self._grades[key][0] != answers[i]]
        if new:
            given = texts([answers[i] for i in new], self.base.tokenizer)
            for i, grade in zip(new, s.benchmark.grade([s.items[i] for i in new], given), strict=True):
                self._grades[keys[i]] = answers[i], grade
        return [self._grades[key][1] for key in keys]


def _probe_rows(name: str, samples: Sequence[Sample], sums: Sums) -> pd.DataFrame:
    plain: dict[str, Any] = {
        "benchmark": "probe",
        "skill": "plasticity",
        "variant": name,
        "item": [f"probe/{i:04d}" for i in range(len(samples))],
        "problem": [f"probe/{i:04d}" for i in range(len(samples))],
        "template": [s.template for s in samples],
        "depth": [s.depth for s in samples],
        "coverage": "common",
        "verdict": "",
        "kind": "",
        "steps_right": 0,
        "steps_total": 0,
        "answer": [np.array([], dtype=np.int32) for _ in samples],
        "generated": 0,
    }
    return pd.DataFrame({**plain, **sums})


def same_weights(one: Model, other: Model) -> bool:
    """Whether two models have the same weights, bit for bit."""
    a, b = one.state(), other.state()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name].to(a[name].device)) for name in a)
