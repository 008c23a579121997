"""How many answers differ when looks confirm drafts, from plain greedy decoding, by precision of the weights.

    python validation/drafts.py

A student is contaminated; at every dose its weights are rounded to each precision, and answers are found in three
ways: by a look, which confirms the gold answer or that of the dose before and decodes from where they part; by
``generate`` of transformers in batches of 64; and by ``generate`` one item at a time, which is the reference. In
bfloat16 and float16 two tokens are often equally likely to within rounding, and rounding depends on how many rows and
tokens a product has: what the batch alone does to answers stands beside what drafts do. In fp32 looks also go through
the hand-written pass of small students. Writes
results/validation/drafts.md and .json; minutes on one thread.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from forgetting.batching import texts
from forgetting.contracts import Benchmark, Model
from forgetting.evaluation import looks
from forgetting.evaluation.evaluator import Earlier, Evaluator
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.files import write_atomically, write_json
from forgetting.record.provenance import commit, hardware, versions
from forgetting.simulate import run_study
from forgetting.spec import Doses, Evaluation, Ladder, Spec

PRECISIONS = {"fp32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BATCH = 64
HEAD = """# Drafts, and what rounding makes of them

Made by `python validation/drafts.py` at {commit}; do not edit. Students {students},
contaminated with dialogue, looked at at doses {doses}; {items} items of maths and code a look. Beside greedy
decoding by `generate` of transformers, one item at a time, in the same precision: answers and tokens that differ, and
the difference of accuracy in points.

| student | precision | answers | look: answers | tokens | points | batch of {batch}: answers | tokens | points |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass
class Count:
    """Answers of one student and precision over all looks, and how those found another way differ."""

    answers: int = 0
    answer_tokens: int = 0
    differing: int = 0
    differing_tokens: int = 0
    right: int = 0
    reference_right: int = 0

    def add(self, found: Sequence[Sequence[int]], reference: Sequence[Sequence[int]], right: int, of: int) -> None:
        """The answers of one look."""
        self.answers += len(reference)
        self.answer_tokens += sum(map(len, reference))
        self.differing += sum(list(a) != list(b) for a, b in zip(found, reference, strict=True))
        pairs = (zip_longest(a, b) for a, b in zip(found, reference, strict=True))
        self.differing_tokens += sum(x != y for pair in pairs for x, y in pair)
        self.right += right
        self.reference_right += of

    @property
    def points(self) -> float:
        """Accuracy minus that of the reference, in points."""
        return 100 * (self.right - self.reference_right) / max(self.answers, 1)


class Compared(Evaluator):
    """An evaluator that at each look also asks the student in every precision, in every way."""

    counts: dict[tuple[str, str], dict[str, Count]]  # by student and precision, by way
    student_name: str

    def measure(self, student: Model, *, perturbed: bool, earlier: Earlier | None = None) -> pd.DataFrame:
        """The rows of an ordinary look."""
        for name, dtype in PRECISIONS.items():
            own, base = (_rounded(model, dtype) for model in (student, self.base))
            self._compare(name, own, base)
        return super().measure(student, perturbed=perturbed, earlier=earlier)

    def _compare(self, name: str, own: HuggingFaceModel, base: HuggingFaceModel) -> None:
        benchmarks = [s.benchmark for s in self.originals]
        kept: dict[str, Any] = self.__dict__.setdefault("kept", {})  # the evaluator of each precision, and its answers
        if name not in kept:
            kept[name] = Evaluator(base, benchmarks, [], "", self.evaluation), {}
        evaluator, before = kept[name]
        rows = evaluator.measure(own, perturbed=False, earlier=before)
        looked = [answer.tolist() for answer in rows["answer"]]
        names = list(zip(rows["benchmark"], rows["item"], strict=True))
        kept[name] = evaluator, dict(zip(names, looked, strict=True))
        asked = [prompt for s in self.originals for prompt in s.prompts]
        limit, way = self.evaluation.max_new_tokens, self.counts.setdefault((self.student_name, name), {})
        alone, together = (generated(own, asked, size, limit) for size in (1, BATCH))
        right = self._right(benchmarks, own, alone)
        for key, found in (("look", looked), ("batch", together)):
            way.setdefault(key, Count()).add(found, alone, self._right(benchmarks, own, found), right)

    def _right(self, benchmarks: Sequence[Benchmark], own: Model, answers: Sequence[Sequence[int]]) -> int:
        said, right = texts(answers, own.tokenizer), 0
        for benchmark in benchmarks:
            items = benchmark.items("test")
            right += sum(g.verdict == "right" for g in benchmark.grade(items, said[: len(items)]))
            said = said[len(items) :]
        return right


