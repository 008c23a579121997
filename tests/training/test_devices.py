"""Layouts on the machine: pieces of a batch add up to it, and micro-batches and processes change no loss."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from forgetting import losses
from forgetting.batching import encode, piece
from forgetting.contamination.original import Original
from forgetting.seeds import generator
from forgetting.spec import Machine
from forgetting.testing.small import model
from tests.conftest import cases
from tests.training.several import run

ROOT = Path(__file__).parents[2]


def two_processes(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the first of two processes found (gloo, on the CPU)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "tests.training.several",
        json.dumps({"devices": 2, **settings}),
        str(folder / "out"),
    ]
    started = [
        subprocess.Popen(command, env={**common, "LOCAL_RANK": str(rank)}, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    found: dict[str, Any] = json.loads((folder / "out").read_text())
    return found


LAYOUTS: list[dict[str, Any]] = [{"micro_batches": 2}, {"micro_batches": 3}, {"activation_checkpointing": True}]


def worst(weights: dict[str, Any], other: Any) -> float:
    """The largest difference between weights, where 1 is a typical weight."""
    state = other.state()
    assert weights.keys() == state.keys()
    return max(float((torch.tensor(values) - state[name]).abs().max()) for name, values in weights.items())


@pytest.mark.parametrize("count", cases([1, 2, 3, 5], 3))
def test_pieces_add_up_to_their_batch(count: int) -> None:
    """The mean of the pieces' gradients is the batch's gradient; with five pieces of three rows two are empty."""
    student = model(0)
    samples = [s for s, _ in zip(Original().samples(generator(0, "x")), range(3), strict=False)]
    batch = encode(samples, student.tokenizer).batch(torch.arange(3).numpy(), 8)
    losses.cross_entropy(student, batch).sum().backward()
    whole = [p.grad.clone() for _, p in student.named_parameters() if p.grad is not None]
    student.network.zero_grad()
    total = 0.0
    for number in range(count):
        loss = losses.cross_entropy(student, piece(batch, number, count)).sum() / count
        loss.backward()
        total += loss.item()
    assert total == pytest.approx(losses.cross_entropy(student, batch).item(), rel=1e-6)
    for (_, p), grad in zip(student.named_parameters(), whole, strict=True):
        torch.testing.assert_close(p.grad, grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("settings", cases(LAYOUTS, *LAYOUTS[1:]))
def test_a_layout_changes_no_loss(settings: dict[str, Any]) -> None:
    plain, one = run(Machine())
    other, two = run(Machine(**settings))
    assert plain[0] > plain[-1] > 0
    assert other == pytest.approx(plain, abs=1e-5)
    assert worst({n: t.tolist() for n, t in one.state().items()}, two) < 1e-4


def test_bfloat16_is_near() -> None:
    plain, _ = run(Machine())
    other, student = run(Machine(precision="bfloat16_mixed"))
    assert other == pytest.approx(plain, rel=0.02) and other != plain
    assert {t.dtype for t in student.state().values()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"micro_batches": 2}, {"strategy": "fsdp"}])
def test_two_processes_have_the_losses_of_one(settings: dict[str, Any], tmp_path: Path) -> None:
    plain, student = run(Machine())
    found = two_processes(settings, tmp_path)
    assert found["losses"] == pytest.approx(plain, abs=1e-5)
    assert worst(found["weights"], student) < 1e-4
