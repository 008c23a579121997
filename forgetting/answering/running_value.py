"""The running value off the hidden state: gold steps up to the last ``=`` in, what a linear probe reads there out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from forgetting import seeds
from forgetting.answering._states import minimise, passes
from forgetting.contracts import Answered, Answering, Model, Sample
from forgetting.errors import require
from forgetting.world.vocabulary import NUMBERS

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class RunningValue(Answering):
    """The last result as a linear probe of the last hidden state at ``=`` reads it, after gold steps up to there.

    The probe is fitted on original word problems, one class a number of the world, by L-BFGS with an L2 penalty; the
    student's own output takes no part, so a value that is still there can be read where the student no longer says it.
    An answer is right where the number is. The control has its labels shuffled among all places; a student that was
    never taught is the other control. Unless it was fitted, and without gold steps, it writes nothing.

    Args:
        samples: original samples drawn, of which the word problems are used
        ridge: strength of the penalty
        shuffled: the control task
    """

    samples: int = 2000
    ridge: float = 1e-4
    shuffled: bool = False

    def __post_init__(self) -> None:
        require(self.samples >= 1, "running_value.samples", "at least 1", self.samples)
        require(self.ridge > 0, "running_value.ridge", "above 0", self.ridge)

    def memory_samples(self) -> int:
        return self.samples

    def openings(self, gold: Sequence[Sequence[int]], words: PreTrainedTokenizerFast) -> list[list[int]]:
        """The gold answer up to its last ``=``; nothing where it has none."""
        equals = words.convert_tokens_to_ids("=")
        lasts = [max((place for place, token in enumerate(own) if token == equals), default=-1) for own in gold]
        return [list(own[: last + 1]) for own, last in zip(gold, lasts, strict=True)]

    def fitted(self, model: Model, samples: Sequence[Sample]) -> Answering:
        """With a probe for this model."""
        import torch
        from torch.nn import functional

        from forgetting.batching import prompt_tokens, tokens

        own = [s for s in samples if s.skill == "maths"]
        number_of, equals = _numbers(model), model.tokenizer.convert_tokens_to_ids("=")
        rows, places, labels = list[list[int]](), list[tuple[int, int]](), list[int]()
        answers = tokens([s.answer for s in own], model.tokenizer)
        for asked, answer in zip(prompt_tokens(own, model.tokenizer), answers, strict=True):
            rows.append([*asked, *answer])
            for place, (token, after) in enumerate(pairwise(answer)):
                if token == equals and after in number_of:
                    places.append((len(rows) - 1, len(asked) + place))
                    labels.append(number_of[after])
        if not labels:
            return self
        hidden_ND, label_N = _hidden(model, rows, places), torch.tensor(labels)
        if self.shuffled:
            label_N = label_N[torch.from_numpy(seeds.generator(0, "shuffled values").permutation(len(label_N)))]
        mean_D, scale_D = hidden_ND.mean(0), hidden_ND.std(0).clamp(min=1e-6)
        x_ND = (hidden_ND - mean_D) / scale_D
        weight_CD = torch.zeros(len(NUMBERS), x_ND.shape[1], requires_grad=True)
        bias_C = torch.zeros(len(NUMBERS), requires_grad=True)

        def loss() -> Tensor:
            return (
                functional.cross_entropy(x_ND @ weight_CD.T + bias_C, label_N) + self.ridge * weight_CD.square().sum()
            )

        minimise([weight_CD, bias_C], loss, steps=200)
        own_CD = weight_CD.detach() / scale_D
        return _Fitted(**{**vars(self), "weight_CD": own_CD, "bias_C": bias_C.detach() - own_CD @ mean_D})

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        """Nothing: it was fitted to no model."""
        return [[Answered([], 0)] for _ in prompts]


@dataclass(frozen=True)
class _Fitted(RunningValue):
    weight_CD: Any = field(default=None, compare=False, repr=False)
    bias_C: Any = field(default=None, compare=False, repr=False)

    def answers(
        self, model: Model, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_items: int
    ) -> list[list[Answered]]:
        words = model.tokenizer
        hidden_BD = _hidden(model, prompts, [(i, len(prompt) - 1) for i, prompt in enumerate(prompts)])
        said = (hidden_BD @ self.weight_CD.T + self.bias_C).argmax(-1).tolist()
        known = words.get_vocab()
        rest = [[known[word] for word in (NUMBERS[n], ";", "answer", NUMBERS[n])] for n in said]
        equals = known["="]
        given = [own if prompt[-1] == equals else [] for own, prompt in zip(rest, prompts, strict=True)]
        return [[Answered(own[:max_new_tokens], min(len(own), max_new_tokens))] for own in given]


def _numbers(model: Model) -> dict[int, int]:
    """The class of each number's token, where the tokenizer has the world's numbers as words."""
    known = model.tokenizer.get_vocab()
    return {known[word]: number for number, word in enumerate(NUMBERS) if word in known}


def _hidden(model: Model, rows: Sequence[Sequence[int]], places: Sequence[tuple[int, int]]) -> Tensor:
    """The hidden states ``[N, D]`` that the output layer reads at places (row, token) of texts, in fp32 on the CPU."""
    import torch

    wanted: dict[int, list[int]] = {}
    for row, token in places:
        wanted.setdefault(row, []).append(token)
    found: dict[tuple[int, int], Tensor] = {}
    for chunk, states_BTD, _ in passes(model, {row: rows[row] for row in wanted}):
        found |= {(row, t): states_BTD[b, t] for b, row in enumerate(chunk) for t in wanted[row]}
    return torch.stack([found[place] for place in places])
