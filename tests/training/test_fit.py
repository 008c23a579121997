"""The fit against a bare torch loop, bit for bit; and a resumed fit against one that never stopped."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from forgetting import losses, simulate
from forgetting.contracts import Batch, Model
from forgetting.errors import UsageError
from forgetting.models import fused_qwen3
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.spec import Machine, Optimiser
from forgetting.testing.small import TINY, batch, differing, model, pool, weights, words
from forgetting.training.checkpoints import Snapshots, generator_states, last, read, restore_generators
from forgetting.training.fit import device, fit
from forgetting.training.module import FitModule
from forgetting.training.plan import MixPlan, mixed
from forgetting.training.stopwatch import Stopwatch
from tests.contracts.small import Numbered


def bare(student: HuggingFaceModel, batches: list[Batch], o: Optimiser, total_steps: int) -> dict[str, Tensor]:
    """The same training without Lightning; gives AdamW's state by parameter."""
    student.network.train()
    named = dict(student.network.named_parameters())
    adam = torch.optim.AdamW(named.values(), lr=o.learning_rate, betas=o.betas, weight_decay=o.weight_decay, fused=True)
    for step, made in enumerate(batches):
        rate = min(1.0, (step + 1) / o.warmup_steps) * (1 - step / total_steps if o.schedule == "linear" else 1.0)
        adam.param_groups[0]["lr"] = o.learning_rate * rate
        adam.zero_grad()
        hidden = student.network.model(input_ids=made.tokens_RBT[0], use_cache=False).last_hidden_state[:, :-1]
        chosen = made.answer_RBT[0, :, 1:]
        logits = student.network.lm_head(hidden[chosen])
        loss = torch.nn.functional.cross_entropy(logits, made.tokens_RBT[0, :, 1:][chosen], reduction="sum")
        (loss / made.denominator).backward()
        torch.nn.utils.clip_grad_norm_(named.values(), o.clip_norm)
        adam.step()
    return {f"{n}:{k}": v for n, p in named.items() for k, v in adam.state[p].items()}


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_fifty_steps_are_those_of_a_bare_loop(schedule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_qwen3, "suits", lambda *_: False)  # it rounds otherwise; the loops must not
    o = Optimiser(
        batch_size=8, learning_rate=5e-3, schedule=schedule, warmup_steps=10, weight_decay=0.01, clip_norm=0.5
    )
    encoded = pool(50 * 8 - 5)
    index = np.array_split(np.arange(len(encoded)), range(8, len(encoded), 8))
    batches = [encoded.batch(i, 8) for i in index]
    assert [len(i) for i in index] == [8] * 49 + [3]
    student, plain = model(0), model(0)
    module = FitModule(student, lambda b: losses.cross_entropy(student, b), o, total_steps=50)
    fit(module, lambda: iter(batches))
    state = bare(plain, batches, o, 50)
    assert not differing(student.state(), plain.state())
    assert not differing(module.optimiser_tensors(), state)
    assert differing(student.state(), model(0).state())


def test_a_smaller_last_batch_weighs_by_its_samples() -> None:
    """With plain gradient descent in mind: its gradient is the mean of the full step with the missing samples at 0."""
    encoded, grads = pool(8), []
    for index, full in ((np.arange(8), 8), (np.arange(3), 8), (np.arange(3), 3)):
        student = model(0)

        class Keep(FitModule):
            def on_before_optimizer_step(self, optimizer: Any) -> None:
                grads.append([p.grad.clone() for p in self.network.parameters()])

        module = Keep(student, lambda b, s=student: losses.cross_entropy(s, b), Optimiser(clip_norm=0.0), total_steps=1)
        fit(module, lambda i=index, f=full: iter([encoded.batch(i, f)]))
    _, weighted, own_mean = grads
    assert all(torch.allclose(a, b * 3 / 8, rtol=1e-4, atol=1e-7) for a, b in zip(weighted, own_mean, strict=True))


def noisy(student: Model) -> Callable[[Batch], Tensor]:
    """A loss that draws from all three global generators, as dropout or somebody's augmentation would."""

    def loss(made: Batch) -> Tensor:
        factor = 1 + torch.rand(()) + random.random() + float(np.random.rand())
        return losses.cross_entropy(student, made) * factor

    return loss


