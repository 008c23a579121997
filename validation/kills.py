"""Kill, start again, compare: after any number of kills nothing is lost, nothing doubled, and nothing is left over.

A small study, a stack, a sweep, a ladder or a report is started and killed outright (SIGKILL to its whole group) at a
random moment, started again, killed again, until it comes to an end before the next kill; then what it has made must be
what it makes uninterrupted, each row there once, and neither its folder nor the store nor the temporary folder may hold
temporary files, halves of entries, locks or a second file of events. Half of the kills come after a time on the
processor, half right before a random act on the disk, since there the harm would be. In one folder of three both are
drawn over the whole length of the command, in the others over its next third, so that a folder is killed all the way;
it goes on by the same command or by ``resume``. One folder in thirty is worked on by interpreters and workers of their
own, as users have it; the others by processes that were forked (``forks.py``): what they need not do is import.

    python validation/kills.py --kills 1000 --output results/validation/kills.json

It can be interrupted and started again: kills that were made are kept in the output. Several can run side by side, each
with a ``--seed`` and an output of its own; ``--kills 0 --add FILE FILE`` makes one of them.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from validation import forks, made

EVALUATION = (
    "--evaluation.probe_items=4", "--evaluation.benchmarks=[{name: maths, items_per_depth: 4}]",
    "--evaluation.perturbed=never",
)  # fmt: skip
STUDY = (
    "--ladder.students=[10k]", "--contaminations=[dialogue]", "--doses.dose=80", "--doses.first=40", "--seeds=2",
    "--name=kills", "--keep=all", "--fine_tuning.batch_size=8", *EVALUATION,
)  # fmt: skip
LADDER = (
    "--ladder.students=[10k]", "--ladder.teacher=10k", "--ladder.teaching.samples=72", "--ladder.teaching.pool=64",
    "--ladder.teaching.batch_size=1", "--ladder.distilling.samples=72", "--ladder.distilling.pool=64",
    "--ladder.distilling.batch_size=1", "--contaminations=[dialogue]", *EVALUATION,
)  # fmt: skip
SWEEP = """study:
  {name: kills, ladder: {students: [10k, 34k]}, contaminations: [dialogue], doses: {dose: 80, first: 40}, seeds: 2,
   fine_tuning: {batch_size: 8}, keep: none,
   evaluation: {benchmarks: [{name: maths, items_per_depth: 4}], probe_items: 4, perturbed: never}}
targets: [{axis: capacity, skill: maths}]
search: {method: grid, round_size: 2, startup_runs: 2}
stop: {width_decades: 0, runs: 4}
"""
OWN = ("--workers=0", "--store=store")
AS_USERS_DO = 1 / 30  # of the folders
IMPORTS = 15  # seconds on the processor, of two interpreters
SPANS = (1, 1 / 3, 1 / 3)  # of a command's length: what moments are drawn over, by folder


@dataclass(frozen=True)
class Command:
    """One that is killed: what to start, what goes on besides, what it has made, and what must be there before."""

    argv: tuple[str, ...]
    numbers: Callable[[Path], Any]
    resumes: bool = True
    before: Callable[[Path, Path], None] = lambda folder, place: None
    most: int = 100  # kills of a folder: a report begins anew each time, and never comes to an end by itself


def _a_sweep(folder: Path, place: Path) -> None:
    (folder / "sweep.yaml").write_text(SWEEP)


def _a_study(folder: Path, place: Path) -> None:
    views = shutil.ignore_patterns("curves.csv", "figures", "report.html", "tensorboard")
    shutil.copytree(place / "reference" / "study" / "runs", folder / "runs", ignore=views)


COMMANDS = {
    "study": Command(("simulate", *STUDY, *OWN, "--stack=off"), made.by_study),
    "stack": Command(("simulate", *STUDY, *OWN, "--stack=2"), made.by_study),
    "ladder": Command(("distil", *LADDER, *OWN, "--export=export"), made.by_ladder, resumes=False),
    "sweep": Command(("sweep", "sweep.yaml", *OWN), made.by_sweep, before=_a_sweep),
    "report": Command(("report", "FOLDER"), made.by_report, resumes=False, before=_a_study, most=4),
}


@dataclass
class Tally:
    """What was found so far. ``ends``: folders that came to an end after kills; ``reached``: where kills struck."""

    kills: int = 0
    ends: int = 0
    lost: int = 0
    doubled: int = 0
    leftovers: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    by_command: dict[str, int] = field(default_factory=dict)
    by_moment: dict[str, int] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)

    def add(self, kept: dict[str, Any]) -> None:
        """Go on from what was found before, or beside."""
        for name, own in asdict(self).items():
            found = kept[name]
            if isinstance(own, dict):
                setattr(self, name, {word: own.get(word, 0) + found.get(word, 0) for word in sorted({*own, *found})})
            else:
                setattr(self, name, own + found)


def main() -> None:
    """Kill until there were so many kills, or for so long; print and write after every folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=1e6, help="stop then, and say how many there were")
    parser.add_argument("--each", type=int, default=12, help="kills of one folder at most")
    parser.add_argument("--seed", type=int, default=0, help="another one for each of several that run side by side")
    parser.add_argument(
        "--add", type=Path, nargs="*", default=[], help="what others that ran side by side have written"
    )
    parser.add_argument("--output", type=Path)
    parser.add_argument("--keep", type=Path, help="copy folders there that are not as they should be")
    given = parser.parse_args()
    tally = Tally()
    for file in [*([given.output] if given.output and given.output.is_file() else []), *given.add]:
        tally.add(json.loads(file.read_text()))
    with tempfile.TemporaryDirectory() as place:
        seconds = given.minutes * 60
        rng = random.Random(f"{given.seed} {tally.kills}")
        killed(Path(place), tally, rng, given.kills, given.each, seconds, output=given.output, keep=given.keep)
    if given.output:
        _write(given.output, tally)
    print(json.dumps(asdict(tally), indent=1))
    sys.exit(bool(tally.lost or tally.doubled or tally.leftovers or tally.failures))


