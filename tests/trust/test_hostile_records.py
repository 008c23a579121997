"""Records that a stranger wrote or a disk damaged: every reader says one line, and writes nowhere but in the folder."""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forgetting import load
from forgetting.analysis.record_reading import shown
from forgetting.cli import main
from forgetting.errors import UsageError
from forgetting.record import reading
from forgetting.record.seals import SEAL, file_hash, write_sealed
from forgetting.report import build
from tests.report.conftest import BENCHMARKS, synthetic_record, write_study


@pytest.fixture(scope="module", name="pristine")
def _pristine(tmp_path_factory: pytest.TempPathFactory, ledger: pd.DataFrame) -> Path:
    folder = write_study(tmp_path_factory.mktemp("pristine") / "study", ledger)
    record = synthetic_record()
    record |= {"arms": record["arms"][:1], "students": record["students"][1:2]}
    write_sealed(folder / "record.json", record)
    return folder


@pytest.fixture(name="study")
def _study(tmp_path: Path, pristine: Path) -> Path:
    folder = Path(shutil.copytree(pristine, tmp_path / "place" / "study"))
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "events.out.tfevents.1.victim").write_text("precious")
    (tmp_path / "victim" / "file").write_text("precious")
    return folder


def precious(folder: Path) -> bool:
    """Whether everything outside the study is as it was."""
    outside = folder.parent.parent
    victim = sorted(path.name for path in (outside / "victim").iterdir())
    whole = all(path.read_text() == "precious" for path in (outside / "victim").iterdir())
    return whole and victim == ["events.out.tfevents.1.victim", "file"] and len(list(outside.iterdir())) == 2


