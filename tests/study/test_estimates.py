"""Estimates of memory and GPU-hours, against figures worked out by hand; the experiments on Qwen3 are made of parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forgetting.errors import UsageError
from forgetting.models.ladder import QWEN3, architecture
from forgetting.spec import Evaluation, Fit, Ladder, Machine, Spec
from forgetting.study import spec_files
from forgetting.study.estimates import Lengths, adapters, estimates
from forgetting.study.study import construct
from tests.conftest import Outcome

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "qwen3"
FILES = sorted(EXPERIMENTS.glob("*.yaml"))


def spec(name: str) -> Spec:
    return spec_files.load_spec(EXPERIMENTS / f"{name}.yaml")


def test_full_fine_tuning_in_fp32_by_hand() -> None:
    """0.6B: 596 million parameters; weights and base 4 bytes each, gradients and two averages 12."""
    (small, *_) = estimates(construct(spec("dialogue_full")), "h200")
    assert (small.weights_gb, small.base_gb, small.optimiser_gb) == pytest.approx((2.384, 2.384, 7.153), abs=1e-3)
    # 2 samples of 512 tokens in bfloat16: 28 layers, hidden 1024; logits 12 bytes a token and word
    expected = (34 * 1024 * 1024 + 27 * 2 * 1024 * 1024 + 12 * 1024 * 151_936) / 1e9
    assert small.activations_gb == pytest.approx(expected)
    # 10,000 samples of 512 tokens at 8 N operations and 40% of 989 TFLOP/s
    assert small.training_hours == pytest.approx(8 * 0.59605e9 * 5.12e6 / (0.4 * 989e12) / 3600, rel=1e-4)


def test_adapters_by_hand() -> None:
    """0.6B, rank 1, a layer: q 1024+2048, o 2048+1024, k and v 1024+1024, three of 1024+3072."""
    assert adapters(QWEN3["Qwen/Qwen3-0.6B"], 1) == 28 * (3072 + 3072 + 2 * 2048 + 3 * 4096)


def test_what_makes_it_cheaper() -> None:
    plain = spec("dialogue_full")
    whole = estimates(construct(replace(plain, machine=Machine(precision="bfloat16_mixed"))), "h200")[0]
    cheap = estimates(construct(plain), "h200")[0]
    assert cheap.activations_gb < whole.activations_gb and cheap.training_hours > whole.training_hours
    slow = estimates(construct(plain), "h200", Lengths(sample=1024))[0]
    assert slow.training_hours == pytest.approx(2 * cheap.training_hours)
    lora = estimates(construct(spec("dialogue")), "h200")
    assert lora[0].optimiser_gb < 0.1 * cheap.optimiser_gb
    assert [e.memory_gb for e in lora] == sorted(e.memory_gb for e in lora)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_every_experiment_on_qwen3_is_constructed_without_a_network(
    file: Path, command: Callable[..., Outcome]
) -> None:
    outcome = command("simulate", "--config", str(file), "--print_config")
    assert outcome.status == 0, outcome.err
    assert spec_files.load_spec(file).name in outcome.out and "Qwen/Qwen3-0.6B" in outcome.out
    assert all(e.memory_gb < 141 for e in estimates(construct(spec_files.load_spec(file)), "h200"))


def test_the_command_prints_a_line_a_student(command: Callable[..., Outcome]) -> None:
    outcome = command("simulate", "--config", str(EXPERIMENTS / "dialogue.yaml"), "--estimate", "h100")
    assert outcome.status == 0 and len(outcome.out.splitlines()) == 8
    assert [line.split()[0] for line in outcome.out.splitlines() if "does not fit 80 GB" in line] == ["32B"]
    outcome = command("simulate", "--config", str(EXPERIMENTS / "dialogue.yaml"), "--estimate", "h10")
    assert outcome.status == 2 and "did you mean 'h100'" in outcome.err


def test_only_published_sizes_are_estimated() -> None:
    with pytest.raises(UsageError, match=r"students and teacher must be among Qwen/Qwen3-0\.6B"):
        estimates(construct(Spec()), "h100")


def test_a_trunk_is_counted_once_and_each_branch_by_itself() -> None:
    """100m: a trunk of 1,000 samples of 100 tokens, branches of 2,000 and 4,000; the teacher reads the last."""
    ways: dict[str, dict[str, Any]] = {
        "short": {"method": "off_policy", "samples": 2_000},
        "long": {"method": {"name": "off_policy", "level": "word"}, "samples": 4_000},
    }
    ladder = Ladder(
        students=("100m",),
        teacher={"source": "Qwen/Qwen3-8B", "dtype": "bfloat16"},
        original="worked_answers",
        distilling=Fit(samples=1_000, pool=128, shared_pool=1_280, batch_size=1),
        distillation={"name": "off_policy", "max_new_tokens": 100},
        branches=tuple({"name": name, "stages": [stage]} for name, stage in ways.items()),
    )
    made = Spec(ladder=ladder, contaminations=("conversations",), evaluation=Evaluation(benchmarks=("gsm8k",)))
    short, long = estimates(construct(made), "h200", Lengths(sample=100))
    big, rung = QWEN3["Qwen/Qwen3-8B"].parameters(), architecture("100m").parameters(151_936)
    sample = 6 * rung * 100 / (0.4 * 67e12) / 3600
    writing = (2 * big * 1_280 * 128 / (0.4 * 989e12) + 10 * 100 * big * 2 / (0.6 * 4.8e12)) / 3600
    assert (short.student, long.student) == ("100m-short", "100m-long")
    assert short.distillation_hours == pytest.approx(3_000 * sample + writing)
    assert long.distillation_hours == pytest.approx(4_000 * sample + 2 * big * 4e5 / (0.4 * 989e12) / 3600)
