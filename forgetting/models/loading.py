"""A checkpoint in; its network and tokenizer out, checked to be of use here, or one line that says why they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from forgetting.batching import start_of_text, texts, tokens
from forgetting.errors import UsageError, panics_told
from forgetting.models.decodable import check_decodable
from forgetting.models.huggingface import LEARNED_POSITIONS, HuggingFaceModel, whole_texts, without_bars
from forgetting.models.networks import network_of
from forgetting.record.reading import first_line

if TYPE_CHECKING:
    from forgetting.models.checkpoint import Checkpoint

MOST_BEGIN = 16  # tokens that a tokenizer puts before a text; usual are none or one
THINKING = "{%- set enable_thinking = "


def loaded(checkpoint: Checkpoint) -> HuggingFaceModel:
    """The model in evaluation mode. Raises ``UsageError``: one line that says what is wrong and what to do."""
    folder = checkpoint.folder()
    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with without_bars(), panics_told("its tokenizer"):
            config = AutoConfig.from_pretrained(folder, **where)
            check_decodable(config, 0)
            if type(config) not in AutoModelForCausalLM._model_mapping:
                what = f"{config.model_type!r}, which is no causal language model"
                raise UsageError(f"checkpoint: {checkpoint.source!r} is {what}")
            network = network_of(
                folder, f"checkpoint: {checkpoint.source!r}", config=config, dtype=getattr(torch, checkpoint.dtype),
                attn_implementation=checkpoint.attention,
            )  # fmt: skip
            tokenizer = AutoTokenizer.from_pretrained(folder, **where)
    except Exception as error:
        if isinstance(error, UsageError) and str(error).startswith("checkpoint"):
            raise
        raise checkpoint.why(error) from error
    network.train(False)
    embedding: Any = network.get_input_embeddings()
    return HuggingFaceModel(network, prepared(checkpoint, tokenizer, len(embedding.weight)))


def reader(checkpoint: Checkpoint) -> tuple[PreTrainedTokenizerFast, int]:
    """The tokenizer as a loaded model has it, and how many positions a table of them has (0: it has no table).

    No weights are read. ``UsageError`` where the model or its tokenizer cannot be used here.
    """
    folder = checkpoint.folder()
    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config: Any = AutoConfig.from_pretrained(folder, **where)
        check_decodable(config, 0)
        kind = AutoModelForCausalLM._model_mapping.get(type(config), None)
        if kind is None:
            raise UsageError(f"checkpoint: {checkpoint.source!r} is {config.model_type!r}, no causal language model")
        if checkpoint.attention == "sdpa" and not getattr(kind, "_supports_sdpa", True):
            raise UsageError(
                f"checkpoint: {checkpoint.source!r} has no attention of the kind 'sdpa'; set attention: eager"
            )
        with panics_told("its tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(folder, **where)
    except Exception as error:
        if isinstance(error, UsageError) and str(error).startswith("checkpoint"):
            raise
        raise checkpoint.why(error) from error
    table = config.model_type in LEARNED_POSITIONS
    return prepared(checkpoint, tokenizer, config.vocab_size), config.max_position_embeddings if table else 0


def prepared(checkpoint: Checkpoint, tokenizer: Any, rows: int) -> PreTrainedTokenizerFast:
    """A tokenizer that ends, pads and renders as training wants it, for an embedding of so many rows."""
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise UsageError(f"checkpoint: no fast tokenizer in {checkpoint.source!r}")
    if tokenizer.eos_token_id is None:
        raise UsageError(f"checkpoint: the tokenizer of {checkpoint.source!r} has no end token")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= rows:  # of padding nothing is learned
        tokenizer.pad_token = tokenizer.eos_token
    special = set(tokenizer.all_special_tokens) | {str(t) for t in tokenizer.added_tokens_decoder.values()}
    without = [word for word, number in tokenizer.get_vocab().items() if number >= rows and word not in special]
    if without or tokenizer.eos_token_id >= rows:
        raise UsageError(
            f"checkpoint: the tokenizer of {checkpoint.source!r} has {len(tokenizer)} tokens and the embedding {rows} "
            "rows only; take the tokenizer that belongs to it, or resize the embedding"
        )
    tokenizer.padding_side = "right"
    whole_texts(tokenizer)
    check_letter(tokenizer, rows, checkpoint.source)
    if checkpoint.chat_template:
        tokenizer.chat_template = checkpoint.template()
    if checkpoint.thinking is not None:
        template = tokenizer.chat_template
        if not isinstance(template, str) or "enable_thinking" not in template:
            raise UsageError(f"checkpoint.thinking: the chat template of {checkpoint.source!r} has no such switch")
        tokenizer.chat_template = f"{THINKING}{str(checkpoint.thinking).lower()} -%}}{template}"
    return tokenizer


def check_letter(tokenizer: PreTrainedTokenizerFast, rows: int, source: str) -> None:
    """``UsageError`` where a tokenizer fails on a letter, or begins texts with what the embedding has no row for."""
    try:
        begin = start_of_text(tokenizer)
        texts(tokens(["a"], tokenizer), tokenizer)
    except Exception as error:
        raise UsageError(f"checkpoint: the tokenizer of {source!r} fails on a letter: {first_line(error)}") from error
    if len(begin) > MOST_BEGIN or any(token >= rows for token in begin):
        what = f"{len(begin)} tokens, the largest {max(begin)}, and the embedding has {rows} rows"
        raise UsageError(f"checkpoint: the tokenizer of {source!r} begins texts with {what}")