def one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What ``report`` says of a folder that it refuses."""
    assert main(["report", str(folder)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("forgetting: error: ") and told.count("\n") == 1 and "Traceback" not in told
    assert precious(folder)
    return told


BAD_NAMES = {
    "up": "../../../victim", "absolute": "/tmp/victim", "inside": "a/b", "backslash": "a\\b", "hidden": ".lock",
    "dots": "..", "empty": "", "nul": "a\0b", "escape": "a\x1b[31mb", "newline": "a\nb", "turned": "a\u202eb",
    "number": 3, "null": None, "list": ["a"], "mapping": {"a": 1}, "surrogate": "a\ud800b",
}  # fmt: skip


@pytest.mark.parametrize("where", ["students", "arms"])
@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_in_the_record(study: Path, capsys: pytest.CaptureFixture[str], where: str, name: str) -> None:
    record = json.loads((study / "record.json").read_text())
    record[where][0]["name"] = BAD_NAMES[name]
    write_sealed(study / "record.json", record)
    assert "record.json" in one_line(study, capsys)


@pytest.mark.parametrize("column", ["student", "arm"])
@pytest.mark.parametrize("name", ["up", "absolute", "inside", "hidden", "empty", "nul", "escape", "turned"])
def test_names_in_the_ledger(
    study: Path, ledger: pd.DataFrame, capsys: pytest.CaptureFixture[str], column: str, name: str
) -> None:
    ledger.assign(**{column: BAD_NAMES[name]}).to_parquet(study / "ledger.parquet")
    assert "ledger.parquet" in one_line(study, capsys)


@pytest.mark.parametrize("name", ["up", "absolute", "hidden"])
def test_names_in_curves(study: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    build.build_views(study, ["curves"])
    (study / "ledger.parquet").unlink()
    curves = pd.read_csv(study / "curves.csv").assign(student=BAD_NAMES[name])
    curves.to_csv(study / "curves.csv", index=False)
    assert "curves.csv" in one_line(study, capsys)


GOOD_NAMES = [
    "a$b", "$x^2$", "$frac{", "<script>alert(1)", "[bold]a", "a|b", "&amp;", "%s", "{{ 7*7 }}", ":smile:",
    "\u4e2d\u6587",
]  # fmt: skip


@pytest.mark.drawn
def test_names_that_mean_something_elsewhere_are_only_names(study: Path, ledger: pd.DataFrame) -> None:
    """A student a name, all in one study of one skill."""
    few = ledger[ledger["benchmark"].isin(["maths", "probe"]) & (ledger["depth"] < 2)]
    few = few[few["variant"] != "rephrased"]
    pd.concat([few.assign(student=name) for name in GOOD_NAMES]).to_parquet(study / "ledger.parquet")
    record = json.loads((study / "record.json").read_text())
    record["students"] = [record["students"][0] | {"name": name} for name in GOOD_NAMES]
    write_sealed(study / "record.json", record)
    build.build_views(study, ["curves", "figures", "tensorboard", "html"])
    page = (study / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and not re.search(r">\s*49\s*<", page)
    assert precious(study)
    from rich.console import Console

    console = Console(record=True, width=200, file=io.StringIO())
    console.print(load(study).summary())
    shown = console.export_text()
    assert [name for name in GOOD_NAMES if name not in shown] == []


WRONG: dict[str, Any] = {
    "benchmarks a list": {"benchmarks": []},
    "benchmarks of numbers": {"benchmarks": {"maths": 3}},
    "a chance of text": {"benchmarks": {**BENCHMARKS, "maths": {**BENCHMARKS["maths"], "chance": "0"}}},
    "a chance that is none": {"benchmarks": {**BENCHMARKS, "maths": {"version": 1, "skill": "maths"}}},
    "an infinite chance": {"benchmarks": {**BENCHMARKS, "maths": {**BENCHMARKS["maths"], "chance": 1e400}}},
    "no benchmark of the ledger": {"benchmarks": {}},
    "arms a mapping": {"arms": {"a": 1}},
    "arms of text": {"arms": ["dialogue"]},
    "a shift of text": {"arms": [{"name": "dialogue", "shift": "1"}]},
    "a shift of lists": {"arms": [{"name": "dialogue", "shift": [1]}]},
    "rates of numbers": {"arms": [{"name": "dialogue", "rates": {"34k": 3}}]},
    "students of numbers": {"students": [3]},
    "a capacity of text": {"students": [{"name": "34k", "capacity": "many"}]},
    "a huge capacity": {"students": [{"name": "34k", "capacity": 10**40}]},
    "seconds a list": {"seconds": [1]},
    "seconds of text": {"seconds": {"training": "long"}},
    "seeds a number": {"seeds": 3},
    "hardware a list": {"hardware": []},
    "pruned of text": {"pruned": ["34k"]},
    "a name of numbers": {"name": 3},
    "a commit that steers": {"commit": "\x1b]0;owned\x07"},
    "a text that turns": {"hardware": {"processor": "a\u202eb"}},
    "statuses a number": {"statuses": 3},
    "a floor of text": {"arms": [{"name": "dialogue", "floor": "deep"}]},
    "a spec of text": {"spec": "all"},
    "an evaluation of numbers": {"spec": {"evaluation": 3}},
    "a spec's benchmarks of numbers": {"spec": {"evaluation": {"benchmarks": [3]}}},
    "tokens of text": {"spec": {"evaluation": {"max_new_tokens": "many"}}},
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_types(study: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    record = copy.deepcopy(synthetic_record()) | WRONG[what]
    (study / "record.json").write_text(json.dumps(record))
    assert str(study) in one_line(study, capsys)


BYTES: dict[str, Callable[[Path], Any]] = {
    "empty record": lambda s: (s / "record.json").write_bytes(b""),
    "half a record": lambda s: (s / "record.json").write_bytes((s / "record.json").read_bytes()[:500]),
    "bytes that are no text": lambda s: (s / "record.json").write_bytes(b"\xff\xfe\x00"),
    "a record nested deeply": lambda s: (s / "record.json").write_text("[" * 100_000),
    "a record of a long number": lambda s: (s / "record.json").write_text('{"a": ' + "9" * 10_000 + "}"),
    "a record with a changed number": lambda s: (s / "record.json").write_text(
        (s / "record.json").read_text().replace('"capacity": 34240', '"capacity": 34241')
    ),
    "a record that is a folder": lambda s: ((s / "record.json").unlink(), (s / "record.json").mkdir()),
    "a record that is a pipe": lambda s: ((s / "record.json").unlink(), os.mkfifo(s / "record.json")),
    "a record that is a device": lambda s: ((s / "record.json").unlink(), (s / "record.json").symlink_to("/dev/zero")),
    "an empty ledger": lambda s: (s / "ledger.parquet").write_bytes(b""),
    "half a ledger": lambda s: (s / "ledger.parquet").write_bytes((s / "ledger.parquet").read_bytes()[:2000]),
    "a ledger that is text": lambda s: (s / "ledger.parquet").write_text("PAR1 and so on PAR1"),
    "a ledger that is a pipe": lambda s: ((s / "ledger.parquet").unlink(), os.mkfifo(s / "ledger.parquet")),
    "a ledger without columns": lambda s: pd.DataFrame({"a": [1]}).to_parquet(s / "ledger.parquet"),
    "a ledger without rows": lambda s: pd.read_parquet(s / "ledger.parquet").head(0).to_parquet(s / "ledger.parquet"),
    "a ledger with texts for numbers": lambda s: (
        pd.read_parquet(s / "ledger.parquet").assign(dose="many").to_parquet(s / "ledger.parquet")
    ),
    "a ledger with numbers for texts": lambda s: (
        pd.read_parquet(s / "ledger.parquet").assign(benchmark=3).to_parquet(s / "ledger.parquet")
    ),
    "figures that are a link": lambda s: (s / "figures").symlink_to(s.parent.parent / "victim"),
    "tensorboard that is a link": lambda s: (s / "tensorboard").symlink_to(s.parent.parent / "victim"),
    "a run in tensorboard that is a link": lambda s: (
        (s / "tensorboard").mkdir(),
        (s / "tensorboard" / "34k-dialogue-d0-s0").symlink_to(s.parent.parent / "victim"),
    ),
    "a report that is a link": lambda s: (s / "report.html").symlink_to(s.parent.parent / "victim" / "file"),
    "curves that are a link": lambda s: (s / "curves.csv").symlink_to(s.parent.parent / "victim" / "file"),
}


@pytest.mark.parametrize("what", BYTES)
def test_damaged_files_and_links(study: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    BYTES[what](study)
    if what == "a ledger without rows":
        with shown(study):
            assert main(["report", str(study)]) in (0, 2)
        assert "Traceback" not in capsys.readouterr().err
        return
    assert str(study) in one_line(study, capsys)


@pytest.mark.parametrize("name", ["ledger.parquet", "scores.jsonl"])
def test_a_file_that_is_not_the_record_s_own(study: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    record = json.loads((study / "record.json").read_text())
    write_sealed(study / "record.json", record | {"files": {name: file_hash(study / name)}})
    if name == "scores.jsonl":
        build.build_views(study, ["curves"])
        (study / "ledger.parquet").unlink()
    data = bytearray((study / name).read_bytes())
    data[len(data) // 2] ^= 1
    (study / name).write_bytes(data)
    with pytest.raises(UsageError, match=f"{name}.*hash.*record.json") as told:
        load(study).to_frame()
    assert "\n" not in str(told.value)


def test_an_older_record_is_read_and_said_to_be_unverified(study: Path) -> None:
    assert load(study).unverified == ""
    record = json.loads((study / "record.json").read_text())
    del record[SEAL]
    (study / "record.json").write_text(json.dumps(record))
    assert "unverified" in load(study).unverified
    build.build_views(study, ["html"])
    assert "unverified" in (study / "report.html").read_text(encoding="utf-8").lower()


def test_packed_rows_are_bounded(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.build_views(study, ["curves"])
    (study / "ledger.parquet").unlink()
    (study / "scores.jsonl").unlink()
    monkeypatch.setattr(reading, "MOST_LINE", 1000)
    with gzip.open(study / "scores.jsonl.gz", "wb") as file:
        file.write(b" " * 2**20)
    with pytest.raises(UsageError, match="a row of more than"):
        load(study)
    monkeypatch.setattr(reading, "MOST_LINES", 5000)
    with gzip.open(study / "scores.jsonl.gz", "wb") as file:
        file.write((b"{}" + b" " * 500 + b"\n") * 2000)
    with pytest.raises(UsageError, match="of rows, which is the limit"):
        load(study)


def test_files_are_bounded(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(study / "record.json", "r+b") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(UsageError, match="larger than 256 MiB"):
        load(study)


def test_claims_and_load_say_the_same(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "record.json").write_text("{")
    assert main(["claims", str(study)]) == 2
    assert "record.json" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"record\.json"):
        load(study)
    shutil.rmtree(study)
    with pytest.raises(UsageError, match="no such folder"):
        load(study)


def without_ledger(study: Path) -> Path:
    """The study as folders are committed: its views built, its scores packed, its ledger left out."""
    record = json.loads((study / "record.json").read_text())
    files = {"scores.jsonl": file_hash(study / "scores.jsonl"), "ledger.parquet": file_hash(study / "ledger.parquet")}
    write_sealed(study / "record.json", {**record, "files": files})
    build.build_views(study, ["curves"])
    (study / "scores.jsonl.gz").write_bytes(gzip.compress((study / "scores.jsonl").read_bytes()))
    (study / "scores.jsonl").unlink()
    (study / "ledger.parquet").unlink()
    return study


def test_a_folder_without_its_ledger_is_verified_as_far_as_it_goes(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = load(without_ledger(study))
    assert not result.unverified and len(result.scores) and result.curves
    curves = (study / "curves.csv").read_bytes()
    (study / "curves.csv").write_bytes(curves.replace(b"0.95", b"0.05", 1))
    assert "curves.csv: is damaged" in one_line(study, capsys)
    (study / "curves.csv").write_bytes(curves)
    rows = gzip.decompress((study / "scores.jsonl.gz").read_bytes())
    (study / "scores.jsonl.gz").write_bytes(gzip.compress(rows, compresslevel=1))  # the same rows, packed otherwise
    assert len(load(study).scores)
    (study / "scores.jsonl.gz").write_bytes(gzip.compress(rows.replace(b'"accuracy": 0', b'"accuracy": 1', 1)))
    assert "scores.jsonl.gz: is damaged" in one_line(study, capsys)
    (study / "scores.jsonl.gz").write_bytes(gzip.compress(rows)[:-9])
    assert "scores.jsonl.gz" in one_line(study, capsys)


def test_curves_that_never_had_a_hash_are_said_to_be_unverified(study: Path) -> None:
    record = json.loads((without_ledger(study) / "record.json").read_text())
    del record["files"]["curves.csv"]
    write_sealed(study / "record.json", record)
    assert "curves.csv has no hash" in load(study).unverified
    build.build_views(study, ["curves"])  # which has nothing to make them from, and vouches for nothing
    assert "curves.csv has no hash" in load(study).unverified
