"""A checkpoint that is distilled further by every method, with a real tokenizer, a chat template, a grader as judge."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from forgetting.contracts import Sample
from forgetting.distillation._rollouts import judge_named
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint
from forgetting.record.store import Store, manifest
from forgetting.spec import Evaluation, Fit, Ladder, Spec
from forgetting.stages import distil
from forgetting.study.study import construct
from forgetting.testing.small import differing
from tests.conftest import cases
from tests.contracts.members import DATA
from tests.models.natural import checkpoint, corpora

GSM8K = {"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl"}
SHORT = Fit(samples=32, pool=16, batch_size=8, warmup_steps=2)
METHODS: list[dict[str, Any]] = [
    {"name": "on_policy", "max_new_tokens": 8},
    {"name": "reward_guided", "max_new_tokens": 8, "samples": 4, "judge": GSM8K},
    {"name": "rejection", "max_new_tokens": 8, "samples": 4, "judge": GSM8K},
    {"name": "process", "max_new_tokens": 8, "mark": "#### ", "separator": "\n"},
    {"name": "contrastive", "max_new_tokens": 8, "samples": 4, "judge": GSM8K},
]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return corpora(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A teacher and a pupil with one tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    return checkpoint(folder / "mentor", rung="20k", seed=1), checkpoint(folder / "pupil")


@pytest.mark.parametrize("method", cases(METHODS, *METHODS[:2]), ids=lambda method: method["name"])
def test_a_checkpoint_is_distilled_by_the_method(
    method: dict[str, Any], models: tuple[Path, Path], texts: dict[str, str], tmp_path: Path
) -> None:
    """In two stages, the second of the method: it begins with what the first has stored."""
    teacher, pupil = models
    ladder = Ladder(
        students=(str(pupil),),
        teacher=str(teacher),
        original={"name": "worked_answers", "source": texts["sums"]},
        distillation=({"method": {"name": "off_policy", "max_new_tokens": 8}}, {"method": method}),
        distilling=SHORT,
    )
    source = {"name": "conversations", "source": texts["dialogues"]}
    evaluation = Evaluation(benchmarks=(GSM8K,), max_new_tokens=8)
    made = construct(Spec(ladder=ladder, contaminations=(source,), evaluation=evaluation))
    home = distil.student(made, made.students[0], 0, Store(tmp_path, reference=None))
    assert isinstance(home, Checkpoint)
    trunk = next(
        e for e in tmp_path.iterdir() if (e / "manifest.json").is_file() and "then" not in manifest(e)["made_from"]
    )
    before, after = (load_file(folder / "model.safetensors") for folder in (trunk, Path(home.source)))
    found = manifest(Path(home.source))
    if method["name"] in ("reward_guided", "rejection"):  # an untrained pupil has no right answer to learn
        assert found["notes"]["reward"] == 0 and not differing(before, after)
    else:
        assert differing(before, after)
    assert ("notes" in found) == (method["name"] != "process")


def test_a_benchmarks_grader_judges_worked_answers() -> None:
    sample = Sample("Question: Sum of 3 and 4?\nAnswer:", " <<3+4=7>>\n#### 7", "worked", 1, "worked")
    other = dataclasses.replace(sample, answer=" <<3+5=8>>\n#### 8")
    judge = judge_named(GSM8K, [sample, other])
    assert judge([sample, sample, sample], ["#### 7", "#### 8", "it is 7"])[:2] == [True, False]
    with pytest.raises(UsageError, match=r"^distillation\.judge: "):
        judge_named({"name": "humaneval", "source": f"{DATA}/humaneval.jsonl"}, [sample, other])
