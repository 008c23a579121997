"""A container's image made of this interpreter and the libraries that it needs; nothing is downloaded."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAME = "localhost/forgetting-sandbox-test"
LEFT_OUT = shutil.ignore_patterns("__pycache__", "test", "site-packages", "dist-packages", "config-*")


@contextmanager
def image(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the image, which is removed afterwards; the test is skipped where no container can be made.

    Ulimits are set below this process's own, since a process may not raise them; runc, where it is installed, also runs
    under the older hybrid cgroups, which crun refuses.
    """
    if not shutil.which("podman"):
        pytest.skip("needs podman")
    settings = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
    settings += '[engine]\nruntime = "runc"\n' if shutil.which("runc") else ""
    (folder / "containers.conf").write_text(settings)
    patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))
    tree(folder / "root")
    subprocess.run(["tar", "-cf", folder / "image.tar", "-C", folder / "root", "."], check=True)
    made = subprocess.run(["podman", "import", folder / "image.tar", NAME], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"podman makes no image here: {made.stderr.strip()[-200:]}")
    try:
        yield NAME
    finally:
        subprocess.run(["podman", "rmi", "--force", NAME], capture_output=True, check=True)


def tree(root: Path) -> None:
    """The interpreter at its own place, as ``python3`` on the path, with its library and shared objects."""
    python, library = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    for name in ("tmp", "proc", "dev", "sys", "etc", "run", "srv/package", "usr/bin"):
        (root / name).mkdir(parents=True)
    shutil.copytree(library, root / library.relative_to("/"), ignore=LEFT_OUT)
    objects = [python, *(root / library.relative_to("/")).rglob("*.so")]
    linked = subprocess.run(["ldd", *objects], capture_output=True, text=True).stdout
    for file in {python, *map(Path, re.findall(r"(/\S+\.so\S*) \(", linked))}:
        place = root / file.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    shown = root / "usr/bin/python3"
    if not shown.exists():
        shown.symlink_to(python)
