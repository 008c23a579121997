"""Byte flips in the folder of a study: what a study is like afterwards, and whether it was noticed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError
from forgetting.record.seals import SEAL

VIEWS = ("report.html", "figures", "tensorboard")  # rebuilt from the record, and read by nothing


@dataclass(frozen=True)
class Flip:
    """One flipped bit, and what came of it: ``noticed`` (with the line), ``harmless``, or ``silent``."""

    file: str
    byte: int
    bit: int
    found: str
    line: str = ""


def files_of(folder: Path) -> list[Path]:
    """Every file of a study that is not empty, in order."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)


def chosen(folder: Path, rng: random.Random) -> tuple[Path, int, int]:
    """A place drawn at random: a kind of file first, so that small ones are drawn as often as large ones."""
    kinds: dict[str, list[Path]] = {}
    for path in files_of(folder):
        top = path.relative_to(folder).parts
        kind = "views" if top[0] in VIEWS else "/".join([*(top[:1] if len(top) > 1 else ()), path.suffix or path.name])
        kinds.setdefault(kind, []).append(path)
    path = rng.choice(kinds[rng.choice(sorted(kinds))])
    return path, rng.randrange(path.stat().st_size), rng.randrange(8)


def flip_once(pristine: Path, work: Path, rng: random.Random, numbers: Callable[[Path], Any], expected: Any) -> Flip:
    """Copy a study, flip one bit, go on with it by ``numbers``, and compare with what it gives unharmed."""
    shutil.rmtree(work.parent, ignore_errors=True)
    shutil.copytree(pristine, work)
    path, byte, bit = chosen(work, rng)
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(bytes(data))
    name = str(path.relative_to(work))
    try:
        found = numbers(work)
    except UsageError as error:
        clear = "\n" not in str(error) and path.name in str(error)
        return Flip(name, byte, bit, "noticed" if clear else "unclear", str(error))
    return Flip(name, byte, bit, "harmless" if found == expected else "silent")


def plain_record(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what differs between two equal studies: clocks, commits, machines, hashes of files."""
    left_out = {"seconds", "created", "commit", "versions", "hardware", "files", SEAL}
    return {name: value for name, value in record.items() if name not in left_out}


def counts(flips: Sequence[Flip]) -> dict[str, int]:
    """How many of each outcome."""
    return {kind: sum(flip.found == kind for flip in flips) for kind in ("noticed", "harmless", "unclear", "silent")}
