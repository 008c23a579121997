"""The shape that a file's values must have, said once as plain values: a number, a text, a list of them, a mapping.

A kind is one of the words below. ``[shape]`` is a list of them, ``{name: shape}`` a mapping in which other names are
free, ``{ANY: shape}`` one with such values under all other names, ``(shape, ...)`` any of several. What may be missing
is ``maybe(shape)``.
"""

from __future__ import annotations

from typing import Any, Final

from forgetting.errors import UsageError, file_name

ANY: Final = "any name"
NUMBER, WHOLE, TEXT, NAME, FLAG = "a number", "a whole number", "text", "a file name", "true or false"
NONE, MISSING = "null", "nothing"
MOST = 1e18  # of a number's size


def maybe(*shapes: Any) -> tuple[Any, ...]:
    """A value of one of the shapes, or one that is not there."""
    return (MISSING, *shapes)


def check_shape(value: Any, shape: Any, what: str) -> None:
    """``UsageError`` names the first entry below ``what`` that has another shape, and which one it must have."""
    if isinstance(shape, tuple):
        fitting = [one for one in shape if _has_kind(value, one)]
        if not fitting:
            raise _wrong(value, " or ".join(_words(one) for one in shape if one != MISSING), what)
        for one in fitting[:1]:
            check_shape(value, one, what)
    elif not _has_kind(value, shape):
        raise _wrong(value, _words(shape), what)
    elif shape == NAME:
        file_name(value, what)
    elif isinstance(shape, list):
        for number, one in enumerate(value):
            check_shape(one, shape[0], f"{what}[{number}]")
    elif isinstance(shape, dict):
        named = {name: own for name, own in shape.items() if name != ANY}
        below = {**dict.fromkeys(value, shape[ANY]), **named} if ANY in shape else named
        for name, own in below.items():
            check_shape(value.get(name, MISSING), own, f"{what}.{name}" if what else str(name))


def _has_kind(value: Any, shape: Any) -> bool:
    """Whether a value is a list, a mapping, a number and so on, whatever is in it."""
    if value is MISSING or shape == MISSING:
        return value is shape
    if shape in (NUMBER, WHOLE):
        plain = isinstance(value, int if shape == WHOLE else int | float) and not isinstance(value, bool)
        return plain and abs(value) <= MOST  # which neither infinity nor what is no number is
    kinds: dict[str, type] = {TEXT: str, NAME: str, FLAG: bool, NONE: type(None)}
    return isinstance(value, kinds[shape] if isinstance(shape, str) else type(shape))


def _words(shape: Any) -> str:
    return shape if isinstance(shape, str) else "a list" if isinstance(shape, list) else "a mapping"


def _wrong(value: Any, rule: str, what: str) -> UsageError:
    got = value if value is MISSING else repr(str(value)[:40])
    return UsageError(f"{what}: must be {rule}, got {got}")
