"""Where a student stands before it is contaminated: how sure it is of the right answers, how far it has come from its
trunk, and how steep and how curved the old loss is along the way that the new task pulls.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from forgetting import losses
from forgetting.batching import IGNORED, encode
from forgetting.contracts import Batch, Item, Model, Sample
from forgetting.models.huggingface import HuggingFaceModel

STEP = 1e-3  # of the weights' length, by which they are moved along the new task's gradient


def start_point(
    student: HuggingFaceModel, trunk: HuggingFaceModel, old: Sequence[Item | Sample], new: Sequence[Sample]
) -> dict[str, float]:
    """Mediators of forgetting at dose 0, all in double precision; the models stay as they are.

    ``entropy``, ``nll`` and ``margin`` (log-probability of the gold token less that of the best other) are means in
    nats over the tokens of the old answers; ``length`` is that of the weights, ``moved`` the distance from the trunk as
    a share of the trunk's. With u the unit vector along the gradient of the new task's loss: ``slope`` is the
    derivative of the old loss along -u, the way of a plain step, ``curvature`` its second derivative along u, both by
    central differences, in nats a token over lengths of weights; ``pull`` is the gradient's length.
    """
    own = copy.deepcopy(student)
    own.network.double().eval()
    rows_old, rows_new = _batch(own, old), _batch(own, new)
    weights = dict(own.named_parameters())
    losses.cross_entropy(own, rows_new).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    gradients = {name: w.grad.detach().clone() for name, w in weights.items() if w.grad is not None}
    pull, length = _length(gradients), _length({name: w.detach() for name, w in weights.items()})
    begin = trunk.state()
    apart = {name: w.detach() - begin[name].double() for name, w in weights.items()}
    step, told = STEP * length, _sureness(own, rows_old)
    at = [_moved_loss(own, rows_old, gradients, way * step / pull) for way in (-1.0, 0.0, 1.0)]
    return {
        **told,
        "length": length,
        "moved": _length(apart) / _length({name: w.double() for name, w in begin.items()}),
        "pull": pull,
        "slope": (at[0] - at[2]) / (2 * step),
        "curvature": (at[0] - 2 * at[1] + at[2]) / step**2,
    }


def _batch(model: HuggingFaceModel, rows: Sequence[Item | Sample]) -> Batch:
    encoded = encode(rows, model.tokenizer)  # type: ignore[arg-type]  # of one kind, which a union cannot say
    return encoded.batch(np.arange(len(rows)), len(rows))


def _length(tensors: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float(t.square().sum()) for t in tensors.values()))


def _sureness(model: Model, batch: Batch) -> dict[str, float]:
    with torch.no_grad():
        logits_RNV, targets_RN = losses.predictions(model, batch)
        known = targets_RN[0] != IGNORED
        logs_NV, gold_N = logits_RNV[0][known].log_softmax(-1), targets_RN[0][known]
        gold_logs_N = logs_NV.gather(-1, gold_N[:, None])[:, 0]
        others_N = logs_NV.scatter(-1, gold_N[:, None], -math.inf).amax(-1)
        entropy_N = -(logs_NV.exp() * logs_NV).sum(-1)
    return {
        "entropy": float(entropy_N.mean()),
        "nll": float(-gold_logs_N.mean()),
        "margin": float((gold_logs_N - others_N).mean()),
    }


def _moved_loss(model: Model, batch: Batch, way: dict[str, Tensor], times: float) -> float:
    """The loss where the weights are moved so many times that way; they come back."""
    weights = dict(model.named_parameters())
    was = {name: weights[name].detach().clone() for name in way}
    with torch.no_grad():
        for name, direction in way.items():
            weights[name].add_(direction, alpha=times)
        found = float(losses.cross_entropy(model, batch).sum())
        for name, before in was.items():
            weights[name].copy_(before)
    return found
