"""The next token of every text through a small Qwen3: what ``fused_block`` computes, for one token a row.

A few dozen rows of one token are so little to compute that the number of operations, and what each costs before it
begins, decides how long they take. So the products with the weights are torch's, and all else is numpy's on the same
memory: a step takes about a third of the time (``speed/on_policy.py``). Equal to the block's to within rounding.

Shape suffixes: B rows, D hidden size, H heads that turn (queries, then keys), K heads of keys, G queries for each of
them, E head size, T places that are seen, I features between the feed-forward's products, M features.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from forgetting.models.fused_block import Weights

Activations = NDArray[np.float32]


class Places:
    """Where each row's token stands, ``[B]``, and what it sees of the ``until`` places from the first on."""

    def __init__(self, angles: tuple[Tensor, Tensor], places_B1: Tensor, until: int) -> None:
        self.at_B, self.until = places_B1[:, 0].numpy(), until
        self.rows_B = np.arange(len(self.at_B))
        self.cos_EB, self.sin_EB = (table_ET.numpy()[:, self.at_B] for table_ET in angles)
        self.hidden_B11T = (np.arange(until) > self.at_B[:, None])[:, None, None]

    def turned(self, x_HEB: Activations) -> Activations:
        """The halves of every head, turned by their places."""
        half = x_HEB.shape[1] // 2
        found: Activations = x_HEB * self.cos_EB
        found[:, :half] += x_HEB[:, half:] * self.sin_EB[:half]
        found[:, half:] += x_HEB[:, :half] * self.sin_EB[half:]
        return found


def block(x_DB: Tensor, w: Weights, places: Places, cache: tuple[Tensor, Tensor]) -> Tensor:
    """Activations after a block, ``[D, B]``; the rows' keys and values are put into the cache ``[B, K, room, E]``."""
    q, k, v = w.sizes
    rows, until = len(places.rows_B), places.until
    qkv_MB = (w.folded1 @ normed(x_DB.numpy(), w.eps)).numpy()
    heads_HEB = _normed(qkv_MB[: q + k].reshape(-1, w.E, rows), w.eps) * w.gains_HE1.numpy()
    turned_BM = places.turned(heads_HEB).reshape(q + k, rows).T
    keys, values = (kept.numpy() for kept in cache)
    keys[places.rows_B, :, places.at_B] = turned_BM[:, q:].reshape(rows, w.K, w.E)
    values[places.rows_B, :, places.at_B] = qkv_MB[-v:].T.reshape(rows, w.K, w.E)
    queries = turned_BM[:, :q].reshape(rows, w.K, w.G, w.E) * np.float32(w.E**-0.5)
    scores = queries @ keys[:, :, :until].swapaxes(2, 3)
    np.copyto(scores, -np.inf, where=places.hidden_B11T)
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= np.add.reduce(scores, -1, keepdims=True)
    mixed_MB = torch.from_numpy((scores @ values[:, :, :until]).reshape(rows, q)).T
    x_DB = torch.addmm(x_DB, w.out, mixed_MB)
    gate_IB, up_IB = (w.folded2 @ normed(x_DB.numpy(), w.eps)).chunk(2)
    return torch.addmm(x_DB, w.down, functional.silu(gate_IB).mul_(up_IB))


def normed(x_DB: Activations, eps: float) -> Tensor:
    """Activations divided by their root mean square over the features."""
    return torch.from_numpy(_normed(x_DB, eps))


def _normed(x: Activations, eps: float) -> Activations:
    mean: Activations = np.add.reduce(x * x, -2, keepdims=True)
    mean *= np.float32(1 / x.shape[-2])
    mean += np.float32(eps)
    np.sqrt(mean, out=mean)
    found: Activations = x / mean
    return found
