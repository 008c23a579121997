"""A causal language model by hub name, folder or file in, with what decides its numbers; a ``Model`` out.

Weights are read from safetensors only, or unpacked from a GGUF file (``gguf_files.py``), and code that comes with a
checkpoint is never run, so nothing that is loaded can run code. A hub name is fetched once, to the hub's cache;
``HF_HUB_OFFLINE=1`` and folders need no network. Sizes are known before any weight is read: from the headers of the
files, or for Qwen3 from a table. No torch before ``load``, which ``loading.py`` carries out.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from forgetting.errors import UsageError, checked, file_name, require, unknown
from forgetting.models.folder_checks import check_folder, read_config, shaped
from forgetting.models.gguf_files import SUFFIX, gguf_of, plain_copy
from forgetting.models.ladder import QWEN3
from forgetting.models.weight_files import (
    FILES,
    digest,
    hash_of,
    sizes,
    tensors_of,
    text_hash,
    tokenizer_hash,
    weights_hash,
)
from forgetting.natural.corpora import expanded, told_offline
from forgetting.record.field_kinds import NONE, WHOLE, maybe
from forgetting.record.reading import read_bytes
from forgetting.record.store import verify

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from forgetting.models.huggingface import HuggingFaceModel

DTYPES = ("float32", "bfloat16", "float16")
ATTENTION = ("sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention")
CAUSAL = ("ForCausalLM", "LMHeadModel")
NO_NETWORK = ("ConnectError", "ConnectionError", "ConnectTimeout", "Name or service not known")  # in what is raised
PICKLED = "pickled weights only, which could run code"
LABELS_VERSION = 2  # 2: dialogues are rendered and tokenised as a whole; texts begin as the tokenizer begins them
_CHANGING = ("transformers_version", "_name_or_path")  # of config.json: what says nothing about the model


@dataclass(frozen=True)
class Checkpoint:
    """Which causal language model, and how it is run.

    Args:
        source: hub name, with ``@revision`` to pin it, a folder, or a GGUF file (``model.gguf``, of the hub
            ``owner/name/model.gguf``); ``$NAME`` is an environment variable
        dtype: ``float32`` (the default: pure bfloat16 loses small updates in training), ``bfloat16``, ``float16``
        attention: implementation of attention
        chat_template: a file with a Jinja template that takes the place of the checkpoint's own; empty for its own
        thinking: whether the chat template lets the model think, where it knows the switch; None leaves it as it is
        local: use nothing but what is on this machine
        name: what records and figures call it; empty for the last part of the source
    """

    source: str
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attention: str = "sdpa"
    chat_template: str = ""
    thinking: bool | None = None
    local: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        require(bool(self.source), "checkpoint.source", "a hub name or a folder", self.source)
        if self.dtype not in DTYPES:
            raise unknown("checkpoint.dtype", self.dtype, DTYPES)
        if self.attention not in ATTENTION:
            raise unknown("checkpoint.attention", self.attention, ATTENTION)
        last = self.source.rstrip("/").rpartition("/")[2].partition("@")[0].removesuffix(SUFFIX)
        name = self.name or "".join(c if c.isalnum() or c in "._-" else "_" for c in last).lstrip(".") or "checkpoint"
        object.__setattr__(self, "name", file_name(name, "checkpoint.name"))

    def folder(self) -> Path:
        """The folder with its files, fetched from the hub if need be.

        Raises:
            UsageError: missing, gated, offline, or no safetensors; one line that says what to do
        """
        folder = self._at_hand() or self._fetched()
        check_folder(folder)
        if not (folder / "config.json").is_file():
            raise UsageError(f"checkpoint: {self.source!r} has no config.json, so it is no checkpoint")
        if not list(folder.glob("*.safetensors")):
            pickled = any(p.suffix in (".bin", ".pt", ".pth") for p in folder.iterdir())
            what = f"{PICKLED}; save it as safetensors" if pickled else "no safetensors weights; take a copy with them"
            raise UsageError(f"checkpoint: {self.source!r} has {what}")
        tensors_of(folder)  # which looks at their headers
        config = read_config(folder)
        made_of = [str(name) for name in config.get("architectures") or ()]
        if made_of and not any(name.endswith(CAUSAL) for name in made_of):
            what = f"{config.get('model_type')!r} ({', '.join(made_of)})"
            raise UsageError(f"checkpoint: {self.source!r} is {what}, which is no causal language model")
        return folder

    def parameters(self, vocabulary: int = 0) -> int:
        """All parameters, the tied embedding once; the embedded world's ``vocabulary`` has no part in it."""
        if (size := self.capacity()) is None:
            raise UsageError(f"checkpoint: the size of {self.source!r} is not known before it is downloaded")
        return size

    def capacity(self) -> int | None:
        """All parameters, without loading them and without a network; None where that cannot be known."""
        known = QWEN3.get(self._hub_name()[0])
        if known is not None:
            return known.parameters()
        try:
            folder = self._at_hand()
        except UsageError:  # a missing folder or variable is told when the files are needed
            return None
        return sizes(folder)[0] if folder is not None else None

    def vocabulary(self) -> int | None:
        """Rows of the embedding, without a network; None where that cannot be known."""
        known = QWEN3.get(self._hub_name()[0])
        if known is not None:
            return known.vocabulary
        try:
            folder = self._at_hand()
        except UsageError:
            return None
        size = read_config(folder).get("vocab_size") if folder is not None else None
        return size if isinstance(size, int) else None

    def non_embedding(self) -> int | None:
        """Parameters without the input embedding; None where no tensor is known to be one."""
        whole, embedding = sizes(self.folder())
        return whole - embedding if embedding else None

    def form(self) -> dict[str, Any]:
        """What results depend on: hashes of weights, configuration and tokenizer, and how it is run; never a path."""
        folder = self.folder()
        told = {name: value for name, value in read_config(folder).items() if name not in _CHANGING}
        file = folder / "generation_config.json"
        ends = (
            shaped(file, {"eos_token_id": maybe(WHOLE, [WHOLE], NONE)}).get("eos_token_id") if file.is_file() else None
        )
        others = ("chat_template.jinja", "vocab.json", "merges.txt")
        inside = [p for p in sorted(folder.iterdir()) if p.is_file()]
        words = [p for p in inside if "token" in p.name or p.name in others or p.suffix == ".model"]
        marks = [text_hash(p) if p.name == "tokenizer.json" else hash_of(p) for p in words]
        return {
            "weights": weights_hash(folder),
            "config": digest(json.dumps(told, sort_keys=True).encode()),
            "tokenizer": digest("".join(marks).encode()),
            "labels": LABELS_VERSION,
            "dtype": self.dtype,
            "attention": self.attention,
            "chat_template": digest(self.template().encode()) if self.chat_template else "",
            "thinking": self.thinking,
            **({"ends": ends} if isinstance(ends, list) else {}),  # one end token is the tokenizer's
        }

    def load(self) -> HuggingFaceModel:
        """The model in evaluation mode. Raises ``UsageError``: one line that says what is wrong and what to do."""
        from forgetting.models.loading import loaded

        return loaded(self)

    def reader(self) -> tuple[PreTrainedTokenizerFast, int]:
        """The tokenizer as a loaded model has it, and how many positions a table of them has (0: it has no table).

        No weights are read. ``UsageError`` where the model or its tokenizer cannot be used here.
        """
        from forgetting.models.loading import reader

        return reader(self)

    def template(self) -> str:
        """The text of the file ``chat_template``."""
        try:
            return read_bytes(Path(expanded(self.chat_template, "checkpoint.chat_template")).expanduser()).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"checkpoint.chat_template: cannot be read: {error}") from error

    def why(self, error: Exception) -> UsageError:
        """What went wrong with a checkpoint, as the one line that a user reads."""
        text, offline = " ".join(str(error).split()), self.local or told_offline()
        if "gated" in text.lower():
            line = f"{self.source!r} is gated: accept its terms on the hub and log in (hf auth login)"
        elif "trust_remote_code" in text:
            line = f"{self.source!r} brings code of its own, which is never run; take a model that transformers knows"
        elif "scaled_dot_product_attention" in text or "does not support an attention implementation" in text:
            line = f"{self.source!r} has no attention of the kind {self.attention!r}; set attention: eager"
        elif isinstance(error, OSError) and offline and not Path(self.source).expanduser().is_dir():
            line = (
                f"{self.source!r} is not on this machine, and only local files are allowed; give a folder: {text[:160]}"
            )
        elif any(word in text for word in NO_NETWORK):
            line = f"{self.source!r} is no folder or file here, and the hub cannot be reached; give a folder"
        else:
            line = f"{self.source!r} cannot be loaded: {text[:200] or type(error).__name__}"
        return UsageError(f"checkpoint: {line}")

    def _hub_name(self) -> tuple[str, str]:
        name, _, revision = self.source.partition("@")
        return name, revision

    def _at_hand(self) -> Path | None:
        """The folder, if the source is one or the hub's cache has it."""
        source = expanded(self.source, "checkpoint.source")
        folder = Path(source).expanduser()
        if file := gguf_of(folder):
            return plain_copy(file)
        if folder.is_dir():
            return folder
        of_hub = source.count("/") == 2 if self._is_file() else source.count("/") < 2
        if source.startswith((".", "/", "~")) or not of_hub or "$" in self.source:
            raise UsageError(f"checkpoint: there is no {'file' if self._is_file() else 'folder'} {source!r}")
        try:
            found = self._snapshot(local=True)
        except Exception:  # noqa: BLE001 (whatever the reason: it is not here)
            return None
        if self._is_file():
            return plain_copy(found) if found.is_file() else None
        return found if list(found.glob("*.safetensors")) else None

    def _fetched(self) -> Path:
        try:
            found = self._snapshot(local=self.local)
        except Exception as error:
            raise self.why(error) from error
        if not self._is_file():
            return found
        if not found.is_file():
            where = "on this machine" if self.local or told_offline() else "in its repository"
            raise UsageError(f"checkpoint: {self.source!r} is not {where}")
        return plain_copy(found)

    def _is_file(self) -> bool:
        """Whether the source names a GGUF file."""
        return self._hub_name()[0].endswith(SUFFIX)

    def _snapshot(self, *, local: bool) -> Path:
        """What the hub has of it, on this machine: the folder, or the one file that is named."""
        from huggingface_hub import snapshot_download

        name, revision = self._hub_name()
        name, _, file = name.rpartition("/") if self._is_file() else (name, "", "")
        which = [file] if file else list(FILES)
        found = snapshot_download(name, revision=revision or None, local_files_only=local, allow_patterns=which)
        return Path(found) / file


