"""A looped student that ends each written token's passes as soon as it may: on what comes next, or at a number of them.

Prompts are read with all passes. Each token that the student writes passes through the layers until it halts; its
activations then stay as they are, and the passes that it does not take read their keys and values off them (as in
CALM, arXiv 2207.07061). Every token goes through every layer here, and what it would have become after it halted is
dropped: passes are counted, and no time is saved. For that the modules have hooks, so the hand-written pass stands
aside (``fused_qwen3.suits``) and the cached decoder takes its plain path.

Shape suffixes: B texts, T tokens, D hidden size, V words.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from forgetting.contracts import AnswerRequest, Answers, Depth, Layers
from forgetting.models import looping
from forgetting.models.huggingface import HuggingFaceModel

ROWS = 64  # of a counting pass


class HaltingModel(HuggingFaceModel):
    """The student's weights of the moment, in modules of their own."""

    def __init__(self, model: HuggingFaceModel, loops: int, depth: Depth) -> None:
        network = looping.passed(model.network, loops)
        super().__init__(copy.deepcopy(network, {id(p): p for p in network.parameters()}), model.tokenizer)
        self.capacity, self.capacity_non_embedding = model.capacity, model.capacity_non_embedding
        self.depth = depth
        self._halting = True
        self._kept_BTD = self._chance_BTV = torch.empty(0)  # of the pass before
        self._spared_BT: Tensor | None = None  # tokens that take all passes
        layers = self.network.model.layers
        for number in range(loops):
            last = layers[(number + 1) * len(layers) // loops - 1]
            last.register_forward_hook(partial(self._after_pass, number))

    def answers(self, asked: AnswerRequest) -> Answers:
        """As in the contract. A draft is not looked at: it would be read as a prompt is."""
        return super().answers(dataclasses.replace(asked, drafts_RB=None))

    def read(self, tokens_BT: Tensor, places_N: Tensor) -> tuple[Tensor, Layers]:
        """As in the contract, with all passes."""
        self._halting = False
        try:
            return super().read(tokens_BT, places_N)
        finally:
            self._halting = True

    @torch.no_grad()
    def layer_passes(self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> list[int]:
        """As in the contract, by one more pass over each text: its first token is told by the prompt, by all passes."""
        found = [0] * len(prompts)
        order = sorted(
            (i for i, answer in enumerate(answers) if answer), key=lambda i: len(prompts[i]) + len(answers[i])
        )
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            texts = [[*prompts[i], *answers[i]][:-1] for i in rows]
            tokens_BT = self._padded(texts, [1] * len(rows))[0]
            place_T = torch.arange(tokens_BT.shape[1], device=self.device)
            starts_B1, ends_B1 = (
                torch.tensor(own, device=self.device)[:, None]
                for own in ([len(prompts[i]) for i in rows], [len(text) for text in texts])
            )
            self._spared_BT = place_T < starts_B1
            try:
                with self.at_rest():
                    self.logits(tokens_BT[None])
            finally:
                self._spared_BT = None
            written_BT = (place_T >= starts_B1 - 1) & (place_T < ends_B1)
            for i, count in zip(rows, (self._passes_BT * written_BT).sum(-1).tolist(), strict=True):
                found[i] = count
        return found

    def _after_pass(self, number: int, layer: Any, given: Any, hidden_BTD: Tensor) -> Tensor | None:
        """What leaves the last layer of a pass: of tokens that have halted, what left the pass before it."""
        if not self._halting:
            return None
        if number == 0:
            self._halted_BT = torch.zeros(hidden_BTD.shape[:2], dtype=torch.bool, device=hidden_BTD.device)
            self._passes_BT = torch.ones_like(self._halted_BT, dtype=torch.long)
        else:
            hidden_BTD = torch.where(self._halted_BT[..., None], self._kept_BTD, hidden_BTD)
            self._passes_BT += ~self._halted_BT
        if number + 1 < self.loops:
            self._kept_BTD = hidden_BTD
            halts_BT = self._halts(number, hidden_BTD)
            self._halted_BT = self._halted_BT | (halts_BT if self._spared_BT is None else halts_BT & ~self._spared_BT)
        return hidden_BTD

    def _halts(self, number: int, hidden_BTD: Tensor) -> Tensor:
        none_BT = torch.zeros_like(self._halted_BT)
        if self.depth.written and number + 1 >= self.depth.written:
            return ~none_BT
        if self.depth.halt == "never":
            return none_BT
        head_VD = self.network.get_output_embeddings().weight
        logs_BTV = functional.linear(self.network.model.norm(hidden_BTD), head_VD).float().log_softmax(-1)
        chance_BTV = logs_BTV.exp()
        if self.depth.halt == "entropy":
            return -(chance_BTV * logs_BTV).sum(-1) < self.depth.threshold
        before_BTV, self._chance_BTV = None if number == 0 else self._chance_BTV, chance_BTV
        return none_BT if before_BTV is None else (chance_BTV - before_BTV).abs().sum(-1) / 2 < self.depth.threshold
