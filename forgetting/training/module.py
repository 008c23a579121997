"""The one training path: a LightningModule and a LightningDataModule that teach, distil and contaminate alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from forgetting.batching import answer_places
from forgetting.contracts import Batch, Mitigation, Model
from forgetting.errors import UsageError
from forgetting.models import fused_qwen3
from forgetting.models.looping import loops_of
from forgetting.spec import Optimiser
from forgetting.training.adamw import FlatAdamW, StackedAdamW

REFERENCE_HIDDEN_SIZE = 32


def shard(network: Any, mesh: Any) -> None:
    """FSDP2: each block of the network, then what is left, has its weights spread over the mesh."""
    if loops_of(network) > 1:
        rule = "ddp for a looped student, whose blocks are the same ones every time"
        raise UsageError(f"machine.strategy: must be {rule}, got fsdp")
    from torch.distributed.fsdp import fully_shard

    blocks = set(network._no_split_modules or ())
    for module in list(network.modules()):
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)  # so that a look leaves nothing whole behind


class _Batches(IterableDataset[Batch]):
    def __init__(self, make: Callable[[], Iterator[Batch]], steps: int) -> None:
        self.make, self.steps = make, steps

    def __iter__(self) -> Iterator[Batch]:
        return self.make()

    def __len__(self) -> int:
        # With a length Lightning asks for a batch when its step is due, without it one step ahead: a student that
        # writes its own batches would be one step behind, and a snapshot would hold the draws of the batch to come.
        return self.steps


class BatchData(lightning.LightningDataModule):
    """``steps`` ready batches from a function that starts the stream at the fit's first step."""

    def __init__(self, make: Callable[[], Iterator[Batch]], steps: int) -> None:
        super().__init__()
        self.make, self.steps = make, steps

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches as they are, in order, in this process; torch's global generator is left as it was."""
        return DataLoader(_Batches(self.make, self.steps), batch_size=None, generator=torch.Generator())

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The tensors to the device; the denominator of a single replica stays a number."""
        if device.type == "cpu":
            return batch
        places_RN, targets_RN = answer_places(batch)
        over, weight_RBT, reference_RB = batch.denominator, batch.weight_RBT, batch.reference_RB
        return Batch(
            batch.tokens_RBT.to(device),
            batch.answer_RBT.to(device),
            over.to(device) if isinstance(over, Tensor) else over,
            None if weight_RBT is None else weight_RBT.to(device),
            None if reference_RB is None else reference_RB.to(device),
            batch.group,
            (places_RN.to(device), targets_RN.to(device)),
        )


class FitModule(lightning.LightningModule):
    """Trains a model on a loss ``[R]`` and a mitigation's penalty. ``step`` counts from the stream's start.

    The replicas of a stack may have optimisers that differ in rate, rate policy and clipping norm.
    """

    def __init__(
        self,
        student: Model,
        loss: Callable[[Batch], Tensor],
        optimiser: Optimiser | Sequence[Optimiser],
        *,
        total_steps: int,
        first_step: int = 0,
        mitigation: Mitigation | None = None,
        memory: Any = None,
        optimiser_state: dict[str, Tensor] | None = None,
        slowing: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__()
        self.network = student.network
        self.student = student
        self.loss = loss
        self.optimisers = [optimiser] if isinstance(optimiser, Optimiser) else list(optimiser)
        self.optimiser = self.optimisers[0]
        self.total_steps = total_steps
        self.first_step = first_step
        self.mitigation = mitigation
        self.memory = memory
        self.optimiser_state = optimiser_state
        self.slowing = slowing  # a factor of the rate by step, in place of the optimiser's schedule

    @property
    def step(self) -> int:
        """Optimizer steps since the stream's start, over all resumes."""
        return self.first_step + self.trainer.global_step

    def configure_model(self) -> None:
        """Spread the weights over the processes, where the strategy has a mesh of them for that."""
        if self.device_mesh is not None:
            shard(self.network, self.device_mesh["data_parallel"])

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss summed over replicas."""
        self.student.begin_step(self.step)
        if self.mitigation is None:
            return self.loss(batch).sum()
        loss = self.mitigation.loss(self.student, self.memory, batch, self.loss)
        penalty = self.mitigation.penalty(self.student, self.memory)
        return (loss if penalty is None else loss + penalty).sum()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """The optimizer's step and, as part of it, what a mitigation does after it: callbacks see the weights then."""
        factor = self._rate_factor(self.trainer.global_step)
        super().optimizer_step(*args, **kwargs)
        if self.mitigation:
            self._pull(self.mitigation, [factor * self._rate(one) for one in self._every_optimiser()])
            self.mitigation.after_step(self.student, self.memory)

    @torch.no_grad()
    def _pull(self, mitigation: Mitigation, rates_R: list[float]) -> None:
        """The mitigation's decoupled step, at the rates that the optimizer's step was taken with."""
        if type(mitigation).pull is Mitigation.pull:
            return
        rate: Any = rates_R if self.student.stacked else rates_R[0]
        for name, weight in self.student.named_parameters():
            if (taken := mitigation.pull(name, weight, self.memory, rate)) is not None:
                weight.sub_(taken)

    def configure_optimizers(self) -> Any:
        """AdamW whose rate follows the schedule from ``first_step`` on; its state comes back on resume."""
        adam = self._stacked_adam() if self.student.stacked else self._adam()
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, self._rate_factor)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _adam(self) -> torch.optim.Optimizer:
        o = self.optimiser
        names, parameters = zip(*self.student.named_parameters(), strict=True)
        fused = self.trainer.precision == "32-true"  # with mixed precision Lightning clips no fused optimizer
        given: dict[str, Any] = {"lr": self._rate(o), "betas": o.betas, "weight_decay": o.weight_decay, "fused": fused}
        if fused and self.trainer.world_size == 1 and fused_qwen3.suits(self.network):
            flat = FlatAdamW(parameters, **given)
            if self.optimiser_state:
                flat.load_tensors([self._state_of(name) for name in names])
            return flat
        adam = torch.optim.AdamW(parameters, **given)
        if self.optimiser_state:
            for name, parameter in zip(names, parameters, strict=True):
                adam.state[parameter] = self._state_of(name)
                if fused:  # it wants the count of its steps beside the weights; Lightning moves the averages only
                    adam.state[parameter]["step"] = adam.state[parameter]["step"].to(parameter.device)
        return adam

    def _stacked_adam(self) -> StackedAdamW:
        o, every = self.optimiser, self._every_optimiser()
        if len({replace(one, learning_rate=0.0, rate_policy="constant", clip_norm=0.0) for one in every}) > 1:
            raise ValueError("stack: replicas may differ in rate, rate policy and clipping norm only")
        names, parameters = zip(*self.student.named_parameters(), strict=True)
        norms = torch.tensor([one.clip_norm or math.inf for one in every])
        rates = torch.tensor([self._rate(one) for one in every])
        adam = StackedAdamW(parameters, rates, betas=o.betas, weight_decay=o.weight_decay, clip_norm_R=norms)
        if self.optimiser_state:
            adam.load_tensors([self._state_of(name) for name in names])
        return adam

    def _every_optimiser(self) -> list[Optimiser]:
        return self.optimisers * (self.student.replicas if len(self.optimisers) == 1 else 1)

    def _rate(self, optimiser: Optimiser) -> float:
        wide = optimiser.rate_policy == "inverse_width"
        return optimiser.learning_rate * (REFERENCE_HIDDEN_SIZE / self.student.hidden_size if wide else 1.0)

    def _state_of(self, name: str) -> dict[str, Tensor]:
        assert self.optimiser_state is not None
        return {key: self.optimiser_state[f"{name}:{key}"].clone() for key in ("step", "exp_avg", "exp_avg_sq")}

    def _rate_factor(self, steps_here: int) -> float:
        step = self.first_step + steps_here
        warm = min(1.0, (step + 1) / self.optimiser.warmup_steps) if self.optimiser.warmup_steps else 1.0
        if self.slowing is not None:
            return warm * self.slowing(step)
        if self.optimiser.schedule == "constant":
            return warm
        return warm * max(0.0, 1 - step / self.total_steps)

    def optimiser_tensors(self, replica: int | None = None) -> dict[str, Tensor]:
        """The optimizer's state by parameter name, as it is (not copies); empty before the first step.

        With ``replica`` that of one replica of a stack, in the form that it would have alone.
        """
        adam = self.optimizers(use_pl_optimizer=False)
        assert isinstance(adam, torch.optim.Optimizer)
        named = list(self.student.named_parameters())
        each = (
            adam.tensors() if isinstance(adam, (FlatAdamW, StackedAdamW)) else [adam.state.get(p, {}) for _, p in named]
        )
        return {
            f"{name}:{key}": value if replica is None else value[replica]
            for (name, _), tensors in zip(named, each, strict=True)
            for key, value in tensors.items()
        }
