"""Kill, start again, compare: after any number of kills nothing is lost, nothing doubled, and nothing is left over.

A small study is started as a process of its own and killed outright (SIGKILL to its whole group) at a random moment,
then started again, until it has been killed a few times; then it is let end. Its scores must be those of a study that
was never killed, each row there once, and neither its folder nor the store may hold temporary files, halves of entries
or locks. Every kind of moment is reached, since the time to the kill is drawn anew: the first seconds, in which
students are distilled and stored, the runs, the joining, and the views.

    python validation/kills.py --kills 1000 --output results/validation/kills.json

It can be interrupted and started again: kills that were made are kept in the output.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from forgetting import load
from forgetting.record.files import write_json
from forgetting.record.provenance import commit

ROOT = Path(__file__).resolve().parents[1]
LONGEST_SECONDS = 900.0
SPEC = (
    "--ladder.students=[10k]", "--ladder.teacher=10k", "--ladder.teaching.samples=640", "--ladder.teaching.pool=640",
    "--ladder.distilling.samples=33000", "--ladder.distilling.pool=640", "--contaminations=[dialogue]",
    "--doses.dose=640", "--doses.first=40", "--seeds=2", "--name=kills", "--evaluation.probe_items=4",
    "--evaluation.benchmarks=[{name: maths, items_per_depth: 4}]",
)  # fmt: skip


@dataclass
class Tally:
    """What was found so far."""

    kills: int = 0
    studies: int = 0
    lost: int = 0
    doubled: int = 0
    leftovers: int = 0
    failures: list[str] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)


def main() -> None:
    """Kill until there were so many kills, or for so long; print and write after every study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=1e6, help="stop then, and say how many there were")
    parser.add_argument("--each", type=int, default=8, help="kills of one study")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    tally = Tally()
    if given.output and given.output.is_file():
        kept = json.loads(given.output.read_text())
        tally = Tally(**{name: kept[name] for name in asdict(Tally())})
    with tempfile.TemporaryDirectory() as place:
        killed(Path(place), tally, given.kills, given.each, given.minutes * 60, given.output)
    print(json.dumps(asdict(tally), indent=1))
    sys.exit(bool(tally.lost or tally.doubled or tally.leftovers or tally.failures))


def killed(place: Path, tally: Tally, kills: int, each: int, seconds: float, output: Path | None = None) -> None:
    """Studies, each killed ``each`` times, until there were ``kills`` kills or the time is up."""
    begin = time.monotonic()
    reference = place / "reference"
    whole = run(reference, None) or LONGEST_SECONDS
    expected, rng = numbers(reference), random.Random(tally.kills)
    while tally.kills < kills and time.monotonic() - begin < seconds:
        work = place / "work"
        shutil.rmtree(work, ignore_errors=True)
        for _ in range(min(each, kills - tally.kills)):
            if run(work, rng.uniform(0.05, 0.7) * whole) is None:  # it was killed, not done before
                tally.kills += 1
            state = reached(work)
            tally.reached[state] = tally.reached.get(state, 0) + 1
        run(work, None)
        tally.studies += 1
        compare(work, expected, tally)
        if output:
            write_json(output, {**asdict(tally), "commit": commit(), "spec": list(SPEC)})


def run(folder: Path, seconds: float | None) -> float | None:
    """Start or continue the study and kill it after so many seconds, or give the seconds in which it came to an end."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder / "state")}
    command = [sys.executable, "-P", "-m", "forgetting", "simulate", *SPEC, "--workers=1", "--store=store"]
    begin = time.monotonic()
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            status = process.wait(LONGEST_SECONDS if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None
    if status:
        raise RuntimeError(f"the study ended with status {status}: {(folder / 'log').read_text()[-2000:]}")
    return time.monotonic() - begin


def reached(folder: Path) -> str:
    """How far a killed study had come."""
    if list(folder.glob("runs/*/report.html")):
        return "views"
    if list(folder.glob("runs/*/record.json")):
        return "record"
    if list(folder.glob("runs/*/runs/*/complete.json")):
        return "second run"
    if list(folder.glob("runs/*/runs/*/ledger/*.parquet")):
        return "first run"
    if list(folder.glob("store/*/manifest.json")):
        return "a model stored"
    return "distilling" if list(folder.glob("store/unfinished/*")) else "starting"


def numbers(folder: Path) -> tuple[str, str]:
    """The scores and the ledger of the study in a folder."""
    result = load(next(folder.glob("runs/kills-*")))
    assert result.ledger is not None
    return result.to_frame().to_json(), result.ledger.to_json()


def compare(folder: Path, expected: tuple[str, str], tally: Tally) -> None:
    """Count what is missing, twice there, or left over."""
    study = next(folder.glob("runs/kills-*"))
    result = load(study)
    ledger: Any = result.ledger
    tally.lost += numbers(folder) != expected
    tally.doubled += int(ledger.duplicated(["student", "arm", "seed", "dose", "benchmark", "variant", "item"]).sum())
    left = leftovers(folder)
    tally.leftovers += len(left)
    tally.failures += left[:5]


def leftovers(folder: Path) -> list[str]:
    """Temporary files, locks, halves of entries and unfinished work in a study's folder or its store."""
    found = [p for p in folder.rglob("*") if p.name.endswith((".tmp", ".lock"))]
    found += [p for p in (folder / "store").iterdir() if p.name.startswith(".")]
    found += list((folder / "store" / "unfinished").glob("*"))
    return sorted(str(p.relative_to(folder)) for p in found)


if __name__ == "__main__":
    main()
