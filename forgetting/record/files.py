"""The record on disk, the source of truth: ledger rows, score rows, and the files of a study and of its runs.

    STUDY/
      record.json         spec, fingerprint, commit, versions, hardware, seconds by stage, seeds, statuses; written last
      scores.jsonl        one score row per (run, dose, benchmark, variant, depth); recomputed from the ledger
      ledger.parquet      one ledger row per (run, dose, item): the finest grain, everything else follows from it
      answering.csv       accuracy of other ways of answering and after interventions; passing.csv: pass@k of samples
      runs/KEY/           one folder a run: ledger/dose-00000160.parquet, scores.jsonl, checkpoint/, complete.json
      tensorboard/  figures/  report.html      views, rebuilt from the record by ``forgetting report``

A run's KEY is ``STUDENT-ARM-dN-sN`` (d: distillation seed, s: contamination seed).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any


class RunFolder:
    """The files of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.scores = folder / "scores.jsonl"
        self.checkpoint = folder / "checkpoint"
        self.complete = folder / "complete.json"  # the completion marker
        self.events = folder.parent.parent / "tensorboard" / folder.name

    @property
    def backend(self) -> Path:
        """The noise floor of the process that wrote the answers, where that was another one."""
        return self.folder / "backend.json"

    @property
    def interventions(self) -> Path:
        """The ledger rows of the finished student after interventions."""
        return self.ledger / "interventions.parquet"

    def ledger_part(self, dose: int) -> Path:
        """The ledger rows of one dose."""
        return self.ledger / f"dose-{dose:08d}.parquet"

    def doses(self) -> list[int]:
        """The doses whose ledger rows are on disk, ascending."""
        return sorted(int(p.stem.removeprefix("dose-")) for p in self.ledger.glob("dose-*.parquet"))


def write_atomically(path: Path, data: bytes | str | Callable[[IO[bytes]], None]) -> None:
    """Write, fsync, rename: the file is either the old one or the whole new one. No link is followed.

    ``data`` may be a function that writes into the open file, for what is too large to be held twice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as file:
            _hold(file)
            if callable(data):
                data(file)
            else:
                file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None:  # a full disk does not say of itself where it is
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _hold(file: IO[bytes]) -> None:
    """Lock a temporary file while it is written, so that other machines of a shared disk see that somebody lives."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_json(path: Path, value: Any) -> None:
    """Readable JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def jsonl(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as JSON lines, keys in their own order."""
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
