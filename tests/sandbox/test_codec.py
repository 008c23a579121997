"""Plain values there and back, what is no plain value, and equality that keeps types apart."""

from __future__ import annotations

import collections
import enum
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.sandbox import codec

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary()
    | st.integers(-(2**5000), 2**5000)
)  # fmt: skip
HASHABLE = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(HASHABLE, inner)
        | st.sets(HASHABLE)
        | st.frozensets(HASHABLE)
    ),
    max_leaves=20,
)


def shape(value: Any) -> Any:
    """Types and contents, with what is not equal to itself made comparable."""
    if isinstance(value, (list, tuple)):
        return type(value), [shape(v) for v in value]
    if isinstance(value, dict):
        return type(value), [(shape(k), shape(v)) for k, v in value.items()]
    if isinstance(value, (set, frozenset)):
        return type(value), value
    return type(value), repr(value)


@given(VALUES)
def test_there_and_back(value: Any) -> None:
    assert shape(codec.loads(codec.dumps(value))) == shape(value)


@given(st.binary() | st.text().map(str.encode) | st.from_regex(r'\["[a-z]+"(,[0-9"a-f]+)*\]').map(str.encode))
def test_any_bytes_give_a_plain_value_or_are_refused(data: bytes) -> None:
    try:
        value = codec.loads(data)
    except codec.NotPlain:
        return
    assert shape(codec.loads(codec.dumps(value))) == shape(value)


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __add__(self, other: object) -> int:
        return 2


class Colour(enum.IntEnum):
    red = 3


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Liar(1), 1),
        (Colour.red, 3),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.namedtuple("P", "x y")(1, 2), (1, 2)),
        (type("Text", (str,), {"__str__": lambda self: "other"})("own"), "own"),
    ],
)
def test_a_subclass_travels_as_its_content(value: Any, plain: Any) -> None:
    given_back = codec.loads(codec.dumps(value))
    assert given_back == plain and type(given_back) is type(plain)


@pytest.mark.parametrize(
    "value", [object(), range(3), map(str, []), len, codec.NotPlain, {1: object()}, bytearray(b"x")]
)
def test_no_plain_value(value: Any) -> None:
    with pytest.raises(codec.NotPlain):
        codec.dumps(value)


def test_too_deep() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(codec.NotPlain, match="deeper"):
        codec.dumps(value)
    with pytest.raises(codec.NotPlain):
        codec.loads(b'["list",' * 50_000)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (False, False, True),
        ([1, 2], (1, 2), False),
        ([1, [True]], [1, [1]], False),
        ({"a": [1]}, {"a": [1.0]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ("1", 1, False),
        (b"1", "1", False),
        (None, 0, False),
        ({1, 2}, frozenset({1, 2}), True),
        (math.nan, math.nan, False),
        (["nan"], ["nan"], True),
        ([math.inf, -math.inf], [math.inf, -math.inf], True),
        ({1}, {True}, False),
        ({1}, {1.0}, True),
        ({(0, 1)}, {(False, True)}, False),
        ({1: "a"}, {True: "a"}, False),
        ({1: "a"}, {1.0: "a"}, True),
        ({"a": 1}, {"a": True}, False),
        ({frozenset({1})}, {frozenset({True})}, False),
        ({1, 2, 3}, {3, 2, 1}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1, "b": 2}, {"b": 1, "a": 2}, False),
        ([1, [2]], [[1], 2], False),
        ((), [], False),
        (set(), {}, False),
        ("1", b"1", False),
        (["a,b"], ["a", "b"], False),
        (0.0, -0.0, True),
        (2**70, 2.0**70, True),
        (2**70 + 1, 2.0**70, False),
        (1, 1 + 0j, True),
        (1j, 1, False),
        (None, "None", False),
        (True, "True", False),
    ],
)
def test_equality(one: Any, other: Any, equal: bool) -> None:
    there, back = codec.dumps(one), codec.dumps(other)
    assert codec.same(there, back) is equal
    assert codec.same(back, there) is equal


@pytest.mark.parametrize("kind", codec.TYPES.values())
def test_types_of_plain_values_are_themselves(kind: type) -> None:
    assert codec.loads(codec.dumps([kind, {"a": kind}])) == [kind, {"a": kind}]


def test_a_type_of_the_programs_own_is_none_whatever_it_calls_itself() -> None:
    with pytest.raises(codec.NotPlain):
        codec.dumps(type("int", (int,), {}))
    with pytest.raises(codec.NotPlain):
        codec.loads(b'["type","type"]')


@pytest.mark.parametrize("truth", [True, False])
def test_an_opaque_value_is_true_or_false_and_equal_to_nothing(truth: bool) -> None:
    text = codec.dumps(codec.Opaque("an object of type Match", truth=truth))
    found = codec.loads(text)
    assert bool(found) is truth and found.what == "an object of type Match"
    for other in (text, codec.dumps(truth)):
        assert not codec.same(text, other, lenient=True) and not codec.same(other, text)
    with pytest.raises(codec.NotPlain):
        codec.dumps([codec.Opaque("inside", truth=truth)])


@pytest.mark.parametrize(
    "text",
    [
        b'["list",["opaque","inside",true]]',
        b'["opaque"]',
        b'["opaque",1,true]',
        b'["opaque","x",1]',
        b'["opaque","x",true,true]',
        b'["type"]',
        b'["type",[]]',
        b'["type","Exception"]',
    ],
)
def test_forged_types_and_opaque_values_are_refused(text: bytes) -> None:
    for read in (codec.loads, lambda text: codec.same(text, b"[]"), lambda text: codec.same(b"null", text)):
        with pytest.raises(codec.NotPlain):
            read(text)


@pytest.mark.parametrize(
    ("given", "expected", "equal"),
    [
        ((1, 2), [1, 2], True),
        ((1, 2), (1, 2), True),
        ((1, 2), [2, 1], False),
        ([(1,)], [[1]], False),
        ([True, {False: 1.0}], [1, {0: True}], True),
        ({True, 2}, {1, 2.0}, True),
        ([None], [0], False),
        (["1"], [1], False),
        ([math.nan], [math.nan], False),
        (int, int, True),
        (int, bool, False),
        ("int", int, False),
    ],
)
def test_lenient_equality(given: Any, expected: Any, equal: bool) -> None:
    there, back = codec.dumps(given), codec.dumps(expected)
    assert codec.same(there, back, lenient=True) is codec.same(back, there, lenient=True) is equal
