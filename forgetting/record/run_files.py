"""The files of a run, read back: each is what was written, or one line that says which run is to be made again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from forgetting.errors import UsageError
from forgetting.record.checks import RATE
from forgetting.record.field_kinds import ANY, NUMBER, TEXT, WHOLE, check_shape, maybe
from forgetting.record.files import RunFolder
from forgetting.record.reading import first_line, opened
from forgetting.record.schema import LEDGER_COLUMNS
from forgetting.record.seals import SEAL, check_files, damaged, read_sealed

_TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "list<int32>": pa.list_(pa.int32())}
MARKER = {
    "wall_seconds": {ANY: NUMBER}, "processor_seconds": maybe({ANY: NUMBER}), "pruned_at": maybe(WHOLE),
    "files": maybe({ANY: TEXT}), "matched": maybe(RATE), "notes": maybe({ANY: NUMBER}),
}  # fmt: skip
SCHEMA = pa.schema([(name, _TYPES[kind]) for name, kind in LEDGER_COLUMNS.items()])


def remedy(run: RunFolder) -> str:
    """What to do about a run whose files are not as they were written."""
    return f"delete the folder {str(run.folder)!r} and go on: that run is made again"


def sealed_part(table: pa.Table) -> pa.Table:
    """Ledger rows with the hash of their content beside them."""
    return table.replace_schema_metadata({SEAL: content_hash(table)})


def content_hash(table: pa.Table) -> str:
    """The hash of ledger rows, whatever the file that holds them looks like."""
    digest = hashlib.sha256()
    for name, kind in LEDGER_COLUMNS.items():
        column = table[name].combine_chunks()
        if kind == "list<int32>":
            digest.update(column.value_lengths().to_numpy(zero_copy_only=False).astype("<i4").tobytes())
            digest.update(column.flatten().to_numpy(zero_copy_only=False).astype("<i4").tobytes())
        elif kind == "string":
            digest.update("\0".join(map(str, column.to_pandas().tolist())).encode())
        else:
            values = column.fill_null(float("nan")) if kind == "float64" else column
            digest.update(values.to_numpy(zero_copy_only=False).astype("<f8" if kind == "float64" else "<i8").tobytes())
        digest.update(f"|{name}|{len(column)}|".encode())
    return digest.hexdigest()


def read_part(run: RunFolder, dose: int) -> tuple[pa.Table, bool]:
    """The ledger rows of a dose, and whether they carry a hash, as those of older versions do not."""
    return read_rows(run, run.ledger_part(dose))


def read_rows(run: RunFolder, path: Path) -> tuple[pa.Table, bool]:
    """Ledger rows of a file of the run, and whether they carry a hash.

    Raises:
        UsageError: they cannot be read, or are not what was written
    """
    try:
        with opened(path) as file:
            table = pq.ParquetFile(file).read(use_threads=False)
        mark = (table.schema.metadata or {}).get(SEAL.encode())
        table = table.select(SCHEMA.names).cast(SCHEMA)
        right = mark is None or content_hash(table).encode() == mark
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path}: cannot be read ({first_line(error)}); {remedy(run)}") from None
    if not right:
        raise damaged(path, remedy(run))
    return table.replace_schema_metadata(None), mark is not None


def read_marker(run: RunFolder, fingerprint: str | None = None) -> dict[str, Any]:
    """A run's completion marker, after every file that it completes was seen to be as it was then.

    Raises:
        UsageError: it, or a file, is damaged or missing, or it is of another run than the one with that fingerprint
    """
    found = read_sealed(run.complete, remedy(run))
    if fingerprint is not None and found.get("fingerprint") != fingerprint:
        what = f"the completion marker of another run ({found.get('fingerprint')!r}, not {fingerprint!r})"
        raise UsageError(f"{run.complete}: is {what}; {remedy(run)}")
    try:
        check_shape(found, MARKER, "")
    except UsageError as error:
        raise UsageError(f"{run.complete}: is no completion marker ({error}); {remedy(run)}") from None
    check_files(run.folder, found.get("files", {}), remedy(run))
    return found
