"""The places that are written: nothing in them is a link or a device, and nothing is left of writers that died."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from forgetting.errors import UsageError

LOCK = ".lock"  # of whoever works in a folder
TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")  # as ``files.write_atomically`` calls them: the name and the process


def check_plain(*places: Path) -> None:
    """``UsageError`` if a place, or anything in it, is a link or neither file nor folder: a write would leave it.

    The folder that the user named may be a link itself, so give what lies in it, or ``inside(folder)``.
    """
    for place in places:
        for path in _all(place):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                what = "a link" if stat.S_ISLNK(mode) else "a pipe or a device"
                raise UsageError(f"{path}: is {what}, and nothing is written through one; put a file or folder there")


def inside(folder: Path) -> list[Path]:
    """What lies in a folder; nothing if there is none."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def clean(folder: Path) -> None:
    """Remove temporary files of processes that are dead, on this machine and on others that share the disk."""
    for place in inside(folder):
        for path in _all(place):
            found = TEMPORARY.fullmatch(path.name)
            if found and not alive(int(found[1])):
                with suppress(OSError):  # a disk that is read only, or another's file
                    _remove(path)


def _remove(path: Path) -> None:
    """Remove a temporary file, unless a process elsewhere writes it."""
    if stat.S_ISREG(path.lstat().st_mode):
        with held(path, wait=False) as mine:
            if mine:
                path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove what dead processes left in a folder that is done, unless somebody works there or nothing can be written.

    A killed process may have left its lock alone: it is removed by being held.
    """
    left = any(path.name == LOCK or TEMPORARY.fullmatch(path.name) for place in inside(folder) for path in _all(place))
    if left:
        with suppress(OSError), held(folder / LOCK, wait=False) as mine:
            if mine:
                clean(folder)


@contextmanager
def held(lock: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock file, which ends with the process and is removed afterwards; yields whether it is held.

    It always is where there is no flock. ``OSError`` if it cannot be made, or is a link, which is not followed.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    while True:
        number = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError:
                yield False
                return
            if not _same(lock, number):  # its last holder has removed it meanwhile
                continue
            try:
                yield True
            finally:
                if _same(lock, number):
                    lock.unlink(missing_ok=True)
            return
        finally:
            os.close(number)


def _same(path: Path, number: int) -> bool:
    """Whether the name still leads to the open file."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(number))
    except OSError:
        return False


def alive(process: int) -> bool:
    """Whether a process of that number runs on this machine."""
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def _all(place: Path) -> Iterator[Path]:
    """The place and, if it is a folder, everything below it; links are not followed."""
    if not os.path.lexists(place):
        return
    yield place
    if place.is_dir() and not place.is_symlink():
        for above, folders, files in os.walk(place):
            yield from (Path(above) / name for name in (*folders, *files))
