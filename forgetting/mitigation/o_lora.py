"""O-LoRA: adapters of one task after another, each held orthogonal to those before it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import require
from forgetting.mitigation.lora import ALL, LoRA

if TYPE_CHECKING:
    from torch import Tensor

ADAPTER = "default"  # as peft names the only one


@dataclass(frozen=True)
class EndedTasks:
    """Of each adapted module (by name) the first matrices ``[tasks - 1, rank, inputs]`` of tasks that have ended, zeros
    for those to come; and the count of steps.
    """

    first: dict[str, Tensor]
    steps: Tensor


@dataclass(frozen=True)
class OLoRA(Mitigation):
    """LoRA for a sequence of tasks (arXiv 2310.14152): a task's adapters are added to the weights when it ends, and the
    next one's stay orthogonal to them. Needs the extra ``forgetting[lora]``.

    The loss has strength x the sum of abs(A_old A^T) over modules, ended tasks and entries, as in the authors' code (in
    the paper entries are squared). Where tasks end is not seen in a stream: they take equally many steps, at shift 1
    dose / batch size of ``sequence``. The optimiser's averages go on, which the authors' new training for each task
    would begin anew. In the first task it is ``lora``.

    Args:
        strength: the factor; 0: new adapters for each task, not held apart
        every: steps of a task; 0: there is one task, which is ``lora``
        tasks: in the sequence; the last one goes on as long as the run does
        rank: of the adapters of each task; 0 switches them off
        alpha: the adapters' output is multiplied by alpha / rank
        rank_stabilised: by alpha / sqrt(rank) instead (arXiv 2312.03732)
        multiple: of the arm's learning rate; adapters want about ten times that of the weights
        targets: modules that get one, by the end of their names; ``all-linear`` for every linear one but the head
        seed: draws the adapters' first matrices (the second ones start at zero)
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"rank": 0}

    strength: float = 0.5
    every: int = 8  # of the sequences of experiments/sequences.yaml: 256 samples in steps of 32
    tasks: int = 4
    rank: int = 8
    alpha: float = 16.0
    rank_stabilised: bool = False
    multiple: float = 1.0
    targets: tuple[str, ...] = (ALL,)
    seed: int = 0

    def __post_init__(self) -> None:
        fits = math.isfinite(self.strength) and self.strength >= 0
        require(fits, "o_lora.strength", "a finite number, 0 or more", self.strength)
        require(self.every >= 0, "o_lora.every", "0 (one task) or more", self.every)
        require(self.tasks >= 2, "o_lora.tasks", "2 or more (of one task: every 0)", self.tasks)
        self._lora()

    def _lora(self) -> LoRA:
        return LoRA(self.rank, self.alpha, self.rank_stabilised, self.multiple, self.targets, self.seed)

    def rate(self) -> float:
        """The factor, where there are adapters."""
        return self._lora().rate()

    def prepare(self, student: Model, original: Sequence[Sample]) -> EndedTasks | None:
        """Put adapters into the network, and make room for what tasks leave behind."""
        import torch

        self._lora().prepare(student, original)
        if not self.rank or not self.every:
            return None
        first = {
            name: torch.zeros(self.tasks - 1, *module.lora_A[ADAPTER].weight.shape)
            for name, module in adapted(student)
        }  # fmt: skip
        return EndedTasks(first, torch.zeros((), dtype=torch.int64))

    def penalty(self, student: Model, memory: EndedTasks | None) -> Tensor | None:
        """``[R]``; None before a task has ended."""
        if memory is None or not self.strength or int(memory.steps) < self.every:
            return None
        overlap: list[Tensor] = [
            (memory.first[name].to(module.lora_A[ADAPTER].weight.device) @ module.lora_A[ADAPTER].weight.mT).abs().sum()
            for name, module in adapted(student)
        ]
        return self.strength * sum(overlap[1:], start=overlap[0])[None]

    def after_step(self, student: Model, memory: EndedTasks | None) -> None:
        """At a task's end its adapters become weights, and there are new ones, which do nothing yet."""
        import torch

        from forgetting import seeds

        if memory is None:
            return
        memory.steps.add_(1)
        ended, left = divmod(int(memory.steps), self.every)
        if left or ended >= self.tasks:
            return
        draw = torch.Generator().manual_seed(seeds.integer(self.seed, "o_lora", ended))
        with torch.no_grad():
            for name, module in adapted(student):
                first, second = module.lora_A[ADAPTER].weight, module.lora_B[ADAPTER].weight
                memory.first[name][ended - 1].copy_(first)
                module.base_layer.weight.add_(module.get_delta_weight(ADAPTER).to(module.base_layer.weight.dtype))
                # Kaiming's uniform draw as peft makes it, with a slope of sqrt(5).
                side = 1 / math.sqrt(first.shape[1])
                first.copy_((2 * torch.rand(first.shape, generator=draw) - 1) * side)
                second.zero_()

    def kept(self, memory: EndedTasks | None) -> dict[str, Tensor]:
        """What ended tasks left, and the count of steps."""
        return {} if memory is None else {"steps": memory.steps, **{f"first:{n}": t for n, t in memory.first.items()}}


def adapted(student: Model) -> Iterator[tuple[str, Any]]:
    """The modules that have an adapter, by name."""
    network: Any = student.network
    return ((name, module) for name, module in network.named_modules() if hasattr(module, "lora_A"))
