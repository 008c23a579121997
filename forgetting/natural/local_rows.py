"""Rows of a local file in, one after another, each with the line it stands on; a row that cannot be read says why.

JSON lines, JSON (a list, or an object that holds one), CSV and TSV, Parquet, plain text (a text per paragraph), each
also as ``.gz``. What makes a whole file unreadable is one ``UsageError`` that names the cause.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError
from forgetting.record.reading import MOST_JSON, bounded_lines, opened

TEXT, TABLES, PARQUET = (".jsonl", ".ndjson", ".json", ".txt", ".md"), (".csv", ".tsv"), ".parquet"
SUFFIXES = (*TEXT, *TABLES, PARQUET)
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
HALF = "\\ud"  # how JSON writes half a character
HEAD = 8192  # bytes that tell what a file is


@dataclass(frozen=True)
class Bad:
    """A row that cannot be used, and why."""

    why: str


Numbered = tuple[str, dict[str, Any] | Bad]  # where a row stands, such as "line 3", and the row


def is_data_file(path: Path) -> bool:
    """Whether a path ends as the files do that are read here."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower() in SUFFIXES


def numbered_rows(path: Path, field: str) -> Iterator[Numbered]:
    """The rows of a file. ``UsageError`` names the setting ``field``, the file and what is wrong with it."""
    kind = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    trouble = f"{field}: {str(path)!r}"
    try:
        if kind == PARQUET:
            yield from _parquet(path, trouble)
            return
        with opened(path) as packed, gzip.open(packed) if path.suffix == ".gz" else packed as file:
            head = file.read(HEAD)
            _check_head(head, trouble)
            file.seek(0)
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="" if kind in TABLES else None)
            if kind == ".json":
                yield from _json(_whole(text, trouble), trouble)
                return
            lines = bounded_lines(text, trouble)
            if kind in TABLES:
                first = next(line for line in lines if line.strip())
                yield from _table(chain([first], lines), _delimiter(first, kind), trouble)
            elif kind in (".txt", ".md"):
                yield from _paragraphs(lines)
            else:
                yield from _lines(lines)
    except UnicodeDecodeError:
        raise UsageError(f"{trouble} is no UTF-8 text; save it as UTF-8") from None
    except (OSError, EOFError, ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{trouble} cannot be read: {' '.join(said.split())[:160]}") from error


def _check_head(head: bytes, trouble: str) -> None:
    """``UsageError`` where the first bytes are not those of UTF-8 text."""
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise UsageError(f"{trouble} is empty")
    if head.startswith(UTF_16) or (b"\0" in head[:200] and head[:200].count(b"\0") > len(head[:200]) // 3):
        raise UsageError(f"{trouble} is text in UTF-16; save it as UTF-8")
    if b"\0" in head:
        raise UsageError(f"{trouble} is binary, no text")


def _whole(text: io.TextIOWrapper, trouble: str) -> str:
    found = text.read(MOST_JSON + 1)
    if len(found) > MOST_JSON:
        raise UsageError(
            f"{trouble} is larger than {MOST_JSON / 2**20:,.0f} MiB, which is the limit; save it as .jsonl"
        )
    return found


def _json(text: str, trouble: str) -> Iterator[Numbered]:
    """One JSON value that holds the rows, or JSON lines under that name."""
    try:
        yield from _list(_held(json.loads(text), trouble), trouble, halves=HALF in text.lower())
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise UsageError(f"{trouble} is no JSON: {_said(error)}") from None
        yield from _lines(text.split("\n"))


def _lines(lines: Iterable[str]) -> Iterator[Numbered]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield f"line {number}", Bad(f"is no JSON: {_said(error)}")
            continue
        yield f"line {number}", _object(row, halves=HALF in line.lower())


def _object(row: Any, *, halves: bool) -> dict[str, Any] | Bad:
    """A row as it can be used; ``halves``: its text has escapes that may be half a character."""
    if not isinstance(row, dict):
        return Bad(f"is no object, but {_kind(row)}")
    try:
        if halves:
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Bad("has half a character (a surrogate without its other half)")
    return row


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:100]


def _held(whole: Any, trouble: str) -> Any:
    """The list of rows that an object holds; an object without any is one row."""
    if not isinstance(whole, dict):
        return whole
    if len(whole) > 1 and _are_columns(list(whole.values())):
        raise UsageError(f"{trouble} holds columns, not rows; save it with an object a row (pandas: orient='records')")
    lists = [v for v in whole.values() if isinstance(v, list) and v and all(isinstance(one, dict) for one in v)]
    rows = [v for v in lists if not any({"role", "from"} & set(one) for one in v)]
    if len(rows) > 1:
        raise UsageError(f"{trouble} holds several lists of rows; give a file with one of them")
    return rows[0] if rows else [whole]


def _are_columns(values: list[Any]) -> bool:
    """Whether an object's values are columns: lists of plain values, or objects by number, all of one length."""
    lists = all(isinstance(v, list) and v and not any(isinstance(one, dict) for one in v) for v in values)
    by_number = all(isinstance(v, dict) and v and all(key.isdecimal() for key in v) for v in values)
    return (lists or by_number) and len({len(v) for v in values}) == 1


def _list(found: Any, trouble: str, *, halves: bool) -> Iterator[Numbered]:
    if not isinstance(found, list):
        raise UsageError(f"{trouble} must hold rows, got {_kind(found)}")
    for number, row in enumerate(found, 1):
        yield f"row {number}", _object(row, halves=halves)


def _delimiter(head: str, kind: str) -> str:
    """What parts the fields: of a .csv what its first line has, for some programs write semicolons or tabs."""
    found = "\t" if kind == ".tsv" else ","
    return found if found in head else next((one for one in ";\t" if one in head), found)


def _table(lines: Iterable[str], delimiter: str, trouble: str) -> Iterator[Numbered]:
    csv.field_size_limit(2**30)
    reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
    try:
        if not reader.fieldnames or len(set(reader.fieldnames)) < len(reader.fieldnames):
            raise UsageError(f"{trouble} must begin with the names of its columns, each once")
        for row in reader:
            whole = None not in row and None not in row.values()
            count = f"has another number of fields than the {len(reader.fieldnames)} columns"
            yield f"line {reader.line_num}", row if whole else Bad(count)
    except csv.Error as error:
        raise UsageError(f"{trouble} is no table: line {reader.line_num + 1}: {error}") from error


def _paragraphs(lines: Iterable[str]) -> Iterator[Numbered]:
    """Texts that blank lines part."""
    held, begin = list[str](), 1
    for number, line in enumerate(chain(lines, ["\n"]), 1):
        if line.strip():
            begin = number if not held else begin
            held.append(line)
        elif held:
            yield f"line {begin}", {"text": "".join(held).strip()}
            held = []


def _parquet(path: Path, trouble: str) -> Iterator[Numbered]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with opened(path) as packed:
            number = 0
            for batch in pq.ParquetFile(packed).iter_batches(1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except pa.ArrowException as error:
        raise UsageError(f"{trouble} is no Parquet file: {_said(error)}") from error


def _kind(value: Any) -> str:
    names = {
        list: "a list",
        dict: "an object",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "true or false",
    }
    return names.get(type(value), "null")
