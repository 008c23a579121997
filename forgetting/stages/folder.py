"""The folder of a study: where its runs are; held by one process; its spec written first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from forgetting import __version__
from forgetting.errors import UsageError
from forgetting.record.files import RunFolder
from forgetting.record.places import LOCK, check_plain, clean, held, inside
from forgetting.record.provenance import commit
from forgetting.record.run_files import remedy
from forgetting.record.seals import SEAL, read_sealed, write_sealed
from forgetting.record.signing import SIGNATURE, signature
from forgetting.study.fingerprints import study_fingerprint
from forgetting.study.run import Run
from forgetting.study.study import Study


def run_folder(folder: Path, run: Run) -> Path:
    """The folder of one run inside its study's."""
    return folder / "runs" / str(run)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes and holds the study's folder for this process (where there is flock), and clears what dead ones left.

    Raises:
        UsageError: it cannot be made or written, another process holds it, or a link in it leads elsewhere
    """
    with ExitStack() as lock:
        with _written(folder):
            folder.mkdir(parents=True, exist_ok=True)
            check_plain(*inside(folder))
            if not lock.enter_context(held(folder / LOCK, wait=False)):
                raise UsageError(f"output: another process is working on {str(folder)!r}")
            clean(folder)
        yield


def prepare(study: Study, folder: Path, stack: int | str = "off") -> list[str]:
    """Write the spec into the study's folder, and give the commits that have worked on it, this one among them.

    ``stack`` stands beside it, since going on otherwise would move the last bits of the numbers.
    """
    file, commits = folder / "spec.json", list[str]()
    with suppress(OSError, ValueError):  # new, or damaged and to be written anew
        found = read_sealed(file, "").get("commits")
        commits = list(map(str, found)) if isinstance(found, list) else []
    commits = list(dict.fromkeys([*commits, commit() or "unknown"]))
    spec, mark = dataclasses.asdict(study.spec), study_fingerprint(study)
    plan = {"fingerprint": mark, "spec": spec, "version": __version__, "commits": commits, "stack": stack}
    plan[SIGNATURE] = signature([spec, mark])
    with _written(folder):
        write_sealed(file, plan)
    return commits


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"output: cannot be written, {str(error.filename or folder)!r}: {error.strerror}") from error


def noise_floors(folder: Path, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """By run, what the process that wrote the answers adds to a score by itself, as far as runs have measured it."""
    files = {str(run): RunFolder(run_folder(folder, run)).backend for run in runs}
    found = {name: read_sealed(file, remedy(RunFolder(file.parent))) for name, file in files.items() if file.is_file()}
    return {name: {key: value for key, value in own.items() if key != SEAL} for name, own in found.items()}
