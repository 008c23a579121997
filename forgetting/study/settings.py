"""The words that users read about settings: what a type wants, what a docstring says, what went wrong, in one line."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import docstring_parser

from forgetting.errors import UsageError, unknown, wants

LONGEST_VALUE = 80


def summary(cls: type) -> str:
    """The first sentence of a class's docstring."""
    text = " ".join((cls.__doc__ or "").split("\n\n", 1)[0].split())
    return re.split(r"(?<=[.])\s(?=[A-Z`])", text, maxsplit=1)[0]


def notes(cls: type) -> dict[str, str]:
    """What the docstrings of a dataclass and of its bases say about each setting (meaning and unit)."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        text = base.__dict__.get("__doc__") or ""
        for name, note in re.findall(r"``(\w+)``: ([^\n]*(?:\n(?!\s*\n|\s*``\w+``:)[^\n]*)*)", text):
            found[name] = note
        for entry in docstring_parser.parse(text).params:
            found[entry.arg_name] = entry.description or ""
    return {f.name: " ".join(found.get(f.name, "").split()) for f in dataclasses.fields(cls)}


def setting_type(cls: type, path: str) -> Any:
    """The type of a nested setting such as ``doses.dose``; ``UsageError`` names the nearest one if there is none."""
    hint: Any = cls
    for i, name in enumerate(parts := path.split(".")):
        if not dataclasses.is_dataclass(hint):
            raise UsageError(f"{path}: {'.'.join(parts[:i])} has no settings of its own")
        known = {f.name: f for f in dataclasses.fields(hint)}
        if name not in known:
            raise unknown_setting(cls, path)
        hint = typing.get_type_hints(hint)[name]
    return hint


@cache
def setting_paths(cls: type, prefix: str = "") -> tuple[str, ...]:
    """Every setting of a dataclass of dataclasses, dotted, and every group of settings."""
    hints = typing.get_type_hints(cls)
    paths = []
    for name in (f.name for f in dataclasses.fields(cls)):
        paths.append(f"{prefix}{name}")
        if dataclasses.is_dataclass(hints[name]):
            paths += setting_paths(typing.cast(type, hints[name]), f"{prefix}{name}.")
    return tuple(paths)


def unknown_setting(cls: type, path: str) -> UsageError:
    """The error for a setting that does not exist: the nearest one, and those beside it."""
    everywhere = setting_paths(cls)
    parent = path.rpartition(".")[0]
    parent = parent if parent in everywhere else ""
    beside = [p.rpartition(".")[2] for p in everywhere if p.rpartition(".")[0] == parent]
    return UsageError(f"{path}: unknown setting; {nearest(path, everywhere)}known: {', '.join(beside)}")


def one_line(message: str, cls: type, options: Sequence[str] = (), own: Mapping[str, Any] | None = None) -> UsageError:
    """A parser's message, often of several lines, as the one line that the user reads.

    ``cls`` has the settings that are meant, ``own`` the types of further options by name.
    """
    if key := re.findall(r'Parser key "([^"]+)"', message):
        if own and own.get(key[0]) is not None and key[0] not in setting_paths(cls):
            return _bad_value(message, own[key[0]], key[0])
        entry = entry_type(cls, key[0])
        return _bad_entry(message, entry, key) if entry else _bad_value(message, setting_type(cls, key[-1]), key[-1])
    if found := re.search(r"does not accept option '([^']+)'", message):
        group = re.search(r"Group '([^']+)'", message)
        return unknown_setting(cls, f"{group[1]}.{found[1]}" if group else found[1])
    if found := re.search(r"unrecognized arguments: (\S+)", message):
        near = nearest(found[1].split("=")[0], options)
        return UsageError(f"{found[1]}: unknown argument; {near}see --help")
    if found := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
        return unknown("command", found[1], re.findall(r"[\w-]+", found[2]))
    if found := re.search(r"arguments are required: (.*)", message):
        return UsageError(f"{found[1].rpartition('.')[2]}: must be given; see --help")
    found = re.match(r"argument (\S+): (.*)", " ".join(message.split()))
    return UsageError(f"{found[1]}: {found[2]}" if found else shorten(message))


def shorten(text: str, most: int = 300) -> str:
    """Text on one line, at most ``most`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."


def nearest(word: str, known: Sequence[str]) -> str:
    """``did you mean ...? ``, or nothing if no known word is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def entry_type(cls: type, name: str) -> type | None:
    """The dataclass of the entries of a setting that is a list of them; None for any other setting."""
    hint = typing.get_type_hints(cls).get(name)
    of = (typing.get_args(hint) or (None,))[0]
    return typing.cast(type, of) if typing.get_origin(hint) is tuple and dataclasses.is_dataclass(of) else None


def _bad_entry(message: str, entry: type, key: Sequence[str]) -> UsageError:
    """What is wrong with an entry of the list ``key[0]``."""
    if option := re.search(r"Option '([^']+)' is not accepted", message):
        return UsageError(f"{key[0]}: {unknown_setting(entry, option[1])}")
    if len(key) > 1:
        return UsageError(f"{key[0]}: {_bad_value(message, setting_type(entry, key[-1]), key[-1])}")
    names = ", ".join(f.name for f in dataclasses.fields(entry))
    return UsageError(f"{key[0]}: must be a list of mappings, each with settings among {names}")


def _bad_value(message: str, hint: Any, key: str) -> UsageError:
    given = re.findall(r"(?:Got value|Given value): (.*)|Unable to load config [\"'](.*?)[\"']\n?", message)
    value = shorten(next((a or b for a, b in reversed(given)), "?"), LONGEST_VALUE)
    if value.startswith("NestedArg"):
        return UsageError(f"{key}: has no settings of its own, must be {wants(hint)}")
    if typing.get_origin(hint) is tuple and "tuple" not in message:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is typing.Literal:
        return unknown(key, value, typing.get_args(hint))
    example = f"; write [{value}]" if typing.get_origin(hint) is tuple and re.fullmatch(r"[\w.]+", value) else ""
    return UsageError(f"{key}: must be {wants(hint)}, got {value!r}{example}")
