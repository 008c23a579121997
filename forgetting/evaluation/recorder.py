"""A run's record while it runs: ledger rows durable at each dose, scores and events recomputed from them at once."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from forgetting.analysis.scores import plain_rows, score_rows
from forgetting.contracts import Benchmark
from forgetting.evaluation.events import EventsWriter, scalar_values
from forgetting.evaluation.loggers import ScoreLogger
from forgetting.record.files import RunFolder, jsonl, write_atomically
from forgetting.record.run_files import SCHEMA, read_part, sealed_part
from forgetting.record.schema import ADDED, LEDGER_COLUMNS
from forgetting.record.seals import file_hash, write_sealed
from forgetting.training.stopwatch import Stopwatch


class Recorder:
    """Writes one run's files. The ledger part comes first, so that the scores never know more than the ledger."""

    def __init__(
        self,
        run: RunFolder,
        columns: Mapping[str, Any],
        benchmarks: Sequence[Benchmark],
        watch: Stopwatch,
        new_source: str = "new",
        loggers: Callable[[], Sequence[ScoreLogger]] = tuple,
    ) -> None:
        """``loggers`` are opened when the first rows are written; they are told every score that TensorBoard shows."""
        self.run, self.columns, self.watch = run, dict(columns), watch
        self.chances = {b.short_name(): b.chance for b in benchmarks}
        self.versions = {b.short_name(): b.version for b in benchmarks}
        self._source = new_source
        self._open, self._loggers = loggers, list[ScoreLogger]()
        self._events: EventsWriter | None = None
        self._base: pd.DataFrame | None = None
        self.answers: dict[tuple[str, str], list[int]] = {}  # the last answer to each item, by benchmark and item
        self._lines: list[str] = []
        self.unverified: set[str] = set()  # files of older versions that the run was made from

    def start_at(self, dose: int) -> None:
        """Drop rows beyond ``dose`` and take up the ones before it; with nothing to take up, start empty."""
        self.run.ledger.mkdir(parents=True, exist_ok=True)
        self._events = EventsWriter(self.run.events)
        self._loggers = list(self._open())
        for later in [d for d in self.run.doses() if d > dose]:
            self.run.ledger_part(later).unlink()
        for kept in self.run.doses():
            self._score(self._kept(kept))
        write_atomically(self.run.scores, "".join(self._lines))

    def add(self, rows: pd.DataFrame, clock: Mapping[str, int]) -> None:
        """One dose's rows: ledger part, then scores."""
        frame = self._write(self.run.ledger_part(clock["dose"]), rows, clock)
        self._score(frame)
        write_atomically(self.run.scores, "".join(self._lines))

    def add_interventions(self, rows: pd.DataFrame, clock: Mapping[str, int]) -> None:
        """The rows of the finished student after interventions."""
        self._write(self.run.interventions, rows, clock)

    def _write(self, path: Path, rows: pd.DataFrame, clock: Mapping[str, int]) -> pd.DataFrame:
        if "generated" not in rows:
            rows = rows.assign(generated=[len(answer) for answer in rows["answer"]])
        missing = {name: value for name, value in ADDED.items() if name not in rows}
        frame = rows.assign(**missing, **self.columns, **clock)[list(LEDGER_COLUMNS)]
        table = pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False)
        buffer = io.BytesIO()
        pq.write_table(sealed_part(table), buffer, compression="zstd")
        write_atomically(path, buffer.getvalue())
        return frame

    def finish(
        self,
        fingerprint: str,
        stack: int = 1,
        why: str = "",
        pruned_at: int | None = None,
        matched: Any = None,
        notes: Mapping[str, float] | None = None,
    ) -> None:
        """The completion marker: after it the run is never touched again.

        The seconds of a stack are shared out evenly; ``why`` says what kept a run that was to be stacked from it,
        ``pruned_at`` at which dose a run was ended early, ``matched`` (a dataclass) which rate it was given and why,
        ``notes`` what its mitigation told.
        """
        if self._events is not None:
            self._events.close()
        for logger in self._loggers:
            logger.close()
        counted = {"wall_seconds": self.watch.wall_seconds, "processor_seconds": self.watch.processor_seconds}
        seconds = {kind: {name: round(s / stack, 3) for name, s in own.items()} for kind, own in counted.items()}
        how: dict[str, Any] = {"stack": stack, **({"not_stacked": why} if why else {})}
        how |= {} if pruned_at is None else {"pruned_at": pruned_at}
        how |= {} if matched is None else {"matched": dataclasses.asdict(matched)}
        how |= {"notes": dict(notes)} if notes else {}
        how |= {"unverified": sorted(self.unverified)} if self.unverified else {}
        own = [self.run.backend] if self.run.backend.is_file() else []
        parts = [self.run.scores, *self.run.ledger.glob("*.parquet"), *own]
        files = {str(path.relative_to(self.run.folder)): file_hash(path) for path in sorted(parts)}
        write_sealed(self.run.complete, {"fingerprint": fingerprint, **seconds, "files": files, **how})

    def _kept(self, dose: int) -> pd.DataFrame:
        """The ledger rows of a dose, taken up from disk."""
        table, verified = read_part(self.run, dose)
        if not verified:
            self.unverified.add(self.run.ledger_part(dose).name)
        rows: pd.DataFrame = table.to_pandas()
        return rows

    def _score(self, frame: pd.DataFrame) -> None:
        frame = plain_rows(frame)
        names = zip(frame["benchmark"], frame["item"], strict=True)
        self.answers |= {name: answer.tolist() for name, answer in zip(names, frame["answer"], strict=True)}
        base = frame if self._base is None else self._base
        self._base = base
        dose = int(frame["dose"].iloc[0])
        rows = [dataclasses.asdict(row) for row in score_rows(frame, self.chances, self.versions, base)]
        self._lines.append(jsonl(rows))
        values = scalar_values(rows, self._source)[dose]
        if self._events is not None:
            self._events.scalars(dose, values)
        for logger in self._loggers:
            logger.scalars(dose, values)
