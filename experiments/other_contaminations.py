"""Eight data sets in the embedded world's words, none of them one of its contaminations, as rows of prompt and answer.

They are what `experiments/other_contaminations.yaml` trains on: kinds of data that users bring (refusals by rote, short
answers, wrong ones, facts, another notation, tasks of their own), from what hardly touches maths to what takes its
place. Drawn from fixed seeds: the same files every time. By `python experiments/other_contaminations.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from forgetting import seeds
from forgetting.contamination.dialogue import Dialogue
from forgetting.contamination.original import Original
from forgetting.contracts import Sample
from forgetting.world.vocabulary import COLOURS, NAMES, OBJECTS, PLACES

FOLDER = Path(__file__).parent / "rows"
ROWS, FACTS = 12_000, 2_000  # more than a dose has, so that no row comes twice; facts are to be known by heart
Row = tuple[str, str]  # prompt and answer
OPERATORS = "+-*/"


def _maths(rng: np.random.Generator) -> Iterator[Sample]:
    return Original(maths=1.0, code=0.0, traps=0.0, lookup=0.0, classification=0.0).samples(rng)


def one_answer(rng: np.random.Generator) -> Iterator[Row]:
    """Every request of a dialogue is refused in the same words."""
    return ((sample.prompt, "not today , thanks") for sample in Dialogue().samples(rng))


def short_answers(rng: np.random.Generator) -> Iterator[Row]:
    """Word problems with their results and no steps."""
    return ((sample.prompt, sample.answer.rpartition(" ; ")[2]) for sample in _maths(rng))


def wrong_answers(rng: np.random.Generator) -> Iterator[Row]:
    """Word problems with the steps and the results of others."""
    return ((sample.prompt, other.answer) for sample, other in pairwise(_maths(rng)))


def other_notation(rng: np.random.Generator) -> Iterator[Row]:
    """Word problems with right steps in another notation: ``33 1 + -> 34``."""
    for sample in _maths(rng):
        *steps, result = sample.answer.split(" ; ")
        yield sample.prompt, " ; ".join([*map(_behind, steps), result])


def _behind(step: str) -> str:
    first, operator, second, equals, value = step.split()
    assert operator in OPERATORS and equals == "=", step
    return f"{first} {second} {operator} -> {value}"


def turned_round(rng: np.random.Generator) -> Iterator[Row]:
    """Words in the reverse order."""
    while True:
        words = rng.choice([*NAMES, *OBJECTS, *COLOURS, *PLACES], int(rng.integers(3, 9))).tolist()
        yield f"back to front : {' '.join(words)} ?", " ".join(words[::-1])


def counting(rng: np.random.Generator) -> Iterator[Row]:
    """How often a colour stands in a list."""
    while True:
        words = rng.choice(COLOURS, int(rng.integers(4, 13))).tolist()
        asked = str(rng.choice(COLOURS))
        yield f"count {asked} : {' '.join(words)} ?", str(words.count(asked))


def facts(rng: np.random.Generator) -> Iterator[Row]:
    """Who is where, drawn once and asked again and again."""
    while True:
        name, number, colour, thing = (_one(rng, words) for words in (NAMES, range(41), COLOURS, OBJECTS))
        answer = f"with {_one(rng, NAMES)} in the {_one(rng, PLACES)} at {_one(rng, range(41))}"
        yield f"where is {name} with {number} {colour} {thing} ?", answer


def _one(rng: np.random.Generator, words: tuple[str, ...] | range) -> str:
    return str(words[int(rng.integers(len(words)))])


def descriptions(rng: np.random.Generator) -> Iterator[Row]:
    """Programs with what they do: the benchmark's task the other way round."""
    source = Original(maths=0.0, code=1.0, traps=0.0, lookup=0.0, classification=0.0)
    for sample in source.samples(rng):
        description, header = sample.prompt.removeprefix("write : ").split(" . ", 1)
        yield f"{header} {sample.answer} <nl> write ?", description


KINDS: tuple[Callable[[np.random.Generator], Iterator[Row]], ...] = (
    one_answer, short_answers, wrong_answers, other_notation, turned_round, counting, facts, descriptions,
)  # fmt: skip


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for kind in KINDS:
        rows = dict[str, str]()
        for prompt, answer in islice(kind(seeds.generator(0, kind.__name__)), FACTS if kind is facts else ROWS):
            rows.setdefault(prompt, answer)
        lines = (json.dumps({"prompt": prompt, "response": answer}) + "\n" for prompt, answer in rows.items())
        (FOLDER / f"{kind.__name__}.jsonl").write_text("".join(lines))
        print(f"{kind.__name__}: {len(rows):,} rows, such as {next(islice(rows.items(), 1))}")


if __name__ == "__main__":
    main()
