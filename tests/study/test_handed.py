"""What a program hands over to ``simulate``, as a spec holds it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from forgetting.contamination.conversations import Conversations
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint
from forgetting.spec import Doses, Machine, Spec
from forgetting.study.arguments import merged
from forgetting.study.handed import handed, several

ROWS = [{"question": f"What comes after {n}?", "answer": f"{n + 1}"} for n in range(5)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_paths_parts_and_models() -> None:
    assert handed(Path("a/b.jsonl"), "x") == "a/b.jsonl"
    assert handed({"name": "conversations", "source": Path("c")}, "x") == {"name": "conversations", "source": "c"}
    part = Conversations(source="d.jsonl", turns="last")
    assert handed(part, "x") == part.settings()
    assert handed(Checkpoint("models/a", thinking=False), "x")["source"] == "models/a"
    assert several([Path("a"), "b"], "x") == ("a", "b") and several("a", "x") == ("a",)
    assert several([{"name": "noise"}, "dialogue"], "x") == ({"name": "noise"}, "dialogue")
    assert several([{"source": "m", "dtype": "bfloat16"}], "x") == ({"source": "m", "dtype": "bfloat16"},)


@pytest.mark.parametrize("kind", ["list", "dataset", "frame"])
def test_rows_in_memory_are_a_file_named_after_their_content(kind: str) -> None:
    made: dict[str, Any] = {
        "list": ROWS, "dataset": datasets.Dataset.from_list(ROWS), "frame": pd.DataFrame(ROWS),
    }  # fmt: skip
    (first,) = several(made[kind], "contamination")
    (again,) = several(made["list"], "contamination")
    assert first == again and first["name"] == "conversations"
    assert [json.loads(line) for line in Path(first["source"]).read_text().splitlines()] == ROWS
    assert Conversations(source=first["source"]).told()["samples"] == 5


def test_rows_that_no_file_can_hold() -> None:
    with pytest.raises(UsageError, match=r"^contamination: must be data with rows, got none"):
        several(pd.DataFrame({"a": []}), "contamination")
    with pytest.raises(UsageError, match=r"^contamination: must be rows of texts"):
        several([{"question": object(), "answer": "b"}], "contamination")
    both = datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS), test=datasets.Dataset.from_list(ROWS))
    with pytest.raises(UsageError, match=r"^contamination: must be one data set, got the splits train, test; give one"):
        several(both, "contamination")
    holes = several(pd.DataFrame({"question": ["a"] * 20, "answer": ["b"] * 9 + [float("nan")] * 11}), "contamination")
    with pytest.raises(UsageError, match="line 10: 'answer' is null"):
        Conversations(source=holes[0]["source"]).check()
    frame = several(pd.DataFrame({"a": ["x"], "b": ["y"]}), "contamination")
    with pytest.raises(UsageError, match="there are a, b"):
        Conversations(source=frame[0]["source"]).check()


def test_groups_of_settings_may_be_plain_mappings() -> None:
    spec = merged(Spec(), {"doses": {"dose": 80, "first": 20}, "evaluation": {"benchmarks": "maths", "probe_items": 9}})
    assert (spec.doses, spec.evaluation.benchmarks) == (Doses(dose=80, first=20), ("maths",))
    assert spec.evaluation.probe_items == 9 and spec.evaluation.perturbed == Spec().evaluation.perturbed
    assert merged(Spec(doses=Doses(dose=80, ratio=4.0)), {"doses": {"first": 10}}).doses == Doses(
        80, "geometric", 10, 4.0
    )
    for given, said in [
        ({"doses": {"dos": 8}}, "doses: unknown name 'dos'; did you mean 'dose'?"),
        ({"doses": {"dose": -1}}, "doses.dose: must be at least 1, got -1"),
        ({"evaluation": {"probe_items": "x"}}, "evaluation.probe_items: must be a whole number, got 'x'"),
        ({"doses": 3}, "doses: must be of type Doses, got 3"),
    ]:
        with pytest.raises(UsageError, match=re.escape(said)):
            merged(Spec(), given)


def test_ordinary_knobs_are_arguments() -> None:
    made = merged(Spec(), {"learning_rate": 1e-3, "batch_size": 8, "precision": "bfloat16_mixed", "device": "cpu"})
    assert (made.fine_tuning.learning_rate, made.fine_tuning.batch_size) == (1e-3, 8)
    assert (made.machine.precision, made.machine.device) == ("bfloat16_mixed", "cpu")
    assert made.fine_tuning.warmup_steps == Spec().fine_tuning.warmup_steps
    groups = {
        "fine_tuning": {"warmup_steps": 3, "batch_size": 4},
        "machine": {"backend": {"gpus": 2}, "micro_batches": 2},
    }
    both = merged(made, {**groups, "batch_size": 16, "device": None})
    assert (both.fine_tuning.warmup_steps, both.fine_tuning.batch_size) == (3, 16)  # the single setting counts
    assert both.fine_tuning.learning_rate == 1e-3 and both.machine.device == "cpu"  # None: not given
    assert (both.machine.backend.gpus, both.machine.micro_batches) == (2, 2)
    assert merged(both, {"machine": Machine()}).machine == Machine()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "rate as text": ({"learning_rate": "fast"}, "learning_rate: must be a number, got 'fast'"),
    "rate below 0": ({"learning_rate": -0.1}, "learning_rate: must be a finite number, 0 or more, got -0.1"),
    "batch of none": ({"batch_size": 0}, "batch_size: must be at least 1, got 0"),
    "half a sample": ({"batch_size": 2.5}, "batch_size: must be a whole number, got 2.5"),
    "precision misspelt": ({"precision": "bf16_mixed"}, "precision: unknown name 'bf16_mixed'; did you mean 'bfloat16"),
    "device": ({"device": "cpus"}, "device: unknown name 'cpus'; did you mean 'cpu'? known: auto, cpu, gpu"),
    "knob misspelt": ({"learnin_rate": 1e-3}, "argument: unknown name 'learnin_rate'; did you mean 'learning_rate'?"),
    "setting of a group": ({"machine": {"device_": 1}}, "machine: unknown name 'device_'; did you mean 'device'?"),
    "value in a group": ({"fine_tuning": {"warmup_steps": -1}}, "fine_tuning.warmup_steps: must be 0 or more, got -1"),
    "in a group's group": ({"machine": {"backend": {"gpus": 0}}}, "machine.backend.gpus: must be at least 1, got 0"),
    "no group": ({"machine": "gpu"}, "machine: must be of type Machine, got 'gpu'"),
    "graphs on a processor": ({"machine": {"graphs": True}, "device": "cpu"}, "graphs: must be false on a processor"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_knobs(case: str) -> None:
    given, line = WRONG[case]
    with pytest.raises(UsageError, match=rf"^{re.escape(line)}"):
        merged(Spec(), given)
