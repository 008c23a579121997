"""Dialects on real functions of the standard library: determinism, what is undone, and what changes by hand."""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting.errors import UsageError
from forgetting.natural.syntax.library import FEWEST_LINES, MOST_LINES, functions, standard_library
from forgetting.natural.syntax.python_dialects import DIALECTS, KEYWORDS, RESTORE, CannotChange, restore, to_dialect

MODULES = sorted(Path(ast.__file__).parent.glob("*.py"))[::4]  # a quarter of the library's own: all of it takes seconds


@cache
def library() -> tuple[str, ...]:
    return tuple(dict.fromkeys(f for path in MODULES for f in functions(path.read_text(encoding="utf-8"))))


def said(source: str, dialect: str) -> str | None:
    try:
        return to_dialect(source, dialect)
    except CannotChange:
        return None


@settings(max_examples=60, deadline=None)
@given(st.deferred(lambda: st.sampled_from(library())))
def test_keywords_are_undone_letter_by_letter(source: str) -> None:
    changed = to_dialect(source, "keywords")
    assert restore(changed, "keywords") == source
    names = {t.string for t in tokenize.generate_tokens(io.StringIO(changed).readline) if t.type == tokenize.NAME}
    assert not names & set(KEYWORDS)


@settings(max_examples=60, deadline=None)
@given(st.deferred(lambda: st.sampled_from(library())))
def test_braces_are_undone_to_the_same_tree(source: str) -> None:
    changed = said(source, "braces")
    if changed is not None:
        assert ast.dump(ast.parse(restore(changed, "braces"))) == ast.dump(ast.parse(source))
        assert changed.split("\n")[0].startswith(("def ", "async def "))


@settings(max_examples=50, deadline=None)
@given(st.deferred(lambda: st.sampled_from(library())), st.sampled_from(sorted(DIALECTS)))
def test_a_dialect_is_deterministic_and_another_text(source: str, dialect: str) -> None:
    changed = said(source, dialect)
    assert changed == said(source, dialect)
    assert dialect not in RESTORE or changed != source


@pytest.mark.slow
def test_how_much_of_the_library_each_dialect_can_say() -> None:
    shares = {d: sum(said(s, d) is not None for s in library()) / len(library()) for d in DIALECTS}
    assert shares["keywords"] == 1.0 and shares["braces"] > 0.98 and shares["calls"] > 0.98, shares
    assert shares["one_based"] > 0.1, shares


def test_the_words_are_no_keywords_and_stand_for_one_each() -> None:
    assert all(keyword.iskeyword(old) and not keyword.iskeyword(new) for old, new in KEYWORDS.items())
    assert len(set(KEYWORDS.values())) == len(KEYWORDS)


SOURCE = '''\
def row_sum(table, row_index):
    """Add up one row. Uses a for loop."""
    total = {"fn": 0}
    for value in table[row_index][1:]:
        if value is None:  # for now
            continue
        total["fn"] += max(int(value), table[0][2])

    return total["fn"]
'''


def test_by_hand() -> None:
    assert to_dialect(SOURCE, "keywords").split("\n")[3] == "    each value among table[row_index][1:]:"
    assert '"""Add up one row. Uses a for loop."""' in to_dialect(SOURCE, "keywords")
    assert to_dialect("def f(fn, fn_):\n    return fn\n", "keywords") == "fn f(fn_, fn__):\n    give fn_\n"
    braces = to_dialect(SOURCE, "braces").split("\n")
    assert braces[3] == "for value in table[row_index][1:] {" and braces[4] == "if value is None {  # for now"
    assert braces.count("}") == 3
    calls = to_dialect(SOURCE, "calls")
    assert "(max (int value), table[0][2])" in calls and "table[rowIndex][1:]" in calls and "def rowSum(" in calls
    one = to_dialect(SOURCE, "one_based")
    assert "table[row_index + 1][2:]" in one and "table[1][3]" in one and 'total["fn"]' in one


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x[0]", "x[1]"), ("x[-1]", None), ("x[i]", "x[i + 1]"), ("x[i - 1]", "x[i - 1 + 1]"), ("x[1:n]", "x[2:n]"),
        ("x[:3]", None), ("x['a']", None), ("x[0][1]", "x[1][2]"), ("x[0, 1]", None), ("x[y[0]]", "x[y[1]]"),
        ("def f(a: list[int]) -> dict[str, int]: return a[0]", "def f(a: list[int]) -> dict[str, int]: return a[1]"),
    ],
)  # fmt: skip
def test_one_based(source: str, expected: str | None) -> None:
    changed = said(source, "one_based")
    assert changed == expected if expected is not None else changed in (None, source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("f()", "(f)"), ("f(x)", "(f x)"), ("f(g(x), *y, k=1)", "(f (g x), *y, k=1)"), ("a.b_c(x)", "(a.bC x)"),
        ("f(x)(y)", "((f x) y)"), ("a[0].b(x)", "(a[0].b x)"), ("__init__(_x)", "(__init__ _x)"),
        ("é = f(é)", "é = (f é)"),
    ],
)  # fmt: skip
def test_calls(source: str, expected: str) -> None:
    assert to_dialect(source, "calls") == expected


def test_what_cannot_be_said() -> None:
    for dialect in DIALECTS:
        with pytest.raises(CannotChange, match=dialect):
            to_dialect("def f(:", dialect)
    with pytest.raises(UsageError, match="did you mean 'braces'"):
        to_dialect("x", "brace")
    with pytest.raises(UsageError, match="dialect"):
        restore("x", "calls")
    assert set(RESTORE) < set(DIALECTS) and len(DIALECTS) >= 4


@pytest.mark.slow
def test_the_whole_library() -> None:
    assert len(standard_library()) > 5_000 and len(set(standard_library())) == len(standard_library())
    assert set(library()) < set(standard_library())


def test_the_library_is_whole_functions() -> None:
    assert len(library()) > 300
    for source in library()[::20]:
        (function,) = ast.parse(source).body
        assert isinstance(function, ast.FunctionDef)
        assert FEWEST_LINES <= source.count("\n") <= MOST_LINES
    assert list(functions("x = (")) == []
