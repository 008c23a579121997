"""A few originals once more: what at most fifty steps bring back, beside a student that was never taught the skill."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting import seeds
from forgetting.contracts import Intervention, Model, Sample
from forgetting.errors import UsageError, require

if TYPE_CHECKING:
    from torch import Tensor

MOST_STEPS = 50
DRAWN_FOR_ONE = 8  # originals that are drawn for each of the skill that is kept
TWIN = "twin"
TWIN_RATE, TWIN_WIDTH, TWIN_BATCH = 6e-3, 32, 64  # that of the ladder's students, times 32 / width


@dataclass(frozen=True)
class Relearning(Intervention):
    """The tuned student after ``steps`` steps on k original samples of a skill, for each k (arXiv 2501.13453).

    Each k is learned at every rate from the same start, and the rate that gives most right answers to ``validation``
    other original samples is kept (of equals that with the lower NLL); test items choose nothing. The controls:

    - the *twin*: a student of the same shape with fresh weights, each run's own (drawn by its samples), taught
      everything else of the original distribution for ``twin_steps`` steps on gold answers and not contaminated, given
      the same k samples, rates and steps. What it learns from them, the tuned student might have learned anew. It
      answers in the study's other ways too.
    - k samples of another skill: what they bring back was no forgetting of this skill.

    Labels: ``relearning k=50``, ``relearning k=50 of the twin``, ``relearning k=50 on lookup``, ``twin``.

    Args:
        samples: the k of each, ascending
        skill: that is relearned
        others: another skill, as a control with the largest k; empty: none
        steps: of learning, at most 50, each on all k samples
        rates: learning rates of Adam, of which validation chooses
        validation: original samples that choose the rate
        twin_steps: of teaching the twin, 64 samples each; 0: no twin
    """

    samples: tuple[int, ...] = (10, 50)
    skill: str = "maths"
    others: str = "lookup"
    steps: int = 50
    rates: tuple[float, ...] = (5e-4, 1.5e-3, 5e-3, 1.5e-2)
    validation: int = 100
    twin_steps: int = 600

    version: ClassVar[int] = 2  # 2: each run's twin has fresh weights of its own

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.samples, self.samples[1:], strict=False))
        fine = bool(self.samples) and self.samples[0] >= 1 and rising
        require(fine, "relearning.samples", "one or several, at least 1, ascending", self.samples)
        require(1 <= self.steps <= MOST_STEPS, "relearning.steps", f"from 1 to {MOST_STEPS}", self.steps)
        fine = bool(self.rates) and all(rate > 0 for rate in self.rates)
        require(fine, "relearning.rates", "one or several, above 0", self.rates)
        require(self.validation >= 1, "relearning.validation", "at least 1", self.validation)
        require(self.twin_steps >= 0, "relearning.twin_steps", "0 or more", self.twin_steps)

    def memory_samples(self) -> int:
        return DRAWN_FOR_ONE * (self.samples[-1] + self.validation) + 2 * TWIN_BATCH * self.twin_steps

    def answers_otherwise(self, label: str) -> bool:
        """The twin, whose answers in other ways are the control of these."""
        return label == TWIN

    def variants(self, base: Model, tuned: Model, samples: Sequence[Sample]) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """For each k the best student; the controls."""
        own, most = [s for s in samples if s.skill == self.skill], self.samples[-1]
        chosen, judged = own[:most], own[most : most + self.validation]
        if len(judged) < self.validation:
            raise UsageError(f"relearning.skill: must be a common skill of the original samples, got {self.skill!r}")
        for k in self.samples:
            yield f"relearning k={k}", self._best(tuned, chosen[:k], judged)
        if self.others:
            other = [s for s in samples if s.skill == self.others][:most]
            if len(other) < most:
                raise UsageError(f"relearning.others: must be a skill of the original samples, got {self.others!r}")
            yield f"relearning k={most} on {self.others}", self._best(tuned, other, judged)
        if self.twin_steps:
            twin = self._twin(tuned, chosen, [s for s in samples if s.skill != self.skill])
            yield TWIN, _weights(twin)
            for k in self.samples:
                yield f"relearning k={k} of the {TWIN}", self._best(twin, chosen[:k], judged)

    def _best(self, start: Model, chosen: Sequence[Sample], judged: Sequence[Sample]) -> dict[str, Tensor]:
        """The weights after learning at the rate with most right answers to the judged samples."""
        found = []
        for rate in self.rates:
            student = _copy(start)
            _learn(student, [list(chosen)] * self.steps, lambda _, rate=rate: rate)
            found.append((_right(student, judged), -rate, _weights(student)))
        return max(found, key=lambda one: one[:2])[2]

    def _twin(self, tuned: Model, chosen: Sequence[Sample], samples: Sequence[Sample]) -> Model:
        """A student of this shape that was never taught the skill; the ``chosen`` samples draw its weights."""
        import torch

        network: Any = tuned.network
        twin = copy.copy(tuned)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.integer(0, "twin", *(sample.prompt for sample in chosen)))
            fresh = type(network)(copy.deepcopy(network.config))
        _tie_alike(network, fresh)
        twin.network = fresh.to(tuned.device).eval()
        batches = [list(samples[n * TWIN_BATCH :][:TWIN_BATCH]) for n in range(self.twin_steps)]
        if len(batches[-1]) < TWIN_BATCH:
            raise UsageError("relearning.twin_steps: must be fewer, the original distribution has little but the skill")
        top = TWIN_RATE * TWIN_WIDTH / tuned.hidden_size
        rise = max(1, self.twin_steps // 10)
        _learn(twin, batches, lambda n: top * min((n + 1) / rise, 1 - n / self.twin_steps))
        return twin


def _tie_alike(network: Any, fresh: Any) -> None:
    """Have a fresh network share weights where the other does, as a looped one's passes do."""
    first = {id(weight): name for name, weight in network.named_parameters()}
    for name, weight in network.named_parameters(remove_duplicate=False):
        if first[id(weight)] != name:
            module, _, own = name.rpartition(".")
            fresh.get_submodule(module)._parameters[own] = fresh.get_parameter(first[id(weight)])


