"""Rows of a data set in, by hub name or from local files, through ``datasets``: plain dictionaries out.

A *source* is a hub name (``openai/gsm8k``, with ``@revision`` to pin it), files on the hub
(``hf://datasets/owner/name/*.jsonl``) or a local path: a JSON-lines, JSON, CSV or Parquet file (``.gz`` too), a folder
made by ``save_to_disk``, or a folder of such files as the hub's are. ``{split}`` in a path stands for the split's name,
and ``$NAME`` for an environment variable, so that a spec may name data whose place differs between machines.
``stream:`` before a source reads rows as they are asked for, in the same order, instead of loading all of them first.
Nothing in a data set can run code: loading scripts are not supported by ``datasets`` any more, and none is asked for.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

from forgetting.errors import UsageError
from forgetting.natural.local_rows import SUFFIXES, Numbered, is_data_file, numbered_rows
from forgetting.record.reading import bounded_lines

TextRow = dict[str, Any]
VALIDATION_ONE_IN = 20
STREAM = "stream:"
OFFLINE = "give a local file, or go online once"
REACHED_WITHIN = 10.0  # seconds
FORMATS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


def for_validation(problem: object) -> bool:
    """Whether a training row is kept for validation: one in twenty, by the hash of its problem's text."""
    return crc32(str(problem).encode()) % VALIDATION_ONE_IN == 0


def rows(
    source: str, *, split: str, config: str = "", field: str = "source", streaming: bool = False
) -> Iterator[TextRow]:
    """The rows of one split, in order.

    Args:
        source: hub name or local path
        split: of the data set; a single local file is read whatever the split, unless its path says ``{split}``; of a
            local folder a name, and no slice of it
        config: the configuration of a hub data set, where it has several
        field: the setting that errors name

    Raises:
        UsageError: nothing there, not readable, gated, offline, or an unknown format; one line that says what to do
    """
    path, streaming = local_path(source, split, field), source.startswith(STREAM)
    if path is None:
        return _hub(expanded(source.removeprefix(STREAM), field), split, config, field, streaming)
    if path.suffix == ".gz" and path.with_suffix("").suffix == ".jsonl" and path.is_file():
        return _lines(path, field)
    return _local(path, split, field, streaming)


def numbered(source: str, *, split: str, config: str = "", field: str = "source") -> Iterator[Numbered]:
    """As ``rows``, each with where it stands; a row of a local file that cannot be read is given as ``Bad``."""
    path = local_path(source, split, field)
    if path is not None and path.is_file() and is_data_file(path):
        return numbered_rows(path, field)
    found = rows(source, split=split, config=config, field=field)
    return ((f"row {number}", row) for number, row in enumerate(found, 1))


def local_path(source: str, split: str, field: str = "source") -> Path | None:
    """The file or folder that a source names on this machine; None of the hub's. ``UsageError`` where it is neither."""
    source = expanded(source.removeprefix(STREAM), field)
    path = Path(source.replace("{split}", split)).expanduser()
    if os.path.exists(path):  # unlike Path.exists, it says of a name that is too long that nothing is there
        return path
    if source.startswith("hf://"):
        return None
    if "://" in source:
        raise UsageError(
            f"{field}: must be a file on this machine or a data set of the hub, got {source!r}; fetch it first"
        )
    written_as_path = source.startswith((".", "/", "~")) or source.endswith("/") or source.count("/") > 1
    if written_as_path or path.suffix in (*SUFFIXES, ".gz"):
        raise UsageError(f"{field}: there is no file or folder {str(path)!r}")
    return None


def expanded(source: str, field: str) -> str:
    """The source with its environment variables replaced. ``UsageError`` where one is not set."""
    text = os.path.expandvars(source)
    if missing := re.search(r"\$\{?(\w+)", text):
        raise UsageError(f"{field}: {source!r} needs the environment variable {missing[1]}; set it to a folder")
    return text


def _lines(path: Path, field: str) -> Iterator[TextRow]:
    """JSON lines need no cache of their own, so ``datasets`` is left out."""
    try:
        with gzip.open(path, "rb") as lines:
            for line in bounded_lines(lines, f"{field}: {str(path)!r}"):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"a line that is no object: {line.decode().strip()[:60]}")
                yield row
    except UsageError:
        raise
    except (OSError, ValueError, EOFError, RecursionError) as error:
        raise UsageError(f"{field}: cannot read {str(path)!r}: {_first_line(error)}") from error


