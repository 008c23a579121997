"""HumanEval on its real problems: canonical solutions pass, mutants fail, and every form of answer is read."""

from __future__ import annotations

import ast

import pytest

from forgetting.benchmarks.humaneval import HumanEval
from forgetting.contracts import Item
from forgetting.errors import UsageError
from forgetting.sandbox import pool
from tests.contracts.members import DATA
from tests.real import source

BY_HAND = f"{DATA}/humaneval.jsonl"
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Mod: ast.FloorDiv, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


class Mutation(ast.NodeTransformer):
    """Changes the n-th operator or constant of the function's body."""

    def __init__(self, place: int) -> None:
        self.left, self.done = place, False

    def _here(self) -> bool:
        self.left -= 1
        if self.left == -1:
            self.done = True
        return self.left == -1

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if type(node) in SWAPS and self._here():
            return SWAPS[type(node)]()
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and self._here():
            return ast.Constant(node.value + 1)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and self._here():
            return ast.Constant(node.value + "_")
        return super().generic_visit(node)


class Removal(Mutation):
    """For bodies of calls alone: turns ``is`` round, or puts a call's argument (or its object) in the call's place."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Is) and self._here():
            return ast.IsNot()
        if isinstance(node, ast.Call) and self._here():
            return node.args[0] if node.args else node.func.value  # type: ignore[attr-defined]
        return ast.NodeTransformer.generic_visit(self, node)


def mutants(item: Item, kind: type[Mutation] = Mutation) -> list[str]:
    """Whole programs, each with one operator or constant of the entry function's body changed, in source order."""
    entry = item.check[0]
    found: list[str] = []
    for place in range(200):
        tree = ast.parse(item.prompt + item.answer)
        (function,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == entry)
        mutation = kind(place)
        function.body = [function.body[0], *(mutation.visit(n) for n in function.body[1:])]
        if not mutation.done:
            break
        found.append(ast.unparse(ast.fix_missing_locations(tree)))
    return found


CALLS_ALONE = {f"HumanEval/{n}" for n in (9, 16, 22, 23, 27, 29, 34, 38)}  # no such operator or constant in the body
# Problems whose first mutant passes: which later one is taken instead, and why no test sees the first.
ANOTHER = {
    "HumanEval/32": (2, "the bracket is widened until it holds the zero"),
    "HumanEval/34": (2, "a set of these small whole numbers is in order by itself"),
    "HumanEval/35": (1, "the loop sees the first element too"),
    "HumanEval/40": (3, "no tested list has a repeated element that makes a false triple"),
    "HumanEval/64": (1, "no tested word has an underscore"),
    "HumanEval/75": (1, "no tested number needs the prime that is left out"),
    "HumanEval/89": (1, "the alphabet's length is a constant of its own"),
    "HumanEval/93": (1, "no tested text has an underscore"),
    "HumanEval/99": (1, "trailing zeros change no tested number"),
    "HumanEval/108": (1, "only the sign of the first digit is used"),
    "HumanEval/115": (1, "the first constant is the docstring"),
    "HumanEval/116": (1, "the leading one that is left out is common to all numbers"),
    "HumanEval/129": (3, "the start value is only larger than every neighbour"),
}
NO_MUTANT_FAILS = {"HumanEval/162": "the codec's name is read with its punctuation left out"}


@pytest.mark.slow
def test_canonical_solutions_pass_and_mutants_fail() -> None:
    part = HumanEval(source=source("HumanEval.jsonl.gz"))
    items = part.items()
    assert len(items) == 164
    assert [g.verdict for g in part.grade(items, [i.answer for i in items])] == ["right"] * 164
    mutated = {i.template: mutants(i) for i in items}
    assert {name for name, found in mutated.items() if not found} == CALLS_ALONE
    mutated |= {i.template: mutants(i, Removal) for i in items if i.template in CALLS_ALONE}
    first = part.grade(items, [mutated[i.template][0] for i in items])
    survivors = {i.template for i, g in zip(items, first, strict=True) if g.verdict == "right"}
    assert survivors == {*ANOTHER, *NO_MUTANT_FAILS}
    again = [i for i in items if i.template in ANOTHER]
    later = part.grade(again, [mutated[i.template][ANOTHER[i.template][0]] for i in again])
    assert {g.verdict for g in later} == {"wrong"}
    (equivalent,) = (i for i in items if i.template in NO_MUTANT_FAILS)
    (only,) = mutated[equivalent.template]
    assert "'ascii_'" in only and part.grade([equivalent], [only])[0].verdict == "right"


@pytest.mark.parametrize(
    "answer",
    [
        "    return sum(numbers)\n",
        "    return sum(numbers)\n\n\nprint(total([1]))\n",
        "    return sum(numbers)\n\ndef other():\n    return sum(",
        "def total(numbers):\n    return sum(numbers)\n",
        "Here it is:\n```python\ndef total(numbers):\n    return sum(numbers)\n```\nIt adds.",
        "```\ndef total(numbers):\n    return sum(numbers)\n```",
        "```python\ndef total(numbers):\n    return sum(numbers)",
        "```python\n    return sum(numbers)\n```",
        "```python\ndef total(n):\n    return 0\n```\nBetter:\n```py\ndef total(n):\n    return sum(n)\n```\nDone.",
    ],
)
def test_forms_of_a_right_answer(answer: str) -> None:
    part = HumanEval(source=BY_HAND)
    assert part.grade(part.items()[:1], [answer])[0].verdict == "right"


@pytest.mark.parametrize(
    ("answer", "verdict", "kind"),
    [
        ("    return 0\n", "wrong", "wrong"),
        ("", "wrong", "wrong"),
        ("    return (\n", "unparsed", "syntax_error"),
        ("    return missing\n", "wrong", "runtime_error"),
        ("    import os\n    os._exit(0)\n", "wrong", "runtime_error"),
        ("    while True: pass\n", "wrong", "time_limit"),
        ("    return 'x' * 10**12\n", "wrong", "memory_limit"),
        ("    import sys\n    sys.exit(0)\n", "wrong", "runtime_error"),
    ],
)
def test_kinds_of_wrong_answers(answer: str, verdict: str, kind: str) -> None:
    part = HumanEval(source=BY_HAND, cpu_seconds=1)
    grade = part.grade(part.items()[:1], [answer])[0]
    assert (grade.verdict, grade.kind) == (verdict, kind)


def test_a_strict_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool.Sandbox, "missing", lambda self: "landlock (no such kernel)")
    part = HumanEval(source=BY_HAND, strict_sandbox=True, cpu_seconds=4)
    with pytest.raises(UsageError, match=r"^sandbox: strict, but this machine lacks landlock"):
        part.grade(part.items()[:1], [""])
