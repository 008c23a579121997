"""A causal language model by hub name or folder in, with the settings that decide what it computes; a ``Model`` out.

Weights are read from safetensors only and code that comes with a checkpoint is never run, so nothing that is loaded can
run code. Everything works offline on what is at hand (a folder, or the hub's cache).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from forgetting.errors import UsageError
from forgetting.models.huggingface import HuggingFaceModel, without_bars
from forgetting.pretrained import Pretrained

THINKING = "{%- set enable_thinking = "


@dataclass(frozen=True)
class Checkpoint(Pretrained):
    """A checkpoint that can be loaded."""

    @classmethod
    def of(cls, settings: Pretrained) -> Checkpoint:
        """The one with these settings."""
        return cls(**dataclasses.asdict(settings))

    def load(self) -> HuggingFaceModel:
        """The model in evaluation mode. Raises ``UsageError``: one line that says what is wrong and what to do."""
        folder = self.folder()
        where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            with without_bars():
                config = AutoConfig.from_pretrained(folder, **where)
                if type(config) not in AutoModelForCausalLM._model_mapping:
                    what = f"{config.model_type!r}, which is no causal language model"
                    raise UsageError(f"checkpoint: {self.source!r} is {what}")
                network = AutoModelForCausalLM.from_pretrained(
                    folder, config=config, dtype=getattr(torch, self.dtype), attn_implementation=self.attention,
                    use_safetensors=True, **where,
                )  # fmt: skip
                tokenizer = AutoTokenizer.from_pretrained(folder, **where)
        except UsageError:
            raise
        except Exception as error:
            raise self.why(error) from error
        network.train(False)
        return HuggingFaceModel(network, self._prepared(tokenizer))

    def _prepared(self, tokenizer: Any) -> PreTrainedTokenizerFast:
        if not isinstance(tokenizer, PreTrainedTokenizerFast) or len(tokenizer) <= len(tokenizer.all_special_tokens):
            raise UsageError(f"checkpoint: no fast tokenizer in {self.source!r}")
        if tokenizer.eos_token_id is None:
            raise UsageError(f"checkpoint: the tokenizer of {self.source!r} has no end token")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"
        if self.chat_template:
            tokenizer.chat_template = self.template()
        if self.thinking is not None:
            template = tokenizer.chat_template
            if not isinstance(template, str) or "enable_thinking" not in template:
                raise UsageError(f"checkpoint.thinking: the chat template of {self.source!r} has no such switch")
            tokenizer.chat_template = f"{THINKING}{str(self.thinking).lower()} -%}}{template}"
        return tokenizer
