"""The folder of a study in; its record and its ledger out, checked to be ones, or a ``UsageError`` of one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from forgetting.analysis.table_checks import check_columns, check_numbers
from forgetting.errors import UsageError
from forgetting.record.checks import MOST_ROWS, check_names, check_record, check_words
from forgetting.record.reading import first_line, opened
from forgetting.record.schema import ADDED, LEDGER_COLUMNS
from forgetting.record.seals import read_sealed

CURVES_FILE = "curves.csv"
BRANCH_FILES = ("branches.csv", "branch_differences.csv", "branch_table.csv")
QUALITY_FILE = "branch_quality.csv"
KEYWORDS_FILE = "keyword_dependence.csv"
REMEDY = "take the folder from where it came again, or delete record.json and resume it: it is joined again"


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a study's folder, checked to be one."""
    path = folder / "record.json"
    if not folder.exists():
        raise UsageError(f"{folder}: no such folder; give the folder of a finished study")
    if not folder.is_dir():
        raise UsageError(f"{folder}: must be the folder of a study, got a file")
    if not path.exists():
        unfinished = (folder / "runs").is_dir()
        hint = "unfinished: continue it with 'forgetting resume'" if unfinished else "not the folder of a study"
        raise UsageError(f"{folder}: has no record.json ({hint})")
    record = read_sealed(path, REMEDY)
    check_record(record, path)
    if not any((folder / name).exists() for name in ("ledger.parquet", CURVES_FILE)):
        raise UsageError(f"{folder}: has neither ledger.parquet nor {CURVES_FILE}, so there is nothing to show")
    return {**record, "arms": [_as_now(arm) for arm in record["arms"]]} if "arms" in record else record


def _as_now(arm: dict[str, Any]) -> dict[str, Any]:
    """An arm as records say it now: in early ones replay and joint training stood beside the mitigation."""
    share, joint = arm.get("replay"), arm.get("joint")
    rest = {name: value for name, value in arm.items() if name not in ("replay", "joint")}
    if part_name(arm.get("mitigation", "none")) != "none" and (share or joint):
        return arm  # two mitigations at once, which no arm has now
    if joint:
        return {**rest, "mitigation": {"name": "joint"}}
    return {**rest, "mitigation": {"name": "replay", "share": share}} if share else rest


def read_ledger(path: Path) -> pd.DataFrame:
    """The ledger, checked to have its columns, each of its kind, and names that can be shown and become paths."""
    try:
        with opened(path) as file:
            about = pq.ParquetFile(file)
            if about.metadata.num_rows > MOST_ROWS:
                rows = f"{about.metadata.num_rows:,} rows, and the limit is {MOST_ROWS:,}"
                raise UsageError(f"{path}: has {rows}")
            ledger: pd.DataFrame = about.read().to_pandas()
    except UsageError:
        raise
    except (OSError, ValueError, pa.ArrowException, TypeError) as error:
        raise UsageError(f"{path}: not a readable parquet file ({first_line(error)}); {REMEDY}") from None
    ledger = ledger.assign(**{name: value for name, value in ADDED.items() if name not in ledger})
    check_columns(ledger, (name for name in LEDGER_COLUMNS if name != "answer"), path)
    for name, kind in LEDGER_COLUMNS.items():
        if kind == "string":
            words = ledger[name].unique()
            (check_names if name in ("student", "arm") else check_words)(words, name, path)
        elif name != "answer":
            check_numbers(ledger, name, path)
    return ledger


def part_name(value: Any) -> str:
    """The name of a part as the record holds it: a name, or settings with a name."""
    return str(value.get("name", "unknown")) if isinstance(value, dict) else str(value)


def data_name(arm: Mapping[str, Any]) -> str:
    """What an arm trains on, as a reader knows it: its contamination's name, and of one's own data that of the file."""
    held = arm.get("contamination", str(arm.get("name", "unknown")).split("-")[0])
    where = held.get("source") if isinstance(held, dict) else None
    return f"{Path(str(where)).name.partition('.')[0]} ({part_name(held)})" if where else part_name(held)


def replayed(arm: dict[str, Any]) -> float:
    """The share of an arm's stream that is replayed, from its settings in the record."""
    mitigation = arm.get("mitigation", "none")
    return float(mitigation["share"]) if isinstance(mitigation, dict) and part_name(mitigation) == "replay" else 0.0


@contextmanager
def shown(folder: Path) -> Iterator[None]:
    """Whatever a record that nobody foresaw breaks becomes one line with the folder; Python's error is its cause."""
    try:
        yield
    except UsageError:
        raise
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        AssertionError,
        pa.ArrowException,
        MemoryError,
    ) as error:
        what = f"{type(error).__name__}: {first_line(error)}"
        raise UsageError(f"{folder}: its record is damaged or not of a study, and cannot be shown ({what})") from error


def is_branched(record: Mapping[str, Any]) -> bool:
    """Whether students of a study go on from trunks that they share, by its record."""
    return any("branch" in one for one in record.get("students", []))
