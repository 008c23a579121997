"""A store of trained models: folders named by the fingerprint of what made them, whole or absent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError, file_name
from forgetting.record import places
from forgetting.record.field_kinds import ANY, NONE, NUMBER, TEXT, WHOLE, maybe
from forgetting.record.places import held
from forgetting.record.seals import file_hash, read_shaped, write_sealed

REFERENCE = Path(__file__).parents[1] / "reference"  # the students that ship with the package
MANIFEST = "manifest.json"
SHARED = ("answers", "machine", "unfinished")  # what a store has beside entries
SHAPE = {
    "files": {ANY: TEXT}, "fingerprint": maybe(TEXT), "role": maybe(TEXT), "made_from": maybe({}),
    "accuracy": maybe({ANY: {ANY: NUMBER}}), "wall_seconds": maybe({ANY: NUMBER}),
    "processor_seconds": maybe({ANY: NUMBER}), "moved": maybe(NUMBER), "notes": maybe({ANY: NUMBER}),
    "until": maybe({"steps": WHOLE, "why": maybe(TEXT, NONE), "checks": [[NUMBER]]}),
}  # fmt: skip
OF_ROLES = {  # what else is read of an entry
    "student": {"capacity": WHOLE, "capacity_non_embedding": WHOLE}, "pilot": {"nll": (NUMBER, NONE)},
}  # fmt: skip


def default_root() -> Path:
    """``$FORGETTING_STORE``, else ``forgetting`` in the user's cache folder."""
    if "FORGETTING_STORE" in os.environ:
        return Path(os.environ["FORGETTING_STORE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "forgetting"


class Store:
    """Entries are read from ``root``, then from what is shipped with the package; written to ``root`` only."""

    def __init__(self, root: Path | None = None, *, reference: Path | None = REFERENCE) -> None:
        self.root = root or default_root()
        self.reference = reference

    def find(self, fingerprint: str) -> Path | None:
        """The entry's folder, or None."""
        for root in (self.root, self.reference):
            if root is not None and (root / fingerprint / MANIFEST).is_file():
                return root / fingerprint
        return None

    def check_writable(self) -> None:
        """``UsageError`` where no entry could be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.root).close()
        except OSError as error:
            raise UsageError(f"store: cannot be written, {str(self.root)!r}: {error.strerror}") from error

    def work(self, fingerprint: str) -> Path:
        """Where the unfinished entry keeps its checkpoint."""
        return self.root / "unfinished" / fingerprint

    @contextmanager
    def making(self, fingerprint: str) -> Iterator[Path | None]:
        """Hold an entry while making it (where there is flock), and give its folder if it is there by now.

        Several workers may need the same student at once: one makes it, the others wait. A killed maker lets go, and
        what it has left here is removed.
        """
        if (found := self.find(fingerprint)) is not None:
            yield found
            return
        self.work(fingerprint).parent.mkdir(parents=True, exist_ok=True)
        with held(self.work(fingerprint).with_suffix(".lock"), wait=True):
            self._remove_halves(fingerprint)
            yield self.find(fingerprint)

    def clean(self) -> None:
        """Remove what killed makers have left: halves of entries, temporary files, locks; but what is held stays.

        ``UsageError`` where a link would lead out of the store what is written beside entries.
        """
        places.check_plain(*(self.root / shared for shared in SHARED))
        for shared in SHARED:
            places.clean(self.root / shared)
        halves = {path.name.split(".")[1] for path in self.root.glob(".*.*") if path.is_dir()}
        locks = {path.stem for path in (self.root / "unfinished").glob("*.lock")}
        for fingerprint in sorted(halves | locks):
            with suppress(OSError), held(self.work(fingerprint).with_suffix(".lock"), wait=False) as mine:
                if mine:
                    self._remove_halves(fingerprint)
                    if (self.root / fingerprint / MANIFEST).is_file():  # killed between the two last steps
                        shutil.rmtree(self.work(fingerprint), ignore_errors=True)

    def _remove_halves(self, fingerprint: str) -> None:
        """To be called by whoever holds the entry: nobody else can be writing it."""
        for half in self.root.glob(f".{fingerprint}.*"):
            if half.is_dir() and not half.is_symlink():
                shutil.rmtree(half, ignore_errors=True)
        places.clean(self.work(fingerprint))

    def add(self, fingerprint: str, fill: Callable[[Path], dict[str, Any]]) -> Path:
        """Make an entry, whole or not at all: ``fill`` writes files into a folder and returns the manifest."""
        target = self.root / fingerprint
        self.root.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{fingerprint}.", dir=self.root))
        try:
            manifest = fill(temporary)
            files = {p.name: file_hash(p) for p in sorted(temporary.iterdir()) if p.is_file()}
            write_sealed(temporary / MANIFEST, {"fingerprint": fingerprint, "files": files, **manifest})
            temporary.chmod(0o755)
            try:
                temporary.rename(target)
            except OSError:
                if not (target / MANIFEST).is_file():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(self.work(fingerprint), ignore_errors=True)
        return target


def manifest(folder: Path) -> dict[str, Any]:
    """An entry's manifest. ``UsageError`` if it is missing, broken, of another shape, or that of another entry."""
    remedy = "delete its folder to make it anew"
    try:
        found = read_shaped(folder / MANIFEST, SHAPE, remedy)
        read_shaped(folder / MANIFEST, OF_ROLES.get(found.get("role", ""), {}), remedy)
    except UsageError as error:
        raise UsageError(f"store: no readable manifest in {str(folder)!r}: {error}") from None
    if found.get("fingerprint", folder.name) != folder.name:
        raise UsageError(f"store: {str(folder / MANIFEST)!r} is that of {found['fingerprint']!r}; {remedy}")
    return found


def verify(folder: Path) -> None:
    """``UsageError`` unless every file of an entry has the hash that its manifest says."""
    for name, expected in manifest(folder)["files"].items():
        path = folder / file_name(name, f"store: a file in {str(folder / MANIFEST)!r}")
        if not path.is_file() or file_hash(path) != expected:
            raise UsageError(
                f"store: {str(path)!r} does not have the hash of its manifest; delete the folder to make it anew"
            )
