"""Real students from nothing: texts in, a byte-level BPE tokenizer with a chat template and a checkpoint out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from forgetting import seeds
from forgetting.errors import require
from forgetting.models import looping
from forgetting.models.huggingface import INITIAL_SCALE, HuggingFaceModel
from forgetting.models.ladder import Architecture

END, PAD = "<|im_end|>", "<|endoftext|>"
SPECIAL = (PAD, "<|im_start|>", END, "<think>", "</think>")
# Digits stand alone, as in Qwen's tokenizers: numbers of any length are made of the same ten tokens.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)


def byte_level_bpe(texts: Iterable[str], vocabulary: int, *, chat: bool = True) -> PreTrainedTokenizerFast:
    """A tokenizer of that many words, trained on the texts: any text goes through it and back unchanged."""
    require(vocabulary >= 256 + len(SPECIAL), "vocabulary", f"at least {256 + len(SPECIAL)}", vocabulary)
    core = Tokenizer(BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, pad_token=PAD, eos_token=END, padding_side="right", clean_up_tokenization_spaces=False,
        additional_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def fresh_checkpoint(
    folder: Path, architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int, *, positions: int = 2048
) -> Path:
    """Write a Qwen3 checkpoint with fresh weights, a pure function of architecture, tokenizer and seed."""
    fresh(architecture, tokenizer, seed, positions=positions).save(folder)
    return folder


def fresh(
    architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int, *, words: int = 0, positions: int = 2048
) -> HuggingFaceModel:
    """A Qwen3 model for natural text; ``words`` are the rows of its embedding, by default those of the tokenizer."""
    words = words or len(tokenizer)
    config = Qwen3Config(
        vocab_size=words, hidden_size=architecture.hidden_size, **looping.layers_of(architecture),
        intermediate_size=architecture.intermediate_size, num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.key_value_heads, head_dim=architecture.head_dim,
        max_position_embeddings=positions, initializer_range=INITIAL_SCALE / math.sqrt(architecture.hidden_size),
        tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(seed, "fresh checkpoint", architecture.name))
        network = Qwen3ForCausalLM(config)
    looping.tie(network)
    model = HuggingFaceModel(network, tokenizer)
    assert model.capacity == architecture.parameters(words)
    return model
