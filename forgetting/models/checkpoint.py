"""A causal language model by hub name or folder in, with the settings that decide what it computes; a ``Model`` out.

Weights are read from safetensors only and code that comes with a checkpoint is never run, so nothing that is loaded can
run code. Everything works offline on what is at hand (a folder, or the hub's cache).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from forgetting.errors import UsageError, require, unknown
from forgetting.models.huggingface import HuggingFaceModel, without_bars

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ATTENTION = ("sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention")
CAUSAL = ("ForCausalLM", "LMHeadModel")
PICKLED = "pickled weights only, which could run code"
THINKING = "{%- set enable_thinking = "


@dataclass(frozen=True)
class Checkpoint:
    """Which model, and how it is run.

    Args:
        source: hub name, with ``@revision`` to pin it, or a folder
        dtype: ``float32`` (the default: pure bfloat16 loses small updates in training), ``bfloat16``, ``float16``
        attention: implementation of attention
        chat_template: a file with a Jinja template that takes the place of the checkpoint's own; empty for its own
        thinking: whether the chat template lets the model think, where it knows the switch; None leaves it as it is
        local: use nothing but what is on this machine
    """

    source: str
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attention: str = "sdpa"
    chat_template: str = ""
    thinking: bool | None = None
    local: bool = False

    def __post_init__(self) -> None:
        require(bool(self.source), "checkpoint.source", "a hub name or a folder", self.source)
        if self.dtype not in DTYPES:
            raise unknown("checkpoint.dtype", self.dtype, DTYPES)
        if self.attention not in ATTENTION:
            raise unknown("checkpoint.attention", self.attention, ATTENTION)

    def load(self) -> HuggingFaceModel:
        """The model in evaluation mode. Raises ``UsageError``: one line that says what is wrong and what to do."""
        name, revision = self._place()
        where: dict[str, Any] = {"local_files_only": self.local, "trust_remote_code": False}
        if revision:
            where["revision"] = revision
        try:
            with without_bars():
                config = AutoConfig.from_pretrained(name, **where)
                made_of = config.architectures or [""]
                known = type(config) in AutoModelForCausalLM._model_mapping
                if not known or not any(name.endswith(CAUSAL) or not name for name in made_of):
                    what = f"{config.model_type!r} ({', '.join(made_of)})"
                    raise UsageError(f"checkpoint: {self.source!r} is {what}, which is no causal language model")
                network = AutoModelForCausalLM.from_pretrained(
                    name, config=config, dtype=DTYPES[self.dtype], attn_implementation=self.attention,
                    use_safetensors=True, **where,
                )  # fmt: skip
                tokenizer = AutoTokenizer.from_pretrained(name, **where)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"checkpoint: {self._why(error)}") from error
        network.train(False)
        return HuggingFaceModel(network, self._prepared(tokenizer))

    def _place(self) -> tuple[str, str]:
        """Folder or hub name, and the revision."""
        folder = Path(self.source).expanduser()
        if folder.is_dir():
            if not (folder / "config.json").is_file():
                raise UsageError(f"checkpoint: {self.source!r} has no config.json, so it is no checkpoint")
            weights = {p.suffix for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".pt", ".pth")}
            if weights and ".safetensors" not in weights:
                raise UsageError(f"checkpoint: {self.source!r} has {PICKLED}; save it as safetensors")
            return str(folder), ""
        if self.source.startswith((".", "/", "~")) or self.source.count("/") > 1:
            raise UsageError(f"checkpoint: there is no folder {self.source!r}")
        name, _, revision = self.source.partition("@")
        return name, revision

    def _why(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        if "gated" in text.lower():
            return f"{self.source!r} is gated: accept its terms on the hub and log in (hf auth login)"
        if "safetensors" in text and "does not appear to have" in text:
            return f"{self.source!r} has {PICKLED}; take a safetensors copy"
        if "trust_remote_code" in text:
            return f"{self.source!r} brings code of its own, which is never run; take a model that transformers knows"
        if self.local or os.environ.get("HF_HUB_OFFLINE"):
            return (
                f"{self.source!r} is not on this machine, and only local files are allowed; give a folder: {text[:160]}"
            )
        return f"{self.source!r} cannot be loaded: {text[:200] or type(error).__name__}"

    def _prepared(self, tokenizer: Any) -> PreTrainedTokenizerFast:
        if not isinstance(tokenizer, PreTrainedTokenizerFast) or len(tokenizer) <= len(tokenizer.all_special_tokens):
            raise UsageError(f"checkpoint: no fast tokenizer in {self.source!r}")
        if tokenizer.eos_token_id is None:
            raise UsageError(f"checkpoint: the tokenizer of {self.source!r} has no end token")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"
        if self.chat_template:
            try:
                tokenizer.chat_template = Path(self.chat_template).expanduser().read_text()
            except OSError as error:
                raise UsageError(f"checkpoint.chat_template: cannot be read: {error}") from error
        if self.thinking is not None:
            template = tokenizer.chat_template
            if not isinstance(template, str) or "enable_thinking" not in template:
                raise UsageError(f"checkpoint.thinking: the chat template of {self.source!r} has no such switch")
            tokenizer.chat_template = f"{THINKING}{str(self.thinking).lower()} -%}}{template}"
        return tokenizer
