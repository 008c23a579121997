"""One checkpoint scored twice and in other batch sizes: at most one verdict in a thousand differs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from forgetting import registry
from forgetting.contracts import Benchmark
from forgetting.evaluation.evaluator import Evaluator
from forgetting.models.checkpoint import load
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import architecture
from forgetting.record.store import Store
from forgetting.spec import Evaluation, Spec
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.study import construct


def _shipped(name: str) -> HuggingFaceModel:
    mark = fingerprint(student_form(construct(Spec()), architecture(name), 0))
    home = Store(Path("nowhere")).find(mark)
    assert home is not None
    return load(home)


def _look(model: HuggingFaceModel, batch_items: int) -> pd.DataFrame:
    benchmarks = [registry.build("benchmarks", name) for name in registry.names("benchmarks")]
    chosen = [b for b in benchmarks if isinstance(b, Benchmark) and b.language == "world"]
    evaluator = Evaluator(model, chosen, [], "", Evaluation(batch_items=batch_items))
    return evaluator.measure(model, perturbed=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["10k", "34k"])
def test_other_batch_sizes_move_at_most_one_verdict_in_a_thousand(name: str) -> None:
    model = _shipped(name)
    first, again = _look(model, 128), _look(model, 128)
    assert first["answer"].map(list).tolist() == again["answer"].map(list).tolist()
    assert first["nll_sum"].tolist() == again["nll_sum"].tolist()
    for batch_items in (8, 512):
        other = _look(model, batch_items)
        differing = int((first["verdict"] != other["verdict"]).sum())
        print(f"{name}: {differing} of {len(first)} verdicts differ between batches of 128 and {batch_items}")
        assert differing <= len(first) / 1000
