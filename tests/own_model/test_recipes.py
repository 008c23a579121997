"""The advised run in other trainers: names and values of settings, files that they read, frozen weights by name."""

from __future__ import annotations

import ast
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import TrainingArguments

from forgetting import Optimiser, Spec
from forgetting.own_model.plans import planned
from forgetting.own_model.recipes import DATA, FACTORY, INFO, recipe
from forgetting.study.study import construct
from tests.models.natural import checkpoint, corpora

KNOWN = {field.name for field in fields(TrainingArguments)}
# Of SFTConfig (TRL, 2026) and of DataArguments, ModelArguments and FinetuningArguments (LLaMA-Factory, 2026).
SFT = {"max_length", "assistant_only_loss", "completion_only_loss"}
FACTORIES = {
    "model_name_or_path", "stage", "finetuning_type", "dataset_dir", "dataset", "cutoff_len", "lora_rank", "lora_alpha",
    "lora_target", "use_rslora",
}  # fmt: skip
GSM8K = {"name": "gsm8k", "limit": 4}


def advised(here: Path, mitigation: Any) -> tuple[str, Path]:
    """The recipe of one way, and the folder of its files."""
    texts = corpora(here)
    checkpoint(here / "mine")
    spec = Spec(fine_tuning=Optimiser(batch_size=8, learning_rate=3e-4, clip_norm=0.5))
    plan = planned("./mine", texts["dialogues"], {"maths": 0.9}, spec=spec, benchmarks=[GSM8K], dose=40,
                   original={"name": "worked_answers", "source": texts["sums"]})  # fmt: skip
    arm = plan.study.arms[0].name
    made = plan.chosen(arm, 1.0)
    study = construct(type(made)(**{**vars(made), "mitigations": (mitigation,)}))
    return recipe(study, here / "advice"), here / "advice"


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
    assert trl["max_length"] is None and trl["assistant_only_loss"] and factory["cutoff_len"] >= 100_000
    TrainingArguments(output_dir=str(here / "out"), **{n: v for n, v in trl.items() if n not in SFT})
    assert factory["finetuning_type"] == "full" and factory["dataset"] == "advised"
    rows = [json.loads(line) for line in (folder / DATA).read_text().splitlines()]
    assert len(rows) == (50 if "replay" in str(mitigation) else 40)
    told = json.loads((folder / INFO).read_text())[factory["dataset"]]
    assert told["file_name"] == DATA and Path(factory["dataset_dir"]) == folder
    for row in rows:
        turns = [turn[told["tags"]["role_tag"]] for turn in row[told["columns"]["messages"]]]
        assert turns == ["user", "assistant"] * (len(turns) // 2)


def test_adapters_and_averages(here: Path) -> None:
    pytest.importorskip("peft")
    text, folder = advised(here, {"name": "lora", "rank": 4, "alpha": 8.0, "multiple": 10.0})
    factory = yaml.safe_load((folder / FACTORY).read_text())
    assert (factory["finetuning_type"], factory["lora_rank"], factory["lora_alpha"]) == ("lora", 4, 8)
    assert called(text)["learning_rate"] == pytest.approx(3e-3) and "LoraConfig(r=4, lora_alpha=8" in text
    assert "lerp(tuned[name], 0.7)" in advised(here, {"name": "wise_ft", "alpha": 0.7})[0]


def test_frozen_weights_are_named(here: Path) -> None:
    text, folder = advised(here, {"name": "freezing", "layers": 1})
    names = ast.literal_eval(text[text.index("frozen = ") + len("frozen = ") :].partition("\n")[0])
    assert names and all(name.startswith("model.layers.0.") for name in names)
    assert not (folder / FACTORY).exists() and "LLaMA-Factory" not in text


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
