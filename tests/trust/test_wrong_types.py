"""Values of a record, a marker, a sweep's file and tables by ones of another type: read, or one line with the file.

Values are replaced one at a time, and what reads them is called in this process, without drawing anything.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting import load
from forgetting.analysis.curves import COLUMNS, Curves
from forgetting.analysis.failures import OF_THE_WORLD, made_again
from forgetting.analysis.study_folder import ArmCurves
from forgetting.errors import UsageError
from forgetting.record.files import RunFolder
from forgetting.record.run_files import read_marker
from forgetting.record.schema import ScoreRow
from forgetting.record.seals import SEAL, write_sealed
from forgetting.record.store import MANIFEST, manifest
from forgetting.report import build, tables
from forgetting.report.sweeps.read import SWEEP_FILE, read_sweep
from tests.report.conftest import synthetic_record, write_study

WRONG: tuple[Any, ...] = (None, True, -1, 1.5, 10**40, "x", "$x", [], [None], ["a"], {}, {"name": 3})
GONE = object()
Place = tuple[str | int, ...]


@pytest.fixture(scope="module", name="study")
def _study(tmp_path_factory: pytest.TempPathFactory, ledger: pd.DataFrame) -> Path:
    few = ledger[ledger["benchmark"].isin(["maths", "probe"])]
    folder = write_study(tmp_path_factory.mktemp("study") / "study", few)
    record = synthetic_record()
    rates = {"34k": {"learning_rate": 1e-3, "reached": False, "pilots": 3, "wanted": 1.0, "learning": None}}
    run = {"student": "34k", "arm": "dialogue", "distillation_seed": 0, "seed": 0, "dose": 1280}
    for name in ("spec", "hardware", "versions"):
        del record[name]
    record |= {"benchmarks": {"maths": record["benchmarks"]["maths"]}, "seconds": {"teach": 1.0}}
    record |= {"arms": [record["arms"][0] | {"rates": rates}], "students": record["students"][1:2]}
    write_sealed(folder / "record.json", record | {"pruned": [run], "diverged": [run], "unverified": ["34k"]})
    return folder


def places(value: Any, above: Place = ()) -> Iterator[Place]:
    """Where values are, from the outside in."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, own in items:
        if name != SEAL:
            yield (*above, name)
            yield from places(own, (*above, name))


def changed(value: Any, place: Place, wrong: Any) -> Any:
    """A copy with another value there, or none."""
    whole = copy.deepcopy(value)
    inner = whole
    for name in place[:-1]:
        inner = inner[name]
    if wrong is GONE:
        del inner[place[-1]]
    else:
        inner[place[-1]] = wrong
    return whole


def refused(path: Path, value: dict[str, Any], read: Callable[[], Any]) -> int:
    """Each value in turn by each wrong one: how many were refused, always in one line with the file."""
    count = 0
    try:
        for place in places(value):
            for wrong in (*WRONG, GONE):
                write_sealed(path, changed(value, place, wrong))
                told = ""
                try:
                    read()
                except UsageError as error:
                    told = str(error)
                assert not told or (path.name in told and "\n" not in told), (place, wrong, told)
                assert "cannot be shown" not in told, (place, wrong, told)
                count += bool(told)
    finally:
        write_sealed(path, value)
    return count


def test_a_record(study: Path) -> None:
    record = json.loads((study / "record.json").read_text())
    ledger = load(study).ledger

    def read() -> None:
        found = build.open_study(study)
        found.__dict__["ledger"] = ledger
        arms = found.record.get("arms", [])
        assert all(ArmCurves(arm["name"], arm, Curves()).title for arm in arms)
        for lines in (tables.rate_lines, tables.seeds_text, tables.wall_seconds, tables.controls):
            assert lines(found) is not None

    assert refused(study / "record.json", record, read) > 400


def test_a_marker(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "34k-dialogue-d0-s0")
    run.folder.mkdir()
    matched = {"learning_rate": 1e-3, "reached": True, "pilots": 3, "wanted": 1.0, "learning": 1.0}
    marker = {"fingerprint": "0" * 16, "wall_seconds": {"training": 1.0}, "files": {}, "pruned_at": 40}
    count = refused(run.complete, {**marker, "matched": matched}, lambda: read_marker(run, "0" * 16))
    assert count > 80


@pytest.mark.parametrize("role", ["student", "pilot"])
def test_a_manifest_of_the_store(tmp_path: Path, role: str) -> None:
    entry = tmp_path / "0123456789abcdef"
    entry.mkdir()
    about: dict[str, Any] = {"fingerprint": entry.name, "files": {"a": "0"}, "role": role, "made_from": {"world": 1}}
    about |= {"nll": None} if role == "pilot" else {"capacity": 34, "capacity_non_embedding": 20}
    about |= {"accuracy": {"maths": {"all": 1.0}}, "wall_seconds": {"training": 1.0}}
    assert refused(entry / MANIFEST, about, lambda: manifest(entry)) > 70
    foreign = entry.rename(tmp_path / "fedcba9876543210")
    with pytest.raises(UsageError, match=r"manifest\.json' is that of '0123456789abcdef'; delete its folder"):
        manifest(foreign)


