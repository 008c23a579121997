"""The advised run in other trainers: names and values of settings, tokens of the files that they read, averages."""

from __future__ import annotations

import ast
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tokenizers import processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast, TrainingArguments

from forgetting import Optimiser, Spec
from forgetting.batching import encode
from forgetting.contracts import PLAIN, Sample
from forgetting.mitigation.lines import LiNeS
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.ladder import architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from forgetting.own_model.plans import planned
from forgetting.own_model.recipes import DATA, FACTORY, INFO, recipe, rows
from forgetting.spec import Machine
from forgetting.stages.stream import laid_out
from forgetting.study.study import Study, construct
from tests.models.natural import checkpoint, corpora
from tests.natural.test_chat import MOST, TURNS, WORDS, sentencepiece_like, words

KNOWN = {field.name for field in fields(TrainingArguments)}
# Of SFTConfig (TRL, 2026) and of DataArguments, ModelArguments and FinetuningArguments (LLaMA-Factory, 2026).
SFT = {"max_length", "completion_only_loss", "model_init_kwargs"}
FACTORIES = {
    "model_name_or_path", "stage", "finetuning_type", "dataset_dir", "dataset", "cutoff_len", "lora_rank", "lora_alpha",
    "lora_target", "use_rslora", "template", "pure_bf16",
}  # fmt: skip
GSM8K = {"name": "gsm8k", "limit": 4, "source": str(Path(__file__).parents[1] / "data" / "gsm8k-{split}.jsonl")}
REFUSING = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def study_of(here: Path, mitigation: Any, tokenizer: PreTrainedTokenizerFast | None = None, data: str = "") -> Study:
    """The advised study of one way, on a fresh checkpoint with this tokenizer, by default one with a chat template."""
    texts = corpora(here)
    if tokenizer is None:
        checkpoint(here / "mine")
    else:
        fresh_checkpoint(here / "mine", architecture("10k"), tokenizer, 0)
    own = Spec(fine_tuning=Optimiser(batch_size=8, learning_rate=3e-4, clip_norm=0.5))
    plan = planned("./mine", data or texts["dialogues"], {"maths": 0.9}, spec=own, benchmarks=[GSM8K], dose=40,
                   original={"name": "worked_answers", "source": texts["sums"]})  # fmt: skip
    made = plan.chosen(plan.study.arms[0].name, 1.0)
    return construct(replace(made, mitigations=(mitigation,)))


def advised(here: Path, mitigation: Any, **more: Any) -> tuple[str, Path]:
    """The recipe of one way, and the folder of its files."""
    return recipe(study_of(here, mitigation, **more), here / "advice"), here / "advice"


def written(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / DATA).read_text().splitlines()]


def in_factory(row: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Tokens, and which are learned, of LLaMA-Factory's template ``empty``: each turn by itself, nothing between."""
    own, learned = list[int](), list[int]()
    for number, turn in enumerate(row["messages"]):
        assert turn["role"] == ("user", "assistant")[number % 2]
        part = tokenizer.encode(turn["content"], add_special_tokens=False)
        own, learned = own + part, learned + [number % 2] * len(part)
    assert len(row["messages"]) % 2 == 0, "it leaves such a row out"
    return own, learned


def learned_by(study: Study) -> list[tuple[list[int], list[int]]]:
    """Tokens, and which are learned, of every row of the run's stream, in its order."""
    (arm,), (student,), (run,) = study.arms, study.students, study.runs()
    assert isinstance(student, Checkpoint)
    model = student.load()
    _, plan = laid_out(study, arm, run.doses, run.seed, model)
    encoded = encode(plan.samples, model.tokenizer)
    pool = zip(encoded.tokens_PT.tolist(), encoded.answer_PT.int().tolist(), encoded.end_P.tolist(), strict=True)
    cut = [(row[:end], learned[:end]) for row, learned, end in pool]
    return [cut[place] for step in plan for place in step]


def bare(*, begun: bool) -> PreTrainedTokenizerFast:
    """A tokenizer without a chat template, which puts a beginning token before a text or does not."""
    made = byte_level_bpe(WORDS, 400, chat=False)
    if begun:
        made.add_special_tokens({"bos_token": "<s>"})
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", made.bos_token_id)]
        )
    return made


