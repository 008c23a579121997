"""Kinds of causal language models with tiny random weights: right from loading to the last token, or refused by a line.

Each is saved as a checkpoint, loaded as a user's would be, asked in a batch of texts of different lengths, and trained
for a step. Its answers are compared with those that transformers writes to each text alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from forgetting import losses
from forgetting.batching import encode
from forgetting.contracts import Sample
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.scratch import byte_level_bpe

WORDS = byte_level_bpe(["one two three"], 300)
SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 256,
    "pad_token_id": None, "bos_token_id": None, "eos_token_id": WORDS.eos_token_id, "initializer_range": 0.3,
}  # fmt: skip
GPT = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 24, "n_positions": 256, "n_ctx": 256}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
BOTH = ["sliding_attention", "full_attention"]
MLA = {
    "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 6,
    "num_key_value_heads": 2, "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
    "num_experts_per_tok": 2, "moe_intermediate_size": 8, "head_dim": 4,
}  # fmt: skip

# Model type, settings, attention; windows are shorter than the texts.
RIGHT: list[tuple[str, dict[str, Any], str]] = [
    ("qwen3", {}, "sdpa"),
    ("qwen3", {"use_sliding_window": True, "sliding_window": 6, "layer_types": BOTH}, "sdpa"),
    ("qwen2", {}, "sdpa"),
    ("llama", {}, "sdpa"),
    ("mistral", {"sliding_window": None}, "sdpa"),
    ("mistral", {"sliding_window": 6}, "sdpa"),
    ("gemma", {}, "sdpa"),
    ("gemma2", {"sliding_window": 6, "query_pre_attn_scalar": 8, "layer_types": BOTH}, "eager"),
    ("gemma3_text", {"sliding_window": 6, "query_pre_attn_scalar": 8, "layer_types": BOTH}, "sdpa"),
    ("phi", {"num_key_value_heads": 2}, "sdpa"),
    ("phi3", {"sliding_window": 6}, "sdpa"),
    ("olmo", {}, "sdpa"),
    ("olmo2", {}, "sdpa"),
    ("smollm3", {}, "sdpa"),
    ("granite", {}, "sdpa"),
    ("cohere", {}, "sdpa"),
    ("stablelm", {}, "sdpa"),
    ("starcoder2", {"sliding_window": 6}, "sdpa"),
    ("gpt2", GPT, "sdpa"),
    ("gpt_neox", {}, "sdpa"),
    ("gptj", {**GPT, "rotary_dim": 4}, "eager"),
    ("gpt_neo", {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]}, "eager"),
    ("opt", {"ffn_dim": 24, "word_embed_proj_dim": 16, "pad_token_id": 1}, "sdpa"),
    ("qwen3_moe", {**EXPERTS, "decoder_sparse_step": 1}, "sdpa"),
    ("mixtral", {**EXPERTS, "sliding_window": None}, "sdpa"),
    ("deepseek_v3", MLA, "sdpa"),
    ("ministral", {"sliding_window": 6, "layer_types": BOTH}, "sdpa"),
]
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("bloom", {"n_layer": 2, "n_head": 2}, "eager", r"\(ALiBi, of 'bloom'\) are not decoded"),
    ("lfm2", {"layer_types": ["conv", "full_attention"]}, "sdpa", "layers of type 'conv' are not decoded"),
    ("gptj", {**GPT, "rotary_dim": 4}, "sdpa", "set attention: eager"),
    ("gpt_neo", {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]}, "sdpa", "eager"),
]


def saved(folder: Path, kind: str, settings: dict[str, Any]) -> Path:
    """A checkpoint of the kind; matrices are large enough for answers to depend on what is read."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SIZES, **settings})
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    network.generation_config.eos_token_id = WORDS.eos_token_id
    network.save_pretrained(folder)
    WORDS.save_pretrained(folder)
    return folder


def name(case: tuple[Any, ...]) -> str:
    return f"{case[0]}{'-window' if case[1].get('sliding_window') else ''}-{case[2]}"


@pytest.mark.parametrize("case", RIGHT, ids=name)
def test_a_checkpoint_is_read_written_and_trained_as_transformers_does(case: Any, tmp_path: Path) -> None:
    kind, settings, attention = case
    model = Checkpoint(str(saved(tmp_path, kind, settings)), attention=attention).load()
    generator = torch.Generator().manual_seed(1)
    asked = [torch.randint(5, len(WORDS), (n,), generator=generator).tolist() for n in (40, 2, 9, 17)]
    expected = []
    for prompt in asked:
        with torch.no_grad():
            out = model.network.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
                max_new_tokens=12, pad_token_id=0, eos_token_id=sorted(model.ends),
            )[0, len(prompt) :].tolist()  # fmt: skip
        expected.append(out[:-1] if out[-1] in model.ends else out)
    assert len({tuple(own) for own in expected}) > 1, "answers depend on what is asked"
    assert model.generate([asked], max_new_tokens=12, batch_items=3)[0] == expected
    drafts = [[*own[:5], 7] for own in expected]
    assert model.generate([asked], [drafts], max_new_tokens=12)[0] == expected
    batch = encode([Sample("one", "two three", "x", 0, "x"), Sample("two", "one", "x", 0, "x")], WORDS)
    loss = losses.cross_entropy(model, batch.batch(torch.arange(2).numpy(), 2)).sum()
    loss.backward()
    assert torch.isfinite(loss) and any(
        p.grad is not None and p.grad.abs().sum() > 0 for _, p in model.named_parameters()
    )


@pytest.mark.parametrize("case", REFUSED, ids=name)
def test_what_cannot_be_decoded_is_refused_when_it_is_loaded(case: Any, tmp_path: Path) -> None:
    kind, settings, attention, said = case
    with pytest.raises(UsageError, match=said) as caught:
        Checkpoint(str(saved(tmp_path, kind, settings)), attention=attention).load()
    assert "\n" not in str(caught.value)


def test_local_attention_is_right_or_refused(tmp_path: Path) -> None:
    settings = {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]], "window_size": 32}
    model = Checkpoint(str(saved(tmp_path, "gpt_neo", settings)), attention="eager").load()
    short = [[7, 9], [8, 11, 12]]
    alone = [model.generate([[one]], max_new_tokens=8)[0][0] for one in short]
    assert model.generate([short], max_new_tokens=8)[0] == alone
    with pytest.raises(UsageError, match="reach beyond its local attention of 32"):
        model.generate([[[5 + n % 90 for n in range(70)], *short]], max_new_tokens=8)
