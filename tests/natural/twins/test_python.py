"""HumanEval in other forms: every adapted canonical solution passes the adapted tests; what each form changes."""

from __future__ import annotations

import ast

import pytest

from forgetting.benchmarks.humaneval import HumanEval
from forgetting.natural.twins.python import Problem, functional, reformatted, renamed
from tests.real import source


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "least"), [("renamed", 160), ("functional", 30), ("reformatted", 140)])
def test_canonical_solutions_pass_in_every_form(variant: str, least: int) -> None:
    part = HumanEval(source=source("HumanEval.jsonl.gz"))
    items = part.items("test", variant)
    assert len(items) >= least
    grades = part.grade(items, [i.answer for i in items])
    assert [i.template for i, g in zip(items, grades, strict=True) if g.verdict != "right"] == []
    empty = part.grade(items, ["    pass\n"] * len(items))
    assert not [i.template for i, g in zip(items, empty, strict=True) if g.verdict == "right"]


PRIME = Problem(
    'import math\n\n\ndef is_prime(n, flag=False):\n    """ Whether n is a prime number; `flag` is ignored.\n'
    '    >>> is_prime(7)\n    True\n    """\n',
    "    if n < 2:\n        return is_prime(2) and False\n    return all(n % k for k in range(2, math.isqrt(n) + 1))\n",
    "is_prime",
)


def test_renamed() -> None:
    twin = renamed(PRIME)
    assert twin is not None and twin.entry == "answer"
    assert twin.prompt.startswith("import math\n\n\ndef answer(first, second=False):\n")
    assert "Whether first is a prime number; `second` is ignored." in twin.prompt and ">>> answer(7)" in twin.prompt
    assert "return answer(2) and False" in twin.body and "math.isqrt(first)" in twin.body
    assert "is_prime" not in twin.prompt + twin.body
    assert renamed(Problem('def f(*a):\n    """x"""\n', "    return a\n", "f")) is None
    assert renamed(Problem('def f(a):\n    """x"""\n', "    first = a\n    return first\n", "f")) is None


def test_a_word_of_the_docstring_is_no_name() -> None:
    text = 'def median(a):\n    """ The function median: the median of a, so that median([1]) is 1. """\n'
    twin = renamed(Problem(text, "    return median(a[1:])\n", "median"))
    assert twin is not None and twin.body == "    return answer(first[1:])\n"
    assert '""" The function answer: the median of a, so that answer([1]) is 1. """' in twin.prompt


def test_renamed_leaves_attributes_and_keywords() -> None:
    body = "    return text.upper().count(upper) + dict(text=1)['text']\n"
    twin = renamed(Problem('def f(text, upper):\n    """x"""\n', body, "f"))
    assert twin is not None and twin.body == "    return first.upper().count(second) + dict(text=1)['text']\n"


def test_functional() -> None:
    twin = functional(PRIME)
    assert twin is not None and twin.entry == "answer"
    assert "prime" not in twin.prompt + twin.body
    assert "a number above 1 that is divisible only by 1 and by itself" in twin.prompt
    assert functional(Problem('def f(n):\n    """ One more. """\n', "    return n + 1\n", "f")) is None


def test_reformatted_has_the_same_syntax_tree() -> None:
    twin = reformatted(PRIME)
    assert twin is not None and "'''" in twin.prompt and '"""' not in twin.prompt and "\n  if first" not in twin.body
    assert twin.body.startswith("  if n < 2:\n    return")
    bodies = [ast.parse(p.prompt + p.body).body[-1] for p in (PRIME, twin)]
    dumps = [ast.dump(ast.Module(b.body[1:], [])) for b in bodies if isinstance(b, ast.FunctionDef)]
    assert dumps[0] == dumps[1]
