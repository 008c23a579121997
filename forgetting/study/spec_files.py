"""Spec files: YAML in, a checked dataclass (a ``Spec`` by default) out; and back to YAML, every setting explained."""

from __future__ import annotations

import argparse
import dataclasses
import re
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentParser, Namespace

from forgetting.errors import UsageError, under, wants
from forgetting.record.reading import read_bytes
from forgetting.spec import Spec
from forgetting.study import settings

T = TypeVar("T")
MOST_BYTES, MOST_VALUES, MOST_DIGITS = 4 * 2**20, 100_000, 100
BOOLEAN = "tag:yaml.org,2002:bool"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):
    """Safe YAML in which ``1e-3`` is a number, as everywhere else."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def load_spec(path: str | Path) -> Spec:
    """The spec of a YAML file; settings that it leaves out keep their defaults. Every mistake is a ``UsageError``."""
    return spec_from(read_mapping(path), source=f"{path}: ")


def spec_from(values: Mapping[str, Any], source: str = "") -> Spec:
    """The spec of a (nested, perhaps partial) mapping; ``source`` is what error messages begin with."""
    return built_from(Spec, values, source)


def built_from(cls: type[T], values: Mapping[str, Any], source: str = "") -> T:
    """The dataclass of a (nested, perhaps partial) mapping. Every mistake is a ``UsageError``."""
    try:
        _check_keys(values, cls, cls)
        lists = {name: of for name in values if (of := settings.entry_type(cls, name))}
        parsed = _parse(cls, {k: v for k, v in values.items() if k not in lists}).as_dict()
        for name, of in lists.items():
            if not isinstance(values[name], list | tuple):
                raise UsageError(f"{name}: must be a list, got {values[name]!r}")
            for i, value in enumerate(values[name]):
                if not isinstance(value, Mapping):
                    raise UsageError(f"{name}[{i}]: must be a mapping of settings, got {value!r}")
            parsed[name] = [built_from(of, value, f"{name}[{i}].") for i, value in enumerate(values[name])]
        return _build(cls, parsed)
    except UsageError as error:
        raise UsageError(f"{source}{error}") from None


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The content of a YAML file that holds a mapping; no key may occur twice."""
    try:
        text = read_bytes(Path(path), MOST_BYTES).decode()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: must be a YAML text file, got bytes that are not text") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None and _size(root, {}) > MOST_VALUES:
            raise UsageError(f"{path}: aliases make more than {MOST_VALUES:,} values of it, which is the limit")
        _check_repeats(root, str(path), set())
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except UsageError:
        raise
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: {_yaml_problem(error)}") from None
    except RecursionError:
        raise UsageError(f"{path}: not valid YAML: nested too deeply") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:  # of a tag that is no value
        raise UsageError(f"{path}: not valid YAML: {settings.shorten(str(error), 120)}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(
            f"{path}: must be a mapping of settings, got {settings.shorten(repr(value), settings.LONGEST_VALUE)}"
        )
    return value


def to_mapping(spec: Any) -> dict[str, Any]:
    """The spec as plain values (JSON and YAML can hold them); ``spec_from`` gives the same spec back."""
    return {k: _plain(v) for k, v in dataclasses.asdict(spec).items()}


def dump(spec: Any) -> str:
    """The spec as YAML, each setting under a comment that says what it means."""
    return f"# {settings.summary(type(spec))}\n" + "".join(_lines(spec, ""))


def _parse(cls: type, values: Mapping[str, Any]) -> Namespace:
    """Types, defaults and texts come from the dataclasses."""
    try:
        parsed: Namespace = _parser(cls).parse_object(dict(values))
    except (argparse.ArgumentError, TypeError, ValueError, KeyError) as error:
        raise settings.one_line(str(error), cls) from None
    return parsed