def _rounded(model: Model, dtype: torch.dtype) -> HuggingFaceModel:
    return HuggingFaceModel(copy.deepcopy(model.network).to(dtype).eval(), model.tokenizer)


@torch.no_grad()
def generated(model: HuggingFaceModel, prompts: Sequence[Sequence[int]], size: int, limit: int) -> list[list[int]]:
    """Greedy answers by ``generate`` of transformers, in the order of the prompts, without the end token."""
    pad, end = model.tokenizer.pad_token_id, model.tokenizer.eos_token_id
    answers: list[list[int]] = []
    for start in range(0, len(prompts), size):
        rows = [list(row) for row in prompts[start : start + size]]
        width = max(map(len, rows))
        asked = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        out = model.network.generate(input_ids=asked, attention_mask=mask, max_new_tokens=limit, do_sample=False)
        answers += [row[: row.index(end)] if end in row else row for row in out[:, width:].tolist()]
    return answers


def spec(student: str, dose: int, per_depth: int) -> Spec:
    """One run of one student."""
    return Spec(
        name="drafts",
        ladder=Ladder(students=(student,)),
        contaminations=("dialogue",),
        doses=Doses(dose=dose, first=min(160, dose)),
        evaluation=Evaluation(
            benchmarks=tuple({"name": name, "items_per_depth": per_depth} for name in ("maths", "code")),
            perturbed="never",
            probe_items=1,
        ),
        keep="none",
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", nargs="+", default=["10k", "34k", "100k"])
    parser.add_argument("--dose", type=int, default=2560)
    parser.add_argument("--items-per-depth", type=int, default=40)
    parser.add_argument("--store", type=Path, help="where students are kept (default: the user's cache)")
    parser.add_argument("--output", type=Path, default=Path("results/validation"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    Compared.counts = {}
    looks.Evaluator = Compared  # type: ignore[misc]
    items = 0
    for student in given.students:
        Compared.student_name = student
        asked = spec(student, given.dose, given.items_per_depth)
        with tempfile.TemporaryDirectory() as folder:
            result = run_study(asked, output=Path(folder), store=given.store, workers=0, quiet=True)
            assert result.ledger is not None
            plain = result.ledger[(result.ledger["benchmark"] != "probe") & (result.ledger["dose"] == 0)]
            items = len(plain)
        print(student, {key[1]: counts for key, counts in Compared.counts.items() if key[0] == student}, flush=True)
    lines, rows = [], []
    for (student, precision), ways in Compared.counts.items():
        cells = [f"{ways['look'].answers:,}"]
        for count in (ways["look"], ways["batch"]):
            share = (count.differing / count.answers, count.differing_tokens / count.answer_tokens)
            cells += [*(f"{100 * one:.2f}%" for one in share), f"{count.points:+.2f}"]
        lines.append(f"| {' | '.join([student, precision, *cells])} |\n")
        rows.append({"student": student, "precision": precision, **{way: vars(count) for way, count in ways.items()}})
    doses = ", ".join(f"{dose:,}" for dose in asked.doses.values())
    students = ", ".join(given.students)
    head = HEAD.format(commit=commit(), students=students, doses=doses, items=items, batch=BATCH)
    write_atomically(given.output / "drafts.md", head + "".join(lines))
    write_json(
        given.output / "drafts.json", {"rows": rows, "commit": commit(), "hardware": hardware(), "versions": versions()}
    )
    print("".join(lines))


if __name__ == "__main__":
    main()
