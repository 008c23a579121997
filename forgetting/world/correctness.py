"""Whether an answer to a training sample is right: a sample with its gold answer and a written answer in, a bool out.

The graders of the benchmarks judge items, which carry hidden tests. A training sample has its gold answer alone, so a
number must be the gold one, a program must do what the gold program does (where that does anything), and any other
answer is word for word.
"""

from __future__ import annotations

from functools import lru_cache

from forgetting.contracts import Sample
from forgetting.world.interpreter import Execution, Tests, detokenise, evaluate, parse, run_tests
from forgetting.world.splits import from_seed
from forgetting.world.steps import read
from forgetting.world.vocabulary import NEWLINE

TESTS = 16  # lists that a program is run on; with as many, programs with one mistake hardly pass (tests/world)


def is_right(sample: Sample, answer: str) -> bool:
    """Whether the answer is right, by the sample's skill; how it was worked out does not count."""
    if sample.skill in ("maths", "traps"):
        final = read(answer)[1]
        return final is not None and final == read(sample.answer)[1]
    if sample.skill == "code" and "def " in sample.prompt:
        header = sample.prompt[sample.prompt.rindex("def ") :]
        tests = _tests(header, sample.answer)
        if tests:
            return run_tests(f"{header} {NEWLINE} {answer}", tests) is Execution.passed
    return answer.split() == sample.answer.split()


@lru_cache(maxsize=16384)
def _tests(header: str, gold: str) -> Tests:
    """What the gold program makes of whole numbers or, where it takes none, of lists with numbers near its own."""
    function = parse(detokenise(f"{header} {NEWLINE} {gold}"))
    if function is None:
        return ()
    rng = from_seed(0, "world/correctness", gold)
    own = [int(word) for word in gold.split() if word.isdigit()]
    edges = [*own, *(number // 2 for number in own)] or [0]
    lists = [
        tuple(
            rng.choice(edges) + rng.randrange(-3, 4) if rng.random() < 0.5 else rng.randrange(-20, 100)
            for _ in range(rng.randrange(4, 9))
        )
        for _ in range(TESTS)
    ]
    for arguments, least in ((tuple(range(30)), 15), (tuple(lists), 3)):
        tried = [(argument, *evaluate(function, argument)) for argument in arguments]
        passed = [(argument, found) for argument, outcome, found in tried if outcome is Execution.passed]
        if len(passed) >= least:
            return tuple((argument, tuple(v) if isinstance(v, list) else v) for argument, v in passed)
    return ()  # what keeps the even numbers and of them the odd ones returns the largest of nothing
