"""What the sandbox does with every hostile program of the tests, as a page: outcome, seconds, what was left behind."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from forgetting.sandbox.limits import Limits  # noqa: E402
from forgetting.sandbox.pool import Asserts, Sandbox  # noqa: E402
from tests.sandbox.hostile import HOSTILE, WANTS_IMPORT  # noqa: E402

LIMITS = Limits(cpu_seconds=1, wall_seconds=6, memory_mebibytes=256, output_bytes=1_000_000)
HEAD = """# Hostile programs in the sandbox

Made by `python validation/sandbox.py`; the programs are those of `tests/sandbox/hostile.py`, and
`tests/sandbox/test_pool.py` runs each of them and looks for what it may have left: files, processes, connections, a
harmed sandbox. Each is to define `f`, the test is `candidate(1) == 2`.
"""


def main() -> None:
    """Run all, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "sandbox.md")
    given = parser.parse_args()
    rows, outcomes = [], Counter[str]()
    with tempfile.TemporaryDirectory() as folder, Sandbox(LIMITS, workers=1) as sandbox:
        secret = Path(folder) / "secret"
        secret.write_text("assert candidate(1) == 2")
        with socket.create_server(("127.0.0.1", 0)) as server:
            known = {"{secret!r}": repr(str(secret)), "{parent}": str(os.getpid())}
            known["{port}"] = str(server.getsockname()[1])
            for name, text in HOSTILE.items():
                program = text
                for mark, value in known.items():
                    program = program.replace(mark, value)
                begin = time.perf_counter()
                (verdict,) = sandbox.run([Asserts(WANTS_IMPORT + program, "f", "assert candidate(1) == 2")])
                seconds = time.perf_counter() - begin
                outcomes[verdict.outcome.name] += 1
                detail = verdict.detail.replace("|", "\\|").replace(str(secret), "SECRET").replace(folder, "FOLDER")
                shown = detail.replace(str(os.getpid()), "N").split("\n")[0][:70]
                rows.append(f"| {name} | {verdict.outcome.name} | {seconds:.2f} | {shown} |")
        layers = ", ".join(name for name, missing in sandbox.layers.items() if not missing)
    counts = ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
    words = f"{len(HOSTILE)} programs, {outcomes['passed']} scored as a pass: {counts}. Layers: {layers}. Limits: "
    words += f"{LIMITS.cpu_seconds} s of processor time, {LIMITS.wall_seconds:g} s of wall time, "
    words += f"{LIMITS.memory_mebibytes} MiB, {LIMITS.output_bytes:,} bytes of output."
    table = ["| program | outcome | seconds | in its words |", "| --- | --- | --- | --- |", *rows]
    given.output.write_text("\n".join([HEAD, words, "", *table, ""]))
    sys.stdout.write(words + "\n")


if __name__ == "__main__":
    main()
