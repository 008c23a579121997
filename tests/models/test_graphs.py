"""Replayed passes of a stack: the logits and gradients of plain ones, few captures, none that reads old weights.

What torch does on a GPU is stood in for, on a CPU, by a capture that notes what it is given; the test that needs a GPU
says so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from forgetting import losses, simulate
from forgetting.contracts import Batch
from forgetting.engine.replicas import stacked_batch
from forgetting.errors import UsageError
from forgetting.models import graphs
from forgetting.models.graphs import MOST, PLACES, WIDTH, Pass
from forgetting.models.stacked import StackedModel
from forgetting.spec import Machine
from forgetting.stacking import groups
from forgetting.stages.stack import contaminate_stack
from forgetting.store import Store
from forgetting.study import construct
from tests.contracts.small import batch, model, spec

GRAPHS = Machine(graphs=True)


class Noted:
    """Stands in for torch's capture: the module itself, which takes only what it was captured for, where it was."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, module: nn.Module, sample: tuple[Tensor, Tensor]) -> Pass:
        shape = (*sample[0].shape, sample[1].shape[1])
        self.shapes.append(shape)
        where = [parameter.data_ptr() for parameter in module.parameters()]
        assert where and all(parameter.requires_grad for parameter in module.parameters())

        def replayed(tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
            assert (*tokens_RBT.shape, places_RN.shape[1]) == shape
            assert [parameter.data_ptr() for parameter in module.parameters()] == where
            logits: Tensor = module(tokens_RBT, places_RN)
            return logits

        return replayed


def stack() -> StackedModel:
    return StackedModel([model(0), model(1)])


def one_batch(sizes: tuple[int, int], seed: int) -> Batch:
    return stacked_batch([batch(size, seed + number) for number, size in enumerate(sizes)], 0)


def stepped(student: StackedModel, made: Batch) -> tuple[Tensor, list[Tensor]]:
    for _, parameter in student.named_parameters():
        parameter.grad = None
    loss_R = losses.cross_entropy(student, made)
    loss_R.sum().backward()
    found = [parameter.grad for _, parameter in student.named_parameters()]
    return loss_R.detach(), [gradient for gradient in found if gradient is not None]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_losses_and_gradients_are_those_of_plain_passes(rows: int, seed: int) -> None:
    student, made = stack(), one_batch((rows, rows), seed)
    plain, gradients = stepped(student, made)
    student.replay(capture=Noted())
    replayed, others = stepped(student, made)
    assert torch.allclose(replayed, plain, rtol=1e-5, atol=1e-6)
    assert len(gradients) == len(others) == len(list(student.named_parameters()))
    for gradient, other in zip(gradients, others, strict=True):
        assert torch.allclose(other, gradient, rtol=1e-4, atol=1e-6)


def test_shapes_are_rounded_up_and_captured_once() -> None:
    student, noted = stack(), Noted()
    student.replay(capture=noted)
    for seed in range(8):
        stepped(student, one_batch((4, 4), seed))
    assert len(set(noted.shapes)) == len(noted.shapes) < 8
    assert all(width % WIDTH == 0 and count % PLACES == 0 for _, _, width, count in noted.shapes)


def test_beyond_the_most_shapes_passes_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST > 2
    monkeypatch.setattr(graphs, "MOST", 2)
    student, noted = stack(), Noted()
    student.replay(capture=noted)
    for rows in (1, 2, 3, 4):
        made = one_batch((rows, rows), 0)
        replayed, _ = stepped(student, made)
        assert torch.allclose(replayed, losses.cross_entropy(stack(), made), rtol=1e-5)
    assert len(noted.shapes) == 2


def test_weights_that_have_moved_are_captured_anew() -> None:
    student, noted, made = stack(), Noted(), one_batch((3, 3), 0)
    student.replay(capture=noted)
    stepped(student, made)
    with torch.no_grad():
        for _, parameter in student.named_parameters():
            parameter.mul_(0.5)  # in place, as an optimiser does
    stepped(student, made)
    assert len(noted.shapes) == 1
    for _, parameter in student.named_parameters():
        parameter.data = parameter.data.clone()
    stepped(student, made)
    assert len(noted.shapes) == 2


def test_looks_are_never_replayed() -> None:
    student, noted = stack(), Noted()
    student.replay(capture=noted)
    with torch.no_grad():
        losses.cross_entropy(student, one_batch((2, 2), 0))
    student.generate([[[5, 6]], [[7, 8]]], max_new_tokens=4)
    assert not noted.shapes


def test_it_is_refused_beside_other_settings_and_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="graphs: must be false beside other settings of the machine"):
        Machine(graphs=True, micro_batches=2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"machine\.graphs: must be false on a machine without a CUDA device"):
        simulate(spec(machine=GRAPHS), output=tmp_path / "out", store=tmp_path / "store", workers=0, quiet=True)
    assert not (tmp_path / "out").exists() and not (tmp_path / "store").exists()


def test_runs_with_graphs_are_stacked_and_only_they_have_it_in_their_form() -> None:
    plain, own = (construct(spec(machine=machine, seeds=2)) for machine in (Machine(), GRAPHS))
    assert [len(part) for part in groups(own, own.runs())] == [len(part) for part in groups(plain, plain.runs())]
    assert plain.machine_form() == {}
    assert own.machine_form()["machine"]["graphs"] is True
    assert "graphs" not in construct(spec(machine=Machine(micro_batches=2))).machine_form()["machine"]


def test_a_stack_of_runs_goes_through_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Noted] = []
    monkeypatch.setattr(graphs, "_CudaCapture", lambda: made.append(Noted()) or made[-1])
    store, found = Store(tmp_path / "store", reference=None), {}
    for machine in (Machine(), GRAPHS):
        study = construct(spec(machine=machine, seeds=2))
        folders = [tmp_path / f"{machine.graphs}" / str(key) for key in study.runs()]
        contaminate_stack(study, study.runs(), folders, store)
        found[machine.graphs] = [pd.read_parquet(part) for own in folders for part in sorted(own.rglob("*.parquet"))]
    assert len(made) == 1 and made[0].shapes
    assert len(found[True]) == len(found[False]) == 2 * len(study.spec.doses.values())
    for replayed, plain in zip(found[True], found[False], strict=True):
        assert np.allclose(replayed["nll_sum"], plain["nll_sum"], rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: that torch captures the pass is not tested")
def test_on_a_gpu_losses_and_gradients_are_those_of_plain_passes() -> None:
    device = torch.device("cuda")
    student = stack()
    student.network.to(device)
    steps = [one_batch((4, 4), seed) for seed in range(6)] * 2
    there = [Batch(b.tokens_RBT.to(device), b.answer_RBT.to(device), b.denominator) for b in steps]
    plain = [stepped(student, made) for made in there]
    student.replay()
    for made, (losses_R, gradients) in zip(there, plain, strict=True):
        replayed, others = stepped(student, made)
        assert torch.allclose(replayed, losses_R, rtol=1e-5, atol=1e-6)
        for gradient, other in zip(gradients, others, strict=True):
            assert torch.allclose(other, gradient, rtol=1e-4, atol=1e-6)