def _local(path: Path, split: str, field: str, streaming: bool) -> Iterator[TextRow]:
    datasets = _datasets()
    try:
        if path.is_dir() and not any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
            loaded = _split_of(datasets.load_dataset(os.path.abspath(path), streaming=streaming), split, path, field)
        elif path.is_dir():
            found = datasets.load_from_disk(str(path))  # memory-mapped, so there is nothing to stream
            loaded = _split_of(found, split, path, field) if isinstance(found, dict) else found
        else:
            loaded = _files(str(path), path, field, streaming)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{field}: cannot read {str(path)!r}: {_first_line(error)}") from error
    return _plain(loaded, f"{field}: cannot read {str(path)!r}")


def _split_of(found: Any, split: str, path: Path, field: str) -> Any:
    """The split of a folder. No other one stands in for it: items of a test would be trained on."""
    if split not in found:
        rule = "takes a split by its name alone" if re.search(r"[\[+]", split) else "name a file in it"
        raise UsageError(f"{field}: {str(path)!r} has the splits {', '.join(found)}, not {split!r}; {rule}")
    return found[split]


def _plain(loaded: Any, trouble: str) -> Iterator[TextRow]:
    """Rows as dictionaries; what is found broken only when it is reached gives one line too."""
    try:
        yield from map(dict, loaded)
    except Exception as error:
        raise UsageError(f"{trouble}: {_first_line(error)}") from error


def _datasets() -> Any:
    """The package, without its progress bars, which would break ours."""
    import datasets

    datasets.disable_progress_bars()
    return datasets


def _files(source: str, path: Path, field: str, streaming: bool) -> Any:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in FORMATS:
        raise UsageError(f"{field}: must end with one of {', '.join(FORMATS)} (or .gz), got {source!r}")
    return _datasets().load_dataset(FORMATS[suffix], data_files=source, split="train", streaming=streaming)


def _hub(source: str, split: str, config: str, field: str, streaming: bool) -> Iterator[TextRow]:
    name, _, revision = source.partition("@")
    if not (source.startswith("hf://") or in_cache(name) or _hub_answers()):
        why = f"HF_HUB_OFFLINE is set: {OFFLINE}" if told_offline() else f"the hub cannot be reached: {OFFLINE}"
        raise UsageError(f"{field}: cannot load data set {source!r}: it is not on this machine, and {why}")
    datasets = _datasets()
    try:
        if source.startswith("hf://"):
            loaded = _files(source, Path(source), field, streaming)
        else:
            loaded = datasets.load_dataset(
                name, config or None, split=split, revision=revision or None, streaming=streaming
            )
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{field}: cannot load data set {source!r}: {_reason(error, name)}") from error
    return _plain(loaded, f"{field}: cannot read data set {source!r}")


def in_cache(name: str) -> bool:
    """Whether ``datasets`` has prepared a data set of the hub once on this machine."""
    from datasets.naming import camelcase_to_snakecase

    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    place = Path(os.environ.get("HF_DATASETS_CACHE", home / "datasets")).expanduser()
    owner, slash, own = name.rpartition("/")
    return (place / f"{owner}{'___' if slash else ''}{camelcase_to_snakecase(own)}").is_dir()


def told_offline() -> bool:
    """Whether the environment says so, as ``huggingface_hub`` reads it."""
    told = (os.environ.get(name, "").upper() for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    return any(value in ("1", "ON", "YES", "TRUE") for value in told)


@cache
def _hub_answers() -> bool:
    """Whether the hub can be reached, asked once and for seconds: ``datasets`` tries again for half a minute."""
    from huggingface_hub import constants, get_session

    if told_offline():
        return False
    with suppress(Exception):  # of whichever library it sends by
        get_session().head(constants.ENDPOINT, timeout=REACHED_WITHIN)
        return True
    return False


def _reason(error: Exception, name: str) -> str:
    """Why the hub gave nothing, and what to do about it."""
    chain, seen = [error], str(error).lower()
    while chain[-1].__cause__ or chain[-1].__context__:
        below = chain[-1].__cause__ or chain[-1].__context__
        assert isinstance(below, Exception)
        chain.append(below)
        seen += f" {type(below).__name__} {below}".lower()
    if "gated" in seen:
        where = f"https://huggingface.co/datasets/{name.removeprefix('hf://datasets/')}"
        return f"it is gated; accept its terms at {where} and log in with `hf auth login`, or give a local file"
    if told_offline():
        return f"{_first_line(error)}; HF_HUB_OFFLINE is set: {OFFLINE}"
    if "scripts are no longer supported" in seen:
        return "it comes with a loading script, which is never run; name its files: hf://datasets/owner/name/*.jsonl"
    return f"{_first_line(error)}; look at its name, log in if it is private (`hf auth login`), or give a local file"


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