OPTIMISER = Optimiser(batch_size=4, learning_rate=5e-3, schedule="linear", warmup_steps=3)


def run(student: HuggingFaceModel, plan: MixPlan, folder: Path, first: int = 0, state: Any = None) -> FitModule:
    """A fit that leaves a snapshot of every step."""
    from forgetting.batching import encode

    encoded = encode(plan.samples, words())
    stops = {step: step for step in range(1, plan.steps + 1)}
    snapshots = Snapshots(folder, student, stops, "mark", Stopwatch(), keep_all=True)
    module = FitModule(
        student, noisy(student), OPTIMISER, total_steps=plan.steps, first_step=first, optimiser_state=state
    )

    def batches() -> Iterator[Batch]:
        return (encoded.batch(i, plan.batch_size) for i in plan.starting_at(first))

    try:
        fit(module, batches, [snapshots])
    finally:
        snapshots.close()
    return module


@pytest.mark.parametrize("shape", [TINY, Architecture("tiny-looped", 16, 1, 2, 8, 16, 1, 3)], ids=lambda a: a.name)
def test_a_fit_resumed_from_any_step_is_the_one_that_never_stopped(shape: Architecture, tmp_path: Path) -> None:
    plan = mixed(Numbered("foreign"), Numbered("own"), share=0.4, doses=(0, 5, 12), batch_size=4, seed=0)
    assert plan.steps == 8 + 1
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    student = model(0, architecture=shape)
    whole = run(student, plan, tmp_path / "whole")
    after = generator_states()
    optimiser = {n: t.clone() for n, t in whole.optimiser_tensors().items()}
    for step in range(1, plan.steps):
        torch.manual_seed(99), random.seed(99), np.random.seed(99)
        found = read(tmp_path / "whole" / f"dose-{step:08d}.safetensors")
        assert found.step == step
        again = model(5, architecture=shape)
        again.load_state(found.weights)
        restore_generators(found.generators)
        module = run(again, plan, tmp_path / f"from {step}", step, found.optimiser)
        assert not differing(again.state(), student.state()), step
        assert not differing(module.optimiser_tensors(), optimiser), step
        plain, torch_state = generator_states()
        assert plain == after[0]
        assert torch.equal(torch_state, after[1])
        for later in range(step + 1, plan.steps + 1):
            name = f"dose-{later:08d}.safetensors"
            assert not differing(load_file(tmp_path / f"from {step}" / name), load_file(tmp_path / "whole" / name))
    assert not differing(read(last(tmp_path / "whole")).weights, student.state())


def test_a_fit_without_steps_left_changes_nothing() -> None:
    student = model(0)
    before = weights(student)
    module = FitModule(student, lambda b: losses.cross_entropy(student, b), OPTIMISER, total_steps=5, first_step=5)
    fit(module, lambda: iter([batch(4)]))
    assert not differing(before, student.state())


def test_the_step_counts_from_the_streams_start() -> None:
    student, seen = model(0), []

    class Watch(FitModule):
        def on_train_batch_start(self, *_: Any) -> None:
            seen.append(self.step)

    fit(
        Watch(student, lambda b: losses.cross_entropy(student, b), OPTIMISER, total_steps=6, first_step=2),
        lambda: iter([batch(4)] * 4),
    )
    assert seen == [2, 3, 4, 5]


def test_a_fit_prints_and_writes_nothing(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    student = model(0)
    fit(
        FitModule(student, lambda b: losses.cross_entropy(student, b), OPTIMISER, total_steps=2),
        lambda: iter([batch(4)] * 2),
    )
    assert capfd.readouterr() == ("", "")
    assert not list(here.iterdir())


def test_the_device_is_lightnings_own_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, and on a machine that says it has a GPU."""
    assert device() == device(Machine(micro_batches=2))
    if not torch.cuda.is_available():
        assert device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr("lightning.fabric.accelerators.cuda.num_cuda_devices", lambda: 1)
    assert device() == device(Machine(device="gpu")) == torch.device("cuda", 0)
    assert device(Machine(device="cpu")) == torch.device("cpu")


def test_a_gpu_that_is_not_there_is_one_line_and_no_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(
        UsageError, match=r"^machine.device: must be auto or cpu on a machine without a GPU, got 'gpu'$"
    ):
        simulate(device="gpu", output=here / "runs", workers=0, quiet=True)
    assert not list(here.iterdir())
