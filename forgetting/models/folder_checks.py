"""A checkpoint's folder in, before transformers reads it: nothing in it is waited for, without end, or leads elsewhere.

What a folder may say of itself is what its weights are. Files that are pipes or devices, files beyond any size, weights
of another folder, code of the hub, weights that are packed and so no numbers to train: each is one line. No torch.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError, file_name
from forgetting.record.field_kinds import ANY, NONE, TEXT, WHOLE, check_shape, maybe
from forgetting.record.reading import MOST_JSON, first_line, read_bytes

WEIGHTS = ".safetensors"
READ = ("*.json", "*.jinja", "*.txt", "*.model", f"*{WEIGHTS}", "*token*")
MOST_GROWTH = 100
MOST_LABELS = 1_000_000
CONFIG = {  # what is looked at before transformers checks the rest
    "architectures": maybe([TEXT], NONE), "model_type": maybe(TEXT, NONE), "num_labels": maybe(WHOLE, NONE),
    "eos_token_id": maybe(WHOLE, [WHOLE], NONE), "auto_map": maybe({}, NONE), "transformers_weights": maybe(TEXT, NONE),
}  # fmt: skip
PACKED = ("quantization_config", "compression_config")


def check_folder(folder: Path) -> None:
    """``UsageError`` where a file of the folder cannot be a part of a checkpoint that is used here."""
    for path in _files(folder):
        try:
            about = path.stat()
        except OSError as error:
            raise UsageError(f"checkpoint: {str(path)!r} cannot be read: {error.strerror}") from None
        if stat.S_ISDIR(about.st_mode) and path.suffix != WEIGHTS:
            continue
        if not stat.S_ISREG(about.st_mode):
            raise UsageError(f"checkpoint: {str(path)!r} must be a file, got a folder, a pipe or a device")
        if path.suffix != WEIGHTS and about.st_size > MOST_JSON:
            raise UsageError(f"checkpoint: {str(path)!r} is larger than {MOST_JSON >> 20} MiB, which is the limit")
    if (folder / "adapter_config.json").is_file():
        what = "adapters, for which the model that they name would be loaded,"
        how = "merge them into their model (peft: merge_and_unload) and save that"
        raise UsageError(f"checkpoint: {str(folder)!r} holds {what} and is no whole model; {how}")
    if (folder / "config.json").is_file():
        _check_config(read_config(folder), folder / "config.json")
    if (folder / "tokenizer.json").is_file():
        check_tokenizer(folder / "tokenizer.json")
    for index in folder.glob(f"*{WEIGHTS}.index.json"):
        for name in dict.fromkeys(shaped(index, {"weight_map": {ANY: TEXT}})["weight_map"].values()):
            file_name(name, f"checkpoint: a file in {str(index)!r}")


def check_tokenizer(file: Path) -> None:
    """``UsageError`` where a ``tokenizer.json`` makes much more of a text than it is; no time limit reaches there."""
    told = shaped(file, {})
    for name in ("normalizer", "pre_tokenizer", "decoder"):
        grown = 1.0
        for part in _parts(told.get(name)):
            pattern, content = part.get("pattern"), part.get("content", part.get("prepend", part.get("replacement")))
            if isinstance(content, str):
                plain = pattern.get("String") if isinstance(pattern, dict) else None
                width = len(plain) if isinstance(plain, str) else 1
                grown *= max(1.0, len(content) / width) if width else len(content) + MOST_GROWTH
        if grown > MOST_GROWTH:
            rule = f"makes a text more than {MOST_GROWTH} times longer, which is the limit"
            raise UsageError(f"checkpoint: the {name} of {str(file)!r} {rule}")


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """The steps of a normaliser, one in another."""
    stack = [value]
    while stack:
        one = stack.pop()
        stack += one.values() if isinstance(one, dict) else one if isinstance(one, list) else []
        if isinstance(one, dict):
            yield one


def _files(folder: Path) -> Iterator[Path]:
    """What may be read of a folder."""
    for path in sorted([*folder.iterdir(), *folder.glob("additional_chat_templates/*")]):
        if any(fnmatch(path.name, pattern) for pattern in READ):
            yield path


def _check_config(config: dict[str, Any], file: Path) -> None:
    for name in PACKED:
        if config.get(name):
            kind = config[name].get("quant_method") if isinstance(config[name], dict) else None
            how = "take the checkpoint in float32, bfloat16 or float16"
            raise UsageError(f"checkpoint: the weights beside {str(file)!r} are packed ({name}: {kind!r}); {how}")
    if (config.get("num_labels") or 0) > MOST_LABELS:
        raise UsageError(f"checkpoint: {str(file)!r}: num_labels must be at most {MOST_LABELS:,}")
    if config.get("transformers_weights"):
        file_name(config["transformers_weights"], f"checkpoint: {str(file)!r}: transformers_weights")
    for name, value in _inside(config):
        if "implementation" in name and isinstance(value, str) and "/" in value:
            raise UsageError(f"checkpoint: {str(file)!r} names code of the hub ({name}: {value!r}), which is never run")


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """Every setting, at any depth."""
    stack = [("", value)]
    while stack:
        above, one = stack.pop()
        items = one.items() if isinstance(one, dict) else [(above, own) for own in one] if isinstance(one, list) else ()
        for name, own in items:
            whole = f"{above}.{name}" if isinstance(one, dict) and above else str(name)
            stack.append((whole, own))
            yield whole, own


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` as plain values. ``UsageError`` where it cannot be read, or says what no model can be."""
    return shaped(folder / "config.json", CONFIG)


def shaped(file: Path, shape: Any) -> dict[str, Any]:
    """The mapping in a JSON file of a checkpoint. ``UsageError`` where it cannot be read or has another shape."""
    try:
        found = json.loads(read_bytes(file), parse_constant=_not_finite)
        if not isinstance(found, dict):
            raise ValueError("no mapping")
        check_shape(found, shape, "")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"checkpoint: {str(file)!r} cannot be read: {first_line(error)}") from None
    return found


def _not_finite(word: str) -> float:
    raise ValueError(f"{word} is no number")
