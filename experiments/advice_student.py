r"""A checkpoint that can do something, to try `forgetting advise` on where no published model is at hand: text in, an
ordinary checkpoint out (tokenizer, chat template, safetensors), and the problems that it was taught, as one's own data.

Word problems of one step with worked answers in GSM8K's form are written in plain English. A student of the ladder's
shape is trained from nothing on them. Equal arguments give equal weights on one machine.

    python experiments/advice_student.py models/word-problems
    forgetting advise models/word-problems --data '{source: data/dialogue-sgd-10k.jsonl.gz, most_characters: 250}' \
        --original '{name: worked_answers, source: models/word-problems/problems-train.jsonl}' \
        --benchmarks '[{name: gsm8k, source: "models/word-problems/problems-{split}.jsonl", limit: 200}]' \
        --keep maths:.95
"""

from __future__ import annotations

import argparse
import random
from itertools import islice
from pathlib import Path

import torch
from real_student import make

from forgetting.contamination.worked_answers import WorkedAnswers
from forgetting.record.files import jsonl, write_atomically
from forgetting.spec import Fit

NAMES = "Anna Ben Carla David Emma Frank Grace Henry Irene Jack Karen Leo Maria Noah Olga Paul".split()
THINGS = "apples books coins eggs flowers hats keys letters oranges pencils shells stamps".split()
MORE = (
    "{name} has {a} {things} and buys {b} more. How many {things} does {name} have now?",
    "There are {a} {things} on the table. {name} puts {b} more there. How many {things} are on the table?",
    "{name} found {a} {things} in the morning and {b} in the evening. How many {things} did {name} find?",
)
FEWER = (
    "{name} had {c} {things} and gave {a} away. How many {things} are left?",
    "There were {c} {things} in a box. {name} took {a} of them. How many {things} are still in the box?",
)
FILES = {"train": 4000, "test": 400}


def problems(seed: int) -> dict[str, list[dict[str, str]]]:
    """Rows by split, none of them twice."""
    rng, rows = random.Random(seed), dict[str, dict[str, str]]()
    while len(rows) < sum(FILES.values()):
        a, b, more = rng.randint(2, 12), rng.randint(2, 12), rng.random() < 0.5
        settings = {"a": a, "b": b, "c": a + b, "name": rng.choice(NAMES), "things": rng.choice(THINGS)}
        left, sign, right, found = (a, "+", b, a + b) if more else (a + b, "-", a, b)
        question = rng.choice(MORE if more else FEWER).format(**settings)
        worked = f"{left} {sign} {right} = <<{left}{sign}{right}={found}>>{found} {settings['things']}.\n#### {found}"
        rows[question] = {"question": question, "answer": worked}
    found_rows = iter(rows.values())
    return {split: list(islice(found_rows, count)) for split, count in FILES.items()}


def taught_on(folder: Path, seed: int) -> WorkedAnswers:
    """Write the problems."""
    for split, rows in problems(seed).items():
        write_atomically(folder / f"problems-{split}.jsonl", jsonl(rows))
    return WorkedAnswers(source=str(folder / "problems-train.jsonl"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the checkpoint and the problems are written")
    parser.add_argument("--rung", default="50k", help="an architecture of the ladder")
    parser.add_argument("--vocabulary", type=int, default=512, help="tokens of the tokenizer")
    parser.add_argument("--samples", type=int, default=24_000, help="samples trained on")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    fitting = Fit(samples=given.samples, pool=4_000, batch_size=32)
    original = taught_on(given.folder, given.seed)
    make(
        given.folder, rung=given.rung, vocabulary=given.vocabulary, training=fitting, seed=given.seed, original=original
    )
