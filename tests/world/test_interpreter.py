"""The closed mini-Python: what it runs, what it refuses, and that nothing gets out or hangs."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.world.interpreter import Execution, detokenise, evaluate, is_same, parse, run_tests
from forgetting.world.vocabulary import words

LIST = [5, -3, 8, 8, 0]


def outcome(body: str, argument: Any = LIST, wanted: Any = 1) -> Execution:
    start = time.perf_counter()
    key = tuple(argument) if isinstance(argument, list) else argument
    found = run_tests(f"def f ( x ) : <nl> {body}", ((key, wanted),))
    assert time.perf_counter() - start < 2
    return found


@pytest.mark.parametrize(
    "body",
    [
        "return [ v * 2 for v in x if v > 0 if v < 8 ]",
        "return x [ 1 : 3 ]",
        "return x [ : : - 1 ]",
        "return x [ - 2 ]",
        "return x [ 4 : 1 : - 2 ]",
        "return x + x",
        "return x == sorted ( x )",
        "return - sum ( x ) % 7",
        "return len ( [ v for v in x if v % 2 == 0 ] ) // 2",
        "return max ( x ) if min ( x ) < 0 else 0",
        "return [ ]",
        "y = x [ 0 ] <nl> y = y * y <nl> return [ y , 1 ]",
        "v = 3 <nl> y = [ v for v in x ] <nl> return v",
        "y = x <nl> x = [ 1 ] <nl> return y",
        "if x [ 0 ] > 4 : return 1 <nl> return 2",
        "y = 0",
        "return",
        "return [ v > 0 for v in x ]",
        "return ( 1 > 0 ) + 1",
        "return x [ x [ 4 ] ]",
        "return x [ 2 : 100 ]",
        "return [ sum ( [ w + v for w in x ] ) for v in x ]",
    ],
)
def test_agrees_with_python(body: str) -> None:
    source = detokenise(f"def f ( x ) : <nl> {body}")
    space: dict[str, Any] = {}
    exec(source, space)
    function = parse(source)
    assert function is not None
    wanted = space["f"](list(LIST))
    found = evaluate(function, LIST)
    assert found == (Execution.passed, wanted)
    assert type(found[1]) is type(wanted)


@pytest.mark.parametrize(
    "body",
    [
        "return x . append",
        "return x . __class__",
        "return __import__ ( 'os' )",
        "import os",
        "from os import system",
        "return ( lambda v : v ) ( x )",
        "return 9 ** 9 ** 9",
        "return 2 ** 8",
        "return x @ x",
        "return 1 << 99",
        "return 1.5",
        "return 1j",
        "return 'a' * 9",
        "return f'{x}'",
        "return True",
        "return None",
        "return { v for v in x }",
        "return { 1 : 2 }",
        "return ( v for v in x )",
        "return ( 1 , 2 )",
        "return [ w for v in x for w in x ]",
        "return [ * x ]",
        "return sum ( * x )",
        "return sorted ( x , reverse = 1 )",
        "return max ( 1 , 2 )",
        "return sum ( )",
        "return x [ 0 ] ( 1 )",
        "return ( y := 3 )",
        "return 1 < 2 < 3",
        "return x and 1",
        "return not x",
        "return ~ 1",
        "return 7 / 2",
        "x [ 0 ] = 1",
        "x , y = 1 , 2",
        "x = y = 1",
        "x += 1",
        "global x",
        "del x",
        "pass",
        "assert x",
        "raise x",
        "yield x",
        "return await x",
        "while 1 : x = 1",
        "for v in x : y = v",
        "with x : y = 1",
        "def g ( y ) : return y",
        "class A : y = 1",
        "x",
        "sum ( x )",
        "print ( x ) ; return 1",
        "return ( ( 1 )",
        "return x ]",
        "",
        "x x",
        "return 1 \n\nimport os",
        "return 0x",
        "return \x00",
        "return é",
        "return " + "( " * 60 + "1" + " )" * 60,
        "return " + "[ " * 2000,
        "return " + "- " * 700 + "1",
        "return " + "1 + " * 400 + "1",
        "return " + "9" * 60,
        "return " + "9" * 9000,
        "x = 1 <nl> " * 300 + "return x",
        "return " + "[ sum ( " * 12 + "x" + " ) for v in x ]" * 12,
    ],
)
def test_outside_the_subset_is_a_syntax_error(body: str) -> None:
    assert outcome(body) is Execution.syntax_error


@pytest.mark.parametrize(
    "header",
    [
        "def f ( x , y ) :",
        "def f ( ) :",
        "def f ( * x ) :",
        "def f ( ** x ) :",
        "def f ( x = 1 ) :",
        "def f ( x : int ) :",
        "def f ( x ) -> int :",
        "def f ( * , x ) :",
        "def f ( x , / ) :",
        "@ g \ndef f ( x ) :",
        "async def f ( x ) :",
        "x = 1 \ndef f ( x ) :",
        "class f :",
        "if 1 :",
    ],
)
def test_other_headers_are_syntax_errors(header: str) -> None:
    assert run_tests(f"{header} <nl> return 1", ((3, 1),)) is Execution.syntax_error


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("return y", Execution.runtime_error),
        ("return x [ 9 ]", Execution.runtime_error),
        ("return x [ x ]", Execution.runtime_error),
        ("return x % 0", Execution.runtime_error),
        ("return 1 // 0", Execution.runtime_error),
        ("return x + 1", Execution.runtime_error),
        ("return x * 999999999", Execution.runtime_error),
        ("return - x", Execution.runtime_error),
        ("return x < 1", Execution.runtime_error),
        ("return max ( [ ] )", Execution.runtime_error),
        ("return sum ( 3 )", Execution.runtime_error),
        ("return [ x ]", Execution.runtime_error),
        ("return [ x for v in x ]", Execution.runtime_error),
        ("return [ v for v in 3 ]", Execution.runtime_error),
        ("return range ( 9999999999 )", Execution.runtime_error),
        ("return open ( 3 )", Execution.runtime_error),
        ("return eval ( x )", Execution.runtime_error),
        ("return f ( x )", Execution.runtime_error),
        ("sum = 3 <nl> return sum ( x )", Execution.runtime_error),
        ("return v", Execution.runtime_error),
        ("y = [ v for v in x ] <nl> return v", Execution.runtime_error),
        ("return x [ : : 0 ]", Execution.runtime_error),
        ("y = 99999 <nl> " + "y = y * y <nl> " * 60 + "return y", Execution.runtime_error),
        ("x = x + x <nl> " * 60 + "return x", Execution.runtime_error),
        ("return [ sum ( [ sum ( [ sum ( x ) for v in x ] ) for v in x ] ) for v in x ]", Execution.wrong),
        ("x = x + x <nl> " * 7 + "return [ sum ( [ sum ( x ) for v in x ] ) for v in x ]", Execution.step_limit),
        ("x = x + x <nl> " * 7 + "return [ sum ( sorted ( x ) ) for v in x ]", Execution.step_limit),
        ("return 2", Execution.wrong),
        ("return 1 > 0", Execution.wrong),
        ("return [ 1 ]", Execution.wrong),
        ("y = 1", Execution.wrong),
        ("return 1", Execution.passed),
    ],
)
def test_outcomes(body: str, wanted: Execution) -> None:
    assert outcome(body) is wanted


def test_types_are_exact() -> None:
    class AlwaysEqual:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    assert is_same(1, 1) and is_same([1, 2], (1, 2)) and is_same([], ())
    for found in (True, 1.0, [1], None, "1", AlwaysEqual()):
        assert not is_same(found, 1)
    for found in ((1, 2), [1, True], [1], [1, 2, 3], [1, 2.0], AlwaysEqual(), [1, AlwaysEqual()]):
        assert not is_same(found, (1, 2))


def test_an_argument_is_never_changed_and_the_first_failure_decides() -> None:
    argument = [3, 1, 2]
    function = parse("def f(x): return sorted(x)")
    assert function is not None
    assert evaluate(function, argument) == (Execution.passed, [1, 2, 3])
    assert argument == [3, 1, 2]
    assert run_tests("def f ( x ) : <nl> return 1 // x", ((1, 1), (0, 0), (2, 9))) is Execution.runtime_error


@given(st.text(max_size=80))
def test_no_text_gets_out(text: str) -> None:
    assert run_tests(f"def f ( x ) : <nl> {text}", ((1, 1),)) in Execution


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_no_words_of_the_world_get_out(seed: int, length: int) -> None:
    body = " ".join(random.Random(seed).choices(words(), k=length))
    assert outcome(f"return {body}") in Execution


@given(st.integers(0, 2**32))
def test_no_shuffled_program_gets_out(seed: int) -> None:
    rng = random.Random(seed)
    body = "x = [ v * 2 for v in x if v > 5 ] <nl> return sum ( x [ : : - 1 ] )".split()
    for _ in range(rng.randrange(1, 6)):
        i, j = rng.randrange(len(body)), rng.randrange(len(body))
        body[i], body[j] = body[j], body[i]
    assert outcome(" ".join(body)) in Execution


def test_the_longest_runs_are_short() -> None:
    start = time.perf_counter()
    for depth in range(1, 9):
        outcome("return " + "[ sum ( " * depth + "x" + " ) for v in x ]" * depth)
        outcome("x = x + x <nl> " * 7 + f"y = {depth} + 1 <nl> " + "y = x == x <nl> " * 80 + "return y")
    assert time.perf_counter() - start < 5
