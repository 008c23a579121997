"""A store, a journal or rules that were given: links lead nowhere, nothing is written twice, damage is a line."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from forgetting.claims import read_rules
from forgetting.cli import main, streams
from forgetting.errors import UsageError
from forgetting.executors.distilling import distil_ladder
from forgetting.executors.stacking import _measured
from forgetting.natural.local_rows import numbered_rows
from forgetting.record.seals import write_sealed
from forgetting.record.store import REFERENCE, SHARED, Store
from forgetting.spec import Evaluation, Ladder, Spec, Until
from forgetting.stages.train import Notes
from forgetting.study.study import construct
from forgetting.sweep.storage import JOURNAL, open_storage
from forgetting.training.target import TargetStop
from tests.trust.test_hostile_specs import LAUGHS

SPEC = Spec(
    ladder=Ladder(students=("10k",)), contaminations=("dialogue",),
    evaluation=Evaluation(benchmarks=({"name": "maths", "items_per_depth": 4},)),
)  # fmt: skip


@pytest.fixture(name="victim")
def _victim(tmp_path: Path) -> Path:
    place = tmp_path / "victim"
    place.mkdir()
    (place / "file").write_text("precious")
    return place


@pytest.fixture(name="exported")
def _exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[Path]]:
    """Export a model as ``distil`` does; it is there already."""
    store = tmp_path / "store"
    for home in REFERENCE.glob("*/"):
        shutil.copytree(home, store / home.name)
    made = construct(SPEC)
    monkeypatch.setattr("forgetting.executors.distilling.missing_students", lambda *_: [])
    monkeypatch.setattr("forgetting.executors.distilling.construct", lambda _: made)
    return lambda place: distil_ladder(SPEC, store=store, export=place, workers=0, quiet=True)


@pytest.mark.parametrize("kind", ["a link to a folder", "a link to a file", "another name of a file", "a pipe"])
def test_an_export_stays_inside(
    exported: Callable[[Path], list[Path]], victim: Path, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "export"
    (home, *_) = exported(place)
    entry = place / home.name
    assert (entry / "config.json").read_bytes() == (home / "config.json").read_bytes()
    (entry / "config.json").unlink()
    if kind == "a link to a folder":
        shutil.rmtree(entry)
        entry.symlink_to(victim)
    elif kind == "a link to a file":
        (entry / "config.json").symlink_to(victim / "file")
    elif kind == "a pipe":
        os.mkfifo(entry / "config.json")
    else:
        os.link(victim / "file", entry / "config.json")
    if kind == "another name of a file":
        exported(place)
        assert (entry / "config.json").read_bytes() == (home / "config.json").read_bytes()
    else:
        with pytest.raises(UsageError, match="nothing is written through one"):
            exported(place)
    assert [path.name for path in victim.iterdir()] == ["file"] and (victim / "file").read_text() == "precious"


@pytest.mark.parametrize("name", SHARED)
def test_a_link_in_a_store_is_not_followed(victim: Path, tmp_path: Path, name: str) -> None:
    (victim / ".file.4194304000.tmp").touch()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / name).symlink_to(victim)
    with pytest.raises(UsageError, match="is a link"):
        Store(tmp_path / "store").clean()
    assert len(list(victim.iterdir())) == 2


@pytest.mark.parametrize("last", ["", '{"half'])
def test_a_journal_with_another_name_does_not_grow_there(tmp_path: Path, last: str) -> None:
    """Copies of sweeps made of hard links share their journal, and an unfinished line is cut off in one of them."""
    (tmp_path / "one").mkdir()
    study = optuna.create_study(storage=open_storage("", tmp_path / "one"), study_name="s")
    with open(tmp_path / "one" / JOURNAL, "a") as file:
        file.write(last)
    (tmp_path / "two").mkdir()
    os.link(tmp_path / "one" / JOURNAL, tmp_path / "two" / JOURNAL)
    before = (tmp_path / "one" / JOURNAL).read_bytes()
    again = optuna.load_study(storage=open_storage("", tmp_path / "two"), study_name="s")
    again.tell(again.ask(), 1.0)
    assert (tmp_path / "one" / JOURNAL).read_bytes() == before
    assert (tmp_path / "two" / JOURNAL).read_bytes().startswith(before[: len(before) - len(last)])
    assert len(study.trials) == 0 and len(again.trials) == 1


def test_a_journal_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / JOURNAL)
    with pytest.raises(UsageError, match="must be a file"):
        open_storage("", tmp_path)


FOUND = {"why": "", "device": "cpu", "fixed_bytes": 10, "replica_bytes": 100, "free_bytes": 10_000, "gain": 2.0}
DAMAGE: dict[str, Callable[[Path], Any]] = {
    "another number": lambda file: file.write_text(file.read_text().replace("100", "900", 1)),
    "no JSON": lambda file: file.write_text("{"),
    "text for a number": lambda file: write_sealed(file, {**FOUND, "free_bytes": "many"}),
    "a number left out": lambda file: write_sealed(file, {"why": ""}),
    "a number for a text": lambda file: write_sealed(file, {**FOUND, "why": 3}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_a_machine_has_measured(tmp_path: Path, damage: str) -> None:
    """Stacks are as large as it says, and the last bits of numbers follow."""
    study = construct(SPEC)

    def measure(student: str, batch_size: int, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(file, FOUND)

    def measured() -> dict[str, Any]:
        return _measured(study, "10k", tmp_path, 32, measure)

    assert measured()["replica_bytes"] == 100
    (file,) = (tmp_path / "machine").iterdir()
    DAMAGE[damage](file)
    with pytest.raises(UsageError, match="delete it: it is measured again") as told:
        measured()
    assert str(file) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("damage", ["another number", "no JSON", "no steps"])
def test_notes_of_a_fit(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "notes.json"
    write_sealed(file, {"rows": [{"step": 0, "cut": 100.0}, {"step": 1, "cut": 2.0}]})
    assert [row["step"] for row in Notes(file, 1, ()).rows] == [0]
    if damage == "no steps":
        write_sealed(file, {"rows": [{"cut": 1.0}]})
    else:
        DAMAGE[damage](file)
    with pytest.raises(UsageError, match=r"notes\.json.*delete the folder"):
        Notes(file, 1, ())


@pytest.mark.parametrize("damage", ["another number", "no JSON", "no steps"])
def test_checks_of_a_fit_with_a_target(tmp_path: Path, damage: str) -> None:
    """They decide when the rate falls, and so the weights."""
    file, until = tmp_path / "checks.json", Until("maths", 0.9)
    TargetStop(until, 1100, file, 0).add(100, 0.5)
    assert TargetStop(until, 1100, file, 100).checks == [(100, 0.5)]
    if damage == "no steps":
        write_sealed(file, {"checks": [{"accuracy": 1.0}]})
    else:
        DAMAGE[damage](file)
    with pytest.raises(UsageError, match=r"checks\.json.*delete the folder"):
        TargetStop(until, 1100, file, 100)


RULES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a pipe": (os.mkfifo, "must be a file"),
    "aliases of aliases": (lambda path: path.write_text(LAUGHS), "values"),
    "an alias of itself": (lambda path: path.write_text("a: &a [*a]\n"), "values"),
    "five megabytes": (lambda path: path.write_bytes(b"#" * 5 * 2**20), "larger than 4 MiB"),
    "bytes": (lambda path: path.write_bytes(b"\xff"), "not text"),
}  # fmt: skip


@pytest.mark.parametrize("what", RULES)
def test_rules_of_claims(tmp_path: Path, what: str) -> None:
    make, rule = RULES[what]
    make(tmp_path / "rules.yaml")
    with pytest.raises(UsageError, match=f"^rules: .*{rule}"):
        read_rules(tmp_path / "rules.yaml")


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl", "rows.csv", "rows.json.gz"])
def test_data_that_are_a_pipe(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match="must be a file"):
        list(numbered_rows(tmp_path / name, "source"))


@pytest.mark.parametrize("stream", ["full", "not for writing"])
@pytest.mark.parametrize("words", [["report", "nowhere"], ["resume", "nowhere"], ["list", "nowhere"]])
def test_a_line_that_nobody_can_read(monkeypatch: pytest.MonkeyPatch, stream: str, words: list[str]) -> None:
    """The status stays what it is."""
    if stream == "full":
        raw = io.FileIO("/dev/full", "w")
        file = io.TextIOWrapper(io.BufferedWriter(raw), line_buffering=True)
    else:
        file = open(os.devnull)  # noqa: SIM115 (until the test ends)
    monkeypatch.setattr("sys.stderr", file)
    status = main(words)
    streams.say("and one more line\n")
    monkeypatch.undo()
    assert status == 2
