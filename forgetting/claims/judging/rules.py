"""The rules that claims are judged by: a YAML file in, frozen dataclasses out, or one line that says what is wrong."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from forgetting import registry
from forgetting.contracts import Claim
from forgetting.errors import UsageError, checked, require, unknown
from forgetting.study.spec_files import read_mapping

DEFAULT = Path(__file__).parent / "rules.yaml"
DIRECTIONS = ("above", "below", "within", "shape")


@dataclass(frozen=True)
class PartRule:
    """One statistic: the claim says that it lies ``above``, ``below`` or ``within`` its margin (or has a ``shape``)."""

    statistic: str
    direction: str
    margin: float


@dataclass(frozen=True)
class RivalRule:
    """Another explanation; where it ``blocks`` and explains the effect, the claim is not called supported."""

    text: str
    blocks: bool


@dataclass(frozen=True)
class Needs:
    """What a published verdict takes; without it the verdict is exploratory. ``items`` is per cell."""

    sizes: int
    seeds: int
    items: int
    fresh_students: bool
    control: bool = False


@dataclass(frozen=True)
class Pair:
    """Which contamination competes with which skill; ``form`` restricts altered syntax to one form."""

    contamination: str
    skill: str
    form: str | None = None


@dataclass(frozen=True)
class ClaimRule:
    """How one claim is judged: what computes its statistics, with its settings, and by which margins they are read."""

    claim: Claim
    title: str
    paper: str
    source: str
    pairs: tuple[Pair, ...]
    needs: Needs
    parts: Mapping[str, PartRule]
    rivals: Mapping[str, RivalRule]


@dataclass(frozen=True)
class Rules:
    """The whole file. ``level`` is family-wise; with fewer than ``least_seeds`` seeds nothing is testable."""

    version: int
    level: float
    least_seeds: int
    claims: Mapping[str, ClaimRule]


def read_rules(path: Path | str | None = None) -> Rules:
    """The rules of a file, by default the package's own. ``UsageError`` names the field that is wrong."""
    file = DEFAULT if path is None else Path(path)
    try:
        data = read_mapping(file)
    except UsageError as error:
        raise UsageError(f"rules: {error}") from None
    values = _fields(Rules, data, "rules")
    _whole(values["version"], "rules.version", 1)
    _whole(values["least_seeds"], "rules.least_seeds", 2)
    _number(values["level"], "rules.level")
    require(0 < values["level"] < 1, "rules.level", "above 0 and below 1", values["level"])
    claims = _mapping(values["claims"], "rules.claims")
    return Rules(
        values["version"], float(values["level"]), values["least_seeds"],
        {name: _claim(name, value) for name, value in claims.items()},
    )  # fmt: skip


def known_claims() -> dict[str, type[Claim]]:
    """The package's claims by identifier, C5 before C10."""
    found = [cast(type[Claim], registry.part_class("claims", name)) for name in registry.names("claims")]
    return {cls.identifier: cls for cls in sorted(found, key=lambda cls: (len(cls.identifier), cls.identifier))}


def _claim_class(name: Any) -> type[Claim]:
    """Of an identifier, or of an import path where the claim is somebody else's."""
    known = known_claims()
    if name in known:
        return known[name]
    if isinstance(name, str) and "." in name:
        return cast(type[Claim], registry.part_class("claims", name, "rules.claims"))
    raise unknown("rules.claims", name, known)


def _claim(name: str, data: Any) -> ClaimRule:
    where, cls = f"rules.{name}", _claim_class(name)
    hints, settings = typing.get_type_hints(cls), [field.name for field in dataclasses.fields(cls)]
    needed = [field.name for field in dataclasses.fields(ClaimRule) if field.name != "claim"]
    values = _named(data, where, [*needed, *settings])
    given = {key: checked(values.pop(key), hints[key], f"{where}.{key}") for key in settings}
    for key in ("title", "paper", "source"):
        require(isinstance(values[key], str), f"{where}.{key}", "text", values[key])
    pairs = values["pairs"]
    require(isinstance(pairs, list) and len(pairs) > 0, f"{where}.pairs", "a list of at least one", pairs)
    values["pairs"] = tuple(_pair(pair, f"{where}.pairs") for pair in pairs)
    values["needs"] = _needs(values["needs"], f"{where}.needs")
    parts = _named(values["parts"], f"{where}.parts", cls.parts)
    values["parts"] = {key: _part(parts[key], f"{where}.parts.{key}") for key in cls.parts}
    rivals = _named(values["rivals"], f"{where}.rivals", cls.rivals)
    values["rivals"] = {key: _rival(rivals[key], f"{where}.rivals.{key}") for key in cls.rivals}
    return ClaimRule(cls(**given), **values)


def _part(data: Any, where: str) -> PartRule:
    values = _fields(PartRule, data, where)
    if values["direction"] not in DIRECTIONS:
        raise unknown(f"{where}.direction", values["direction"], DIRECTIONS)
    shape = where.endswith(".shape")
    require(
        (values["direction"] == "shape") == shape, f"{where}.direction", "'shape' for shape alone", values["direction"]
    )
    _number(values["margin"], f"{where}.margin")
    if values["direction"] == "within":
        require(0 < values["margin"] < 1, f"{where}.margin", "above 0 and below 1", values["margin"])
    return PartRule(str(values["statistic"]), values["direction"], float(values["margin"]))


def _rival(data: Any, where: str) -> RivalRule:
    values = _fields(RivalRule, data, where)
    require(isinstance(values["blocks"], bool), f"{where}.blocks", "true or false", values["blocks"])
    return RivalRule(str(values["text"]), values["blocks"])


def _needs(data: Any, where: str) -> Needs:
    values = _fields(Needs, data, where)
    for key in ("sizes", "seeds", "items"):
        _whole(values[key], f"{where}.{key}", 1)
    for key in {"fresh_students", "control"} & set(values):
        require(isinstance(values[key], bool), f"{where}.{key}", "true or false", values[key])
    return Needs(**values)


def _pair(data: Any, where: str) -> Pair:
    values = _fields(Pair, data, where)
    require(all(isinstance(value, str) for value in values.values()), where, "names", values)
    return Pair(**values)


def _mapping(data: Any, where: str) -> dict[str, Any]:
    require(isinstance(data, dict), where, "a mapping", data)
    return dict(data)


def _named(data: Any, where: str, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """A mapping in which no name is unknown and none that is needed is missing."""
    given = _mapping(data, where)
    for name in given:
        if name not in (*needed, *optional):
            raise unknown(where, name, (*needed, *optional))
    for name in needed:
        require(name in given, where, f"complete: {name!r} is missing; has", sorted(map(str, given)))
    return given


def _fields(kind: type[Any], data: Any, where: str) -> dict[str, Any]:
    """A mapping with the fields of a dataclass; those with a default may be left out."""
    fields = dataclasses.fields(kind)
    optional = [field.name for field in fields if field.default is not dataclasses.MISSING]
    return _named(data, where, [field.name for field in fields if field.name not in optional], optional)


def _whole(value: Any, where: str, least: int) -> None:
    require(type(value) is int and value >= least, where, f"a whole number, {least} or more", value)


def _number(value: Any, where: str) -> None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    require(fine, where, "a finite number", value)
