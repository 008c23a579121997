"""Answers with a bias for each word of the output, fitted on a few originals: what a shift of frequencies explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forgetting import seeds
from forgetting.answering._edited import written
from forgetting.answering._states import minimise
from forgetting.contracts import Answered, Answering, Model, Sample
from forgetting.errors import UsageError, require

if TYPE_CHECKING:
    from torch import Tensor

DRAWN_FOR_ONE = 8  # originals that are drawn for each of the skill that is kept


@dataclass(frozen=True)
class OutputBiases(Answering):
    """Greedy answers after adding to the logits a bias for each word that lowers the NLL of original gold answers.

    Nothing but the biases is fitted (L-BFGS, with a penalty of ``ridge`` times their sum of squares beside the NLL a
    token). One temperature, the other thing that an output layer could be given, changes no greedy answer. The control
    fits them to gold answers whose words are exchanged for one another throughout. Gold in another order would be no
    control: the gradient of a bias knows how often each word is gold, and not where, so it would give the same biases.

    Args:
        samples: original samples that they are fitted on
        skill: of these samples; empty: of every skill
        ridge: strength of the penalty
        shuffled: the control: the words of the gold answers exchanged for one another
    """

    samples: int = 64
    skill: str = "maths"
    ridge: float = 1e-3
    shuffled: bool = False

    def __post_init__(self) -> None:
        require(self.samples >= 1, "output_biases.samples", "at least 1", self.samples)
        require(self.ridge > 0, "output_biases.ridge", "above 0", self.ridge)

    def memory_samples(self) -> int:
        return self.samples * (DRAWN_FOR_ONE if self.skill else 1)

    def fitted(self, model: Model, samples: Sequence[Sample]) -> Answering:
        """With the biases that suit this model."""
        own = [s for s in samples if not self.skill or s.skill == self.skill][: self.samples]
        if not own:
            raise UsageError(f"output_biases.skill: must be a skill of the original samples, got {self.skill!r}")
        return _Biased(**{**vars(self), "bias_V": self._biases(model, own)})

    def _biases(self, model: Model, own: Sequence[Sample]) -> Tensor:
        import numpy as np
        import torch
        from torch.nn import functional

        from forgetting.batching import answer_places, encode

        batch = encode(own, model.tokenizer).batch(np.arange(len(own)), len(own))
        places_RN, targets_RN = answer_places(batch)
        with model.at_rest(), torch.no_grad():
            tokens_RBT = batch.tokens_RBT.to(model.device)
            logits_NV = model.logits_at(tokens_RBT, places_RN.to(model.device))[0].float().cpu()
        targets_N = targets_RN[0]
        if self.shuffled:
            words = torch.unique(targets_N)
            others = words[torch.from_numpy(seeds.generator(0, "shuffled gold").permutation(len(words)))]
            targets_N = others[torch.searchsorted(words, targets_N)]
        bias_V = torch.zeros(logits_NV.shape[1], requires_grad=True)

        def loss() -> Tensor:
            return functional.cross_entropy(logits_NV + bias_V, targets_N) + self.ridge * bias_V.square().sum()

        minimise([bias_V], loss, steps=100)
        return bias_V.detach()

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """One answer to each prompt; with biases of 0 unless it was fitted."""
        return written(
            model, prompts, lambda logits_BV, _: self._moved(logits_BV),
            max_new_tokens=max_new_tokens, batch_items=batch_items,
        )  # fmt: skip

    def _moved(self, logits_BV: Tensor) -> Tensor:
        return logits_BV


@dataclass(frozen=True)
class _Biased(OutputBiases):
    bias_V: Tensor | None = field(default=None, compare=False, repr=False)

    def _moved(self, logits_BV: Tensor) -> Tensor:
        assert self.bias_V is not None
        return logits_BV + self.bias_V.to(logits_BV.device)
