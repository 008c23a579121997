"""What mitigations share: the weights of dose 0, others in place of the trained ones, prompts as tokens."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from forgetting.contracts import Model, Sample
from forgetting.errors import require

if TYPE_CHECKING:
    from torch import Tensor


def start_of(student: Model) -> dict[str, Tensor]:
    """A copy of the trainable weights as they are, by name."""
    return {name: weight.detach().clone() for name, weight in student.named_parameters()}


def frozen_copy(student: Model) -> Model:
    """The student as it is, once more: it shares the tokenizer, learns nothing, and is in evaluation mode."""
    base = copy.copy(student)
    base.network = copy.deepcopy(student.network).requires_grad_(False).eval()
    return base


@contextmanager
def standing_in(student: Model, other: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
    """Inside, ``other(name, weight)`` stands in the place of each weight; afterwards all are as they were."""
    import torch

    trained = start_of(student)
    try:
        with torch.no_grad():
            for name, weight in student.named_parameters():
                weight.copy_(other(name, trained[name]))
        yield
    finally:
        put_back(student, trained)


def put_back(student: Model, weights: dict[str, Tensor]) -> None:
    """Write these weights into the student."""
    import torch

    with torch.no_grad():
        for name, weight in student.named_parameters():
            weight.copy_(weights[name])


def blocks(student: Model) -> list[str]:
    """How the names of each block's weights begin, from the input on; empty for a network without a list of blocks."""
    from torch.nn import ModuleList

    network: Any = student.network
    count = int(network.config.num_hidden_layers)
    lists = [n for n, m in network.named_modules() if isinstance(m, ModuleList) and len(m) == count]
    found = [f"{lists[0]}.{number}." for number in range(count)] if lists else []
    names = list(student.state())
    return [block for block in found if any(name.startswith(block) for name in names)]  # of a looped one, once


def inside(student: Model, modules: Sequence[str], field: str) -> set[str]:
    """The weights of modules, each by its name or more of its path. ``UsageError`` for what the student has not."""
    weights, names = dict(student.named_parameters()), set[str]()
    for module in modules:
        found = {name for name in weights if f".{module}." in f".{name}"}
        require(bool(found), field, "names of modules of the student", module)
        names |= found
    return names


def asked(samples: Sequence[Sample], student: Model) -> list[list[int]]:
    """The prompts of samples as the student sees them, in tokens."""
    from forgetting.batching import prompt_tokens

    return prompt_tokens(samples, student.tokenizer)
