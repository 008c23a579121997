"""Files that a stranger may have made, read: bounded, regular files only, and every mistake one line with the path."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from forgetting.errors import UsageError

FileLine = TypeVar("FileLine", bytes, str)
FileLine_co = TypeVar("FileLine_co", bytes, str, covariant=True)

MOST_JSON = 256 * 2**20  # bytes of one JSON file
MOST_LINE = 64 * 2**20  # bytes of one row
MOST_LINES = 4 * 2**30  # bytes of all rows of a file, unpacked
DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # what turns text round on a screen


class HasLines(Protocol[FileLine_co]):
    """A file, of bytes or of characters."""

    def readline(self, size: int, /) -> FileLine_co:
        """The next line, or as much of it as ``size``; empty at the end."""


def opened(path: Path) -> io.BufferedReader:
    """A regular file, opened; a pipe or a device would be waited for without end."""
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise UsageError(f"{path}: must be a file, got a folder, a pipe or a device")
    return os.fdopen(number, "rb")


def read_bytes(path: Path, most: int = MOST_JSON) -> bytes:
    """The content of a file of at most ``most`` bytes. ``UsageError`` names the limit, ``OSError`` is the system's."""
    with opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise UsageError(f"{path}: is larger than {most / 2**20:,.0f} MiB, which is the limit for such a file")
    return data


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file. ``UsageError`` where it cannot be read or is something else."""
    try:
        found = json.loads(read_bytes(path).decode())
        if not isinstance(found, dict):
            raise ValueError("no mapping")
        check_texts(found)
    except UsageError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not readable as JSON ({first_line(error)})") from None
    return found


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The mappings of a file of JSON lines, plain or (``.gz``) compressed."""
    try:
        with opened(path) as file, gzip.open(file) if path.suffix == ".gz" else file as rows:
            found = [json.loads(line) for line in bounded_lines(rows, path)]
        if not all(isinstance(row, dict) for row in found):
            raise ValueError("a line that is no mapping")
        for row in found:
            check_texts(row)
    except UsageError:
        raise
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not readable as JSON lines ({first_line(error)})") from None
    return found


def bounded_lines(file: HasLines[FileLine], name: object) -> Iterator[FileLine]:
    """The lines of a file, plain or unpacked on the way; ``UsageError`` names the limit that they pass."""
    whole = 0
    while line := file.readline(MOST_LINE + 1):
        whole += len(line)
        if len(line) > MOST_LINE:
            raise UsageError(f"{name}: has a row of more than {MOST_LINE / 2**20:,.0f} MiB, which is the limit")
        if whole > MOST_LINES:
            raise UsageError(f"{name}: has more than {MOST_LINES / 2**30:,.0f} GiB of rows, which is the limit")
        yield line


def check_texts(value: Any) -> None:
    """``ValueError`` where a text has characters that steer a terminal or turn other text round."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            if not one.isprintable() and any(steers(c) for c in one):
                raise ValueError(f"control characters in {one[:40]!r}")
        elif isinstance(one, dict):
            stack += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            stack += one


def steers(character: str) -> bool:
    """Whether a character does something to a screen instead of being shown."""
    return character in DIRECTIONS or (unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t")


def first_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
