"""A run's record: durable at every dose, recomputed from the ledger, and without what came after a checkpoint."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow.parquet as pq
import pytest

from forgetting import registry
from forgetting.analysis.scores import score_rows
from forgetting.contracts import Benchmark
from forgetting.evaluation import recorder as module
from forgetting.evaluation.evaluator import Evaluator
from forgetting.evaluation.recorder import SCHEMA, Recorder
from forgetting.record.files import RunFolder
from forgetting.record.schema import LEDGER_COLUMNS, ScoreRow
from forgetting.record.seals import seal
from forgetting.spec import Evaluation
from forgetting.testing.small import model, samples
from forgetting.training.stopwatch import Stopwatch

COLUMNS = {"student": "tiny", "capacity": 9, "arm": "dialogue", "distillation_seed": 0, "seed": 3}
LOOKUP = cast(Benchmark, registry.build("benchmarks", {"name": "lookup", "item_count": 4}))
DOSES = (0, 20, 80, 1280)


@pytest.fixture(scope="module")
def looks() -> dict[int, pd.DataFrame]:
    """What four students answer, as if they were one at four doses."""
    evaluator = Evaluator(model(0), [LOOKUP], samples(3, source="dialogue"), "dialogue", Evaluation(max_new_tokens=3))
    return {dose: evaluator.measure(model(seed), perturbed=True) for seed, dose in enumerate(DOSES)}


def clock(dose: int) -> dict[str, int]:
    return {"dose": dose, "dose_tokens": 9 * dose, "stream_samples": 2 * dose}


def recorder(folder: Path) -> Recorder:
    return Recorder(RunFolder(folder), COLUMNS, [LOOKUP], Stopwatch())


def recorded(folder: Path, looks: dict[int, pd.DataFrame], doses: tuple[int, ...] = DOSES) -> RunFolder:
    """A run that was recorded without interruption."""
    writer = recorder(folder)
    writer.start_at(0)
    for dose in doses:
        writer.add(looks[dose], clock(dose))
    return writer.run


def files(run: RunFolder) -> dict[str, Any]:
    """Scores as text, ledger parts as tables."""
    return {"scores": run.scores.read_text(), **{str(d): pq.read_table(run.ledger_part(d)) for d in run.doses()}}


def test_a_ledger_part_holds_every_column_of_the_record(tmp_path: Path, looks: dict[int, pd.DataFrame]) -> None:
    run = recorded(tmp_path / "s" / "runs" / "r", looks)
    assert run.doses() == list(DOSES)
    for dose in DOSES:
        table = pq.read_table(run.ledger_part(dose))
        assert table.schema.equals(SCHEMA) and table.column_names == list(LEDGER_COLUMNS)
        frame = table.to_pandas()
        assert len(frame) == len(looks[dose]) == 7
        for name, value in {**COLUMNS, **clock(dose)}.items():
            assert set(frame[name]) == {value}
        assert frame["answer"].map(list).tolist() == looks[dose]["answer"].map(list).tolist()
        assert frame["nll_sum"].tolist() == looks[dose]["nll_sum"].tolist()


def test_scores_are_those_of_the_whole_ledger(tmp_path: Path, looks: dict[int, pd.DataFrame]) -> None:
    """What was written dose by dose is what one computation from all ledger rows gives, in the record's order."""
    run = recorded(tmp_path / "s" / "runs" / "r", looks)
    ledger = pd.concat([pq.read_table(run.ledger_part(d)).to_pandas() for d in DOSES])
    expected = score_rows(ledger, {"lookup": 0.25}, {"lookup": LOOKUP.version})
    found = [json.loads(line) for line in run.scores.read_text().splitlines()]
    assert found == [dataclasses.asdict(row) for row in sorted(expected, key=lambda r: r.dose)]
    assert [set(row) for row in found] == [{f.name for f in dataclasses.fields(ScoreRow)}] * len(found)
    assert [r["dose"] for r in found] == sorted(r["dose"] for r in found)
    assert {r["benchmark"] for r in found} == {"lookup", "probe"}


