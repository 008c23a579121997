"""Progress: steps of the whole stream, at most a few times a second."""

from __future__ import annotations

import time
from typing import Any

import pytest

from forgetting import losses
from forgetting.spec import Optimiser
from forgetting.testing.small import batch, model
from forgetting.training.fit import Progress, fit
from forgetting.training.module import FitModule


def told(monkeypatch: pytest.MonkeyPatch, seconds_a_step: float, first: int) -> list[tuple[int, int]]:
    """What is reported in a fit of ten steps from ``first`` on, each of which takes so long by the clock."""
    student, heard, now, made = model(0), [], [1000.0], batch(2)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def loss(b: Any) -> Any:
        now[0] += seconds_a_step
        return losses.cross_entropy(student, b)

    module = FitModule(student, loss, Optimiser(), total_steps=first + 10, first_step=first)
    progress = Progress(lambda done, total: heard.append((done, total)), first + 10)
    fit(module, lambda: iter([made] * 10), [progress])
    return heard


def test_slow_steps_are_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 1.0, 0) == [(step, 10) for step in range(1, 11)]


def test_quick_steps_are_told_five_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 0.0625, 0) == [(1, 10), (5, 10), (9, 10)]


def test_a_resumed_fit_goes_on_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 1.0, 90) == [(step, 100) for step in range(91, 101)]
