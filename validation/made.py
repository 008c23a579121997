"""What commands that were killed have made: the folder in; what must be as it is uninterrupted, and leftovers, out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

TIMES = (
    "wall_seconds",
    "processor_seconds",
    "created",
    "sha256",
)  # differ from one making to another, or follow from them
KEY = ["student", "arm", "seed", "dose", "benchmark", "variant", "item"]
# What is there when a command has come that far, the furthest first.
STUDY_STATES = (
    ("views", "runs/*/report.html"), ("figures", "runs/*/figures/*"), ("record", "runs/*/record.json"),
    ("joined", "runs/*/ledger.parquet"), ("a run complete", "runs/*/runs/*/complete.json"),
    ("a look", "runs/*/runs/*/ledger/*.parquet"), ("a run", "runs/*/runs/*"), ("laid out", "runs/*/s*.json"),
)  # fmt: skip
STATES = {
    "study": STUDY_STATES, "stack": STUDY_STATES, "sweep": STUDY_STATES,
    "ladder": (
        ("exporting", "export/*/*"), ("stored", "store/*/manifest.json"), ("storing", "store/.*/*"),
        ("checkpoint", "store/unfinished/*/*"), ("making", "store/unfinished/*"),
    ),
    "report": (
        ("events", "runs/*/tensorboard/*"), ("page", "runs/*/report.html"), ("figures", "runs/*/figures/*"),
        ("curves", "runs/*/curves.csv"),
    ),
}  # fmt: skip


def study_of(folder: Path) -> Path:
    """The folder of the study or sweep."""
    return next(folder.glob("runs/kills-*"))


def by_study(folder: Path) -> dict[str, Any]:
    """Scores, ledger and record of a study, as hashes, and the rows that are there twice."""
    from forgetting import load
    from tests.trust.damage import plain_record

    result = load(study_of(folder))
    ledger = result.ledger
    assert ledger is not None
    return {
        "rows": len(ledger), "doubled": int(ledger.duplicated(KEY).sum()),
        "scores": _hash(result.to_frame().to_json()), "ledger": _hash(ledger.to_json()),
        "record": _hash(json.dumps(plain_record(result.record), sort_keys=True)),
        "curves": _hash((result.folder / "curves.csv").read_text()),
        "views": sorted(path.name for path in result.folder.rglob("*") if path.suffix in (".png", ".svg", ".html")),
        "files of events": len(list(result.folder.rglob("*tfevents*"))),
    }  # fmt: skip


def by_sweep(folder: Path) -> dict[str, Any]:
    """The same of a sweep, and its thresholds and trials."""
    from validation.flips import sweep_numbers

    return {**by_study(folder), "sweep": _hash(json.dumps(sweep_numbers(study_of(folder))))}


def by_report(folder: Path) -> dict[str, Any]:
    """The same of a study whose views were built again, and the page and the figures byte by byte."""
    views = [p for p in sorted(study_of(folder).rglob("*")) if p.suffix in (".png", ".svg", ".html")]
    return {**by_study(folder), "bytes": [hashlib.sha256(path.read_bytes()).hexdigest() for path in views]}


def by_ladder(folder: Path) -> dict[str, Any]:
    """The models of a store and those that were exported: every file but the manifests, whose clocks differ."""
    found: dict[str, Any] = {"doubled": 0}
    for entry in sorted(path.parent for path in folder.glob("*/*/manifest.json")):
        about = json.loads((entry / "manifest.json").read_text())
        plain = {name: value for name, value in about.items() if name not in TIMES}
        name = str(entry.relative_to(folder))
        found[name] = _hash(json.dumps(plain, sort_keys=True))
        found[f"{name} on disk"] = {
            p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in entry.iterdir() if p.name != "manifest.json"
        }
    return found


def leftovers(folder: Path) -> list[str]:
    """Temporary files, locks, halves of entries and unfinished work in a folder, its store or its temporary folder."""
    found = [p for p in folder.rglob("*") if p.name.endswith((".tmp", ".lock")) or p.name.startswith(".")]
    found += [*(folder / "store" / "unfinished").glob("*"), *(folder / "tmp").iterdir()]
    return sorted({str(p.relative_to(folder)) for p in found})


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
