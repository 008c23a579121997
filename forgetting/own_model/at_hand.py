"""Benchmarks that can be asked without fetching anything: their specs out, and a line for each that is not at hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forgetting import registry
from forgetting.benchmarks._text import TextBenchmark
from forgetting.errors import UsageError
from forgetting.natural.corpora import in_cache

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
        elif in_cache(hub):
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


def look_at_kept(skill: str, value: Any) -> None:
    """``UsageError`` where the data of the benchmark that measures a skill are neither at hand nor to be fetched."""
    part = registry.build("benchmarks", value, "keep")
    if not isinstance(part, TextBenchmark):
        return
    name, file = part.short_name(), FILES[part.short_name()][1].replace("{split}", "test")
    try:
        next(part.source_rows("test"), None)
    except UsageError as error:
        raise UsageError(
            f"keep: {skill} is measured by {name}: {str(error).partition(': ')[2]}; put {file} into the folder of "
            f"{FOLDER}, give --benchmarks '{{name: {name}, source: FILE}}', or leave --keep out"
        ) from error
