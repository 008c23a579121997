"""Storages of a sweep: opened or refused in one line, mended after a kill, waited for while their server is away."""

from __future__ import annotations

import json
import time
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

from forgetting.errors import UsageError
from forgetting.sweep.storage import JOURNAL, open_storage, open_study, patiently, remove_locks, without_password

SAMPLER = optuna.samplers.RandomSampler(seed=0)


def fill(folder: Path, trials: int) -> None:
    """Some trials in the folder's journal."""
    study = open_study(open_storage("", folder), "one", "mark", SAMPLER)
    for number in range(trials):
        study.tell(study.ask(), float(number))


def values(folder: Path) -> list[float]:
    """What the folder's journal holds."""
    study = open_study(open_storage("", folder), "one", "mark", SAMPLER)
    return [float(t.value) for t in study.get_trials() if t.value is not None]


@pytest.mark.parametrize("address", ["", "sqlite:///{}/sweep.db"])
def test_what_was_told_is_there_for_the_next_driver(address: str, tmp_path: Path) -> None:
    address = address.format(tmp_path)
    study = open_study(open_storage(address, tmp_path), "one", "mark", SAMPLER)
    study.tell(study.ask(), 0.25)
    again = open_study(open_storage(address, tmp_path), "one", "mark", SAMPLER)
    assert [t.value for t in again.get_trials()] == [0.25]


def test_a_half_written_line_of_the_journal_is_cut_off(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(1, len(lines[-1])):  # killed in the middle of telling the last value
        journal.write_bytes(whole[:-cut])
        assert values(tmp_path) == [0.0, 1.0]
        mended = journal.read_bytes()
        assert mended.startswith(b"".join(lines[:-1]))
        assert all(json.loads(line) for line in mended.splitlines())


def test_a_lock_left_by_a_killed_driver_holds_nobody_up(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    for name in (f"{JOURNAL}.lock", f"{JOURNAL}.lock1f0e.rename"):  # as optuna locked for earlier versions
        (tmp_path / name).symlink_to(tmp_path / JOURNAL)
    remove_locks(tmp_path)
    start = time.monotonic()
    fill(tmp_path, 1)
    assert time.monotonic() - start < 5
    assert len(values(tmp_path)) == 2
    assert [path.name for path in tmp_path.iterdir()] == [JOURNAL]  # and ours makes none


def test_a_study_of_another_sweep_is_refused(tmp_path: Path) -> None:
    storage = open_storage("", tmp_path)
    open_study(storage, "one", "mark", SAMPLER)
    with pytest.raises(
        UsageError, match=r"'one' was made by another sweep.*\(fingerprint mark, not.*give another study.name"
    ):
        open_study(storage, "one", "other", SAMPLER)


def test_a_study_of_somebody_elses_trials_is_refused(tmp_path: Path) -> None:
    storage = open_storage("", tmp_path)
    optuna.create_study(storage=storage, study_name="one").ask()
    with pytest.raises(UsageError, match="made by another sweep"):
        open_study(storage, "one", "mark", SAMPLER)


def test_a_driver_killed_before_it_left_its_mark_is_followed(tmp_path: Path) -> None:
    storage = open_storage("", tmp_path)
    optuna.create_study(storage=storage, study_name="one", direction="maximize")
    assert open_study(storage, "one", "mark", SAMPLER).user_attrs == {"fingerprint": "mark"}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("sqlite:////nowhere/at/all/sweep.db", "unable to open database file"),
        ("nonsense", "nonsense"),
        ("mysql://user:secret@host/db", "MySQLdb is not installed"),
        ("postgresql+psycopg://user:secret@127.0.0.1:1/db", ""),
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_line_without_the_password(
    address: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as raised:
        open_storage(address, tmp_path)
    said = str(raised.value)
    assert said.startswith("storage: ")
    assert words in said
    assert "secret" not in said
    assert len(said.splitlines()) == 1


def test_passwords_are_left_out() -> None:
    assert without_password("postgresql+psycopg://me:secret@host:5432/db") == "postgresql+psycopg://me:***@host:5432/db"
    assert without_password("sqlite:///sweep.db") == "sqlite:///sweep.db"
    assert without_password("no address") == "no address"


class Server:
    """A database file whose folder comes into being after some attempts to connect, as a server that restarts."""

    def __init__(self, folder: Path, away: int) -> None:
        self.folder, self.away, self.tries = folder, away, 0

    def count(self) -> int:
        """A query."""
        if self.tries == self.away:
            self.folder.mkdir()
        self.tries += 1
        with sqlalchemy.create_engine(f"sqlite:///{self.folder}/x.db").connect() as connection:
            return int(connection.execute(sqlalchemy.text("select 42")).scalar_one())


def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    server, said = Server(tmp_path / "data", away=2), list[str]()
    assert patiently(server.count, said.append) == 42
    assert server.tries == 3
    assert len(said) == 2
    assert said[0].startswith("storage: the server is away, trying again for ")


def test_patience_ends(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", away=100)
    with pytest.raises(UsageError, match="storage: not back within 0 s; run the same sweep again later"):
        patiently(server.count, lambda _: None, seconds=0.2)
    assert server.tries >= 2


def test_what_is_wrapped_by_the_storage_counts_as_away_too(tmp_path: Path) -> None:
    tries = []

    def step() -> str:
        tries.append(1)
        if len(tries) == 1:
            try:
                Server(tmp_path / "data", away=100).count()
            except OperationalError as error:
                raise optuna.exceptions.StorageInternalError("wrapped") from error
        return "done"

    assert patiently(step, lambda _: None) == "done"


def test_any_other_error_is_raised_at_once() -> None:
    tries = []

    def step() -> None:
        tries.append(1)
        raise ValueError("a mistake of ours")

    with pytest.raises(ValueError, match="a mistake of ours"):
        patiently(step, lambda _: None)
    assert len(tries) == 1
