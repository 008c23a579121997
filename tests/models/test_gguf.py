"""GGUF files, written here: the same weights and tokens as what they were made of, or one line that says why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, Qwen3Config, Qwen3ForCausalLM

from forgetting.errors import UsageError
from forgetting.models import gguf_files
from forgetting.models.checkpoint import Checkpoint, looks_like_one
from forgetting.models.scratch import byte_level_bpe
from tests.models import natural

gguf = pytest.importorskip("gguf")

TEXTS = ["one two", "It costs 18 dollars.", " two  spaces\nand a line"]
SIZES = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 128, "max_position_embeddings": 128,
}  # fmt: skip
Q8, F32 = "Q8_0", "F32"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGETTING_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def metadata(writer: Any, config: Any) -> None:
    """The sizes that a file tells; what transformers reads of them."""
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


def words(writer: Any, config: Any, tokenizer: Any) -> None:
    """A byte-level vocabulary with its merges, as llama.cpp writes it."""
    vocabulary = tokenizer.get_vocab()
    marks = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    told = sorted(vocabulary, key=lambda word: vocabulary[word])
    told += [f"[PAD{number}]" for number in range(len(told), config.vocab_size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(told)
    writer.add_token_types([3 if word in marks else 1 for word in told])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template)


def pieces(writer: Any, config: Any) -> None:
    """A small SentencePiece vocabulary, as Gemma's files have one: no merges, bytes, words in their order."""
    told = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{n:02X}>" for n in range(256))]
    told += ["▁", *"ontwe", "on", "one", "▁t", "▁tw", "▁two"]
    told += [f"<unused{number}>" for number in range(len(told), config.vocab_size)]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(told)
    writer.add_token_scores([-float(place) for place in range(len(told))])
    writer.add_token_types([3 if place < 4 else 6 if place < 260 else 1 for place in range(len(told))])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)


def written(path: Path, network: Any, tokenizer: Any = None, kind: str = F32, **more: Any) -> dict[str, np.ndarray]:
    """Write a file, matrices in the blocks of ``kind``; the weights that it holds, by their own names."""
    gemma = isinstance(network, Gemma3ForCausalLM)
    name, arch = ("gemma3", gguf.MODEL_ARCH.GEMMA3) if gemma else ("qwen3", gguf.MODEL_ARCH.QWEN3)
    writer, config = gguf.GGUFWriter(path, name), network.config
    metadata(writer, config)
    rotary = config.rope_parameters["full_attention"] if gemma else config.rope_parameters
    writer.add_rope_freq_base(rotary["rope_theta"])
    if gemma:
        writer.add_sliding_window(config.sliding_window)
        pieces(writer, config)
    else:
        words(writer, config, tokenizer)
    if "scaling" in more:
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    names, held = gguf.get_tensor_name_map(arch, config.num_hidden_layers), {}
    for own, value in network.named_parameters():
        told = f"{names.get_name(own.removesuffix('.weight'))}.weight"
        array = value.detach().numpy() + (1.0 if gemma and "norm" in own else 0.0)
        blocks = getattr(gguf.GGMLQuantizationType, kind if array.ndim == 2 else F32)
        packed = gguf.quantize(array.astype(np.float32), blocks)
        writer.add_tensor(told, packed, raw_dtype=blocks)
        held[own] = gguf.dequantize(packed, blocks) - (1.0 if gemma and "norm" in own else 0.0)
    for name, value in more.get("tensors", {}).items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def qwen(seed: int = 0) -> tuple[Any, Any]:
    tokenizer = byte_level_bpe([*TEXTS, "one two three"], 300)
    torch.manual_seed(seed)
    more = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = Qwen3Config(vocab_size=len(tokenizer), tie_word_embeddings=True, **SIZES, **more)
    return Qwen3ForCausalLM(config).eval(), tokenizer


