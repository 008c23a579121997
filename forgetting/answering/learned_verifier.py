"""Answers that a learned verifier accepts, or that are drawn anew.

It is taught by what the student itself gets right and wrong on training problems, as the verifiers of arXiv 2110.14168
are, and reads the student's own states, as the probes of arXiv 2304.13734 do, beside how likely the answer was to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from forgetting import seeds
from forgetting.answering._shared import answered, go_on, samples_of, words_of, world_words
from forgetting.answering._states import minimise, passes
from forgetting.contracts import Answered, Answering, Model, Sample, Sampling
from forgetting.errors import UsageError, require
from forgetting.world.correctness import is_right

if TYPE_CHECKING:
    from torch import Tensor

DRAWN_FOR_ONE = 4  # originals that are drawn for each of the skill that is kept
TOGETHER = 256  # answers that are drawn together where the verifier is taught


@dataclass(frozen=True)
class LearnedVerifier(Answering):
    """Greedy answers that a verifier rejects are drawn anew, up to ``attempts`` times; else the best of all stands.

    The verifier is a logistic regression (L-BFGS) that reads of an answer the mean of the student's last hidden states
    over its words, the last of these states, and the mean and the least log-probability of a word. It is fitted to
    the student's greedy and drawn answers to training problems; right and wrong ones weigh alike, so that it accepts
    what is likelier to be right than it would be if half were. What is rejected counts among the tokens generated: an
    answer with as many tokens as the greedy one was accepted at once. Unless it was fitted to both right and wrong
    answers it accepts all. For the embedded world. The control has its labels shuffled.

    Args:
        problems: training problems of the skill
        samples: answers drawn to each, beside the greedy one
        skill: of these problems
        kept: fitted to the student at dose 0, and kept; otherwise to the student that answers
        attempts: draws in the place of a rejected answer, at most
        threshold: probability of being right from which on an answer is accepted
        ridge: strength of the penalty on the squares of the weights
        shuffled: the control
        temperature: divides the logits of all draws
        top_p: draws come from the likeliest words that together have this probability
        seed: of all draws
        max_new_tokens: longest answer that it is fitted to, in tokens
    """

    problems: int = 1000
    samples: int = 1
    skill: str = "maths"
    kept: bool = False
    attempts: int = 4
    threshold: float = 0.5
    ridge: float = 1e-2
    shuffled: bool = False
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0
    max_new_tokens: int = 48

    def __post_init__(self) -> None:
        Sampling(self.temperature, self.top_p, self.seed)  # checks them
        for name, least in (("problems", 1), ("samples", 0), ("attempts", 1), ("max_new_tokens", 1)):
            require(getattr(self, name) >= least, f"learned_verifier.{name}", f"{least} or more", getattr(self, name))
        require(0 < self.threshold < 1, "learned_verifier.threshold", "above 0 and below 1", self.threshold)
        require(self.ridge > 0, "learned_verifier.ridge", "above 0", self.ridge)

    @property
    def fitted_to_base(self) -> bool:
        """Where it is kept."""
        return self.kept

    def memory_samples(self) -> int:
        return self.problems * DRAWN_FOR_ONE

    def fitted(self, model: Model, samples: Sequence[Sample]) -> Answering:
        """With a verifier of this model's answers."""
        import numpy as np
        import torch
        from torch.nn import functional

        from forgetting.batching import prompt_tokens, without_end

        world_words(model, "learned_verifier")
        own = [s for s in samples if s.skill == self.skill][: self.problems]
        if not own:
            raise UsageError(f"learned_verifier.skill: must be a skill of the original samples, got {self.skill!r}")
        prompts, limit = prompt_tokens(own, model.tokenizer), self.max_new_tokens
        greedy = go_on(model, prompts, [[] for _ in prompts], limit=limit, batch_items=TOGETHER)
        each = [[answer] for answer in greedy]
        if self.samples:
            how = Sampling(self.temperature, self.top_p, seeds.integer(self.seed, "verifier"), samples=self.samples)
            drawn = samples_of(model, prompts, self.samples, how, limit=limit, batch_items=TOGETHER)
            each = [[*one, *more] for one, more in zip(each, drawn, strict=True)]
        asked = [(sample, prompt) for sample, prompt in zip(own, prompts, strict=True) for _ in range(1 + self.samples)]
        written = [answer for one in each for answer in one]
        texts = words_of(without_end(written, model.ends), model.tokenizer)
        right = np.array([is_right(sample, text) for (sample, _), text in zip(asked, texts, strict=True)])
        if right.all() or not right.any():
            return self
        if self.shuffled:
            right = right[seeds.generator(0, "shuffled verdicts").permutation(len(right))]
        x_NF = features(model, [prompt for _, prompt in asked], written)
        mean_F, scale_F = x_NF.mean(0), x_NF.std(0).clamp(min=1e-6)
        x_NF, right_N = (x_NF - mean_F) / scale_F, torch.from_numpy(right).double()
        share = float(right_N.mean())
        weight_N = right_N / share + (1 - right_N) / (1 - share)
        weight_F = torch.zeros(x_NF.shape[1], dtype=torch.float64, requires_grad=True)
        bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)

        def loss() -> Tensor:
            value = functional.binary_cross_entropy_with_logits(x_NF @ weight_F + bias, right_N, weight_N)
            return value + self.ridge * weight_F.square().sum()

        minimise([weight_F, bias], loss, steps=200)
        own_F = weight_F.detach() / scale_F
        return _Fitted(**{**vars(self), "weight_F": own_F, "bias": float(bias.detach() - own_F @ mean_F)})

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """One answer to each prompt."""
        greedy = go_on(model, prompts, [[] for _ in prompts], limit=max_new_tokens, batch_items=batch_items)
        drawn = [[own] for own in greedy]
        scores = [[score] for score in self.scores(model, prompts, greedy)]
        for step in range(1, self.attempts + 1):
            going = [row for row, own in enumerate(scores) if own[-1] < self.threshold]
            if not going:
                break
            how, asked = Sampling(self.temperature, self.top_p, self.seed, step), [prompts[row] for row in going]
            new = samples_of(model, asked, 1, how, limit=max_new_tokens, batch_items=batch_items)
            more = self.scores(model, asked, [own for (own,) in new])
            for row, (own,), score in zip(going, new, more, strict=True):
                drawn[row].append(own)
                scores[row].append(score)
        best = [max(range(len(own)), key=lambda place: (own[place], -place)) for own in scores]
        return [[answered(own[at], model.ends, sum(map(len, own)))] for own, at in zip(drawn, best, strict=True)]

    def scores(self, model: Model, prompts: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> list[float]:
        """Of each answer how probable it is that it is right; 1 where nothing was learned."""
        return [1.0] * len(prompts)


@dataclass(frozen=True)
class _Fitted(LearnedVerifier):
    weight_F: Any = field(default=None, compare=False, repr=False)
    bias: float = field(default=0.0, compare=False, repr=False)

    def scores(self, model: Model, prompts: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> list[float]:
        if not prompts:
            return []
        logit_N = features(model, prompts, written) @ self.weight_F + self.bias
        return [round(value, 6) for value in logit_N.sigmoid().tolist()]


def features(model: Model, prompts: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> Tensor:
    """What is read of each answer, ``[N, 2 D + 2]`` in fp64: states, their mean and the last; log-probabilities."""
    import torch

    rows = {row: [*asked, *own] for row, (asked, own) in enumerate(zip(prompts, written, strict=True))}
    found: dict[int, Tensor] = {}
    for chunk, states_BTD, logits_BTV in passes(model, rows):
        width = states_BTD.shape[1]
        begin_B, end_B = (torch.tensor([len(of[row]) for row in chunk])[:, None] for of in (prompts, rows))
        place_T = torch.arange(width)
        next_BT = torch.tensor([[*rows[row][1:], *[0] * (width + 1 - len(rows[row]))] for row in chunk])
        log_BT = logits_BTV.double().log_softmax(-1).gather(-1, next_BT[..., None])[..., 0]
        told_BT = (place_T >= begin_B - 1) & (place_T < end_B - 1)  # where a word of the answer is predicted
        own_BT = (place_T >= torch.minimum(begin_B, end_B - 1)) & (place_T < end_B)  # of no words the prompt's last
        mean_B = log_BT.masked_fill(~told_BT, 0).sum(1) / told_BT.sum(1).clamp(min=1)
        least_B = log_BT.masked_fill(~told_BT, 0).amin(1)
        states_BTD = states_BTD.double()
        mean_BD = (states_BTD * own_BT[..., None]).sum(1) / own_BT.sum(1, keepdim=True)
        last_BD = states_BTD[torch.arange(len(chunk)), end_B[:, 0] - 1]
        read_BF = torch.cat([mean_BD, last_BD, mean_B[:, None], least_B[:, None]], dim=1)
        found |= dict(zip(chunk, read_BF, strict=True))
    return torch.stack([found[row] for row in range(len(rows))])
