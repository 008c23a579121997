"""Parts by name: a short name (a file of the family's folder) or an import path, with settings, becomes a part."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
import traceback
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from forgetting.contracts import FAMILIES, Part
from forgetting.errors import UsageError, checked, unknown
from forgetting.natural.local_rows import is_data_file


def names(family: str) -> list[str]:
    """The short names of a family's members, from its folder's files; folders and ``_``-files are what they share."""
    package = importlib.import_module(f"forgetting.{family}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not (m.ispkg or m.name.startswith("_")))


def _member(module_name: str, family: str) -> type[Part]:
    module = importlib.import_module(module_name)
    base = FAMILIES[family]
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, base)
            and value is not base
            and value.__module__ == module_name
        ):
            return value
    raise UsageError(f"{family}: module {module_name!r} defines no {base.__name__}")


def part_class(family: str, name: str, field: str | None = None) -> type[Part]:
    """The class behind a short name or an import path ``package.module.Class``; else ``UsageError``."""
    field = field or family
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    if not name or type(name) is not str:
        raise UsageError(f"{field}: must be a name or a mapping with a name, got {name!r}")
    if name in names(family):
        return _member(f"forgetting.{family}.{name}", family)
    if "." not in name:
        raise unknown(field, name, names(family))
    module_name, _, class_name = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{field}: cannot import {name!r}: {error}; install it, or name its folder in PYTHONPATH"
        ) from None
    except (ImportError, AttributeError, ValueError, TypeError, SyntaxError) as error:
        raise UsageError(f"{field}: cannot import {name!r}: {error}") from None
    base = FAMILIES[family]
    found = getattr(module, class_name, None)
    if found is None:
        classes = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, base) and v is not base]
        has = f"its parts: {', '.join(classes)}" if classes else f"it defines no {base.__name__}"
        raise UsageError(f"{field}: cannot import {name!r}: module {module_name!r} has no {class_name!r}; {has}")
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UsageError(f"{field}: {name!r} is not a {base.__name__}")
    _check_settings(found, field)
    return found


def _check_settings(cls: type[Part], field: str) -> None:
    """That annotated attributes are settings; without ``@dataclass`` they would never be read, without a word."""
    annotated = [n for n, hint in vars(cls).get("__annotations__", {}).items() if "ClassVar" not in str(hint)]
    if annotated and "__dataclass_params__" not in vars(cls):
        raise UsageError(f"{field}: {cls.__qualname__}.{annotated[0]} is no setting: write @dataclass(frozen=True)")


def names_data(value: object) -> bool:
    """Whether a value is a path of data rather than the name of a part."""
    if not isinstance(value, str):
        return False
    path = Path(value.removeprefix("stream:"))
    return value.startswith(("./", "../", "/", "~", "$", "hf://", "stream:")) or is_data_file(path)


def settings_of(family: str, value: Any) -> dict[str, Any]:
    """The name and settings of a part that a spec names; a path of data is the source of ``conversations``."""
    if family == "contamination" and names_data(value):
        return {"name": "conversations", "source": value}
    return dict(value) if isinstance(value, Mapping) else {"name": value}


@contextmanager
def told_as(field: str, part: Part | type[Part]) -> Iterator[None]:
    """What a part says of its settings (``replay.share: ...``), said of the field that it was given in.

    Whoever speaks first in the line, if anybody (the part, or something that it is made of), is left out where a
    setting of the part follows: the user wrote ``mitigations[1].share``.
    """
    try:
        yield
    except UsageError as error:
        speaker = rf"(?:{part.family}\.)??(?:{re.escape(part.short_name())}|\w+)\."
        own = "|".join(f.name for f in dataclasses.fields(part)) or "(?!)"
        found = re.match(rf"({speaker})?((?:{own})(?(1)(?=\W)|(?=[:\[])).*)", str(error), re.DOTALL)
        raise UsageError(f"{field}.{found[2]}" if found else f"{field}: {error}") from error


def build_all(family: str, values: Iterable[Any], field: str) -> tuple[Any, ...]:
    """The parts of a list."""
    return tuple(build(family, value, f"{field}[{place}]") for place, value in enumerate(values))


def build(family: str, value: str | Mapping[str, Any] | Part, field: str | None = None) -> Part:
    """A part from ``"name"``, ``{"name": ..., setting: value}`` or a part; every mistake is a ``UsageError``."""
    field = field or family
    if isinstance(value, Part):
        if not isinstance(value, FAMILIES[family]):
            raise UsageError(f"{field}: must be a {FAMILIES[family].__name__}, got {value!r}")
        return value
    settings = settings_of(family, value)
    if "name" not in settings:
        raise UsageError(f"{field}: must be a name or a mapping with a name, got {settings!r}")
    cls = part_class(family, settings.pop("name", ""), field)
    hints = typing.get_type_hints(cls)
    known = {f.name: hints[f.name] for f in dataclasses.fields(cls)}
    for key, given in settings.items():
        if key not in known:
            raise unknown(field, key, known or ["(no settings)"])
        settings[key] = checked(given, known[key], f"{field}.{key}")
    try:
        with told_as(field, cls):
            return cls(**settings)
    except UsageError:
        raise
    except TypeError as error:
        raise UsageError(f"{field}: {cls.short_name()}: {error}") from None
    except (ValueError, AssertionError, LookupError, ArithmeticError, AttributeError) as error:
        raise UsageError(f"{field}: {cls.short_name()}: {type(error).__name__}: {error}".rstrip(": ")) from error


def place_outside(error: BaseException) -> str | None:
    """The part of another package that an error came out of, with file and line; None where it came out of none."""
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        owner = frame.f_locals.get("self", frame.f_locals.get("cls"))
        cls = owner if isinstance(owner, type) else type(owner)
        if issubclass(cls, Part) and not cls.__module__.startswith("forgetting."):
            place = f"{cls.short_name()} ({Path(frame.f_code.co_filename).name}, line {line})"
    return place
