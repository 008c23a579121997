"""How strict the sandbox is to be and what it is put into: words of a setting in, a policy and a command line out.

The words come from ``--sandbox`` of the command line or from the variable ``FORGETTING_SANDBOX`` and hold for the whole
process and its workers. No verdict depends on them, so they are no part of a study's fingerprint.

================== ===================================================================================================
``strict``         refuse to run programs where a layer is missing
``bubblewrap``     start each sandbox inside ``bwrap``: a read-only view of the machine, no network, its own processes
``container:NAME`` start each sandbox inside a container of that image (``podman``, else ``docker``), which has to have
                   Python 3.11 or later as ``python3``; the package's folder is mounted read-only
================== ===================================================================================================

Words are separated by commas. bubblewrap and containers come on top of the sandbox's own layers.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from forgetting.errors import UsageError, unknown
from forgetting.sandbox.confinement import NOBODY

VARIABLE = "FORGETTING_SANDBOX"
WORDS = ("strict", "bubblewrap", "container:IMAGE")
SCRIPT = Path(__file__).with_name("child.py")
INTERPRETER = ("-s", "-S", "-P")
MOUNTED = "/srv/package"


@dataclass(frozen=True)
class Policy:
    """What the words ask for."""

    strict: bool = False
    bubblewrap: bool = False
    image: str = ""

    def command(self, folder: str) -> list[str]:
        """The command that starts a sandbox in the folder ``folder``. ``UsageError`` where a tool is missing."""
        inside = [sys.executable, *INTERPRETER, str(SCRIPT)]
        if self.image:
            return _container(self.image)
        if not self.bubblewrap:
            return inside
        if shutil.which("bwrap") is None:
            raise UsageError(
                "sandbox: bubblewrap is not installed; install the package bubblewrap, or leave the word out"
            )
        view = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--chdir", folder]
        # Started by root, a program is to be nobody inside, where there is no other user to become.
        nobody = ["--uid", str(NOBODY), "--gid", str(NOBODY)] if os.getuid() == 0 else []
        return ["bwrap", "--unshare-all", "--die-with-parent", *nobody, *view, *inside]


def _container(image: str) -> list[str]:
    tool = next((name for name in ("podman", "docker") if shutil.which(name)), None)
    if tool is None:
        raise UsageError("sandbox: neither podman nor docker is installed; install one, or leave container:... out")
    limits = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    package = SCRIPT.parents[1]
    mount = ["--volume", f"{package}:{MOUNTED}/forgetting:ro", "--tmpfs", "/tmp", "--workdir", "/tmp"]
    variables = [part for name in ("PYTHONHASHSEED=0", "PYTHONUTF8=1", "PYTHONSAFEPATH=1") for part in ("--env", name)]
    inside = ["python3", *INTERPRETER, f"{MOUNTED}/forgetting/sandbox/{SCRIPT.name}"]
    return [tool, "run", "--rm", "--interactive", "--init", *limits, *mount, *variables, image, *inside]


def policy(text: str | None = None) -> Policy:
    """The policy of the words; of the process's own where ``text`` is None. ``UsageError`` for an unknown word."""
    words = [w.strip() for w in (os.environ.get(VARIABLE, "") if text is None else text).split(",") if w.strip()]
    found = Policy()
    for word in words:
        kind, _, image = word.partition(":")
        if kind == "container" and image:
            found = Policy(found.strict, found.bubblewrap, image)
        elif word == "strict":
            found = Policy(True, found.bubblewrap, found.image)
        elif word == "bubblewrap":
            found = Policy(found.strict, True, found.image)
        else:
            raise unknown("sandbox", word, WORDS)
    if found.bubblewrap and found.image:
        raise UsageError(f"sandbox: must be bubblewrap or a container, got {','.join(words)!r}")
    return found