@cache
def _parser(cls: type) -> ArgumentParser:
    """Made once: a file is read up to three times, for its own errors and for those of what stands above it."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(cls)
    return parser


def _check_keys(values: Any, cls: type, whole: type, prefix: str = "") -> None:
    """Only known settings, a mapping where settings are nested, and no nulls."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{prefix.rstrip('.') or 'spec'}: must be a mapping of settings, got {values!r}")
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    for key, value in values.items():
        if str(key) in settings.setting_paths(whole) and "." in str(key):
            raise UsageError(f"{key}: must be nested in a file, one mapping inside the other")
        if key not in known:
            raise settings.unknown_setting(whole, f"{prefix}{key}")
        if dataclasses.is_dataclass(hints[key]):
            _check_keys(value, typing.cast(type, hints[key]), whole, f"{prefix}{key}.")
        elif value is None:
            raise UsageError(f"{prefix}{key}: must be {wants(hints[key])}, got null")


def _build(cls: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """The dataclass of parsed values; the errors of its own checks name the setting in full."""
    hints = typing.get_type_hints(cls)
    built: dict[str, Any] = {}
    for name, value in values.items():
        nested = dataclasses.is_dataclass(hints[name])
        built[name] = _build(hints[name], value, f"{prefix}{name}.") if nested else _frozen(value)
    with under(prefix.rstrip(".")):
        return cls(**built)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _lines(value: Any, indent: str) -> list[str]:
    lines = []
    for name, note in settings.notes(type(value)).items():
        lines.append(f"{indent}# {note}\n")
        given = getattr(value, name)
        if dataclasses.is_dataclass(given):
            lines += [f"{indent}{name}:\n", *_lines(given, indent + "  ")]
        else:
            text = yaml.safe_dump(_plain(given), default_flow_style=True, width=10_000, sort_keys=False)
            lines.append(f"{indent}{name}: {text.removesuffix(chr(10)).removesuffix(chr(10) + '...')}\n")
    return lines


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, those counted again that an alias repeats; each node is walked once."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # for an alias of a node inside itself
        inner = [one for pair in node.value for one in pair] if isinstance(node, yaml.MappingNode) else node.value
        below = sum(_size(one, known) for one in inner) if isinstance(node, yaml.CollectionNode) else 0
        known[id(node)] = 1 + below
    return known[id(node)]


def _check_repeats(node: yaml.Node | None, path: str, walked: set[int]) -> None:
    """YAML lets a later key win silently; here a repeated key is an error."""
    if id(node) in walked:
        return
    walked.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise UsageError(f"{path}: line {key.start_mark.line + 1}: a setting must be a name")
            if key.value in seen:
                raise UsageError(f"{path}: line {key.start_mark.line + 1}: setting {key.value!r} is given twice")
            seen.add(key.value)
            if key.value == "name" and value.tag == BOOLEAN and not value.style:
                what = "text, but YAML reads on, off, yes, no, true and false without quotes as true or false"
                line = f"{path}: line {value.start_mark.line + 1}"
                raise UsageError(f"{line}: name: must be {what}; quote it: '{value.value}'")
            _check_repeats(value, path, walked)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_repeats(value, path, walked)
    elif isinstance(node, yaml.ScalarNode) and node.tag in NUMBERS and not node.style:
        _check_number(node, path)


def _check_number(node: yaml.ScalarNode, path: str) -> None:
    """YAML reads ``010`` as 8 and ``1:30`` as 90; here a number is written as it is meant, and not without end."""
    digits = node.value.lstrip("+-").replace("_", "")
    octal = digits.isdigit() and len(digits) > 1 and digits.startswith("0")
    if octal or ":" in digits or len(digits) > MOST_DIGITS:
        line = f"{path}: line {node.start_mark.line + 1}"
        rule = f"decimal, without 0 in front or colons, of at most {MOST_DIGITS} digits"
        raise UsageError(f"{line}: a number must be {rule}, got {settings.shorten(node.value, settings.LONGEST_VALUE)}")


def _yaml_problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: not valid YAML: {error.problem}"
    return f"not valid YAML: {settings.shorten(str(error), 120)}"
