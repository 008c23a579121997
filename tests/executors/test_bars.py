"""Progress on a terminal: bars above which lines are printed, and an end."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading

import pytest
from rich.console import Console
from rich.file_proxy import FileProxy

from forgetting.executors.bars import Unbroken

BARS = """
from forgetting.executors.bars import Bars
with Bars(False) as bars:
    bars.say("laid out")
    with bars.stage("runs", ["one", "two"]) as watch:
        for number in (0, 1):
            watch(number, 1, 2)
            print(f"printed {number}", flush=True)
            watch(number, 1, 1)
"""


def test_what_stands_behind_richs_proxy_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy prints by way of the stream that would write to it: each write would be another, without end."""
    behind, above = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", FileProxy(Console(file=above), behind))
    stream = Unbroken()
    stream.write("a line\n")
    stream.flush()
    assert (behind.getvalue(), above.getvalue()) == ("a line\n", "")
    assert not stream.isatty() and stream.encoding == "utf-8"


@pytest.mark.skipif(sys.platform == "win32", reason="has no terminals of this kind")
def test_bars_on_a_terminal_come_to_an_end() -> None:
    ours, theirs = os.openpty()
    found = bytearray()

    def read() -> None:
        try:
            while part := os.read(ours, 65536):
                found.extend(part)
        except OSError:  # nobody writes any more
            pass

    reader = threading.Thread(target=read)
    reader.start()
    about = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    try:
        subprocess.run([sys.executable, "-c", BARS], stdout=theirs, stderr=theirs, env=about, timeout=60, check=True)
    finally:
        os.close(theirs)
        reader.join(10)
        os.close(ours)
    for said in (b"laid out", b"printed 0", b"printed 1", b"runs", b"100%"):
        assert said in found
