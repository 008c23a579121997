"""A soup: the mean of the weights of several runs on one student."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forgetting.contracts import Intervention, Model, Sample
from forgetting.errors import UsageError, require

if TYPE_CHECKING:
    from torch import Tensor

INSIDE = ("model.safetensors", "last.safetensors", "checkpoint/last.safetensors")
RUN = "weights:"  # what a run's checkpoint puts before the names of its weights


@dataclass(frozen=True)
class Soup(Intervention):
    """The mean of the tuned weights and those of other runs of the same student, one by one (arXiv 2203.05482).

    The others are tuned on other orders of the data (``first_seed``) and kept (``keep: last``). Each costs a run, so
    that a soup is to be held against one run of as many steps. Without members it is the tuned student.

    Args:
        members: weights of the other runs: safetensors files, or folders that hold them (of a run, of a checkpoint)
    """

    members: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for one in self.members:
            require(_file(one) is not None, "soup.members", f"a safetensors file, or a folder with {INSIDE[0]}", one)

    def variants(self, base: Model, tuned: Model, samples: Sequence[Sample]) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """A soup of the first member, of the first two, and so on; the first is the tuned student itself."""
        own = tuned.state()
        total = {name: weight.double() for name, weight in own.items()}
        yield "soup n=1", {name: weight.clone() for name, weight in own.items()}
        for count, member in enumerate(self.members, 2):
            other = _weights(member, own)
            total = {name: weight + other[name].to(weight.device).double() for name, weight in total.items()}
            yield f"soup n={count}", {name: (total[name] / count).to(weight.dtype) for name, weight in own.items()}


def _file(member: str) -> Path | None:
    """The file of a member's weights, if there is one."""
    path = Path(member).expanduser()
    return next((one for one in (path, *(path / name for name in INSIDE)) if one.is_file()), None)


def _weights(member: str, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """By name. ``UsageError`` where they are not those of the same student."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = {name.removeprefix(RUN): weight for name, weight in load_file(str(_file(member))).items()}
    except (OSError, SafetensorError) as error:
        raise UsageError(f"soup.members: {member!r} cannot be read: {error}") from None
    for name, weight in own.items():
        same = name in found and found[name].shape == weight.shape
        require(same, "soup.members", f"weights of the same student, with {name} of {tuple(weight.shape)}", member)
    return found
