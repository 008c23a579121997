"""The files of a checkpoint: their hashes, and the sizes that their headers tell. No torch, no network."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError
from forgetting.models.folder_checks import shaped
from forgetting.record.field_kinds import TEXT, WHOLE, check_shape
from forgetting.record.reading import opened

FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
MOST_HEADER, MOST_TENSORS, MOST_ABOUT = 10**8, 200_000, 1000  # bytes of one file, its names, characters about one
TENSOR = {"dtype": TEXT, "shape": [WHOLE], "data_offsets": [WHOLE]}
BYTES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8), **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2), **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1),
}  # fmt: skip
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
        told = shaped(file, {})
        kept = {name: told.get(name) for name in ("model", "normalizer", "pre_tokenizer", "added_tokens")}
        _word_hashes[mark] = digest(json.dumps(kept, sort_keys=True).encode())
    return _word_hashes[mark]


def text_hash(file: Path) -> str:
    """Hash of a ``tokenizer.json``, but for how texts were cut and padded when it was saved, which is not done here."""
    if (mark := hash_of(file)) not in _text_hashes:
        told = shaped(file, {}) | {"truncation": None, "padding": None}
        _text_hashes[mark] = digest(json.dumps(told, sort_keys=True).encode())
    return _text_hashes[mark]


def weights_hash(folder: Path) -> str:
    """One hash of all weights of a checkpoint; the names of the files have no part in it."""
    return digest("".join(sorted(hash_of(path) for path in folder.glob("*.safetensors"))).encode())


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def hash_of(path: Path) -> str:
    """SHA-256 of a file, read once for each size and time of change in a process."""
    about = path.stat()
    state = (path.resolve(), about.st_size, about.st_mtime_ns)
    if state not in _hashes:
        with opened(path) as file:
            _hashes[state] = hashlib.file_digest(file, "sha256").hexdigest()
    return _hashes[state]


def sizes(folder: Path) -> tuple[int, int]:
    """Numbers in all tensors and in the input embedding, from the headers of the safetensors files."""
    counts = {name: math.prod(about["shape"]) for name, about in tensors_of(folder).items()}
    return sum(counts.values()), sum(count for name, count in counts.items() if name.endswith(EMBEDDINGS))


def tensors_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Kind (``dtype``), shape and place of every tensor, from the headers of the safetensors files."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= _header(path)
    return found


def _header(path: Path) -> dict[str, dict[str, Any]]:
    """The header of a safetensors file: eight bytes of length, then JSON (github.com/huggingface/safetensors).

    Tensors lie one behind the other, without gaps, and each name stands once.
    """
    try:
        with opened(path) as file:
            length = int.from_bytes(file.read(8), "little")
            if length > MOST_HEADER:
                raise ValueError(f"a header of {length:,} bytes, and the limit is {MOST_HEADER:,}")
            size = os.fstat(file.fileno()).st_size - 8 - length
            text = file.read(length)
        if (count := text.count(b"data_offsets")) > MOST_TENSORS:
            raise ValueError(f"{count:,} tensors, and the limit is {MOST_TENSORS:,}")
        found = json.loads(text, object_pairs_hook=_once)
        if not isinstance(found, dict):
            raise ValueError("no mapping of tensors")
        found.pop("__metadata__", None)
        for name, about in found.items():
            _check_tensor(repr(name[:60]), about)
        ends = 0
        for begin, end in sorted(about["data_offsets"] for about in found.values()):
            if begin != ends:
                raise ValueError(f"tensors that overlap or leave a gap at byte {ends:,}")
            ends = end
        if ends != size:
            raise ValueError(f"tensors of {ends:,} bytes, and there are {size:,}")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"checkpoint: {str(path)!r} is not a safetensors file: {error}") from None
    return found


def _check_tensor(name: str, about: Any) -> None:
    if isinstance(about, dict) and len(str(about)) > MOST_ABOUT:
        raise ValueError(f"{name} has {len(str(about)):,} characters about it, and the limit is {MOST_ABOUT:,}")
    check_shape(about, TENSOR, name)
    if about["dtype"] not in BYTES:
        raise ValueError(f"{name} has numbers of a kind that is not read here, {about['dtype'][:60]!r}")
    begin_end = about["data_offsets"]
    size = math.prod(about["shape"]) * BYTES[about["dtype"]]
    if len(begin_end) != 2 or min([*about["shape"], *begin_end]) < 0 or begin_end[1] - begin_end[0] != size:
        raise ValueError(f"{name} does not lie where its shape says: {str(about)[:120]}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name that stands twice")
    return found
