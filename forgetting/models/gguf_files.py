"""A GGUF file in; the folder of an ordinary checkpoint with the same weights, in fp32, out.

transformers reads such files slowly (the 250 MB of Gemma 3 270M in half a minute), calls the model quantised and then
refuses to save it, though every weight was unpacked. So a file is read once: its copy is kept in the store's folder
under the hash of its content, and everything else sees a checkpoint as any other.

Refused is what transformers would leave out in silence: weights without a place in the model, and scaled positions.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from forgetting.errors import UsageError, panics_told
from forgetting.models.weight_files import digest, hash_of
from forgetting.record.store import Store, default_root

SUFFIX = ".gguf"
SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
NEEDED = ("gguf", "accelerate")
COPIES_VERSION = 1


def gguf_of(place: Path) -> Path | None:
    """The GGUF file that a path is, or that lies in the folder it is; None where it is none.

    A folder with a ``config.json`` is a checkpoint of its own. ``UsageError`` where several files are to choose from.
    """
    if place.is_file():
        return place if place.suffix == SUFFIX else None
    if not place.is_dir() or (place / "config.json").is_file():
        return None
    files = sorted(place.glob(f"*{SUFFIX}"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:8])
        raise UsageError(f"checkpoint: {str(place)!r} has several GGUF files; name one of them: {names}")
    return files[0] if files else None


def plain_copy(file: Path) -> Path:
    """The folder of the checkpoint that a GGUF file holds, made unless it is there.

    Raises:
        UsageError: a package is missing, or the file cannot be read; one line that says what to do
    """
    if SPLIT.search(file.name):
        how = "join the parts first (llama-gguf-split --merge)"
        raise UsageError(f"checkpoint: {str(file)!r} is one part of several; {how}")
    mark = digest(f"{COPIES_VERSION} {version('transformers')} {hash_of(file)}".encode())[:16]
    store = Store(default_root() / "gguf", reference=None)
    with store.making(mark) as found:
        return found or store.add(mark, lambda folder: _copy(file, folder))


def _copy(file: Path, folder: Path) -> dict[str, Any]:
    """Write the checkpoint, and give what its manifest says of it."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        which = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
        raise UsageError(f"checkpoint: {str(file)!r} is a GGUF file, and {which}; pip install 'forgetting[gguf]'")
    from forgetting.models.huggingface import HuggingFaceModel

    try:
        network, tokenizer = _read(file)
    except Exception as error:
        if isinstance(error, UsageError) and str(error).startswith("checkpoint"):
            raise
        text = " ".join(str(error).split())[:200] or type(error).__name__
        if "ignore_mismatched_sizes" in text:
            text = "its weights have other sizes than transformers reads from its header"
        raise UsageError(f"checkpoint: {str(file)!r} cannot be read as GGUF: {text}") from error
    HuggingFaceModel(network, tokenizer).save(folder)
    return {"source": hash_of(file)}


def _read(file: Path) -> tuple[Any, Any]:
    """A network that calls itself what it is, with the file's weights, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.integrations.gguf.reader import read_gguf_metadata

    from forgetting.models.huggingface import without_bars

    metadata, _ = read_gguf_metadata(str(file))
    sys.stderr.write(f"{file.name}: unpacked once to fp32, kept in {default_root() / 'gguf'}\n")
    sys.stderr.flush()
    where: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    models: Any = AutoModelForCausalLM
    with without_bars(), _quietly(), panics_told("its tokenizer"), _header_read_once() as reader:
        unpacked, report = models.from_pretrained(
            file.parent, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True, **where,
        )  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
        numbers = sum(int(tensor.n_elements) for tensor in reader(str(file)).tensors)
    config = unpacked.config
    vars(config).pop("quantization_config", None)
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"it has no weights for {', '.join(missing[:3])}")
    _check_all_read(file, sum(p.numel() for p in unpacked.parameters()), numbers)
    _check_positions(file, metadata, config)
    with torch.device("meta"):
        network = models.from_config(config, dtype=torch.float32)
    network.load_state_dict(unpacked.state_dict(), assign=True)
    network.tie_weights()
    network.generation_config = unpacked.generation_config
    return network, tokenizer


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what transformers logs of loading, of which the errors here say what matters, and without its own bar."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _header_read_once() -> Iterator[Any]:
    """Have the header of a file parsed once; transformers does it anew for configuration, weights and tokenizer.

    That is ten seconds each for a large vocabulary.
    """
    gguf: Any = importlib.import_module("gguf")
    own = gguf.GGUFReader
    gguf.GGUFReader = lru_cache(maxsize=1)(own)  # transformers imports the name at each call
    try:
        yield gguf.GGUFReader
    finally:
        gguf.GGUFReader = own


def _check_all_read(file: Path, read: int, there: int) -> None:
    """``UsageError`` unless the model has as many numbers as the file: transformers skips what it has no place for."""
    if there != read:
        what = f"has {there:,} numbers, of which transformers makes a model of {read:,}"
        raise UsageError(f"checkpoint: {str(file)!r} {what}; take the model's safetensors instead")


def _check_positions(file: Path, metadata: dict[str, Any], config: Any) -> None:
    """``UsageError`` where the file scales rotary positions and the configuration does not say so."""
    kind = next((value for key, value in metadata.items() if key.endswith(".rope.scaling.type")), "none")
    if kind != "none" and str(kind) not in str(config.to_dict().get("rope_parameters")):
        what = f"has positions scaled by {kind!r}, which transformers does not read from it"
        raise UsageError(f"checkpoint: {str(file)!r} {what}; take the model's safetensors instead")
