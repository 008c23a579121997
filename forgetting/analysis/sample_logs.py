"""Sample logs of lm-eval (``--log_samples``) in; graded answers, one table for each task, filter and metric, out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from forgetting.errors import UsageError
from forgetting.natural.local_rows import Bad, numbered_rows

NAME = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d\d-\d\dT.*)?\.jsonl(\.gz)?")
WANTED = ("doc_id", "metrics")
RUN = (0, 0)


def log_files(place: Path) -> dict[str, Path]:
    """Of a file its own name, of a folder the latest log of each task, by task; empty where there is none."""
    if place.is_file():
        found = NAME.fullmatch(place.name)
        return {found["task"] if found else place.stem: place}
    files: dict[str, Path] = {}
    for path in sorted([*place.glob("samples_*.jsonl"), *place.glob("*/samples_*.jsonl")], key=lambda p: p.name):
        if found := NAME.fullmatch(path.name):
            files[found["task"]] = path
    return files


def read_log(path: Path, field: str = "compare") -> dict[tuple[str, str], pd.DataFrame]:
    """Graded answers by filter and metric; a metric counts where it is 0 or 1 of every document.

    An item is a document: its number and its hash, so that documents that differ are never paired.

    Raises:
        UsageError: the file is no such log; one line says why
    """
    rows = []
    for place, row in numbered_rows(path, field):
        why = row.why if isinstance(row, Bad) else _lacking(row)
        if why or isinstance(row, Bad):
            raise UsageError(f"{field}: must be a sample log of lm-eval, got {str(path)!r}: {place}: {why}")
        rows.append(row)
    found: dict[tuple[str, str], pd.DataFrame] = {}
    for name in dict.fromkeys(str(row.get("filter", "none")) for row in rows):
        own = [row for row in rows if str(row.get("filter", "none")) == name]
        for metric in dict.fromkeys(m for row in own for m in row["metrics"]):
            values = [row.get(metric) for row in own]
            if all(isinstance(v, bool | int | float) and v in (0, 1) for v in values):
                items = [f"{row['doc_id']}/{row.get('doc_hash', '')}" for row in own]
                right = pd.Series(values).astype(bool)
                found[name, metric] = pd.DataFrame({"run": [RUN] * len(own), "item": items, "template": items})
                found[name, metric]["right"] = right
    if not found:
        measured = sorted({str(metric) for row in rows for metric in row["metrics"]})
        rule = "a log with a metric that is 0 or 1 of every document"
        raise UsageError(f"{field}: must be {rule}, got {str(path)!r} with {', '.join(measured) or 'no rows'}")
    return found


def _lacking(row: dict[str, Any]) -> str:
    missing = [name for name in WANTED if name not in row]
    if missing:
        return f"has no {', '.join(missing)}, only {', '.join(list(row)[:6])}"
    return "" if isinstance(row["metrics"], list) else "has metrics that are no list of names"
