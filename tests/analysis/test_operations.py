"""Operations under each mitigation: the table against what torch counts of one step, and whole for this package."""

from __future__ import annotations

import importlib.util
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from forgetting import losses, registry
from forgetting.analysis.operations import NOT_KNOWN, Operations, operations, width_of
from forgetting.batching import encode_answers, prompt_tokens
from forgetting.contracts import Mitigation, Sampling
from forgetting.models import fused_qwen3
from forgetting.models.ladder import architecture
from forgetting.testing.small import batch, model, samples

ROWS, RUNG = 16, architecture("width-32")


def part_of(name: str, **settings: Any) -> Mitigation:
    return cast(Mitigation, registry.build("mitigation", {"name": name, **settings}))


def counted(part: Mitigation) -> tuple[float, float]:
    """Multiply-adds of what comes before the first step, and of the first step with what follows it."""
    student, data = model(0, architecture=RUNG), batch(ROWS)
    old = samples(part.memory_samples())
    with FlopCounterMode(display=False) as before:
        memory = part.prepare(student, old)
    with FlopCounterMode(display=False) as step:
        loss = part.loss(student, memory, data, lambda b: losses.cross_entropy(student, b))
        loss.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        part.after_step(student, memory)
    return float(before.get_total_flops()), float(step.get_total_flops())


@pytest.fixture(autouse=True)
def by_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hand-written pass leaves out what no answer depends on, where nothing is asked of the modules."""
    monkeypatch.setattr(fused_qwen3, "suits", lambda *_: False)


@pytest.fixture
def plain() -> float:
    return counted(part_of("none"))[1]


needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft: forgetting[lora]")


@pytest.mark.parametrize(
    ("name", "settings", "within"),
    [
        ("kl_to_base", {"inputs": "new"}, 0.1),
        ("kl_to_base", {"inputs": "replayed", "rows": 2 * ROWS, "pool": 64}, 0.1),
        ("kl_to_base", {"inputs": "replayed", "rows": 2 * ROWS, "pool": ROWS}, 0.1),
        ("token_mask", {}, 0.1),
        pytest.param("lora", {"rank": 1}, 0.1, marks=needs_peft),
        pytest.param("lora", {"rank": 8}, 0.1, marks=needs_peft),
        ("growth", {"times": 3.0}, 0.2),  # the head, which does not grow, reads answers alone
        ("growth", {"times": 3.0, "only_new": True}, 0.2),
        ("l2_sp", {"strength": 10.0}, 0.0),
    ],
)
def test_a_step_costs_what_torch_counts(name: str, settings: dict[str, Any], within: float, plain: float) -> None:
    part = part_of(name, **settings)
    found = operations(part, 1.0, ROWS, RUNG.hidden_size)
    assert counted(part)[1] / plain == pytest.approx(found.sample, rel=within) and found.once == 0


@pytest.mark.parametrize("name", ["ewc", "fisher_mask"])
def test_a_fisher_costs_samples_before_the_first_step(name: str, plain: float) -> None:
    """Of the drawn answers, each in a step of its own. Against rows of the stream torch counts 1.4 times as much here.

    For a fresh student writes on to the limit, 47 tokens where a gold answer has 15; of the shipped one, whose answers
    end and stand in no padded batch, it counts .7 times as much. The table has rows alike, whatever their length.
    """
    part = part_of(name, prompts=8, draws=4)
    before, step = counted(part)
    found = operations(part, 1.0, ROWS)
    assert found.once == pytest.approx(32 * 4 / 3) and step == plain
    assert before / plain_steps_on_drawn(8, 4) * 32 == pytest.approx(found.once, rel=0.05)
    assert found.of(torch.tensor([0.0, 100.0]).numpy()) == pytest.approx([found.once, found.once + 100])
    assert operations(part_of("fisher_mask", random=True), 1.0, ROWS) == Operations()


def plain_steps_on_drawn(prompts: int, draws: int) -> float:
    """Multiply-adds of plain steps on what the student draws to these prompts, one row a step."""
    student = model(0, architecture=RUNG)
    rows = [row for row in prompt_tokens(samples(prompts), student.tokenizer) for _ in range(draws)]
    (answers,) = student.generate([rows], max_new_tokens=48, sampling=Sampling(seed=0, samples=draws))
    encoded = encode_answers(rows, answers, student.tokenizer.pad_token_id)
    with FlopCounterMode(display=False) as steps:
        for number in range(len(rows)):
            loss = losses.cross_entropy(student, encoded.batch(np.array([number]), 1))
            loss.sum().backward()  # type: ignore[no-untyped-call]  # as above
    return float(steps.get_total_flops())


def test_a_gate_costs_at_most_nine_looks_a_block(plain: float) -> None:
    part = part_of("gate", every=1, pool=ROWS, budget=1e-9)
    found = operations(part, 1.0, ROWS)
    student, data = model(0, architecture=RUNG), batch(ROWS)
    memory: Any = part.prepare(student, samples(ROWS))
    with torch.no_grad():
        for _, weight in student.named_parameters():
            weight.mul_(1.5)  # over the budget
    with FlopCounterMode(display=False) as step:
        losses.cross_entropy(student, data).sum().backward()  # type: ignore[no-untyped-call]  # as above
        part.after_step(student, memory)
    assert step.get_total_flops() / plain == pytest.approx(found.sample, rel=0.1)
    assert found.sample == pytest.approx(7) and operations(part_of("gate", every=0), 1.0, ROWS) == Operations()


def test_what_is_written_is_counted_by_its_share_of_the_stream() -> None:
    given, begun = (part_of("self_replay", share=0.5, prompts=prompts) for prompts in ("given", "begun"))
    assert operations(given, 1.0, ROWS).sample == pytest.approx(1 + 0.5 / 3)
    assert operations(given, 0.4, ROWS).sample == pytest.approx(1 + 0.8 / 3)  # all that is not contaminating
    assert operations(begun, 1.0, ROWS).sample == pytest.approx(1 + 1 / 3)
    assert operations(part_of("replay", share=0.5), 1.0, ROWS) == Operations()  # its rows are the stream's


def test_the_table_is_whole_and_neutral_settings_are_plain_tuning() -> None:
    unknown = {name for name in registry.names("mitigation") if operations(part_of(name), 1.0, 32, 32) == NOT_KNOWN}
    assert unknown == {"joint"}
    for part in map(part_of, registry.names("mitigation")):
        if part.neutral:
            assert operations(part_of(part.short_name(), **part.neutral), 1.0, 32, 32) == Operations(), part


def test_widths_are_known_of_the_ladder_alone() -> None:
    assert (width_of("34k"), width_of("width-64"), width_of("gemma-3-270m")) == (32, 64, 0)
