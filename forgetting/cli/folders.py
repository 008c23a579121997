"""Checks of the folders that a command reads and writes, before anything trains; nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from forgetting.errors import UsageError

PROBE_BYTES = 65_536


def check_writable(folder: Path, field: str) -> None:
    """Raise ``UsageError`` unless files can be written into ``folder``, which is made for the check if need be.

    The file that is tried has no name where the system allows it, so that nothing is left even by a kill.
    """
    made: list[Path] = []
    try:
        _make(folder, made)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(
            f"{field}: must be a folder that can be written to, got {str(folder)!r} ({reason(error)})"
        ) from None
    finally:
        _remove(made)


def check_study(folder: Path, field: str) -> None:
    """``check_writable``, unless the study is finished: it is only shown, perhaps from a disk that is read only."""
    if not all((folder / name).is_file() for name in ("record.json", "report.html")):
        check_writable(folder, field)


def existing(value: str, field: str) -> Path:
    """A folder that is there; what must be in it is checked by whoever reads it."""
    folder = Path(value)
    if not folder.is_dir():
        what = "which is a file" if folder.exists() else "which does not exist"
        raise UsageError(f"{field}: must be a study's folder, got {value!r} ({what})")
    return folder


def reason(error: OSError) -> str:
    """What the system says, in small letters."""
    return (error.strerror or str(error)).lower()


def _make(folder: Path, made: list[Path]) -> None:
    """Make the folder and its missing ancestors, noting which; an existing file raises."""
    for path in (*reversed(folder.parents), folder):
        if not path.is_dir():
            path.mkdir()
            made.append(path)


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        with contextlib.suppress(OSError):
            path.rmdir()
