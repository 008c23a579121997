"""Checkpoints of a stranger: weights, settings and tokenizers that are not what they seem, each one line at once.

A folder is a whole small checkpoint, changed in one place; it is looked at as a study does, and then loaded.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from forgetting.batching import texts, tokens
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from forgetting.models.weight_files import tensors_of

Change = Callable[[Path], Any]
EMBEDDING, WEIGHTS = "model.embed_tokens.weight", "model.safetensors"


@pytest.fixture(scope="module", name="whole")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "whole"
    return fresh_checkpoint(place, architecture("10k"), byte_level_bpe(["one two three"], 300), 0)


@pytest.fixture(name="folder")
def _folder(whole: Path, tmp_path: Path) -> Path:
    (tmp_path / "victim.safetensors").write_bytes((whole / WEIGHTS).read_bytes())
    return Path(shutil.copytree(whole, tmp_path / "stranger"))


def used(folder: Path) -> None:
    """All that a study does with a checkpoint before it trains, and its loading."""
    checkpoint = Checkpoint(str(folder))
    checkpoint.capacity()
    checkpoint.form()
    checkpoint.reader()
    checkpoint.load()


def refused(folder: Path, rule: str) -> None:
    """Each way in gives one line that names the folder."""
    for way in (used, HuggingFaceModel.load):
        with pytest.raises(UsageError, match=rule) as told:
            way(folder)
        assert "\n" not in str(told.value) and str(folder) in str(told.value)


def header(change: Callable[[dict[str, Any]], Any], data: Callable[[bytes], bytes] = lambda data: data) -> Change:
    """Change the header of the weights: its mapping, and its bytes."""

    def apply(folder: Path) -> None:
        whole = (folder / WEIGHTS).read_bytes()
        end = 8 + int.from_bytes(whole[:8], "little")
        about = json.loads(whole[8:end])
        change(about)
        text = data(json.dumps(about).encode())
        (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + whole[end:])

    return apply


def embedding(**about: Any) -> Change:
    return header(lambda found: found[EMBEDDING].update(about))


def weights(change: Callable[[torch.Tensor], torch.Tensor | None]) -> Change:
    """Change the embedding, or leave it out."""

    def apply(folder: Path) -> None:
        found = load_file(folder / WEIGHTS)
        new = change(found.pop(EMBEDDING))
        save_file(found if new is None else {**found, EMBEDDING: new}, folder / WEIGHTS, {"format": "pt"})

    return apply


def settings(name: str, **values: Any) -> Change:
    """Change settings in a JSON file."""
    return lambda folder: (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **values}))


def tokenizer(**values: Any) -> Change:
    return settings("tokenizer.json", **values)


def overlapping(found: dict[str, Any]) -> None:
    names = [name for name in found if name.endswith("layernorm.weight")]
    found[names[1]]["data_offsets"] = found[names[0]]["data_offsets"]


def twice(text: bytes) -> bytes:
    return text[:-1] + b', "model.norm.weight": {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}}'


def many(folder: Path) -> None:
    one = '"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    text = ("{" + ",".join(one % number for number in range(250_000)) + "}").encode()
    (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text)


def of_elsewhere(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(save({"a": torch.zeros(1)}))
    places = dict.fromkeys(load_file(folder.parent / "victim.safetensors"), "../victim.safetensors")
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": places}))


def adapters(folder: Path) -> None:
    about = {"peft_type": "LORA", "base_model_name_or_path": "somebody/else", "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(about))


NORMALIZER = {"type": "Replace", "pattern": {"Regex": "."}, "content": "xx"}
SPECIAL = {"type": "RobertaProcessing", "sep": ["a", 10**8], "cls": ["b", 10**7], "trim_offsets": True}
HOSTILE: dict[str, tuple[Change, str]] = {
    "an unknown kind of number": (embedding(dtype="F7"), "of a kind that is not read here, 'F7'"),
    "a kind that is a number": (embedding(dtype=3), "dtype: must be text"),
    "a kind of the same size": (embedding(dtype="I32"), "weights of the kind I32"),
    "whole numbers": (weights(lambda one: torch.ones(one.shape, dtype=torch.int64)), "weights of the kind I64"),
    "true or false": (weights(lambda one: one > 0), "weights of the kind BOOL"),
    "complex numbers": (weights(lambda one: one.to(torch.complex64)), "weights of the kind C64"),
    "numbers of a byte": (weights(lambda one: one.to(torch.float8_e4m3fn)), "weights of the kind F8_E4M3"),
    "no numbers": (weights(lambda one: one * torch.nan), "no finite numbers"),
    "one infinite number": (weights(lambda one: one.where(one != one[3, 3], torch.inf)), "no finite numbers"),
    "a tensor left out": (weights(lambda one: None), "has no weights '"),
    "a tensor of another name": (header(lambda found: found.update(a=found.pop(EMBEDDING))), "has no weights '"),
    "no tensors": (lambda folder: save_file({}, folder / WEIGHTS, {"format": "pt"}), "no weights .* and .* more"),
    "another shape": (weights(lambda one: torch.zeros(3, 3)), "cannot be"),
    "a size beyond any number": (embedding(shape=[10**400]), "must be a whole number"),
    "overlapping tensors": (header(overlapping), "overlap or leave a gap"),
    "giant offsets": (embedding(data_offsets=[0, 2**50]), "does not lie where its shape says"),
    "offsets below 0": (embedding(data_offsets=[-8, 0]), "does not lie where its shape says"),
    "one offset": (embedding(data_offsets=[0]), "does not lie where its shape says"),
    "offsets of text": (embedding(data_offsets=["0", "8"]), "data_offsets.*must be a whole number"),
    "a shape of 10^36": (embedding(shape=[2**40, 2**40, 2**40]), "does not lie where its shape says"),
    "a shape of a million sides": (embedding(shape=[1] * 10**6), "characters about it"),
    "a name twice": (header(lambda found: None, twice), "a name that stands twice"),
    "250,000 tensors": (many, "250,000 tensors, and the limit is 200,000"),
    "data behind the tensors": (lambda folder: (folder / WEIGHTS).open("ab").write(b"x"), "tensors of .* there are"),
    "half of it": (lambda folder: os.truncate(folder / WEIGHTS, 20_000), "tensors of .* and there are"),
    "weights of another folder": (of_elsewhere, "a file name without slashes"),
    "weights of another folder by settings": (
        settings("config.json", transformers_weights="../victim.safetensors"), "a file name without slashes"
    ),
    "adapters to another model": (adapters, "holds adapters, for which the model that they name would be loaded"),
    "packed weights": (settings("config.json", quantization_config={"quant_method": "mine"}), "are packed"),
    "code of the hub": (settings("config.json", _attn_implementation="evil/kernel"), "code of the hub .*never run"),
    "code of the hub, deeper": (
        settings("config.json", text_config={"attn_implementation": {"": "evil/kernel"}}), "code of the hub"
    ),
    "a base that is no number": (settings("config.json", rms_norm_eps=float("nan")), "NaN is no number"),
    "a thousand million labels": (settings("config.json", num_labels=10**9), "num_labels must be at most"),
    "architectures a number": (settings("config.json", architectures=3), "architectures: must be a list"),
    "architectures of numbers": (settings("config.json", architectures=[3]), "must be text"),
    "settings in a list": (lambda folder: (folder / "config.json").write_text("[]"), "no mapping"),
    "settings nested deeply": (lambda folder: (folder / "config.json").write_text("[" * 10**5), "recursion"),
    "an untied head that is not there": (settings("config.json", tie_word_embeddings=False), "no weights 'lm_head"),
    "a map of letters that is none": (
        tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}), "tokenizer fails"
    ),
    "letters that become ten million": (tokenizer(normalizer={**NORMALIZER, "content": "x" * 10**7}), "times longer"),
    "letters that double and double": (
        tokenizer(normalizer={"type": "Sequence", "normalizers": [NORMALIZER] * 40}), "times longer"
    ),
    "nothing that becomes something": (
        tokenizer(normalizer={**NORMALIZER, "pattern": {"String": ""}}), "times longer"
    ),
    "a pattern that is no text": (
        tokenizer(normalizer={**NORMALIZER, "pattern": {"String": 5}, "content": "x" * 1000}), "times longer"
    ),
    "answers that grow": (tokenizer(decoder={**NORMALIZER, "content": "x" * 10**6}), "times longer"),
    "a tokenizer in a list": (lambda folder: (folder / "tokenizer.json").write_text("[]"), "no mapping"),
    "a tokenizer of bytes": (lambda folder: (folder / "tokenizer.json").write_bytes(b"\xff\xfe"), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_checkpoint_that_is_not_what_it_seems(folder: Path, what: str) -> None:
    change, rule = HOSTILE[what]
    change(folder)
    refused(folder, rule)


@pytest.mark.parametrize("name", [
    "config.json", WEIGHTS, "z.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "generation_config.json", "chat_template.jinja", "my_tokens", "spm.model", "vocab.txt",
    f"{WEIGHTS}.index.json", "additional_chat_templates/x.jinja",
])  # fmt: skip
@pytest.mark.parametrize("kind", ["pipe", "device", "nothing", "itself", "giant"])
def test_a_place_that_holds_no_file(folder: Path, name: str, kind: str) -> None:
    place = folder / name
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "giant":
        with place.open("wb") as file:
            file.truncate(2**40)
    else:
        place.symlink_to({"device": "/dev/zero", "nothing": "nowhere", "itself": place.name}[kind])
    refused(folder, "must be a file|cannot be read|larger than 256 MiB|is not a safetensors file")


@pytest.mark.parametrize(("change", "rule"), [
    (tokenizer(post_processor={**SPECIAL, "add_prefix_space": False}), "begins texts with"),
    (tokenizer(model={"type": "WordLevel", "unk_token": "none", "vocab": {"b": 0}}), "on a letter|fast tokenizer"),
    (settings("tokenizer_config.json", eos_token=None), "no end token"),
    (settings("tokenizer_config.json", eos_token="<else>"), "the embedding .* rows"),
    (settings("generation_config.json", eos_token_id=["x"]), "eos_token_id.*must be a whole number"),
])  # fmt: skip
def test_a_student_s_tokenizer(folder: Path, change: Change, rule: str) -> None:
    change(folder)
    with pytest.raises(UsageError, match=rule) as told:
        used(folder)
    assert "\n" not in str(told.value)


def test_the_same_text_is_the_same_tokens(folder: Path) -> None:
    """Whatever the file says: some tokenizers leave merges out at random."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    plain = tokens(["one two three"] * 50, Checkpoint(str(folder)).reader()[0])
    tokenizer(model={**model, "dropout": 0.5})(folder)
    assert tokens(["one two three"] * 50, Checkpoint(str(folder)).reader()[0]) == plain


