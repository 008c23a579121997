"""What made a record: commit, versions, hardware."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "forgetting",
    "torch",
    "lightning",
    "transformers",
    "tokenizers",
    "datasets",
    "optuna",
    "tensorboard",
    "numpy",
    "pandas",
)


def commit() -> str | None:
    """The checkout's commit, with ``+changes`` if files of the package differ from it; None outside a checkout."""
    home = Path(__file__).parents[1]

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(home), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", str(home)) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def versions() -> dict[str, str]:
    """Python's version and those of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def other_version(plan: Mapping[str, Any]) -> str:
    """Which version made a folder that this one cannot go on with, by its plan; old plans name commits at most."""
    made = f"version {plan['version']}" if "version" in plan else "an earlier version"
    known = plan.get("commits")
    commits = ", ".join(map(str, known)) if isinstance(known, list) else ""
    return f"was made by {made}{f' (commit {commits})' if commits else ''}, and this one can report and load it only"


def hardware() -> dict[str, str | int]:
    """Processor, cores, memory in GiB, system."""
    facts: dict[str, str | int] = {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 1,
    }
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        facts["processor"] = names[0] if names else platform.processor()
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory_gib"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    return facts
