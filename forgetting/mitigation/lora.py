"""LoRA: the weights stay, and low-rank matrices beside them learn."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import UsageError, require

ALL = "all-linear"


@dataclass(frozen=True)
class LoRA(Mitigation):
    """Trains adapters through ``peft`` instead of the weights (arXiv 2106.09685). Needs the extra ``forgetting[lora]``.

    Args:
        rank: of the adapters; 0 switches them off
        alpha: the adapters' output is multiplied by alpha / rank
        rank_stabilised: by alpha / sqrt(rank) instead (arXiv 2312.03732)
        multiple: of the arm's learning rate; adapters want about ten times that of the weights
        targets: modules that get one, by the end of their names; ``all-linear`` for every linear one but the head
        seed: draws the adapters' first matrices (the second ones start at zero)
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"rank": 0}

    rank: int = 8
    alpha: float = 16.0
    rank_stabilised: bool = False
    multiple: float = 1.0
    targets: tuple[str, ...] = (ALL,)
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.rank >= 0, "lora.rank", "0 or more", self.rank)
        require(math.isfinite(self.alpha) and self.alpha > 0, "lora.alpha", "a finite number above 0", self.alpha)
        fits = math.isfinite(self.multiple) and self.multiple > 0
        require(fits, "lora.multiple", "a finite number above 0", self.multiple)
        named = bool(self.targets) and all(self.targets)
        require(named, "lora.targets", "names of modules", self.targets)
        require(self.seed >= 0, "lora.seed", "0 or more", self.seed)

    def rate(self) -> float:
        """The factor, where there are adapters."""
        return self.multiple if self.rank else 1.0

    def prepare(self, student: Model, original: Sequence[Sample]) -> Any:
        """Put adapters into the network; from here on only they are trainable."""
        if not self.rank:
            return None
        if importlib.util.find_spec("peft") is None:
            raise UsageError("lora: peft is not installed; pip install 'forgetting[lora]'")
        import peft
        import torch

        from forgetting import seeds

        wanted: Any = ALL if self.targets == (ALL,) else list(self.targets)
        config = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # peft takes fractions as well
            use_rslora=self.rank_stabilised,
            target_modules=wanted,
            lora_dropout=0.0,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.integer(self.seed, "lora"))
            try:
                peft.inject_adapter_in_model(config, student.network)
            except ValueError as error:
                raise UsageError(f"lora.targets: {str(error).splitlines()[0]}") from error
        for _, parameter in student.named_parameters():
            parameter.data = parameter.data.float()  # in bfloat16 small updates would be lost
        return None