def gemma() -> Any:
    torch.manual_seed(0)
    layers = ["sliding_attention"] * 5 + ["full_attention"]
    sizes = {**SIZES, "num_hidden_layers": 6, "head_dim": 32}
    network = Gemma3ForCausalLM(Gemma3TextConfig(vocab_size=288, sliding_window=16, layer_types=layers, **sizes))
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.add_(torch.randn_like(value) * 0.1 if "norm" in name else 0.0)
    return network.eval()


@pytest.mark.parametrize("kind", [F32, Q8])
def test_a_file_has_the_weights_and_tokens_it_was_made_of(kind: str, tmp_path: Path) -> None:
    network, tokenizer = qwen()
    held = written(tmp_path / "small.gguf", network, tokenizer, kind)
    checkpoint = Checkpoint(str(tmp_path / "small.gguf"))
    model = checkpoint.load()
    assert checkpoint.name == "small" and checkpoint.capacity() == network.num_parameters() == model.capacity
    assert checkpoint.vocabulary() == network.config.vocab_size
    state = model.state()
    assert set(state) == set(held)
    for name, value in held.items():
        assert np.array_equal(state[name].numpy(), value), name
    for text in TEXTS:
        assert model.tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
    turns = [{"role": "user", "content": "one"}]
    assert model.tokenizer.apply_chat_template(turns, tokenize=False) == tokenizer.apply_chat_template(
        turns, tokenize=False
    )
    network.load_state_dict({name: torch.from_numpy(value) for name, value in held.items()}, strict=False)
    tokens = torch.tensor([tokenizer(TEXTS[1])["input_ids"]])
    with torch.no_grad():
        assert torch.equal(model.network(tokens).logits, network(tokens).logits)


def test_windows_norms_and_the_beginning_token_of_gemma(tmp_path: Path) -> None:
    network = gemma()
    held = written(tmp_path / "gemma.gguf", network, kind=Q8)
    model = Checkpoint(str(tmp_path / "gemma.gguf")).load()
    assert model.network.config.layer_types == network.config.layer_types
    assert model.network.config.sliding_window == 16
    for name, value in model.state().items():
        assert np.allclose(value.numpy(), held[name], atol=1e-6), name
    tokens = model.tokenizer("one two")["input_ids"]
    assert model.tokenizer.convert_ids_to_tokens(tokens) == ["<bos>", "one", "▁two"]
    assert model.tokenizer.chat_template is None
    long = torch.randint(4, 260, (1, 40))  # beyond the window
    network.load_state_dict({name: torch.from_numpy(value) for name, value in held.items()}, strict=False)
    with torch.no_grad():
        assert torch.allclose(model.network(long).logits, network(long).logits, atol=1e-4)


def test_what_is_loaded_is_an_ordinary_checkpoint_and_can_be_saved(tmp_path: Path) -> None:
    written(tmp_path / "small.gguf", *qwen(), kind=Q8)
    checkpoint = Checkpoint(str(tmp_path / "small.gguf"))
    folder = checkpoint.folder()
    config = (folder / "config.json").read_text()
    assert "Qwen3ForCausalLM" in config and "quant" not in config
    checkpoint.load().save(tmp_path / "again")
    again = Checkpoint(str(tmp_path / "again"))
    assert again.form()["weights"] == checkpoint.form()["weights"]


def test_fingerprints_are_of_the_content(tmp_path: Path, store: Path) -> None:
    written(tmp_path / "a.gguf", *qwen())
    (tmp_path / "folder").mkdir()
    shutil.copy(tmp_path / "a.gguf", tmp_path / "folder" / "other.gguf")
    written(tmp_path / "b.gguf", *qwen(seed=1))
    forms = [Checkpoint(str(tmp_path / name)).form() for name in ("a.gguf", "folder/other.gguf", "folder", "b.gguf")]
    assert forms[0] == forms[1] == forms[2]
    assert forms[0]["weights"] != forms[3]["weights"] and forms[0]["tokenizer"] == forms[3]["tokenizer"]
    copies = [path for path in (store / "gguf").iterdir() if (path / "manifest.json").is_file()]
    assert len(copies) == 2


