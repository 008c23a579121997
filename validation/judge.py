"""What the judge of programs makes of frames that a hostile candidate may write: each a verdict, none an exception.

Mutated frames (``tests/trust/frames.py``) are read in this process, each by every reading that the judge and the pool
have, and the slowest is timed. Some of them are also written by programs in a real sandbox, when they are loaded and
when they are called, and must neither break the sandbox nor spoil the verdict on the honest program after each.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from forgetting.sandbox.limits import Limits, Outcome  # noqa: E402
from forgetting.sandbox.pool import Asserts, Calls, Job, Sandbox, Script  # noqa: E402
from tests.trust import frames  # noqa: E402

LIMITS = Limits(cpu_seconds=1, wall_seconds=2, memory_mebibytes=256, output_bytes=100_000)
WRITE = "import os\ndef write(data):\n    for p in range(3, 64):\n        try: os.write(p, data)\n"
WRITE += "        except OSError: pass\n"
HONEST = Asserts("def f(x): return x * x", "f", "assert f(3) == 9")
HEAD = """# Mutated frames read by the judge of programs

Made by `python validation/judge.py --frames {frames} --programs {programs} --seed {seed}`; do not edit. What is done
stands at the top of the script.
"""


def read(count: int, seed: int) -> tuple[Counter[str], float]:
    """How each frame ended, in this process, and the most seconds that one took."""
    endings, slowest = Counter[str](), 0.0
    for frame in frames.mutated(count, seed):
        begin = time.perf_counter()
        try:
            ending = frames.reading(frame)
        except Exception as error:  # noqa: BLE001 (what is looked for)
            ending = f"EXCEPTION {type(error).__name__}"
            sys.stderr.write(f"{frame[:200]!r}\n{traceback.format_exc()}\n")
        slowest = max(slowest, time.perf_counter() - begin)
        endings[ending] += 1
    return endings, slowest


def written(count: int, seed: int) -> tuple[Counter[str], int, int]:
    """Verdicts on programs that write a frame; honest programs after them that were not passed; sandboxes broken."""
    jobs: list[Job] = []
    for index, frame in enumerate(frames.mutated(count, seed)):
        now, later = f"{WRITE}write({frame!r})\n", f"{WRITE}def f(x): write({frame!r})\n"
        job: Job = Script(now + "print(1)", "", "2")
        if index % 4 == 1:
            job = Asserts(now + "def f(x): return 1", "f", "assert f(1) == 2, f(1)")
        elif index % 4:
            job = Calls(later, "f", ((1,),), (2,)) if index % 4 == 2 else Asserts(later, "f", "assert f(1) == 2, f(1)")
        jobs += [job, HONEST]
    with Sandbox(LIMITS, workers=1) as sandbox:
        process = sandbox._cells[0].process.pid
        verdicts = sandbox.run(jobs)
        broken = int(sandbox._cells[0].process.pid != process)
    return Counter(v.outcome.name for v in verdicts[::2]), sum(not v.passed for v in verdicts[1::2]), broken


def table(counts: Counter[str], head: str) -> list[str]:
    """Counts as a table."""
    return [f"| {head} | frames |", "| --- | ---: |", *(f"| {name} | {n:,} |" for name, n in counts.most_common())]


def main() -> None:
    """Read, run, write the page; exit status 1 where an exception got through or a sandbox was harmed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--programs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "validation" / "judge.md")
    given = parser.parse_args()
    endings, slowest = read(given.frames, given.seed)
    outcomes, stained, broken = written(given.programs, given.seed + 1)
    exceptions = sum(n for name, n in endings.items() if name.startswith("EXCEPTION"))
    bad = exceptions + stained + broken + outcomes[Outcome.passed.name] + outcomes[Outcome.harness_error.name]
    words = f"{given.frames:,} frames read: {exceptions} exceptions, the slowest took {1000 * slowest:.0f} ms."
    more = f"{given.programs:,} programs that write one: {outcomes[Outcome.passed.name]} passed, "
    more += f"{outcomes[Outcome.harness_error.name]} harness errors, {stained} honest programs after them judged "
    more += f"wrongly, {broken} sandboxes broken."
    page = [HEAD.format(**vars(given)), words, "", *table(endings, "ending"), "", more, "", *table(outcomes, "verdict")]
    given.output.write_text("\n".join([*page, ""]))
    sys.stdout.write(f"{words}\n{more}\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
