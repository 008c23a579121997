"""Trimming against numpy: the published score weight by weight, singular values, and the random control."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from forgetting.errors import UsageError
from forgetting.mitigation.trim import Trim, fapm_score, largest
from forgetting.testing.small import differing, model, weights
from tests.mitigation.tuning import by_hand, fitted, moved

DRAW = torch.Generator().manual_seed(0)
START, CHANGE = torch.randn(12, 7, generator=DRAW), 0.1 * torch.randn(12, 7, generator=DRAW)


def test_the_score_is_the_published_one() -> None:
    start, change = START.double().numpy(), CHANGE.double().numpy()
    expected = np.abs(change) - np.abs(start).mean() * np.abs(change) / np.abs(start)
    assert np.allclose(fapm_score(START, CHANGE).numpy(), expected, atol=1e-6, rtol=1e-6)


def test_a_weight_that_was_0_comes_last_and_one_that_stayed_0_counts_nothing() -> None:
    score = fapm_score(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.0, 0.5]]))
    assert score[0, 0] == float("-inf") and score[0, 1] == 0 and score[0, 2] == pytest.approx(0.5 - 0.5 / 3)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_the_weights_with_the_largest_score_keep_their_change(keep: float) -> None:
    found = Trim(keep).trimmed("w", START, START + CHANGE)
    order = np.argsort(-fapm_score(START, (START + CHANGE) - START).numpy().flatten(), kind="stable")
    kept = set(order[: round(keep * START.numel())].tolist())
    for place, value in enumerate(found.flatten().tolist()):
        source = START + CHANGE if place in kept else START
        assert value == float(source.flatten()[place])


@pytest.mark.parametrize("keep", [0.0, 0.4, 0.7])
def test_the_largest_singular_values_stay(keep: float) -> None:
    found = Trim(keep, "singular").trimmed("w", START, START + CHANGE) - START
    left, values, right = np.linalg.svd(CHANGE.double().numpy(), full_matrices=False)
    values[round(keep * 7) :] = 0
    assert np.allclose(found.numpy(), (left * values) @ right, atol=1e-6)


def test_the_control_keeps_as_many_by_chance() -> None:
    parts = [Trim(0.3, "random", seed=seed) for seed in (0, 0, 1)]
    found = [part.trimmed("w", START, START + 1) for part in parts]
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert not torch.equal(found[0] - START, parts[0].trimmed("v", START, START + 1) - START)
    assert all(int((one != START).sum()) == round(0.3 * START.numel()) for one in found)


def test_of_equal_scores_the_first_ones_are_kept() -> None:
    assert largest(torch.zeros(5), 0.4).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("by", ["fapm", "singular", "random"])
def test_a_look_at_keep_0_sees_the_start_in_every_matrix_and_vectors_as_they_are(by: Any) -> None:
    student, part = model(0), Trim(0.0, by)
    start, memory = weights(student), part.prepare(student, [])
    moved(student)
    trained = weights(student)
    with part.at_look(student, memory):
        for name, value in student.state().items():
            assert torch.equal(value, (start if value.ndim == 2 else trained)[name]), name
    assert not differing(student.state(), trained)


def test_training_is_plain() -> None:
    one, other = model(0), model(0)
    fitted(one, Trim(0.5))
    by_hand(other)
    assert not differing(one.state(), other.state())


@pytest.mark.parametrize(
    ("given", "message"),
    [({"keep": 1.1}, "keep: must be from 0 to 1, got 1.1"), ({"by": "rank"}, "by: must be fapm, singular or random")],
)
def test_errors(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=rf"^trim\.{message}"):
        Trim(**given)
