"""The tests of trust by root and by an ordinary user: how many cases there are, what came of them, how long they take.

Seconds are the processor's beside the clock's: others may use the machine as well.

An ordinary user may not read where this Python is installed, or the checkout. The interpreter is copied then (without
its packages, which are taken from where they are), and so are the files of the checkout that git knows; both copies,
the user's home and his temporary files lie in one folder, which is removed afterwards. Nothing else is changed.

    python validation/users.py --output results/validation/users.json
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import site
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from forgetting.record.files import write_json  # noqa: E402
from forgetting.record.provenance import commit  # noqa: E402

NOBODY = 65534
# An interpreter that can be started but not read takes the library of another one, and its children cannot be started.
AS_OURS = (
    "import subprocess, sys; assert sys.base_prefix == sys.argv[1]; subprocess.check_call([sys.executable, '-c', ''])"
)
LEFT_OUT = shutil.ignore_patterns(
    "site-packages", "test", "idlelib", "tkinter", "turtledemo", "__pycache__", "config-*"
)


def main() -> None:
    """Run them by both, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--user", type=int, default=NOBODY, help="number of the ordinary user")
    parser.add_argument("--only", choices=("root", "user"), help="one of the two")
    parser.add_argument("--output", type=Path)
    parser.add_argument(
        "words", nargs="*", default=["tests/trust", "-m", "not slow"], help="what pytest is given (behind --)"
    )
    given = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("must be started by root, who may become another user")
    found: dict[str, Any] = {"commit": commit(), "words": given.words}
    with tempfile.TemporaryDirectory(prefix="forgetting-users-") as place:
        os.chmod(place, 0o755)
        if given.only != "user":
            found["root"] = tested([], sys.executable, ROOT, dict(os.environ), Path(place) / "root", 0, given.words)
        if given.only != "root":
            found["user"] = as_user(Path(place), given.user, given.words)
    print(json.dumps(found, indent=1))
    if given.output:
        write_json(given.output, found)
    sys.exit(any(found.get(who, {}).get("failed") for who in ("root", "user")))


def as_user(place: Path, user: int, words: list[str]) -> dict[str, Any]:
    """The tests by a user without any right but his own."""
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    python, checkout, variables = sys.executable, ROOT, dict(os.environ)
    if subprocess.run([*become, python, "-c", AS_OURS, sys.base_prefix], capture_output=True, check=False).returncode:
        python, variables["LD_LIBRARY_PATH"] = str(interpreter(place / "python")), str(place / "python" / "lib")
    if subprocess.run([*become, "cat", str(ROOT / "setup.cfg")], capture_output=True, check=False).returncode:
        checkout = files_of_git(place / "checkout")
    return tested(become, python, checkout, variables, place / "home", user, words)


def interpreter(target: Path) -> Path:
    """A copy of this Python that finds the packages of this one where they are."""
    base, version = Path(sys.base_prefix), f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (target / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), target / "bin" / version)
    shutil.copytree(base / "lib" / version, target / "lib" / version, ignore=LEFT_OUT)
    for library in (base / "lib").glob("libpython*"):
        shutil.copy(library, target / "lib")
    packages = target / "lib" / version / "site-packages"
    packages.mkdir()
    lines = [f"import site; site.addsitedir({place!r})\n" for place in site.getsitepackages()]
    (packages / "here.pth").write_text("".join(lines))
    return target / "bin" / version


def files_of_git(target: Path) -> Path:
    """The files of the checkout that git knows, as they are now."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def tested(
    become: list[str], python: str, checkout: Path, variables: dict[str, str], home: Path, user: int, words: list[str]
) -> dict[str, Any]:
    """What pytest has found: counts, seconds, the longest case, and the names of those that failed."""
    home.mkdir()
    os.chown(home, user, user)
    own = {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    report = home / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", "-o", "junit_duration_report=call"]
    begin, before = time.monotonic(), processor_seconds()
    done = subprocess.run(
        [*become, python, "-m", "pytest", *options, *words], cwd=checkout, env={**variables, **own}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    seconds, processor = time.monotonic() - begin, processor_seconds() - before
    if not report.is_file():
        raise SystemExit(f"no tests were run: {(done.stderr or done.stdout).strip()[-2000:]}")
    if done.returncode:
        sys.stderr.write(done.stdout[-20_000:])
    cases = list(ET.parse(report).getroot().iter("testcase"))
    kinds = {kind: [c for c in cases if c.find(kind) is not None] for kind in ("failure", "error", "skipped")}
    longest = max(cases, key=_processor)
    return {
        "uid": user, "cases": len(cases), "skipped": len(kinds["skipped"]), "seconds": round(seconds),
        "processor_seconds": round(processor), "processor_seconds_of_cases": round(sum(map(_processor, cases)), 1),
        "failed": [f"{c.get('classname')}::{c.get('name')}" for c in kinds["failure"] + kinds["error"]],
        "why skipped": sorted({_why(c) for c in kinds["skipped"]}),
        "longest": {"name": _plain(longest.get("name", "")), "processor_seconds": _processor(longest)},
    }  # fmt: skip


def processor_seconds() -> float:
    """Of children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _processor(case: ET.Element) -> float:
    """What ``tests/trust/conftest.py`` has noted."""
    noted = [one.get("value", "0") for one in case.iter("property") if one.get("name") == "processor_seconds"]
    return float(noted[0]) if noted else 0.0


def _why(case: ET.Element) -> str:
    skipped = case.find("skipped")
    return _plain(skipped.get("message", "") if skipped is not None else "")


def _plain(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", text)[:120]


if __name__ == "__main__":
    main()