def killed(
    place: Path, tally: Tally, rng: random.Random, kills: int, each: int, seconds: float, *, users: float = AS_USERS_DO,
    output: Path | None = None, keep: Path | None = None,
) -> None:  # fmt: skip
    """Folders, each killed up to ``each`` times, until there were ``kills`` kills or the time is up."""
    forks.import_everything()
    begin, before = time.monotonic(), tally.seconds
    whole, expected = references(place) if tally.kills < kills else ({}, {})
    while tally.kills < kills and time.monotonic() - begin < seconds:
        name, folder = list(COMMANDS)[tally.ends % len(COMMANDS)], place / "work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        COMMANDS[name].before(folder, place)
        one = _by_interpreters if rng.random() < users and name != "report" else _by_forks
        bad = len(tally.failures)
        try:
            one(name, folder, whole[name], rng, tally, min(each, COMMANDS[name].most, kills - tally.kills))
            compare(name, folder, expected[name], tally)
        except RuntimeError as error:  # a command that could not go on
            tally.failures.append(f"{name} {tally.ends}: {str(error).strip().splitlines()[-1]}")
        tally.ends += 1
        if keep and len(tally.failures) > bad:
            shutil.copytree(folder, keep / f"{name}-{tally.ends}", symlinks=True)
        tally.seconds = round(before + time.monotonic() - begin, 1)
        if output:
            _write(output, tally)


def _write(output: Path, tally: Tally) -> None:
    from forgetting.record.files import write_json
    from forgetting.record.provenance import commit

    write_json(output, {**asdict(tally), "commit": commit(), "study": STUDY, "ladder": LADDER, "sweep": SWEEP})


def references(place: Path) -> tuple[dict[str, forks.Ending], dict[str, Any]]:
    """By command: how long it takes uninterrupted, and what it makes."""
    whole, expected = {}, {}
    for name, own in COMMANDS.items():
        folder = place / "reference" / name
        folder.mkdir(parents=True)
        own.before(folder, place)
        whole[name] = forks.command(_argv(own, folder), folder)
        expected[name] = forks.forked(lambda own=own, folder=folder: own.numbers(folder), folder).value  # type: ignore[misc]
    return whole, expected


def _argv(own: Command, folder: Path) -> list[str]:
    return [str(made.study_of(folder)) if word == "FOLDER" else word for word in own.argv]


def _again(own: Command, folder: Path, rng: random.Random, options: tuple[str, ...]) -> list[str]:
    """The same command, or ``resume`` where there is something to resume."""
    if own.resumes and list(folder.glob("runs/kills-*/s*.json")) and rng.random() < 0.5:
        stack = [word for word in own.argv if word.startswith("--stack")]
        return ["resume", *options, *stack, str(made.study_of(folder))]
    return _argv(own, folder)


def _by_forks(name: str, folder: Path, whole: forks.Ending, rng: random.Random, tally: Tally, most: int) -> None:
    own, span = COMMANDS[name], rng.choice(SPANS)
    for number in range(most + 1):
        argv, seconds, act = _again(own, folder, rng, OWN), None, None
        if number < most and rng.random() < 0.5:
            act = rng.randint(1, round(span * whole.acts))
        elif number < most:
            seconds = rng.uniform(0, span * whole.processor)
        if not forks.command(argv, folder, seconds=seconds, act=act).killed:
            return  # it came to an end before that
        _count(tally, name, "before an act" if act else "by the processor's clock", folder)


def _by_interpreters(name: str, folder: Path, whole: forks.Ending, rng: random.Random, tally: Tally, most: int) -> None:
    own, options = COMMANDS[name], ("--workers=2", "--store=store")
    for number in range(most + 1):
        argv = [word for word in _again(own, folder, rng, options) if word != "--workers=0"]
        argv += [] if "--workers=2" in argv else ["--workers=2"]
        length = (IMPORTS + whole.processor) * whole.seconds / whole.processor
        moment = rng.uniform(0, length) if number < most else None
        if not forks.interpreter(argv, folder, seconds=moment).killed:
            return
        _count(tally, name, "interpreters and workers, by the clock", folder)


def _count(tally: Tally, name: str, moment: str, folder: Path) -> None:
    tally.kills += 1
    for found, word in ((tally.by_command, name), (tally.by_moment, moment), (tally.reached, _state(name, folder))):
        found[word] = found.get(word, 0) + 1


def _state(name: str, folder: Path) -> str:
    """How far a killed command had come."""
    return f"{name}: {next((word for word, pattern in made.STATES[name] if list(folder.glob(pattern))), 'starting')}"


def compare(name: str, folder: Path, expected: dict[str, Any], tally: Tally) -> None:
    """Count what is not as it is uninterrupted, twice there, or left over."""
    found = forks.forked(lambda: COMMANDS[name].numbers(folder), folder).value
    different = sorted(part for part in expected if found.get(part) != expected[part])
    tally.lost += bool(different)
    tally.doubled += found["doubled"]
    left = made.leftovers(folder)
    tally.leftovers += len(left)
    tally.failures += [f"{name} {tally.ends}: other {part}" for part in different] + left[:5]


if __name__ == "__main__":
    main()