def _copy(student: Model) -> Model:
    """The student once more, to be trained."""
    other = copy.copy(student)
    other.network = copy.deepcopy(student.network).requires_grad_(True).eval()
    return other


def _weights(student: Model) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in student.state().items()}


def _learn(student: Model, batches: Sequence[Sequence[Sample]], rate: Any) -> None:
    """One step of Adam a batch, gradients clipped at norm 1; ``rate(n)`` is that of step n."""
    import numpy as np
    import torch

    from forgetting.batching import encode
    from forgetting.losses import cross_entropy

    weights = [weight for _, weight in student.named_parameters()]
    adam = torch.optim.Adam(weights, lr=0.0, betas=(0.9, 0.98))
    kept: dict[int, Any] = {}  # a batch that comes again is encoded once
    with torch.enable_grad():
        for number, samples in enumerate(batches):
            same = number > 0 and samples == batches[number - 1]
            if not same:
                pool = encode(samples, student.tokenizer)
                kept = {0: pool.batch(np.arange(len(pool)), len(pool))}
            adam.param_groups[0]["lr"] = rate(number)
            adam.zero_grad()
            cross_entropy(student, kept[0]).sum().backward()  # type: ignore[no-untyped-call]  # torch: unannotated
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            adam.step()


def _right(student: Model, judged: Sequence[Sample]) -> tuple[int, float]:
    """How many gold answers greedy decoding writes word for word; and the NLL of all, its sign turned."""
    import numpy as np
    import torch

    from forgetting.batching import encode, prompt_tokens
    from forgetting.losses import cross_entropy

    pool = encode(judged, student.tokenizer)
    gold = pool.answers()
    asked = [prompt_tokens(judged, student.tokenizer)]
    answers = student.generate(asked, max_new_tokens=max(map(len, gold)))[0]
    with torch.no_grad():
        nll = float(cross_entropy(student, pool.batch(np.arange(len(pool)), len(pool))).sum())
    return sum(a == b for a, b in zip(answers, gold, strict=True)), -nll if np.isfinite(nll) else -np.inf
