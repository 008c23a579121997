"""The callback in a fine-tuning of TRL: the scores of our evaluator on the same weights, and the training unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from forgetting import load
from forgetting.benchmarks.gsm8k import GSM8K
from forgetting.benchmarks.sums import OneStepSums
from forgetting.callbacks import ForgettingCallback
from forgetting.evaluation.evaluator import Evaluator
from forgetting.models.huggingface import HuggingFaceModel
from tests.contracts.members import DATA
from tests.models.natural import checkpoint, corpora

trl = pytest.importorskip("trl", reason="TRL is no part of what the tests install: pip install -e '.[compare]'")

BENCHMARKS = [GSM8K(source=f"{DATA}/gsm8k-{{split}}.jsonl"), OneStepSums(item_count=6)]
SHORT = {"max_new_tokens": 6, "probe_items": 8}


def tuned(folder: Path, rows: Path, place: Path, *callbacks: Any) -> tuple[Any, float]:
    """The network after eight steps of four dialogues, and the seconds that TRL says it took."""
    import datasets

    told = [json.loads(line) for line in rows.read_text().splitlines()[:32]]
    arguments = trl.SFTConfig(
        str(place), max_steps=8, per_device_train_batch_size=4, learning_rate=1e-3, seed=3, report_to=[], use_cpu=True,
        bf16=False, save_strategy="no", disable_tqdm=True, max_length=64, logging_strategy="no",
    )  # fmt: skip
    network, words = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    trainer = trl.SFTTrainer(
        network, arguments, train_dataset=datasets.Dataset.from_list(told), processing_class=words,
        callbacks=list(callbacks),
    )  # fmt: skip
    return network, float(trainer.train().metrics["train_runtime"])


def test_a_fine_tuning_of_trl(tmp_path: Path) -> None:
    folder, texts = checkpoint(tmp_path / "tiny"), corpora(tmp_path)
    watch = ForgettingCallback(tmp_path / "watched", BENCHMARKS, probe=texts["sums"], every=4, **SHORT)
    rows = Path(texts["dialogues"])
    plain, without = tuned(folder, rows, tmp_path / "a")
    network, seconds = tuned(folder, rows, tmp_path / "b", watch)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), plain.parameters(), strict=True))
    result = load(tmp_path / "watched")
    assert list(result.curves["tiny"]["maths"].dose) == [0, 16, 32]
    looks = result.record["seconds"]["runs: evaluation"]
    print(f"{without:.2f} s without, {seconds:.2f} s with the callback, of which {looks:.2f} s are looks")

    model = HuggingFaceModel(network, AutoTokenizer.from_pretrained(folder))
    evaluator = Evaluator(model, BENCHMARKS, watch.watching.samples(), "conversations", watch.watching.evaluation)
    own = evaluator.measure(model, perturbed=False).set_index(["benchmark", "item"])
    assert result.ledger is not None
    theirs = result.ledger[result.ledger["dose"] == 32].set_index(["benchmark", "item"]).loc[own.index]
    assert theirs["verdict"].tolist() == own["verdict"].tolist()
    assert [a.tolist() for a in theirs["answer"]] == [a.tolist() for a in own["answer"]]
    np.testing.assert_allclose(theirs["nll_sum"], own["nll_sum"], rtol=1e-5)
