"""Benchmarks that can be asked without fetching anything: their specs out, and a line for each that is not at hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ALWAYS = ("retrieval", "sums")  # need no data
# Of those that need data: where the hub has them, and their files in the folder that FORGETTING_DATA names.
FILES = {
    "gsm8k": ("openai/gsm8k", "gsm8k-{split}.jsonl.gz"),
    "humaneval": ("openai/openai_humaneval", "HumanEval.jsonl.gz"),
}
FOLDER = "FORGETTING_DATA"


def at_hand(names: Sequence[str] = tuple(FILES)) -> tuple[list[dict[str, Any]], list[str]]:
    """Specs of the benchmarks whose data are in the folder of ``FORGETTING_DATA`` or in the cache of ``datasets``."""
    found, missing = list[dict[str, Any]](), list[str]()
    for name in names:
        hub, file = FILES[name]
        if _in_folder(file):
            found.append({"name": name, "source": f"${FOLDER}/{file}"})
        elif _in_cache(hub):
            found.append({"name": name})
        else:
            missing.append(
                f"{name}: not at hand (no {file.replace('{split}', 'test')} in ${FOLDER}, no {hub} in the cache); "
                f"--benchmarks {name} fetches it"
            )
    return found, missing


def _in_folder(file: str) -> bool:
    folder = os.environ.get(FOLDER)
    return bool(folder) and (Path(folder or "") / file.replace("{split}", "test")).is_file()


def _in_cache(hub: str) -> bool:
    """Whether ``datasets`` has prepared it once on this machine."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    place = Path(os.environ.get("HF_DATASETS_CACHE", home / "datasets")).expanduser() / hub.replace("/", "___")
    return place.is_dir()
