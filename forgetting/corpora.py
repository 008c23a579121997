"""Rows of a data set in, by hub name or from local files, through ``datasets``: plain dictionaries out.

A *source* is a hub name (``openai/gsm8k``, with ``@revision`` to pin it) or a local path: a JSON-lines, JSON, CSV or
Parquet file (``.gz`` too), or a folder made by ``save_to_disk``. ``{split}`` in a path stands for the split's name, and
``$NAME`` for an environment variable, so that a spec may name data whose place differs between machines.
Nothing in a data set can run code: loading scripts are not supported by ``datasets`` any more, and none is asked for.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

from forgetting.errors import UsageError

Row = dict[str, Any]
VALIDATION_ONE_IN = 20
FORMATS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


def for_validation(problem: object) -> bool:
    """Whether a training row is kept for validation: one in twenty, by the hash of its problem's text."""
    return crc32(str(problem).encode()) % VALIDATION_ONE_IN == 0


def rows(source: str, *, split: str, config: str = "", field: str = "source") -> Iterator[Row]:
    """The rows of one split, in order.

    Args:
        source: hub name or local path
        split: of the data set; a single local file is read whatever the split, unless its path says ``{split}``
        config: the configuration of a hub data set, where it has several
        field: the setting that errors name

    Raises:
        UsageError: nothing there, not readable, gated, offline, or an unknown format; one line that says what to do
    """
    source = expanded(source, field)
    path = Path(source.replace("{split}", split)).expanduser()
    if path.suffix == ".gz" and path.with_suffix("").suffix == ".jsonl" and path.is_file():
        return _lines(path, field)
    if path.exists():
        return _local(path, split, field)
    if source.startswith((".", "/", "~")) or path.suffix in (*FORMATS, ".gz") or source.count("/") > 1:
        raise UsageError(f"{field}: there is no file or folder {str(path)!r}")
    return _hub(source, split, config, field)


def expanded(source: str, field: str) -> str:
    """The source with its environment variables replaced. ``UsageError`` where one is not set."""
    text = os.path.expandvars(source)
    if missing := re.search(r"\$\{?(\w+)", text):
        raise UsageError(f"{field}: {source!r} needs the environment variable {missing[1]}; set it to a folder")
    return text


def _lines(path: Path, field: str) -> Iterator[Row]:
    """JSON lines need no cache of their own, so ``datasets`` is left out."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{field}: cannot read {str(path)!r}: {_first_line(error)}") from error


def _local(path: Path, split: str, field: str) -> Iterator[Row]:
    datasets = _datasets()
    try:
        if path.is_dir():
            found = datasets.load_from_disk(str(path))
            loaded = found[split] if isinstance(found, datasets.DatasetDict) else found
        else:
            suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
            if suffix not in FORMATS:
                raise UsageError(f"{field}: must end with one of {', '.join(FORMATS)} (or .gz), got {str(path)!r}")
            loaded = datasets.load_dataset(FORMATS[suffix], data_files=str(path), split="train")
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{field}: cannot read {str(path)!r}: {_first_line(error)}") from error
    return map(dict, loaded)


def _datasets() -> Any:
    """The package, without its progress bars, which would break ours."""
    import datasets

    datasets.disable_progress_bars()
    return datasets


def _hub(source: str, split: str, config: str, field: str) -> Iterator[Row]:
    datasets = _datasets()
    name, _, revision = source.partition("@")
    try:
        loaded = datasets.load_dataset(name, config or None, split=split, revision=revision or None)
    except Exception as error:
        offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("HF_DATASETS_OFFLINE")
        hint = "; HF_HUB_OFFLINE is set: give a local file, or go online once" if offline else ""
        hint = "; accept its terms on the hub and log in (hf auth login)" if "gated" in str(error).lower() else hint
        raise UsageError(f"{field}: cannot load data set {source!r}: {_first_line(error)}{hint}") from error
    return map(dict, loaded)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
