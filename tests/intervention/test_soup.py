"""A soup against the mean in double precision, of a run's checkpoint and of a checkpoint's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from forgetting.errors import UsageError
from forgetting.intervention.soup import Soup
from forgetting.models.ladder import Architecture
from forgetting.testing.small import differing, model


@pytest.fixture
def others(tmp_path: Path) -> list[str]:
    """Two members: the file of a run's checkpoint, and a folder with weights."""
    run = tmp_path / "runs" / "one" / "checkpoint"
    run.mkdir(parents=True)
    save_file({f"weights:{n}": w.contiguous() for n, w in model(2).state().items()}, run / "last.safetensors")
    (tmp_path / "tuned").mkdir()
    save_file({n: w.contiguous() for n, w in model(3).state().items()}, tmp_path / "tuned" / "model.safetensors")
    return [str(run.parent), str(tmp_path / "tuned")]


def test_it_is_the_mean_of_the_members_so_far(others: list[str]) -> None:
    found = dict(Soup(tuple(others)).variants(model(0), model(1), []))
    assert list(found) == ["soup n=1", "soup n=2", "soup n=3"]
    each = [model(seed).state() for seed in (1, 2, 3)]
    for count, state in enumerate(found.values(), 1):
        for name, weight in state.items():
            expected = torch.stack([one[name].double() for one in each[:count]]).mean(0)
            assert torch.allclose(weight.double(), expected, atol=1e-6, rtol=0), name


def test_without_members_it_is_the_tuned_student_bit_for_bit() -> None:
    ((label, state),) = Soup().variants(model(0), model(1), [])
    assert label == "soup n=1" and not differing(state, model(1).state())


def test_of_one_run_and_itself_it_is_that_run(tmp_path: Path) -> None:
    save_file({n: w.contiguous() for n, w in model(1).state().items()}, tmp_path / "same.safetensors")
    *_, (_, state) = Soup((str(tmp_path / "same.safetensors"),)).variants(model(0), model(1), [])
    assert not differing(state, model(1).state())


def test_errors(others: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^soup\.members: must be a safetensors file, or a folder with model"):
        Soup((str(tmp_path / "nothing"),))
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(UsageError, match=r"^soup\.members: '.*text.safetensors' cannot be read"):
        list(Soup((str(tmp_path / "text.safetensors"),)).variants(model(0), model(1), []))
    wide = model(0, architecture=Architecture("wide", 24, 1, 2, 8, 16, 1))
    with pytest.raises(UsageError, match=r"^soup\.members: must be weights of the same student"):
        list(Soup((others[0],)).variants(wide, wide, []))
