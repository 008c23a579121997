"""Which figures of README, docs and results name no commit or command, or come from code that gives other numbers now?

    python validation/stale_figures.py

prints a line for each and ends with status 1 where there is one. Looked at are

- pictures in README.md and docs/: the paragraph below one must name a command in code type, and a commit, its own
  or that of the study in whose folder the picture lies;
- folders of studies under results/: their record must name a commit of this history (or several, of a study that
  was gone on with), and the versions of world, students and results must be at the last of them what they are now:
  a change that moves numbers raises one of these (CONTRIBUTING.md);
- other results (JSON under results/): they must name a commit or the command that makes them again.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"`[^`]*\b(?:forgetting|python|make|tensorboard)\s[^`]+`")
COMMIT = re.compile(r"\b[0-9a-f]{7,40}\b")
VERSIONS = ("WORLD_VERSION", "STUDENTS_VERSION", "RESULTS_VERSION")
BELOW = 12  # lines below a picture in which its words stand


def main() -> int:
    """Print what is stale."""
    found = list(findings(ROOT))
    print("\n".join(found) or "No figure without commit and command, and none older than the code allows.")
    return 1 if found else 0


def findings(root: Path) -> Iterator[str]:
    """A line for everything that is stale under ``root``, a clone of the repository."""
    for page in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        yield from _pictures(root, page)
    for record in sorted((root / "results").glob("*/record.json")):
        yield from _study(root, record)
    for other in sorted((root / "results").glob("*/*.json")):
        if not (other.parent / "record.json").is_file() and not _says_how(other):
            yield f"{other.relative_to(root)}: names neither a commit nor the command that makes it again"


def _pictures(root: Path, page: Path) -> Iterator[str]:
    lines = page.read_text().splitlines()
    for number, line in enumerate(lines):
        for place in PICTURE.findall(line):
            where, path = f"{page.relative_to(root)}:{number + 1}", (page.parent / place).resolve()
            words = "\n".join(lines[number : number + BELOW])
            if not path.is_file():
                yield f"{where}: {place} does not exist"
                continue
            if not COMMAND.search(words):
                yield f"{where}: {place} has no command below it"
            in_study = any((above / "record.json").is_file() for above in path.parents)
            if not in_study and not COMMIT.search(words):
                yield f"{where}: {place} has no commit below it, and lies in no study's folder"


def _study(root: Path, path: Path) -> Iterator[str]:
    record, where = json.loads(path.read_text()), path.parent.relative_to(root)
    commits = [commit.strip().removesuffix("+changes") for commit in str(record.get("commit") or "").split(",")]
    last = next((commit for commit in reversed(commits) if commit), "")
    if not last:
        yield f"{where}: its record names no commit"
    elif not _git(root, "cat-file", "-t", last):
        yield f"{where}: its commit {last[:12]} is not in this history"
    else:
        for name in VERSIONS:
            then, now = _version(root, last, name), _version(root, "HEAD", name)
            if then != now:
                yield f"{where}: made at {last[:12]} with {name} {then or 'unknown'}, which is {now} now"


def _says_how(path: Path) -> bool:
    """Whether a file of results names a commit or a command, or its page of the same name or the folder's does."""
    pages = [path, path.with_suffix(".md"), path.parent / "README.md"]
    text = "\n".join(page.read_text() for page in pages if page.is_file())
    return bool(re.search(r"commit|python (speed|validation)/|forgetting \w+", text))


@cache
def _version(root: Path, commit: str, name: str) -> str:
    """A version as the code had it at a commit, wherever it stood then; nothing where it had none."""
    found = re.search(
        rf"^{name}\b[^=\n]*=\s*(\d+)", _git(root, "grep", "-h", f"^{name}", commit, "--", "*.py"), re.MULTILINE
    )
    return found[1] if found else ""


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
