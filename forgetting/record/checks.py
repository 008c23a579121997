"""Whether a record has the shape that views rely on: names that are names, numbers that are numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError, file_name
from forgetting.record.reading import check_texts

MOST_ROWS = 50_000_000  # of a ledger


def check_record(record: dict[str, Any], path: Path) -> None:
    """``UsageError`` names the file and the first entry that is not as the package writes it."""
    _mapping(record.get("benchmarks"), "benchmarks", path)
    for name, about in record["benchmarks"].items():
        _mapping(about, f"benchmarks.{name}", path)
        _number(about.get("chance"), f"benchmarks.{name}.chance", path)
        _number(about.get("version"), f"benchmarks.{name}.version", path)
    for listed in ("arms", "students", "statuses", "pruned", "diverged", "noise_floor", "differences", "failures"):
        entries = record.get(listed, [])
        if not isinstance(entries, list):
            raise _wrong(f"{listed}: must be a list", path)
        for number, entry in enumerate(entries):
            _mapping(entry, f"{listed}[{number}]", path)
    _check_failures(record, path)
    for listed in ("arms", "students"):
        for number, entry in enumerate(record.get(listed, [])):
            try:
                file_name(entry.get("name"), f"{listed}[{number}].name")
            except UsageError as error:
                raise _wrong(str(error), path) from None
    _check_arms(record, path)
    for number, student in enumerate(record.get("students", [])):
        _number(student.get("capacity", 0) or 0, f"students[{number}].capacity", path)
    for name in ("seconds", "seeds", "hardware", "versions"):
        _mapping(record.get(name, {}), name, path)
    for name, value in record.get("seconds", {}).items():
        _number(value, f"seconds.{name}", path)
    if not isinstance(record.get("name", ""), str):
        raise _wrong("name: must be text", path)


def _check_failures(record: dict[str, Any], path: Path) -> None:
    """Counts of failures: names that can be shown and become parts of paths, and whole numbers."""
    for number, entry in enumerate(record.get("failures", [])):
        where = f"failures[{number}]"
        check_names([entry.get(name) for name in ("student", "arm", "benchmark")], where, path)
        check_words([entry.get(name) for name in ("failure", "kind")], where, path)
        for name in ("capacity", "dose", "distillation_seed", "seed", "answers"):
            if type(entry.get(name)) is not int or entry[name] < 0:
                raise _wrong(f"{where}.{name}: must be a whole number, 0 or more, got {entry.get(name)!r}", path)


def _check_arms(record: dict[str, Any], path: Path) -> None:
    """What figures say of an arm."""
    for number, arm in enumerate(record.get("arms", [])):
        for name in ("shift", "rate_multiple", "replay"):
            _number(arm.get(name, 0) or 0, f"arms[{number}].{name}", path)
        rates = arm.get("rates", {})
        _mapping(rates, f"arms[{number}].rates", path)
        for student, rate in rates.items():
            _mapping(rate, f"arms[{number}].rates.{student}", path)
            _number(rate.get("learning_rate"), f"arms[{number}].rates.{student}.learning_rate", path)


def check_names(names: Any, what: str, path: Path) -> None:
    """``UsageError`` unless names in the rows of a table can become parts of paths and be shown."""
    for name in names:
        try:
            file_name(name, what)
        except UsageError as error:
            raise _wrong(str(error), path) from None


def check_words(words: Any, what: str, path: Path) -> None:
    """``UsageError`` unless words in the rows of a table are texts that can be shown."""
    for word in words:
        if not isinstance(word, str):
            raise _wrong(f"{what}: must be text, got {word!r}", path)
        try:
            check_texts(word)
        except ValueError as error:
            raise _wrong(f"{what}: {error}", path) from None


def _mapping(value: Any, what: str, path: Path) -> None:
    if not isinstance(value, dict):
        raise _wrong(f"{what}: must be a mapping, got {str(value)[:40]!r}", path)


def _number(value: Any, what: str, path: Path) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e18:
        raise _wrong(f"{what}: must be a number, got {str(value)[:40]!r}", path)


def _wrong(what: str, path: Path) -> UsageError:
    return UsageError(f"{path}: not the record of a study ({what})")
