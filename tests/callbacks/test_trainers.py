"""The callbacks in trainers that are not ours: scores of our evaluator, a record like a study's, training unchanged."""

from __future__ import annotations

import types
import warnings
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from forgetting import load
from forgetting.benchmarks.gsm8k import GSM8K
from forgetting.callbacks import ForgettingCallback, ForgettingLightningCallback
from forgetting.callbacks.watched import WatchedTraining
from forgetting.callbacks.watching import Watching
from forgetting.errors import UsageError
from forgetting.evaluation.evaluator import Evaluator
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.run_files import read_part
from forgetting.record.signing import SIGNATURE, is_ours
from forgetting.report.build import build_views
from forgetting.spec import Evaluation
from tests.contracts.members import DATA
from tests.models.natural import checkpoint, corpora

BENCHMARK = GSM8K(source=f"{DATA}/gsm8k-{{split}}.jsonl")
SHORT = {"max_new_tokens": 6, "probe_items": 8}


class Texts(Dataset[dict[str, Any]]):
    """Twenty-one short texts, so that the last batch of an epoch is a small one."""

    def __init__(self, tokenizer: Any) -> None:
        self.rows = [tokenizer(f"I want tea number {n}.", padding="max_length", max_length=24) for n in range(10, 31)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        own = {name: torch.tensor(self.rows[index][name]) for name in ("input_ids", "attention_mask")}
        return {**own, "labels": own["input_ids"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return corpora(tmp_path_factory.mktemp("texts"))["dialogues"]


def trained(folder: Path, place: Path, *callbacks: Any) -> Any:
    """The network after two epochs of transformers' Trainer: 12 steps of 4 samples, 42 samples in all."""
    network, words = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    arguments = TrainingArguments(
        str(place), num_train_epochs=2, per_device_train_batch_size=2, gradient_accumulation_steps=2, seed=3,
        learning_rate=1e-3, report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(network, arguments, train_dataset=Texts(words), processing_class=words, callbacks=list(callbacks))
    trainer.train()
    return network


def test_a_trainer_of_transformers(folder: Path, probe: str, tmp_path: Path) -> None:
    callback = ForgettingCallback(tmp_path / "watched", BENCHMARK, probe=probe, ratio=3.0, **SHORT)
    network, plain = trained(folder, tmp_path / "a", callback), trained(folder, tmp_path / "b")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), plain.parameters(), strict=True))
    result = load(tmp_path / "watched")
    assert list(result.curves["tiny"]["maths"].dose) == [0, 4, 12, 33, 42]
    assert is_ours([result.record["watched"], result.record["fingerprint"]], result.record[SIGNATURE])
    assert not result.unverified and (tmp_path / "watched" / "report.html").is_file()
    assert list((tmp_path / "watched" / "tensorboard").rglob("*tfevents*"))
    build_views(tmp_path / "watched")

    model, words = HuggingFaceModel(network, AutoTokenizer.from_pretrained(folder)), callback.watching
    evaluator = Evaluator(model, [BENCHMARK], words.samples(), "conversations", words.evaluation)
    own = evaluator.measure(model, perturbed=False).set_index(["benchmark", "item"])
    assert result.ledger is not None
    theirs = result.ledger[result.ledger["dose"] == 42].set_index(["benchmark", "item"]).loc[own.index]
    assert theirs["verdict"].tolist() == own["verdict"].tolist()
    assert [a.tolist() for a in theirs["answer"]] == [a.tolist() for a in own["answer"]]
    np.testing.assert_allclose(theirs["nll_sum"], own["nll_sum"], rtol=1e-5)
    rows = result.scores[result.scores["benchmark"] == "probe"]
    assert rows["delta_nll"].iloc[-1] != 0


def test_a_forward_that_the_trainer_put_in_is_not_measured(folder: Path, tmp_path: Path) -> None:
    network, words = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    own = network.forward
    network.forward = types.MethodType(lambda _, *given, **named: own(*given, **named), network)  # as TRL does
    put = network.forward
    watched = WatchedTraining(Watching.of(tmp_path / "watched", BENCHMARK, **SHORT), network, words, 0)
    watched.look(0)
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(1.5)
    watched.look(8)
    assert network.forward is put
    copied = Evaluator(HuggingFaceModel(network, words), [BENCHMARK], [], "none", watched.watching.evaluation)
    frame = copied.measure(copied.base, perturbed=False).set_index(["benchmark", "item"])
    told = {dose: read_part(watched.run, dose)[0].to_pandas().set_index(["benchmark", "item"]) for dose in (0, 8)}
    np.testing.assert_allclose(told[8].loc[frame.index, "nll_sum"], frame["nll_sum"], rtol=1e-5)
    base = HuggingFaceModel(AutoModelForCausalLM.from_pretrained(folder), words)
    evaluator = Evaluator(base, [BENCHMARK], [], "none", watched.watching.evaluation)
    frame = evaluator.measure(base, perturbed=False).set_index(["benchmark", "item"])
    np.testing.assert_allclose(told[0].loc[frame.index, "nll_sum"], frame["nll_sum"], rtol=1e-5)


class Foreign(lightning.LightningModule):
    """Somebody else's module."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.lm = AutoModelForCausalLM.from_pretrained(folder)

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        torch.rand(1)  # a draw of the training's own
        loss: torch.Tensor = self.lm(**batch).loss * (1 + 0.1 * torch.rand(1))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.lm.parameters(), 0.1)


def fitted(folder: Path, *callbacks: Any) -> Any:
    lightning.seed_everything(5, verbose=False)
    module, words = Foreign(folder), AutoTokenizer.from_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning.Trainer(
            accelerator="cpu", max_epochs=1, accumulate_grad_batches=2, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, callbacks=list(callbacks),
        ).fit(module, DataLoader(Texts(words), batch_size=4, shuffle=True))  # fmt: skip
    return module.lm


def test_a_foreign_trainer_of_lightning(folder: Path, tmp_path: Path) -> None:
    words = AutoTokenizer.from_pretrained(folder)
    name = {"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl"}
    callback = ForgettingLightningCallback(tmp_path / "w", name, words, network="lm", every=2, max_new_tokens=6)
    network, plain = fitted(folder, callback), fitted(folder)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), plain.parameters(), strict=True))
    result = load(tmp_path / "w")
    assert list(result.curves["tiny"]["maths"].dose) == [0, 16, 21]
    model = HuggingFaceModel(network, words)
    own = Evaluator(model, [BENCHMARK], [], "", Evaluation(max_new_tokens=6)).measure(model, perturbed=False)
    assert result.ledger is not None
    last = result.ledger[result.ledger["dose"] == 21]
    np.testing.assert_allclose(last["nll_sum"], own["nll_sum"], rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"benchmarks": "gsm8"}, "did you mean 'gsm8k'"),
        ({"benchmarks": []}, "one or more"),
        ({"benchmarks": "maths"}, "of natural text"),
        ({"every": -1}, "every: must be a whole number of steps"),
        ({"ratio": 1}, "ratio: must be a number above 1"),
        ({"probe": "./missing.jsonl"}, "there is no file or folder"),
        ({"arm": "a/b"}, "without slashes"),
        ({"max_new_tokens": 0}, "max_new_tokens: must be at least 1"),
    ],
)
def test_what_is_wrong_is_one_line_before_training(given: dict[str, Any], said: str, here: Path) -> None:
    with pytest.raises(UsageError, match=said):
        ForgettingCallback(**{"output": "w", "benchmarks": BENCHMARK, **given})
    assert not list(here.iterdir())


def test_a_folder_in_use_is_refused(here: Path) -> None:
    (here / "w").mkdir()
    (here / "w" / "file").touch()
    with pytest.raises(UsageError, match="output: must be a new or an empty folder"):
        ForgettingCallback("w", BENCHMARK)
