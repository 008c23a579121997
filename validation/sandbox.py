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

## What a candidate may write

A program, its judge and the process that started both are three processes, joined by pipes. A candidate may write to
its pipe what it likes, when it likes; that is a verdict on it and nothing else:

- Bytes that no plain value gives are `wrong`, whatever is wrong with them. More bytes than `output_bytes`, or a
  length that announces more, are `output_limit`. Half a frame is waited for until the wall limit: `time_limit`.
- Prepared calls (`Calls`) are compared in the judge, as texts that two values share if and only if they are equal: no
  value of the candidate is hashed, so values of equal hashes cost nothing. Tests (`Asserts`) get real values, sets
  and dictionaries too; where these are made so that they use up the judge's processor time, the verdict is
  `time_limit`, as it is for tests that a result makes endless, and `memory_limit` where they use up its memory.
- Equal in `Calls`: as in Python (1 and 1.0 and 1+0j, a set and a frozenset of the same members), but for bool and
  numbers, which are kept apart however deep they lie: `True` is not 1, `[True]` not `[1]`, `{True}` not `{1}`,
  `{True: 2}` not `{1: 2}`. A tuple is no list, NaN equals nothing. In `Asserts` the benchmark's own `==` decides.
- Error texts are cut to 300 bytes between letters.

`harness_error` is left for tests that do not run, and for a sandbox that broke. `tests/trust/test_judge.py` holds
this with hostile programs of every kind; `validation/judge.py` reads 100,000 mutated frames and runs 1,000 programs
that write one ([result](../results/validation/judge.md)).

The sandbox's interpreter runs with `-s -S -P`, `PYTHONSAFEPATH=1`, an environment of its own and in an empty folder;
the graders that evaluate an answer's text (`math-verify`, `reasoning-gym`) run with `-P`, `PYTHONSAFEPATH=1` and a
path without the working folder. So a `torch.py` or `queue.py` there is never imported. These graders answer each
question with a word that was drawn for it; an answer that is late, too long, malformed, or lacks the word ends the
process and is no right answer.

## Hostile programs, one by one
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
                shown = detail.replace(str(os.getpid()), "N").replace(sys.base_prefix, "PREFIX").split("\n")[0][:70]
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
