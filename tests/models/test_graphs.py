"""Replayed passes of a stack: the logits and gradients of plain ones, few captures, none that reads old weights.

What torch does on a GPU is stood in for, on a CPU, by a capture that notes what it is given; the test that needs a GPU
says so.
"""

from __future__ import annotations

import threading
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
from forgetting.errors import UsageError
from forgetting.executors.stacking import Sizes, groups
from forgetting.models import graphs
from forgetting.models.graphs import CAPTURING, MOST, PLACES, WIDTH, Pass
from forgetting.models.stacked import StackedModel
from forgetting.record.files import write_json
from forgetting.record.store import Store
from forgetting.spec import Machine
from forgetting.stages import fine_tune_stack as stage
from forgetting.stages.contaminate_stack import contaminate_stack
from forgetting.study.fingerprints import machine_form
from forgetting.study.study import construct
from forgetting.testing.small import batch, model
from forgetting.training.module import BatchData
from forgetting.training.stack import stacked_batch
from tests.contracts.small import spec

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


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_losses_and_gradients_are_those_of_plain_passes(rows: int, seed: int) -> None:
    student, made, noted = stack(), one_batch((rows, rows), seed), Noted()
    plain, gradients = stepped(student, made)
    with student.replayed(capture=noted):
        for _ in range(2):
            replayed, others = stepped(student, made)
            assert torch.allclose(replayed, plain, rtol=1e-5, atol=1e-6)
            assert len(gradients) == len(others) == len(list(student.named_parameters()))
            for gradient, other in zip(gradients, others, strict=True):
                assert torch.allclose(other, gradient, rtol=1e-4, atol=1e-6)
    assert len(noted.shapes) == 1 and student.graphs is None


def test_shapes_are_rounded_up_and_captured_the_second_time() -> None:
    student, noted = stack(), Noted()
    with student.replayed(capture=noted):
        stepped(student, one_batch((4, 4), 0))
        stepped(student, one_batch((3, 3), 0))
        assert not noted.shapes
        for seed in range(12):
            stepped(student, one_batch((4, 4), seed))
    assert 0 < len(set(noted.shapes)) == len(noted.shapes) < 8
    assert all(width % WIDTH == 0 and count % PLACES == 0 for _, _, width, count in noted.shapes)


def test_beyond_the_most_shapes_passes_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST > 2
    monkeypatch.setattr(graphs, "MOST", 2)
    student, noted = stack(), Noted()
    with student.replayed(capture=noted):
        for rows in (1, 2, 3, 4) * 2:
            made = one_batch((rows, rows), 0)
            replayed, _ = stepped(student, made)
            assert torch.allclose(replayed, losses.cross_entropy(stack(), made), rtol=1e-5)
    assert len(noted.shapes) == 2


def test_weights_and_buffers_that_have_moved_are_captured_anew() -> None:
    student, noted, made = stack(), Noted(), one_batch((3, 3), 0)
    with student.replayed(capture=noted):
        for _ in range(2):
            stepped(student, made)
        with torch.no_grad():
            for _, parameter in student.named_parameters():
                parameter.mul_(0.5)  # in place, as an optimiser does
        stepped(student, made)
        assert len(noted.shapes) == 1
        for _, parameter in student.named_parameters():
            parameter.data = parameter.data.clone()
        for _ in range(2):
            stepped(student, made)
        assert len(noted.shapes) == 2
        for buffer in student.network.single[0].buffers():
            buffer.data = buffer.data.clone()
        for _ in range(2):
            stepped(student, made)
        assert len(noted.shapes) == 3


def test_looks_are_never_replayed() -> None:
    student, noted = stack(), Noted()
    with student.replayed(capture=noted):
        for _ in range(2):
            with torch.no_grad():
                losses.cross_entropy(student, one_batch((2, 2), 0))
            student.generate([[[5, 6]], [[7, 8]]], max_new_tokens=4)
    assert not noted.shapes


