"""Plain values in, JSON bytes out, and back: all that ever crosses the border of a sandboxed process.

Plain values are None, bool, int, float, complex, str, bytes, list, tuple, dict, set and frozenset of plain values, and
these types themselves, as arguments of functions that ask for one. What comes back consists of exactly these types, so
that no comparison of it runs code of the program. An instance of a subclass (a Counter, a named tuple) travels as its
base type's content, read by the base type's own methods.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 100
_WORDS = 300  # characters of what an opaque value is
_SMALL = 2**53  # whole numbers beyond it travel as hexadecimal digits, which are read in linear time


TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, object, type(None))
}


class Opaque:
    """A result that is no plain value, as tests see it: equal to nothing else, and true or false as it was."""

    def __init__(self, what: str, *, truth: bool) -> None:
        self.what, self._truth = what, truth

    def __bool__(self) -> bool:
        return self._truth


class NotPlain(ValueError):
    """A value that is no plain value, or is nested deeper than ``MAX_DEPTH``; bytes that no plain value gave."""


def dumps(value: Any) -> bytes:
    """The value as ASCII JSON. Raises ``NotPlain``."""
    return json.dumps(_tagged(value, 0), separators=(",", ":"), allow_nan=False).encode("ascii")


def loads(data: bytes) -> Any:
    """The value that ``dumps`` was given, in exact builtin types. Raises ``NotPlain`` for any other bytes."""
    try:
        return _plain(json.loads(data), 0)
    except NotPlain:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise NotPlain(f"no plain value: {type(error).__name__}") from None


def same(one: Any, other: Any) -> bool:
    """Whether two decoded values are equal in Python's sense, with bool, numbers, text and containers kept apart.

    1 equals 1.0, as in Python; True does not equal 1, and a tuple does not equal a list.
    """
    if isinstance(one, (bool, str, bytes)) or one is None or isinstance(other, bool):
        return type(one) is type(other) and bool(one == other)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return type(other) is dict and one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
    return bool(one == other)


def _tagged(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise NotPlain(f"nested deeper than {MAX_DEPTH}")
    if value is None or value is True or value is False:
        return value
    if isinstance(value, int):
        whole = int.__add__(value, 0)
        return whole if abs(whole) <= _SMALL else ["int", format(whole, "x")]
    if isinstance(value, float):
        number = float.__add__(value, 0.0) if value else float.__float__(value)
        return number if number - number == 0 else ["float", float.__repr__(number)]
    if isinstance(value, complex):
        return ["complex", float.hex(value.real), float.hex(value.imag)]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return ["bytes", bytes.hex(value)]
    if isinstance(value, dict):
        return ["dict", *([_tagged(k, depth + 1), _tagged(v, depth + 1)] for k, v in dict.items(value))]
    kind: Any
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return [kind.__name__, *(_tagged(item, depth + 1) for item in kind.__iter__(value))]
    if type(value) is type and TYPES.get(value.__name__) is value:
        return ["type", value.__name__]
    if type(value) is Opaque and depth == 0:
        return ["opaque", value.what[:_WORDS], bool(value)]
    raise NotPlain(f"an object of type {type(value).__name__}")


def _plain(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise NotPlain(f"nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    tag, *content = value
    if tag == "int":
        return int(content[0], 16)
    if tag == "float":
        return float(content[0])
    if tag == "complex":
        return complex(float.fromhex(content[0]), float.fromhex(content[1]))
    if tag == "bytes":
        return bytes.fromhex(content[0])
    if tag == "dict":
        return {_plain(k, depth + 1): _plain(v, depth + 1) for k, v in content}
    if tag == "type":
        return TYPES[content[0]]
    if tag == "opaque" and depth == 0:
        return Opaque(str(content[0]), truth=content[1] is True)
    kinds = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
    return kinds[tag](_plain(item, depth + 1) for item in content)
