"""The training pass of a stack as CUDA graphs: forward and backward, captured once a shape and replayed from then on.

On a GPU the kernels of a small student are shorter than their launches, which a replay has done with once and for all.
The capturing is torch's own (``torch.cuda.make_graphed_callables``). Shapes vary from step to step, so they are rounded
up to few: texts by pad tokens, which no place before them sees, and places by place 0, whose spare logits are dropped
and send no gradient. A pass that is not captured is padded alike.

Shape suffixes: R replicas, B samples of a batch, T tokens, N places, V words of the vocabulary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from forgetting.errors import require

WIDTH, PLACES = 16, 256  # multiples that T and N are rounded up to
MOST = 8  # shapes that are captured: for each, gradients, logits and their gradients stay where the graph wrote them
CAPTURING = threading.Lock()  # held by whoever captures, or copies from a device in another thread: both would fail

Pass = Callable[[Tensor, Tensor], Tensor]  # tokens [R, B, T], places [R, N]: logits [R, N, V]
Capture = Callable[[nn.Module, tuple[Tensor, Tensor]], Pass]


def check_device() -> None:
    """``UsageError`` where there is no CUDA device."""
    require(torch.cuda.is_available(), "machine.graphs", "false on a machine without a CUDA device", True)


class Graphs:
    """``logits_at`` for training. A shape is captured the second time that it occurs, if fewer than ``MOST`` are.

    What was captured reads the weights (and ``buffers``) where they were; where they have moved, everything is captured
    anew.
    """

    def __init__(
        self,
        plain: Pass,
        weights: nn.ParameterList,
        buffers: Sequence[Tensor],
        pad: int,
        capture: Capture | None = None,
    ) -> None:
        self.plain, self.weights, self.buffers, self.pad = plain, weights, buffers, pad
        self.capture = capture
        self._begin()

    def _begin(self) -> None:
        self._capture = self.capture or _CudaCapture()
        self._seen: set[tuple[int, ...]] = set()
        self._passes: dict[tuple[int, ...], Pass] = {}
        self._where = self._addresses()

    def _addresses(self) -> list[int]:
        return [tensor.data_ptr() for tensor in (*self.weights, *self.buffers)]

    def logits_at(self, tokens_RBT: Tensor, places_RN: Tensor) -> Tensor:
        """Logits ``[R, N, V]`` at the places, with a backward pass of their own; valid until the next call."""
        if self._addresses() != self._where:
            self._begin()
        width, count = tokens_RBT.shape[2], places_RN.shape[1]
        tokens_RBT = functional.pad(tokens_RBT, (0, -width % WIDTH), value=self.pad)
        places_RN = places_RN // width * tokens_RBT.shape[2] + places_RN % width
        places_RN = functional.pad(places_RN, (0, -count % PLACES))
        shape = (*tokens_RBT.shape, places_RN.shape[1])
        if shape in self._seen and shape not in self._passes and len(self._passes) < MOST:
            with CAPTURING:
                self._passes[shape] = self._capture(_Pass(self.plain, self.weights), (tokens_RBT, places_RN))
        self._seen.add(shape)
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
