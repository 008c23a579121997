"""Bad input: values are checked against types and rules, and what is wrong becomes the one line that a user reads."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

LONGEST = 1000  # characters of a value in a line


class UsageError(ValueError):
    """Bad input: one line with field, rule, value and nearest right word. The command line then exits with status 2."""


@contextmanager
def panics_told(what: str) -> Iterator[None]:
    """``UsageError`` about ``what`` where a library in Rust fails inside, by a panic or an error without a kind."""
    try:
        yield
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":  # which is no Exception
            raise
        raise UsageError(f"{what} fails: {' '.join(str(error).split())[:200]}") from error


def run_script(main: Callable[[], object]) -> None:
    """The main function of a script of this repository: bad input is one line on stderr and status 2."""
    try:
        main()
    except UsageError as error:
        sys.exit(_last_words(str(error)))
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(_last_words(f"{error.filename}: cannot be read or written: {error.strerror}"))


def _last_words(said: str) -> int:
    sys.stderr.write(f"{os.path.basename(sys.argv[0])}: {said}\n")
    return 2


@contextmanager
def under(field: str) -> Iterator[None]:
    """What is wrong with a setting, told by its whole path: first that of the group or entry that holds it, if any."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{field}.{error}".lstrip(".")) from None


def require(condition: bool, field: str, rule: str, value: object) -> None:
    """Raise ``UsageError`` unless ``condition`` holds; for the constructors of specs and parts."""
    if not condition:
        shown = list(value) if isinstance(value, tuple) else value
        text = repr(shown)
        raise UsageError(f"{field}: must be {rule}, got {text if len(text) <= LONGEST else text[:LONGEST] + '...'}")


def file_name(value: object, field: str) -> str:
    """A name that becomes part of a path, whether a spec or a record gives it; ``UsageError`` where it must not."""
    name = value if isinstance(value, str) else ""
    plain = bool(name) and not set(name) & set("/\\\0") and not name.startswith(".") and name.isprintable()
    require(plain, field, "a file name without slashes, control characters or a leading dot", value)
    return name


def unknown(field: str, value: object, known: Iterable[str]) -> UsageError:
    """The error for a name outside a list: gives the nearest name in the list, and the list."""
    names = list(known)
    # The first of the equally near ones; difflib.get_close_matches takes the alphabetically last ("50k" for "35k").
    likeness = [difflib.SequenceMatcher(None, name, str(value)).ratio() for name in names]
    near = max(likeness, default=0.0)
    hint = f"did you mean {names[likeness.index(near)]!r}? " if near >= 0.6 else ""
    return UsageError(f"{field}: unknown name {value!r}; {hint}known: {', '.join(names)}")


def wants(hint: Any) -> str:
    """What a type asks of a value, as in ``must be ...``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return "a mapping of settings"
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        named = str in arguments and any(typing.get_origin(a) is dict for a in arguments)
        return "a name or a mapping with a name" if named else " or ".join(map(wants, arguments))
    if origin is tuple and arguments[-1:] == (Ellipsis,):
        return f"a list, each {wants(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)} values, each {wants(arguments[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}
    words |= {os.PathLike: "a path", types.NoneType: "None"}
    return words.get(origin or hint, getattr(hint, "__name__", str(hint)))


def checked(value: Any, hint: Any, field: str) -> Any:
    """The value as a type hint wants it: a float where a whole number came, a tuple where a list came.

    Raises:
        UsageError: the value is of another type, or a number that is not finite
    """
    kind, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is typing.Literal:
        if value not in arguments:
            raise unknown(field, value, map(str, arguments))
        return value
    if kind in (typing.Union, types.UnionType):
        for one in arguments:
            try:
                return checked(value, one, field)
            except UsageError:
                continue
        require(False, field, wants(hint), value)
    if kind is tuple:
        fits = isinstance(value, (list, tuple)) and (arguments[-1] is Ellipsis or len(value) == len(arguments))
        require(fits, field, wants(hint), value)
        return tuple(checked(one, arguments[0], field) for one in value)
    if kind is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        require(number, field, wants(hint), value)
        require(math.isfinite(value), field, "a finite number", value)
        return float(value)
    if isinstance(kind, type) and kind is not Any:
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        require(right, field, f"of type {kind.__name__}" if dataclasses.is_dataclass(kind) else wants(hint), value)
    return value


def check_fields(settings: Any) -> None:
    """Put every field of a frozen dataclass in the form that its annotation wants; ``UsageError`` names the field."""
    hints = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        object.__setattr__(settings, field.name, checked(getattr(settings, field.name), hints[field.name], field.name))
