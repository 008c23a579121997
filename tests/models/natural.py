"""A small study of natural text: two hand-made corpora, a tiny checkpoint with a real tokenizer, and the call."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from forgetting import Doses, Evaluation, simulate
from forgetting.models.ladder import architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from forgetting.report.result import Result
from tests.contracts.members import DATA

WORDS = "tea hotel car music rain bus park song book lunch".split()


def corpora(folder: Path) -> dict[str, str]:
    """Paths of dialogues and of sums, large enough for one sample in twenty to be held out."""
    rng = random.Random(0)
    with (folder / "dialogues.jsonl").open("w") as file:
        for i in range(200):
            asked = f"I want {rng.choice(WORDS)} number {i}."
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": f"Here is {WORDS[i % 10]}."}]
            file.write(json.dumps({"messages": turns}) + "\n")
    with (folder / "sums.jsonl").open("w") as file:
        for i in range(300):
            a, b = rng.randint(1, 99), rng.randint(1, 99)
            row = {"question": f"Sum of {a} and {b}, problem {i}?", "answer": f"<<{a}+{b}={a + b}>>\n#### {a + b}"}
            file.write(json.dumps(row) + "\n")
    return {name: str(folder / f"{name}.jsonl") for name in ("dialogues", "sums")}


def checkpoint(folder: Path, *, rung: str = "10k", vocabulary: int = 400, seed: int = 0) -> Path:
    """A checkpoint whose tokenizer was trained on the test's GSM8K."""
    tokenizer = byte_level_bpe((DATA / "gsm8k-train.jsonl").read_text().splitlines(), vocabulary)
    return fresh_checkpoint(folder, architecture(rung), tokenizer, seed)


def study(student: Path | str, texts: dict[str, str], output: Path, **settings: Any) -> Result:
    """The study in ``output``, in this process; ``settings`` are arguments of ``simulate``."""
    given: dict[str, Any] = {
        "students": [str(student)],
        "original": {"name": "worked_answers", "source": texts["sums"]},
        "contamination": {"name": "conversations", "source": texts["dialogues"]},
        "controls": ["original"],
        "benchmarks": [{"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl"},
                       {"name": "humaneval", "source": f"{DATA}/humaneval.jsonl"}],
        "evaluation": Evaluation(perturbed="never", probe_items=8, max_new_tokens=8, batch_items=8),
        "doses": Doses(dose=64, first=16),
        "output": output, "store": output / "store", "workers": 0, "quiet": True, "name": "tiny",
    }  # fmt: skip
    return simulate(**{**given, **settings})
