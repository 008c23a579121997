"""The files of a checkpoint: their hashes, and the sizes that their headers tell. No torch, no network."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError

FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
VOCABULARIES = ("vocab.json", "merges.txt", "*.model")
_hashes: dict[tuple[Path, int, int], str] = {}
_text_hashes: dict[str, str] = {}  # of tokenizers, by the hash of their file
_word_hashes: dict[str, str] = {}  # of tokenizers, by the hash of their file


def tokenizer_hash(folder: Path) -> str:
    """Hash of what a tokenizer does to a text: of its file the parts that matter, or of its vocabulary and merges."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return digest("".join(hash_of(p) for n in VOCABULARIES for p in sorted(folder.glob(n))).encode())
    if (mark := hash_of(file)) not in _word_hashes:
        told = _told(file)
        kept = {name: told.get(name) for name in ("model", "normalizer", "pre_tokenizer", "added_tokens")}
        _word_hashes[mark] = digest(json.dumps(kept, sort_keys=True).encode())
    return _word_hashes[mark]


def text_hash(file: Path) -> str:
    """Hash of a ``tokenizer.json``, but for how texts were cut and padded when it was saved, which is not done here."""
    if (mark := hash_of(file)) not in _text_hashes:
        told = _told(file) | {"truncation": None, "padding": None}
        _text_hashes[mark] = digest(json.dumps(told, sort_keys=True).encode())
    return _text_hashes[mark]


def _told(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"checkpoint: {str(file)!r} cannot be read: {error}") from None


def weights_hash(folder: Path) -> str:
    """One hash of all weights of a checkpoint; the names of the files have no part in it."""
    return digest("".join(sorted(hash_of(path) for path in folder.glob("*.safetensors"))).encode())


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` as plain values. ``UsageError`` where it cannot be read."""
    try:
        found = json.loads((folder / "config.json").read_text())
        if not isinstance(found, dict):
            raise ValueError("no mapping")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"checkpoint: {str(folder / 'config.json')!r} cannot be read: {error}") from error
    return found


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def hash_of(path: Path) -> str:
    """SHA-256 of a file, read once for each size and time of change in a process."""
    about = path.stat()
    state = (path.resolve(), about.st_size, about.st_mtime_ns)
    if state not in _hashes:
        with path.open("rb") as file:
            _hashes[state] = hashlib.file_digest(file, "sha256").hexdigest()
    return _hashes[state]


def sizes(folder: Path) -> tuple[int, int]:
    """Numbers in all tensors and in the input embedding, from the headers of the safetensors files."""
    whole, embedding = 0, 0
    for path in folder.glob("*.safetensors"):
        for name, about in _header(path).items():
            if name != "__metadata__":
                shape = about.get("shape") if isinstance(about, dict) else None
                if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
                    raise UsageError(
                        f"checkpoint: {str(path)!r}: the shape of {name[:60]!r} is none: {str(shape)[:60]}"
                    )
                count = math.prod(shape)
                whole += count
                embedding += count if name.endswith(EMBEDDINGS) else 0
    return whole, embedding


def _header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: eight bytes of length, then JSON (github.com/huggingface/safetensors)."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            found = json.loads(file.read(length if length < 10**8 else 0))
        if not isinstance(found, dict):
            raise ValueError("no mapping of tensors")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"checkpoint: {str(path)!r} is not a safetensors file: {error}") from error
    return found
