"""Compiled training: the losses of eager training, few compilations, looks that stay eager, and refusals."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch._dynamo.utils import counters

from forgetting import simulate
from forgetting.errors import UsageError
from forgetting.models import fused_qwen3
from forgetting.spec import Doses, Machine
from forgetting.study.fingerprints import machine_form
from forgetting.study.study import construct
from tests.contracts.small import spec
from tests.training.several import run

COMPILED = Machine(compile=True)
compiler = pytest.mark.skipif(
    not (shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")), reason="no C++ compiler"
)


@compiler
@pytest.mark.slow
def test_losses_are_those_of_eager_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(fused_qwen3, "suits", lambda *_: False)
    plain, one = run(Machine())
    monkeypatch.undo()
    counters.clear()
    losses, student = run(COMPILED)
    assert losses == pytest.approx(plain, rel=1e-4)
    assert student.state().keys() == one.state().keys()
    compilations = counters["stats"]["unique_graphs"]
    assert 1 <= compilations <= 3  # not one for each width
    prompts = [[5, 6, 7], [8, 9]]
    copied = copy.deepcopy(student.network)
    assert student.generate([prompts], max_new_tokens=8) == type(student)(copied, student.tokenizer).generate(
        [prompts], max_new_tokens=8
    )
    assert counters["stats"]["unique_graphs"] == compilations


@compiler
@pytest.mark.slow
def test_a_compiled_study_has_the_curves_of_an_eager_one(tmp_path: Path) -> None:
    def accuracies(machine: Machine) -> list[float]:
        small = spec(machine=machine, doses=Doses(dose=64, first=32))
        found = simulate(small, output=tmp_path, store=tmp_path / "store", workers=0, quiet=True)
        assert machine == Machine() or found.record["spec"]["machine"]["compile"]
        frame = found.to_frame()
        return frame[frame["benchmark"] != "probe"]["accuracy"].tolist()

    assert accuracies(COMPILED) == pytest.approx(accuracies(Machine()), abs=0.1)


def test_a_machine_without_a_compiler_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UsageError, match=r"machine\.compile: must be false on a machine without a C\+\+ compiler"):
        simulate(spec(machine=COMPILED), output=tmp_path / "out", store=tmp_path / "store", workers=0, quiet=True)
    assert not (tmp_path / "out").exists() and not (tmp_path / "store").exists()


def test_several_devices_are_refused() -> None:
    with pytest.raises(UsageError, match="compile: must be false with several devices"):
        Machine(devices=2, compile=True)


def test_only_a_compiled_run_has_it_in_its_form() -> None:
    def form(machine: Machine) -> Any:
        return machine_form(construct(spec(machine=machine)))

    assert form(COMPILED)["compile"] is True
    assert "compile" not in form(Machine(micro_batches=2))


def test_the_hand_written_pass_stands_back() -> None:
    from forgetting.testing.small import model

    network = model(0).network
    assert fused_qwen3.suits(network)
    network.get_decoder().compile()
    assert not fused_qwen3.suits(network)