def test_every_dose_is_on_disk_at_once(tmp_path: Path, looks: dict[int, pd.DataFrame]) -> None:
    writer = recorder(tmp_path / "s" / "runs" / "r")
    writer.start_at(0)
    assert writer.run.scores.read_text() == ""
    lines = 0
    for count, dose in enumerate(DOSES, 1):
        writer.add(looks[dose], clock(dose))
        assert writer.run.doses() == list(DOSES[:count])
        found = writer.run.scores.read_text().splitlines()
        assert len(found) > lines and json.loads(found[-1])["dose"] == dose
        lines = len(found)
    assert not writer.run.complete.exists()
    writer.finish("mark")
    assert json.loads(writer.run.complete.read_text())["fingerprint"] == "mark"


@pytest.mark.parametrize("checkpoint", DOSES)
def test_rows_beyond_the_checkpoint_are_dropped_and_come_again(
    tmp_path: Path, looks: dict[int, pd.DataFrame], checkpoint: int
) -> None:
    whole = recorded(tmp_path / "s" / "runs" / "whole", looks)
    run = recorded(tmp_path / "s" / "runs" / "cut", looks)
    again = recorder(run.folder)
    again.start_at(checkpoint)
    assert run.doses() == [d for d in DOSES if d <= checkpoint]
    assert {json.loads(line)["dose"] for line in run.scores.read_text().splitlines()} == set(run.doses())
    for dose in DOSES:
        if dose > checkpoint:
            again.add(looks[dose], clock(dose))
    assert files(run) == files(whole)


@pytest.mark.parametrize("damage", ["absent", "empty", "cut line", "rows of nobody"])
def test_scores_are_rebuilt_from_the_ledger(tmp_path: Path, looks: dict[int, pd.DataFrame], damage: str) -> None:
    run = recorded(tmp_path / "s" / "runs" / "r", looks)
    whole = files(run)
    text = run.scores.read_text()
    if damage == "absent":
        run.scores.unlink()
    else:
        run.scores.write_text({"empty": "", "cut line": text[:-40], "rows of nobody": text + text}[damage])
    recorder(run.folder).start_at(DOSES[-1])
    assert files(run) == whole


def test_starting_over_keeps_nothing(tmp_path: Path, looks: dict[int, pd.DataFrame]) -> None:
    run = recorded(tmp_path / "s" / "runs" / "r", looks)
    recorder(run.folder).start_at(-1)
    assert run.doses() == [] and run.scores.read_text() == ""


def test_a_ledger_part_that_cannot_be_written_leaves_scores_as_they_were(
    tmp_path: Path, looks: dict[int, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores never know more than the ledger, nor the ledger half a dose."""
    run = recorded(tmp_path / "s" / "runs" / "r", looks, DOSES[:2])
    before, writer, real = files(run), recorder(run.folder), module.write_atomically
    writer.start_at(DOSES[1])

    def full(path: Path, data: Any) -> None:
        if path.suffix == ".parquet":
            raise OSError(28, "No space left on device", str(path))
        real(path, data)

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        writer.add(looks[80], clock(80))
    assert files(run) == before
    assert [p.name for p in run.ledger.iterdir() if "dose-00000080" in p.name] == []


def test_the_seconds_are_rounded_and_complete(tmp_path: Path) -> None:
    watch = Stopwatch()
    watch.wall_seconds = {"training": 1.23456, "evaluation": 0.00049}
    watch.processor_seconds = {"training": 1.12345}
    writer = Recorder(RunFolder(tmp_path / "s" / "runs" / "r"), COLUMNS, [LOOKUP], watch)
    writer.start_at(0)
    writer.finish("mark")
    found = json.loads(writer.run.complete.read_text())
    assert found.pop("sha256") == seal(found) and list(found.pop("files")) == ["scores.jsonl"]
    seconds = {"wall_seconds": {"training": 1.235, "evaluation": 0.0}, "processor_seconds": {"training": 1.123}}
    assert found == {"fingerprint": "mark", **seconds, "stack": 1}
