"""The Optuna study of a target: opened in a journal file or at an address, and patient with a server that goes away."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from forgetting.errors import UsageError
from forgetting.record.files import write_atomically
from forgetting.record.reading import first_line, opened
from forgetting.record.seals import SEAL, damaged, seal

T = TypeVar("T")
JOURNAL = "optuna.journal"
PATIENCE_SECONDS = 600.0
FINGERPRINT = "fingerprint"


class NoLock(JournalFileOpenLock):
    """No lock of a journal's own: its one writer holds the folder, and optuna's, a link, would outlive a kill."""

    def acquire(self) -> bool:
        """At once."""
        return True

    def release(self) -> None:
        """Nothing was held."""


class SealedJournal(JournalFileBackend):
    """A journal file of which every line carries its own hash; lines of older versions carry none, and are read."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), NoLock(str(path)))
        self.path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines."""
        super().append_logs([{**log, SEAL: seal(log)} for log in logs])

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The lines from that number on. ``UsageError`` at one that is not what was written."""
        remedy = "delete it and go on: the search is made again from its runs, which stay"
        try:
            for log in super().read_logs(log_number_from):
                if log.get(SEAL, mark := seal(log)) != mark:
                    raise damaged(self.path, remedy)
                yield {name: value for name, value in log.items() if name != SEAL}
        except UsageError:
            raise
        except (ValueError, AttributeError, TypeError) as error:
            raise UsageError(f"{self.path}: cannot be read ({first_line(error)}); {remedy}") from None


def open_storage(address: str, folder: Path) -> BaseStorage:
    """The storage at ``address``, or the journal file in ``folder``. ``UsageError`` where it cannot be reached."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not address:
        folder.mkdir(parents=True, exist_ok=True)
        _mend(folder / JOURNAL)
        return JournalStorage(SealedJournal(folder / JOURNAL))
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        return optuna.storages.get_storage(address)
    except ImportError as error:
        name = getattr(error.__cause__ or error.__context__ or error, "name", None) or "its database driver"
        how = "; pip install 'forgetting[postgres]'" if name == "psycopg" else ""
        raise UsageError(f"storage: {name} is not installed{how}") from None
    except Exception as error:  # noqa: BLE001 (whatever a database driver raises goes to the user as one line)
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"storage: cannot be opened, {without_password(address)!r}: {first[:200]}") from None


def remove_locks(folder: Path) -> None:
    """Take away the locks of a journal that optuna made for an earlier version, and that a killed driver left."""
    for lock in folder.glob(f"{JOURNAL}.lock*"):
        if lock.is_symlink():
            lock.unlink()


def open_study(storage: BaseStorage, name: str, fingerprint: str, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    """The target's study, made if need be. ``UsageError`` if the storage holds another one under its name."""
    study = optuna.create_study(
        storage=storage, study_name=name, sampler=sampler, direction="maximize", load_if_exists=True
    )
    held = study.user_attrs.get(FINGERPRINT)
    if held is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(FINGERPRINT, fingerprint)
    elif held != fingerprint:
        raise UsageError(
            f"storage: study {name!r} was made by another sweep, or with its target written otherwise "
            f"(fingerprint {held}, not {fingerprint}); write it as before, or give another study.name or storage"
        )
    return study


def patiently(step: Callable[[], T], say: Callable[[str], None], seconds: float = PATIENCE_SECONDS) -> T:
    """Do a step that may be repeated; while the storage's server is away, wait and try again, up to ``seconds``.

    A step must read what the storage holds before it changes anything, so that half of it done twice does no harm.
    """
    begin, pause = time.monotonic(), 0.5
    while True:
        try:
            return step()
        except Exception as error:
            if not _away(error):
                raise
            waited = time.monotonic() - begin
            if waited > seconds:
                raise UsageError(f"storage: not back within {seconds:.0f} s; run the same sweep again later") from error
            say(f"storage: the server is away, trying again for {seconds - waited:.0f} s more")
            time.sleep(pause)
            pause = min(2 * pause, 10.0)


def without_password(address: str) -> str:
    """The address with its password left out."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(address).render_as_string(hide_password=True)
    except ArgumentError:
        return address


def _away(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is a lost or refused connection."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    while error is not None:
        if isinstance(error, OperationalError | InterfaceError) or (
            isinstance(error, DBAPIError) and error.connection_invalidated
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _mend(journal: Path) -> None:
    """Leave out a last line that a killed driver left unfinished; one driver holds the folder.

    The journal is written anew then, and where it has another name elsewhere too, which must not grow with it.
    """
    if journal.exists():
        with opened(journal) as file:
            content, names = file.read(), os.fstat(file.fileno()).st_nlink
        whole = content.rfind(b"\n") + 1
        if whole < len(content) or names > 1:
            write_atomically(journal, content[:whole])
