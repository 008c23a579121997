"""Accuracy against thinking budget, from Python and from the command line, on a small checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from forgetting.benchmarks.gsm8k import GSM8K
from forgetting.evaluation.budgets import accuracy_by_budget
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.ladder import architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from tests.conftest import Outcome
from tests.contracts.members import DATA

SOURCE = f"{DATA}/gsm8k-{{split}}.jsonl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_level_bpe((DATA / "gsm8k-train.jsonl").read_text().splitlines(), 400)
    return fresh_checkpoint(tmp_path_factory.mktemp("models") / "tiny", architecture("10k"), tokenizer, 0)


def test_one_row_a_budget(folder: Path) -> None:
    model, benchmark = Checkpoint(str(folder)).load(), GSM8K(source=SOURCE)
    frame = accuracy_by_budget(model, benchmark, [8, 0, 2], max_new_tokens=4)
    assert list(frame["budget"]) == [0, 2, 8] and set(frame["items"]) == {len(benchmark.items())}
    thought = frame["cut"] * frame["budget"]
    assert (frame["thought_tokens"] <= frame["budget"]).all() and (frame["thought_tokens"] >= thought).all()
    assert frame["cut"].iloc[0] == 1 and frame["thought_tokens"].iloc[0] == 0
    assert (frame["accuracy_low"] <= frame["accuracy"] + 1e-9).all()
    assert (frame["accuracy"] < frame["accuracy_high"]).all()
    pd.testing.assert_frame_equal(frame, accuracy_by_budget(model, benchmark, [0, 2, 8], max_new_tokens=4))


def test_the_command_writes_a_table_and_a_figure(folder: Path, command: Callable[..., Outcome], here: Path) -> None:
    asked = ["budget", str(folder), "--benchmark", f"{{name: gsm8k, source: '{SOURCE}', limit: 3}}"]
    outcome = command(*asked, "--budgets", "[0, 4]", "--max_new_tokens", "4", "--output", "out")
    assert outcome.status == 0, outcome.err
    assert list(pd.read_csv(here / "out" / "budget.csv")["budget"]) == [0, 4]
    assert (here / "out" / "budget.svg").is_file() and "thought_tokens" in outcome.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--budgets", "[-1]"], "budgets: must be one or more numbers of tokens, 0 or more"),
        (["--benchmark", "maths"], "benchmark: 'maths' is of the embedded world"),
        (["--dtype", "float8"], "checkpoint.dtype: unknown name 'float8'"),
        (["--benchmark", "gsm9k"], "did you mean 'gsm8k'"),
    ],
)
def test_mistakes(folder: Path, command: Callable[..., Outcome], more: list[str], message: str) -> None:
    outcome = command("budget", str(folder), *more)
    assert outcome.status == 2 and message in outcome.err and outcome.err.count("\n") == 1
