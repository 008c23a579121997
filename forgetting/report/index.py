"""The index of a folder of results: every study's record in, one ``README.md`` with a row a study out."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from forgetting.analysis.record_reading import read_record
from forgetting.record.files import write_atomically
from forgetting.record.schema import RESULTS_VERSION
from forgetting.report.paper_tables import as_words

HEAD = """# Measured results

Made by `forgetting report --index {name}`; do not edit. Each folder holds `record.json` (spec, fingerprint, commit,
versions, hardware, seconds), `curves.csv` (every point of every curve with its interval), `figures/` and `report.html`.
Ledgers are too large to commit; the command of the experiment makes them again.{paper}

| study | commit | students | arms | seeds | cores, seconds |
| --- | --- | --- | --- | --- | --- |
"""
PAPER = """ [docs/paper.md](../docs/paper.md) has
what they say of the paper; those that former code made say so: the present code gives other
numbers (`CHANGELOG.md` says which), and `python validation/stale_figures.py` finds them."""


def write_index(results: Path) -> Path:
    """Write ``results/README.md``. Folders without a record are left out; a broken record is a ``UsageError``."""
    records = [(path.parent, read_record(path.parent)) for path in sorted(results.glob("*/record.json"))]
    rows = "".join(_row(folder, record) for folder, record in records)
    target, beside = results / "README.md", results.resolve().parent
    ours = all((beside / name).is_file() for name in ("docs/paper.md", "validation/stale_figures.py"))
    write_atomically(target, HEAD.format(name=results.resolve().name, paper=PAPER if ours else "") + rows)
    return target


def _row(folder: Path, record: dict[str, Any]) -> str:
    seeds = record.get("seeds", {})
    shared = "one student each" if seeds.get("shared_students") else "a fresh student each"
    page = "report.html" if (folder / "report.html").is_file() else "record.json"
    cells = [
        f"[{as_words(record.get('name', folder.name))}]({quote(folder.name)}/{page})",
        ", ".join(f"`{commit[:12]}`" for commit in as_words(record.get("commit") or "unknown").split(", "))
        + former(record),
        ", ".join(as_words(s["name"]) for s in record.get("students", [])),
        str(len(record.get("arms", []))),
        f"{len(seeds.get('contamination', []))}, {shared}",
        f"{as_words(record.get('hardware', {}).get('cores', '?'))}, {record.get('seconds', {}).get('study', 0):.0f}",
    ]
    return f"| {' | '.join(map(_escaped, cells))} |\n"


def former(record: dict[str, Any]) -> str:
    """What is said of a study whose runs the present code would not give again; nothing of others."""
    about = record.get("canonical")
    made = about.get("results_version", RESULTS_VERSION) if isinstance(about, dict) else RESULTS_VERSION
    return "" if made == RESULTS_VERSION else f" (former code: results version {as_words(made)}, now {RESULTS_VERSION})"


def _escaped(cell: str) -> str:
    """A cell in which no name opens a column, a line or a tag."""
    return " ".join(cell.replace("|", "&#124;").replace("<", "&lt;").split())
