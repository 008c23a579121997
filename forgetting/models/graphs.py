"""The training pass of a stack as CUDA graphs: forward and backward, captured once a shape and replayed from then on.

On a GPU the kernels of a small student are shorter than their launches, which a replay has done with once and for all.
The capturing is torch's own (``torch.cuda.make_graphed_callables``). Shapes vary from step to step, so they are rounded
up to few: texts by pad tokens, which no place before them sees, and places by more of the first one, whose logits are
dropped and send no gradient.

Shape suffixes: R replicas, B samples of a batch, T tokens, N places, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, PLACES = 16, 256  # multiples that T and N are rounded up to
MOST = 32  # shapes that are captured; each keeps its activations

Pass = Callable[[Tensor, Tensor], Tensor]  # tokens [R, B, T], places [R, N]: logits [R, N, V]
Capture = Callable[[nn.Module, tuple[Tensor, Tensor]], Pass]


class Graphs:
    """``logits_at`` for training. A shape beyond the first ``MOST`` is passed as ever.

    What was captured reads the weights where they were; where they have moved, everything is captured anew.
    """

    def __init__(self, plain: Pass, weights: nn.ParameterList, pad: int, capture: Capture | None = None) -> None:
        self.plain, self.weights, self.pad = plain, weights, pad
        self.capture = capture or _CudaCapture()
        self._passes: dict[tuple[int, ...], Pass] = {}
        self._where: tuple[int, ...] = ()

    def logits_at(self, tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
        """Logits ``[R, N, V]`` at the places, with a backward pass of their own; valid until the next call."""
        where = tuple(weight.data_ptr() for weight in self.weights)
        if where != self._where:
            self._passes, self._where = {}, where
        width, count = tokens_RBT.shape[2], places_RN.shape[1]
        tokens_RBT = functional.pad(tokens_RBT, (0, -width % WIDTH), value=self.pad)
        places_RN = places_RN // width * tokens_RBT.shape[2] + places_RN % width
        places_RN = functional.pad(places_RN, (0, -count % PLACES))
        shape = (*tokens_RBT.shape, places_RN.shape[1])
        if shape not in self._passes and len(self._passes) < MOST:
            self._passes[shape] = self.capture(_Pass(self.plain, self.weights), (tokens_RBT, places_RN))
        return self._passes.get(shape, self.plain)(tokens_RBT, places_RN)[:, :count]


class _Pass(nn.Module):
    """A pass in the form that torch captures: a module with the weights that it reads."""

    def __init__(self, plain: Pass, weights: nn.ParameterList) -> None:
        super().__init__()
        self.plain, self.weights = plain, weights

    def forward(self, tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
        """Logits ``[R, N, V]``."""
        return self.plain(tokens_RBT, places_RN)


class _CudaCapture:
    """Graphs that share their memory, since no two of them are under way at once."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, module: nn.Module, sample: tuple[Tensor, Tensor]) -> Pass:
        own: Any = tuple(tensor.clone() for tensor in sample)  # where the graph looks for its input
        captured: Any = torch.cuda.make_graphed_callables(module, own, pool=self.pool)
        return cast(Pass, captured)