def test_a_tokenizer_that_gives_up_on_a_text_is_a_line(folder: Path) -> None:
    slow = {"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Isolated", "invert": False}
    tokenizer(pre_tokenizer=slow)(folder)
    words = Checkpoint(str(folder)).reader()[0]
    assert texts(tokens(["ab"], words), words) == ["ab"]
    with pytest.raises(UsageError, match=r"^the tokenizer fails: .*retry-limit"):
        tokens(["x" * 60], words)


def test_what_a_pass_gives_back_is_not_the_file_s_to_say(whole: Path, folder: Path) -> None:
    settings("config.json", return_dict=False, output_hidden_states="x", output_attentions=True)(folder)
    words = torch.tensor([[[1, 2, 3]]])
    expected = Checkpoint(str(whole)).load().logits(words)
    assert torch.equal(Checkpoint(str(folder)).load().logits(words), expected)


def test_whole_numbers_beside_the_weights_are_no_matter(folder: Path) -> None:
    """Some checkpoints store masks, which no parameter takes."""
    found = load_file(folder / WEIGHTS)
    save_file({**found, "model.mask": torch.ones(3, dtype=torch.bool)}, folder / WEIGHTS, {"format": "pt"})
    assert tensors_of(folder)["model.mask"]["dtype"] == "BOOL"
    used(folder)