def test_a_sweep_s_file(study: Path) -> None:
    trial = {"number": 0, "state": "complete", "run": "r", "student": "34k", "shift": 1.0, "retention": 0.5}
    trial |= {"variance": 0.1, "flops": 1e9, "seconds": 1.0, "status": "ok", "error": None, "holdout": False}
    found = {"axis": "capacity", "level": 0.9, "status": "located", "value": 3e4, "low": 2e4, "high": None}
    target = {
        "name": "t", "benchmark": "maths", "depth": None, "dose": 1280, "contamination": {"name": "dialogue"},
        "rate_policy": "constant", "students": ["34k"], "arms": [{"shift": 1.0, "name": "dialogue"}], "ended": "budget",
        "grid_runs": 4, "thresholds": [{**found, "confidence": 0.9, "place": 1.0, "students": 1}], "trials": [trial],
        "target": {"axis": "capacity", "skill": "maths", "levels": [0.9], "rate_multiple": 1.0, "mitigation": "none"},
    }  # fmt: skip
    result, path = load(study), study / SWEEP_FILE
    try:
        sweep = {"targets": [target], "hours": 0.1, "fingerprint": "0" * 16, "spec": {}}
        assert refused(path, sweep, lambda: read_sweep(result)) > 300
    finally:
        path.unlink()


ITEMS = [1e12, 10**12, True, "many", [10**9], None]


@pytest.mark.parametrize("value", ITEMS)
@pytest.mark.parametrize("name", OF_THE_WORLD)
def test_items_that_a_record_asks_for_are_at_most_as_many_as_its_answers(study: Path, name: str, value: Any) -> None:
    """Answers of an older study are classed by making its items again."""
    result = load(study)
    result.record["benchmarks"][name] = {"version": OF_THE_WORLD[name].version}
    for setting in ("items_per_depth", "items_per_form", "depths", "seed", "no_setting"):
        assert made_again({"name": name, setting: value}, result) is None


WAY = {
    "student": "34k", "arm": "dialogue", "distillation_seed": 0, "seed": 0, "capacity": 34240, "dose": 1280,
    "answering": "majority", "benchmark": "maths", "skill": "maths", "items": 60, "samples": 3, "low": 0.4, "high": 0.6,
}  # fmt: skip
WAYS = {
    "answering.csv": {
        **WAY, "intervention": "", "accuracy": 0.5, "retention": 0.9, "generated": 8.0, "parsed": 1.0,
    },
    "passing.csv": {**WAY, "k": 3, "value": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_tables_of_other_ways(study: Path, tmp_path: Path, name: str) -> None:
    """A column that is missing or of another kind; a benchmark's name becomes that of a figure."""
    folder = Path(shutil.copytree(study, tmp_path / "study"))
    row = WAYS[name]

    def read() -> pd.DataFrame:
        found = load(folder)
        return found.other_ways if name == "answering.csv" else found.passing

    pd.DataFrame([row]).to_csv(folder / name, index=False)
    assert len(read()) == 1
    wrong: list[dict[str, Any]] = [{n: v for n, v in row.items() if n != gone} for gone in row]
    wrong += [row | {n: "x"} for n, v in row.items() if not isinstance(v, str)]
    wrong += [row | {n: "\x1b[31m"} for n, v in row.items() if isinstance(v, str)]
    wrong += [row | {"benchmark": bad} for bad in ("../../victim", "a/b", ".hidden", "")]
    wrong += [row | {n: bad} for n in ("dose", "items", "samples", "capacity") for bad in (-1, 1.5)]
    for one in wrong:
        pd.DataFrame([one]).to_csv(folder / name, index=False)
        with pytest.raises(UsageError) as told:
            read()
        assert str(folder / name) in str(told.value) and "\n" not in str(told.value), one


def everything(folder: Path) -> None:
    result = load(folder)
    assert result.scores is not None and result.curve_frame() is not None


def rewritten(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)


@pytest.mark.parametrize("name", ["ledger.parquet", "curves.csv", "scores.jsonl"])
def test_tables(study: Path, tmp_path: Path, name: str) -> None:
    """A column that is missing, of text, or of numbers that count nothing."""
    build.build_views(study, ["curves"])
    record = json.loads((study / "record.json").read_text())
    for file in ("scores.jsonl", *(["ledger.parquet"] if name == "ledger.parquet" else ["curves.csv"])):
        (tmp_path / file).write_bytes((study / file).read_bytes())
    write_sealed(tmp_path / "record.json", {**record, "files": {}})
    path = tmp_path / name
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        wrong: list[Any] = [{n: v for n, v in rows[0].items() if n != gone} for gone in asdict(ScoreRow(**rows[0]))]
        wrong += [{**rows[0], n: bad} for n in rows[0] for bad in ([1], {"a": 1}, True, 10**40, float("nan"))]
        changes = [lambda row=row: path.write_text(json.dumps(row) + "\n") for row in wrong]
    else:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        counted = ["capacity", "dose", *(["seed", "depth", "dose_tokens"] if path.suffix != ".csv" else ["items"])]
        numbers = [n for n in (*COLUMNS, "capacity") if n in table]
        made = [table.drop(columns=gone) for gone in table.columns if gone != "answer"]
        made += [table.assign(**{n: "x"}) for n in numbers]
        made += [table.assign(**{n: bad}) for n in counted for bad in (-1, 1.5, np.inf)]
        changes = [lambda own=own: rewritten(path, own) for own in made]
    for change in changes:
        change()
        with pytest.raises(UsageError) as told:
            everything(tmp_path)
        assert str(path) in str(told.value) and "\n" not in str(told.value)