def test_nothing_is_captured_while_a_snapshot_is_copied() -> None:
    student, noted, made = stack(), Noted(), one_batch((2, 2), 0)
    with student.replayed(capture=noted):
        stepped(student, made)
        with CAPTURING:
            step = threading.Thread(target=stepped, args=(student, made))
            step.start()
            step.join(0.3)
            assert step.is_alive() and not noted.shapes
        step.join()
    assert len(noted.shapes) == 1


def test_what_captured_passes_keep_counts_as_memory_of_the_stack(tmp_path: Path) -> None:
    def needed(machine: Machine) -> int:
        sizes = Sizes(construct(spec(machine=machine)), 2, tmp_path, 8, measure, said.append)
        sizes.of("10k", 2)
        return int(sizes._measured["10k"]["replica_bytes"])

    def measure(student: str, batch_size: int, file: Path) -> None:
        facts = {"why": "", "device": "cpu", "gain": 2.0, "fixed_bytes": 10, "replica_bytes": 100, "free_bytes": 10**9}
        write_json(file, facts)

    said: list[str] = []
    plain = needed(Machine())
    assert plain == 100
    assert needed(GRAPHS) > plain + MOST * 4 * 10_000


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
    assert machine_form(plain) == {}
    assert machine_form(own)["graphs"] is True
    assert "graphs" not in machine_form(construct(spec(machine=Machine(micro_batches=2))))


def ledgers(folder: Path, machine: Machine) -> list[pd.DataFrame]:
    """The ledger parts of a stack of two runs."""
    study, store = construct(spec(machine=machine, seeds=2)), Store(folder / "store", reference=None)
    folders = [folder / f"{machine.graphs}" / str(key) for key in study.runs()]
    contaminate_stack(study, study.runs(), folders, store)
    found = [pd.read_parquet(part) for own in folders for part in sorted(own.rglob("*.parquet"))]
    assert len(found) == 2 * len(study.spec.doses.values())
    return found


@pytest.mark.slow
def test_a_stack_of_runs_goes_through_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"machine\.graphs: must be false on a machine without a CUDA device"):
        ledgers(tmp_path / "refused", GRAPHS)
    plain = ledgers(tmp_path, Machine())
    monkeypatch.setattr(graphs, "_CudaCapture", lambda: noted)
    monkeypatch.setattr(stage, "check_device", lambda: None)
    for one, other in zip(plain, ledgers(tmp_path, GRAPHS), strict=True):
        assert np.allclose(other["nll_sum"], one["nll_sum"], rtol=1e-3, atol=1e-4)
    assert noted.shapes


cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: that torch captures the pass is not tested"
)


@cuda
def test_on_a_gpu_losses_and_gradients_are_those_of_plain_passes() -> None:
    device = torch.device("cuda")
    student = stack()
    student.network.to(device)
    data = BatchData(lambda: iter(()), 0)
    there = [data.transfer_batch_to_device(one_batch((4, 4), seed), device, 0) for seed in [*range(6)] * 3]
    plain = [stepped(student, made) for made in there]
    with student.replayed():
        for made, (losses_R, gradients) in zip(there, plain, strict=True):
            replayed, others = stepped(student, made)
            assert torch.allclose(replayed, losses_R, rtol=1e-5, atol=1e-6)
            for gradient, other in zip(gradients, others, strict=True):
                assert torch.allclose(other, gradient, rtol=1e-4, atol=1e-6)


@cuda
def test_on_a_gpu_a_stack_of_runs_has_the_record_of_a_plain_one(tmp_path: Path) -> None:
    plain, replayed = (ledgers(tmp_path, machine) for machine in (Machine(), GRAPHS))
    for one, other in zip(plain, replayed, strict=True):
        assert np.allclose(other["nll_sum"], one["nll_sum"], rtol=1e-3, atol=1e-4)
