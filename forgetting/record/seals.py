"""Hashes in and beside the files of a record, so that a changed bit is one line for the user and never a number.

A JSON file carries the hash of what else it holds; a run's completion marker and the study's record carry those of the
files that they complete; ledger parts and checkpoints carry the hash of their content, since they are there before any
marker is. Files of older versions carry none: they are read, and what is made from them is said to be unverified.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError
from forgetting.record.field_kinds import check_shape
from forgetting.record.files import write_json
from forgetting.record.reading import bounded_lines, first_line, opened, read_json

SEAL = "sha256"


def seal(value: dict[str, Any]) -> str:
    """The hash of a mapping that JSON can hold; the seal itself has no part in it."""
    plain = json.loads(json.dumps({name: own for name, own in value.items() if name != SEAL}, allow_nan=False))
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Readable JSON with its own hash in it, atomically."""
    write_json(path, {**value, SEAL: seal(value)})


def read_sealed(path: Path, remedy: str) -> dict[str, Any]:
    """The mapping in a JSON file, its seal (if it has one) still in it.

    Raises:
        UsageError: not readable, or not what was written; ``remedy`` says what to do
    """
    try:
        found = read_json(path)
    except UsageError as error:
        raise UsageError(f"{error}; {remedy}") from None
    if SEAL in found and found[SEAL] != seal(found):
        raise damaged(path, remedy)
    return found


def read_shaped(path: Path, shape: Any, remedy: str) -> dict[str, Any]:
    """As ``read_sealed``, and ``UsageError`` where what is in it has another shape (``field_kinds``)."""
    found = read_sealed(path, remedy)
    try:
        check_shape(found, shape, "")
    except UsageError as error:
        raise UsageError(f"{path}: is not what the package writes there ({error}); {remedy}") from None
    return found


def damaged(path: Path, remedy: str) -> UsageError:
    """The error for a file that is not as it was written."""
    return UsageError(f"{path}: is damaged, it does not have the hash that it was written with; {remedy}")


def file_hash(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(folder: Path, hashes: Any, remedy: str, *, missing: bool = False) -> None:
    """``UsageError`` unless every file in ``hashes`` has its hash; ``missing`` allows files that are not there."""
    for name, expected in dict(hashes).items():
        path = folder / name
        if not path.is_file():
            if missing:
                continue
            raise UsageError(f"{path}: is missing; {remedy}")
        if file_hash(path) != expected:
            raise damaged(path, remedy)


def check_rows(path: Path, expected: Any, remedy: str) -> None:
    """``UsageError`` unless a file of rows, packed (``.gz``) or plain, holds those with the hash ``expected``."""
    digest = hashlib.sha256()
    try:
        with opened(path) as file, gzip.open(file) if path.suffix == ".gz" else file as rows:
            for line in bounded_lines(rows, path):
                digest.update(line)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path}: cannot be read ({first_line(error)}); {remedy}") from None
    if digest.hexdigest() != expected:
        raise damaged(path, remedy)