def from_value(value: Any, field: str) -> Checkpoint:
    """A checkpoint from its source, or from a mapping of its settings. ``UsageError`` names the setting."""
    settings = dict(value) if isinstance(value, Mapping) else {"source": value}
    hints = get_type_hints(Checkpoint)
    known = [f.name for f in dataclasses.fields(Checkpoint)]
    for key, given in settings.items():
        if key not in known:
            raise unknown(field, key, known)
        settings[key] = checked(given, hints[key], f"{field}.{key}")
    require("source" in settings, field, "a name of the ladder, or a mapping with a source", value)
    try:
        return Checkpoint(**settings)
    except UsageError as error:
        raise UsageError(f"{field}.{str(error).removeprefix('checkpoint.')}") from None


def looks_like_one(value: Any) -> bool:
    """Whether a student's value names a checkpoint: a mapping, a path, a folder, or a hub name ``owner/name``."""
    if isinstance(value, Mapping):
        return True
    told = isinstance(value, str) and ("/" in value or value.startswith(("$", "~")) or value.endswith(SUFFIX))
    return told or (isinstance(value, str) and os.path.isdir(value))


def check_tokenizers(teacher: Checkpoint, student: Checkpoint) -> None:
    """``UsageError`` unless both make the same tokens of every text; chat templates may differ."""
    if tokenizer_hash(teacher.folder()) != tokenizer_hash(student.folder()):
        rule = f"a checkpoint with the tokenizer of the student {student.name!r}, whose tokens it is to predict"
        require(False, "ladder.teacher", rule, teacher.source)


Home = Path | Checkpoint  # where a model is: a folder of the store, or a checkpoint


def load(home: Home) -> HuggingFaceModel:
    """A stored model, after its files' hashes were checked; or a checkpoint."""
    if isinstance(home, Checkpoint):
        return home.load()
    from forgetting.models.huggingface import HuggingFaceModel

    verify(home)
    return HuggingFaceModel.load(home)
