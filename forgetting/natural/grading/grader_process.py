"""A helper process that answers one frame for each frame; for graders that evaluate what a model wrote as text.

The module that it runs calls ``worker.serve``. It is started when it is first needed, in its own session, and ended
with this process. It imports nothing from the working folder. What it answers is not trusted: an answer that is late,
too long, no JSON, or to another question than the one that was asked counts as its end.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import forgetting
from forgetting.sandbox import wire
from forgetting.sandbox.waiting import waiting

SECONDS = 30.0  # for one answer; the modules' own limits are shorter
START_SECONDS = 120.0
MOST_BYTES = 10_000  # of one answer


class GraderEnded(Exception):
    """The process does not answer what it was asked: it hangs, it died, or it says something else."""


class Helper:
    """One process that runs ``python -P -m module``. Raises ``GraderEnded`` where it does not start."""

    def __init__(self, module: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            env={"PYTHONPATH": importable(), "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
            start_new_session=True,
        )  # fmt: skip
        atexit.register(self.stop)
        self._receive(START_SECONDS)

    def ask(self, *arguments: Any) -> Any:
        """Plain arguments there, one plain value back. Raises ``GraderEnded``."""
        assert self.process.stdin
        nonce = secrets.token_hex(16)
        try:
            with waiting():
                wire.send(self.process.stdin.fileno(), json.dumps([nonce, arguments]).encode())
                answered, value = json.loads(self._receive(SECONDS))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise GraderEnded from error
        if answered != nonce:
            raise GraderEnded
        return value

    def _receive(self, seconds: float) -> bytes:
        assert self.process.stdout
        try:
            return wire.receive(self.process.stdout.fileno(), MOST_BYTES, time.monotonic() + seconds)
        except (wire.Ended, wire.Late) as error:
            raise GraderEnded from error

    def stop(self) -> None:
        """End the process."""
        atexit.unregister(self.stop)
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                assert stream
                stream.close()


def importable() -> str:
    """``sys.path`` for a child: absolute, without the working folder, unless the package itself lies there."""
    home = os.path.dirname(os.path.dirname(os.path.realpath(forgetting.__file__)))
    here = {os.path.realpath(os.curdir)} - {home}
    paths = [os.path.abspath(path) for path in sys.path if path and os.path.realpath(path) not in here]
    return os.pathsep.join([*paths, home])