def test_a_file_of_the_hub_is_named_behind_its_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "small.gguf", *qwen())
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--owner--some-GGUF" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    shutil.copy(tmp_path / "small.gguf", snapshot / "small-q8.gguf")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    checkpoint = Checkpoint("owner/some-GGUF/small-q8.gguf", local=True)
    assert checkpoint.name == "small-q8"
    assert checkpoint.form() == Checkpoint(str(tmp_path / "small.gguf")).form()
    with pytest.raises(UsageError, match=r"'owner/some-GGUF/none.gguf' is not on this machine"):
        Checkpoint("owner/some-GGUF/none.gguf", local=True).folder()


@pytest.mark.slow
def test_a_study_of_a_file(tmp_path: Path) -> None:
    network, tokenizer = qwen()
    written(tmp_path / "small.gguf", network, tokenizer, Q8)
    assert looks_like_one("small.gguf")
    result = natural.study(tmp_path / "small.gguf", natural.corpora(tmp_path), tmp_path / "runs")
    assert list(result.curves) == ["small"]
    assert result.record["seeds"]["checkpoints"] and "small.gguf" in str(result.record)


def refused(source: Path | str, store: Path) -> str:
    """The line of a source that cannot be used; nothing of it is kept."""
    with pytest.raises(UsageError) as error:
        Checkpoint(str(source)).folder()
    assert not [path for path in store.rglob("*") if path.is_file() and path.suffix != ".lock"]
    line = str(error.value)
    assert "\n" not in line
    return line


def test_a_missing_package(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "small.gguf", *qwen())
    monkeypatch.setattr(gguf_files, "NEEDED", ("gguf", "no_such_package"))
    said = refused(tmp_path / "small.gguf", store)
    assert said.endswith("and no_such_package is not installed; pip install 'forgetting[gguf]'")


def test_files_that_are_none(tmp_path: Path, store: Path) -> None:
    (tmp_path / "text.gguf").write_text("one two three four five six seven eight")
    assert "cannot be read as GGUF" in refused(tmp_path / "text.gguf", store)
    (tmp_path / "empty.gguf").touch()
    assert "cannot be read as GGUF" in refused(tmp_path / "empty.gguf", store)
    written(tmp_path / "small.gguf", *qwen())
    whole = (tmp_path / "small.gguf").read_bytes()
    for share in (0.01, 0.1, 0.5, 0.99):
        (tmp_path / "cut.gguf").write_bytes(whole[: int(share * len(whole))])
        assert "cannot be read as GGUF" in refused(tmp_path / "cut.gguf", store)
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "nonsense")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "nonsense is not supported" in refused(tmp_path / "other.gguf", store)


def test_which_file(tmp_path: Path, store: Path) -> None:
    for name in ("a-q4.gguf", "a-q8.gguf"):
        (tmp_path / name).touch()
    assert refused(tmp_path, store).endswith("has several GGUF files; name one of them: a-q4.gguf, a-q8.gguf")
    (tmp_path / "a-00001-of-00002.gguf").touch()
    assert "is one part of several" in refused(tmp_path / "a-00001-of-00002.gguf", store)
    assert refused(tmp_path / "none.gguf", store).endswith(f"there is no file {str(tmp_path / 'none.gguf')!r}")


def test_nothing_of_a_file_is_left_out_in_silence(tmp_path: Path, store: Path) -> None:
    factors = {"tensors": {"rope_freqs.weight": np.ones(16, np.float32)}}
    written(tmp_path / "factors.gguf", *qwen(), **factors)
    assert "of which transformers makes a model of" in refused(tmp_path / "factors.gguf", store)
    written(tmp_path / "scaled.gguf", *qwen(), scaling=True)
    assert "has positions scaled by 'yarn'" in refused(tmp_path / "scaled.gguf", store)
