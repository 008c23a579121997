"""A helper process that answers one JSON line for each JSON line; for graders that evaluate what a model wrote as text.

The module that it runs has to print one line when it is ready. It is started when it is first needed, in its own
session, and ended with this process.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from typing import Any

SECONDS = 30.0  # for one line; the modules' own limits are shorter
START_SECONDS = 120.0


class GraderEnded(Exception):
    """The process does not answer: it hangs, or it died."""


class Helper:
    """One process that runs ``python -m module``. Raises ``GraderEnded`` where it does not start."""

    def __init__(self, module: str) -> None:
        paths = os.pathsep.join(p for p in sys.path if p)
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={"PYTHONPATH": paths, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}, start_new_session=True,
        )  # fmt: skip
        atexit.register(self.stop)
        self._line(START_SECONDS)

    def ask(self, value: Any) -> Any:
        """One plain value there, one back. Raises ``GraderEnded``."""
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(value) + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise GraderEnded from error
        return json.loads(self._line(SECONDS))

    def _line(self, seconds: float) -> str:
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise GraderEnded
        line = self.process.stdout.readline()
        if not line:
            raise GraderEnded
        return line

    def stop(self) -> None:
        """End the process."""
        atexit.unregister(self.stop)
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                assert stream
                stream.close()
