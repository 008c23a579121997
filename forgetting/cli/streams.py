"""Standard streams that never end a study: one that is closed becomes none, a letter that it lacks becomes another."""

from __future__ import annotations

import contextlib
import io
import os
import sys


def say(text: str) -> None:
    """Write on standard error; one that is full or was not opened for writing changes nothing."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def make_safe() -> None:
    """Open what is closed on the null device, and let streams that cannot write a letter write ``?`` for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # or the next file that is opened, the record say, would be what is printed on
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for as long as the process lives)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (as above)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