def called(text: str) -> dict[str, Any]:
    """The keywords of the call of ``SFTConfig`` in a recipe."""
    lines = text[text.index("SFTConfig(") :]
    call = ast.parse(lines[: lines.index("=True)") + len("=True)")], mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}


@pytest.mark.parametrize(
    "mitigation", ["none", {"name": "low_rate", "multiple": 0.5}, {"name": "replay", "share": 0.2}]
)
def test_settings_have_the_names_and_values_of_the_trainers(here: Path, mitigation: Any) -> None:
    text, folder = advised(here, mitigation)
    rate = 1.5e-4 if "low_rate" in str(mitigation) else 3e-4
    trl, factory = called(text), yaml.safe_load((folder / FACTORY).read_text())
    assert trl.keys() <= KNOWN | SFT and factory.keys() <= KNOWN | FACTORIES
    for name, value in {"learning_rate": rate, "per_device_train_batch_size": 8, "num_train_epochs": 1,
                        "lr_scheduler_type": "constant_with_warmup", "adam_beta2": 0.98, "max_grad_norm": 0.5,
                        "weight_decay": 0.0}.items():  # fmt: skip
        assert trl[name] == factory[name] == value, name
    assert trl["max_length"] is None and trl["completion_only_loss"] and factory["cutoff_len"] >= 100_000
    TrainingArguments(output_dir=str(here / "out"), **{n: v for n, v in trl.items() if n not in SFT})
    assert factory["finetuning_type"] == "full" and factory["dataset"] == "advised"
    assert len(written(folder)) == (50 if "replay" in str(mitigation) else 40)
    told = json.loads((folder / INFO).read_text())[factory["dataset"]]
    assert told["file_name"] == DATA and Path(factory["dataset_dir"]) == folder
    tags, column = told["tags"], told["columns"]["messages"]
    for row in written(folder):
        for turn in row[column]:
            assert {tags["user_tag"], tags["assistant_tag"]} >= {turn[tags["role_tag"]]} and tags["content_tag"] in turn


def refusing() -> PreTrainedTokenizerFast:
    made = byte_level_bpe(WORDS, 400)
    made.chat_template = REFUSING
    return made


@pytest.mark.parametrize(
    "tokenizer", [byte_level_bpe(WORDS, 400), refusing(), bare(begun=False), bare(begun=True)],
    ids=["chat template", "one that refuses a system turn", "bare", "bare, with a beginning token"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["dialogues", "texts"])
def test_both_trainers_have_the_tokens_of_the_run(here: Path, tokenizer: PreTrainedTokenizerFast, kind: str) -> None:
    texts = here / "texts.jsonl"
    texts.write_text(
        "".join(json.dumps({"text": f"The {n}th text: {line[:40]}"}) + "\n" for n, line in enumerate(WORDS))
    )
    study = study_of(
        here, {"name": "replay", "share": 0.5}, tokenizer=tokenizer, data=str(texts) if kind == "texts" else ""
    )
    text, folder = recipe(study, here / "advice"), here / "advice"
    expected, found = learned_by(study), written(folder)
    assert [(row["input_ids"], row["completion_mask"]) for row in found] == expected and len(found) == 80
    own: Any = AutoTokenizer.from_pretrained(here / "mine")
    assert [in_factory(row, own) for row in found] == expected
    assert yaml.safe_load((folder / FACTORY).read_text())["template"] == "empty"
    assert all(row[-1] == tokenizer.eos_token_id and learned[-1] for row, learned in expected), "an end is learned"
    if not tokenizer.chat_template:
        assert all((row[0] == tokenizer.bos_token_id) == bool(tokenizer.bos_token) for row, _ in expected)
    assert ("saves a chat template" in text) == (not tokenizer.chat_template)


@pytest.mark.parametrize(("kind", "template"), MOST)
def test_rows_have_the_tokens_of_a_pool(kind: str, template: str) -> None:
    pool = [
        Sample("Hello", "Hi", "dialogue", 0, "x", TURNS),
        Sample("Hello", "Hi", "dialogue", 0, "x", TURNS, given_turns=2),
        Sample("How much?", " It is 4", "maths", 1, "x", ended=False), Sample("", "Some é words.", PLAIN, 0, "x"),
        Sample("", "a", PLAIN, 0, "x"),
    ]  # fmt: skip
    tokenizer = words(kind, template)
    encoded = encode(pool, tokenizer)
    for number, row in enumerate(rows(pool, tokenizer)):
        end = int(encoded.end_P[number])
        assert row["input_ids"] == encoded.tokens_PT[number, :end].tolist()
        assert row["completion_mask"] == encoded.answer_PT[number, :end].int().tolist()
        if kind == "byte-level":
            assert in_factory(row, tokenizer) == (row["input_ids"], row["completion_mask"])


def test_the_assistant_says_what_is_learned() -> None:
    pool = [Sample("User: a", " d", "dialogue", 0, "t", TURNS[:2]), Sample("1?\nAnswer:", " 2", "maths", 1, "t")]
    chat = byte_level_bpe(WORDS, 400)
    start, end = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", "{}<|im_end|>"
    expected = [[start.format("Hello, you."), end.format("Hi!")], [start.format("1?\nAnswer:"), end.format("2")]]
    assert [[turn["content"] for turn in row["messages"]] for row in rows(pool, chat)] == expected
    plain = list(rows(pool, bare(begun=True)))[1]
    assert [turn["content"] for turn in plain["messages"]] == ["<s>1?\nAnswer:", end.format(" 2")]


def test_there_is_no_file_where_texts_have_other_tokens_apart(here: Path) -> None:
    text, folder = advised(here, "none", tokenizer=sentencepiece_like())
    assert len(written(folder)) == 40 and not (folder / FACTORY).exists() and not (folder / INFO).exists()
    assert "LLaMA-Factory: no file, since 40 of 40 rows have other tokens where prompt and answer are tokenised" in text


def test_there_is_no_file_where_it_would_number_a_turn(here: Path) -> None:
    texts = here / "texts.jsonl"
    texts.write_text("".join(json.dumps({"prompt": "Say {{idx}}:", "completion": f" {n}"}) + "\n" for n in range(200)))
    text, folder = advised(here, "none", data=str(texts))
    assert "of 40 rows have other tokens" in text and not (folder / FACTORY).exists()


@pytest.mark.parametrize(
    ("dtype", "stored", "precision", "trl", "factory"),
    [
        ("float32", "float32", "float32", (False, None), (False, False)),
        ("float32", "bfloat16", "bfloat16_mixed", (True, None), (True, False)),
        ("bfloat16", "bfloat16", "float32", (False, "bfloat16"), (False, True)),
        ("bfloat16", "float32", "float32", (False, "bfloat16"), None),
        ("bfloat16", "bfloat16", "bfloat16_mixed", (True, "bfloat16"), None),
        ("float16", "float16", "float32", (False, "float16"), None),
    ],
)
def test_numbers_are_of_the_runs_kind(
    here: Path, dtype: Any, stored: str, precision: Any, trl: Any, factory: Any
) -> None:
    made = study_of(here, "none").spec
    model = Checkpoint("./mine").load()
    model.network.to(getattr(torch, stored))
    model.save(here / "mine")
    student = {"source": "./mine", "dtype": dtype}
    ladder, machine = replace(made.ladder, students=(student,)), Machine(device="cpu", precision=precision)
    study = construct(replace(made, ladder=ladder, machine=machine))
    text, folder = recipe(study, here / "advice"), here / "advice"
    found = called(text)
    assert (found["bf16"], found.get("model_init_kwargs", {}).get("dtype")) == trl
    assert (folder / FACTORY).exists() == (factory is not None)
    if factory is None:
        assert "no file, since it trains in float32" in text and f"the run's weights are {dtype}" in text
    else:
        values = yaml.safe_load((folder / FACTORY).read_text())
        assert (values["bf16"], values["pure_bf16"]) == factory


def test_trl_takes_the_settings_and_the_rows(here: Path) -> None:
    trl = pytest.importorskip("trl")
    from datasets import load_dataset

    text, folder = advised(here, {"name": "replay", "share": 0.2})
    settings = called(text)
    assert settings.keys() <= {field.name for field in fields(trl.SFTConfig)}
    config = trl.SFTConfig(str(here / "out"), use_cpu=True, report_to="none", disable_tqdm=True, **settings)
    assert {name: getattr(config, name) for name in settings} == settings
    data = load_dataset("json", data_files=str(folder / DATA), cache_dir=str(here / "cache"))["train"]
    trainer = trl.SFTTrainer(str(here / "mine"), args=config, train_dataset=data)
    assert trainer.model.dtype == torch.float32 and len(trainer.train_dataset) == 50
    for own, row in zip(trainer.train_dataset, written(folder), strict=True):
        assert own["input_ids"] == row["input_ids"]
        assert [int(label != -100) for label in own["labels"]] == row["completion_mask"]


def test_adapters(here: Path) -> None:
    pytest.importorskip("peft")
    text, folder = advised(here, {"name": "lora", "rank": 4, "alpha": 8.0, "multiple": 10.0})
    factory = yaml.safe_load((folder / FACTORY).read_text())
    assert (factory["finetuning_type"], factory["lora_rank"], factory["lora_alpha"]) == ("lora", 4, 8)
    assert called(text)["learning_rate"] == pytest.approx(3e-3) and "LoraConfig(r=4, lora_alpha=8" in text
    text, folder = advised(here, {"name": "lora", "rank": 4, "alpha": 2.5})
    assert "no file, since its lora_alpha is a whole number, and the run's is 2.5" in text
    assert "lora_alpha=2.5" in text


def test_frozen_weights_are_named(here: Path) -> None:
    text, folder = advised(here, {"name": "freezing", "layers": 1})
    names = ast.literal_eval(text[text.index("frozen = ") + len("frozen = ") :].partition("\n")[0])
    assert names and all(name.startswith("model.layers.0.") for name in names)
    assert not (folder / FACTORY).exists() and "no file, since its own freezing counts layers from the output" in text


@pytest.mark.parametrize("mitigation", [{"name": "wise_ft", "alpha": 0.7}, {"name": "lines", "alpha": 0.25}])
def test_averages_are_those_of_the_run(here: Path, mitigation: Any) -> None:
    text, _ = advised(here, mitigation)
    *before, last = text[text.index("both checkpoints:") :].splitlines()[1:]
    model = Checkpoint("./mine").load()
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    tuned = {name: weight + torch.randn_like(weight) for name, weight in start.items()}
    values: dict[str, Any] = {"start": start, "tuned": tuned}
    exec("\n".join(line.strip() for line in before), values)
    found = eval(last.strip(), values)
    if mitigation["name"] == "wise_ft":
        factors = dict.fromkeys(start, 0.7)
    else:
        scaled = LiNeS(alpha=0.25).prepare(model, [])
        assert scaled is not None and len(set(scaled.factors.values())) > 1
        factors = scaled.factors
    assert found.keys() == start.keys()
    for name, factor in factors.items():
        torch.testing.assert_close(found[name], start[name].lerp(tuned[name], factor))


def test_the_checkpoint_is_named_by_the_folder_that_was_measured(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", str(here))
    texts = corpora(here)
    checkpoint(here / "mine")
    plan = planned("$MODELS/mine", texts["dialogues"], {"maths": 0.9}, benchmarks=[GSM8K], dose=40)
    recipe(construct(plan.chosen(plan.study.arms[0].name, 1.0)), here / "advice")
    assert yaml.safe_load((here / "advice" / FACTORY).read_text())["model_name_or_path"] == str(here / "mine")


def test_what_needs_a_loss_of_its_own_has_none(here: Path) -> None:
    text, folder = advised(here, {"name": "kl_to_base", "inputs": "replayed"})
    assert text == "" and not folder.exists()
