"""Samples to tensors: tokenised prompts and answers, right-padded batches, one loss denominator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from forgetting.contracts import Batch, Item, Sample
from forgetting.errors import UsageError
from forgetting.record.time_limit import time_limit

IGNORED = -100  # torch's mark of a token that has no loss
TEMPLATE_SECONDS = 5.0  # of one conversation


def tokens(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Token ids of texts, without special tokens."""
    core = tokenizer.backend_tokenizer
    whole_words = isinstance(core.model, WordLevel) and isinstance(core.pre_tokenizer, WhitespaceSplit)
    if whole_words and not (core.normalizer or core.truncation or core.padding):
        known = core.get_vocab()
        try:  # in a third of the time, where texts are nothing but known words
            return [[known[word] for word in text.split(" ")] for text in texts]
        except KeyError:
            pass
    return [e.ids for e in core.encode_batch_fast(list(texts), add_special_tokens=False)]


def texts(rows: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Answer tokens back to text, special tokens left out."""
    decoded: list[str] = tokenizer.backend_tokenizer.decode_batch([list(r) for r in rows], skip_special_tokens=True)
    return decoded


def prompts(samples: Sequence[Sample] | Sequence[Item], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """What stands before an answer: the prompt, as a user turn where the tokenizer has a chat template.

    Of a dialogue it is all that stands before its last turn.
    """
    if not tokenizer.chat_template:
        return [s.prompt for s in samples]
    before = [(isinstance(s, Sample) and s.turns[:-1]) or (("user", s.prompt),) for s in samples]
    return [rendered(turns, tokenizer, answering=True) for turns in before]


def rendered(turns: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerFast, *, answering: bool) -> str:
    """Turns in the tokenizer's chat template; ``answering``: with the head of an assistant turn at the end."""
    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        with time_limit(TEMPLATE_SECONDS, "chat template"):
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answering)
    except UsageError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"chat template: cannot be filled in: {first[:200]}; give the student chat_template"
        ) from error
    assert isinstance(text, str)
    return text


def pieces(sample: Sample | Item, prompt: str, tokenizer: PreTrainedTokenizerFast) -> list[tuple[str, bool]]:
    """A sample as texts, each to be learned or not. Learned ones are followed by the end token.

    Raises ``UsageError`` where the chat template writes an earlier assistant turn anew once another one follows: then
    what the student would see before a turn is not what it saw when it wrote it.
    """
    if isinstance(sample, Item) or not sample.turns or not tokenizer.chat_template:
        return [(prompt, False), (sample.answer, True)]
    found, done = [], ""
    for place, (role, content) in enumerate(sample.turns):
        if role != "assistant" or place < sample.given_turns:
            continue
        before = rendered(sample.turns[:place], tokenizer, answering=True)
        if not before.startswith(done):
            raise UsageError("chat template: rewrites earlier turns; give the dialogue source the setting turns: last")
        found += [(before[len(done) :], False), (content, True)]
        done = before + content + str(tokenizer.eos_token)
    return found


def piece(batch: Batch, number: int, count: int) -> Batch:
    """The ``number``-th of ``count`` pieces of a batch: groups number, number + count, and so on.

    The mean over the pieces of their losses is the loss of the batch, and so is that of the gradients: each divides by
    the batch's denominator / count. A piece without rows has one group in which nothing is to be learned.
    """
    rows = batch.tokens_RBT.shape[1]
    groups = np.arange(rows).reshape(-1, batch.group)[number::count]
    empty = not len(groups)
    index = torch.from_numpy(np.arange(batch.group) if empty else groups.reshape(-1))
    answer = batch.answer_RBT[:, index]
    return Batch(
        batch.tokens_RBT[:, index],
        torch.zeros_like(answer) if empty else answer,
        batch.denominator / count,
        None if batch.weight_RBT is None else batch.weight_RBT[:, index],
        None if batch.reference_RB is None else batch.reference_RB[:, index],
        batch.group,
    )


def answer_weights(batch: Batch) -> Tensor | None:
    """The factors ``[R, N]`` of the losses at ``answer_places``, 0 at spare places; None: 1 everywhere."""
    if batch.weight_RBT is None:
        return None
    places_RN, targets_RN = answer_places(batch)
    return batch.weight_RBT.flatten(1).gather(1, places_RN + 1).masked_fill(targets_RN == IGNORED, 0)


def without_end(answers: Sequence[list[int]], ends: frozenset[int]) -> list[list[int]]:
    """Answers without the end token, where they have one."""
    return [answer[:-1] if answer and answer[-1] in ends else answer for answer in answers]


def answer_places(batch: Batch) -> tuple[Tensor, Tensor]:
    """Where answer tokens are predicted, and which: places and targets ``[R, N]``, row by row.

    A place counts through the rows of a replica (``B x T``) and is the one before its token. N is the most that a
    replica has; the targets of others' spare places are ``IGNORED``.
    """
    if batch.predicted is not None:
        return batch.predicted
    predicts_RP = functional.pad(batch.answer_RBT[:, :, 1:], (0, 1)).flatten(1)
    tokens_RP = batch.tokens_RBT.flatten(1)
    if len(predicts_RP) == 1:
        places_RN = predicts_RP[0].nonzero().T
        return places_RN, tokens_RP.gather(1, places_RN + 1)
    count_R = predicts_RP.sum(1)
    places_RN = predicts_RP.sort(dim=1, descending=True, stable=True).indices[:, : int(count_R.max())]
    spare_RN = torch.arange(places_RN.shape[1], device=places_RN.device) >= count_R[:, None]
    places_RN = places_RN.masked_fill(spare_RN, 0)
    return places_RN, tokens_RP.gather(1, places_RN + 1).masked_fill(spare_RN, IGNORED)


@dataclass(frozen=True)
class Encoded:
    """A pool of samples as tokens: right-padded ``tokens_PT``, which of them are learned, where each sample ends."""

    tokens_PT: Tensor
    answer_PT: Tensor
    end_P: Tensor

    def __len__(self) -> int:
        return len(self.end_P)

    def learned(self) -> Tensor:
        """Loss-bearing tokens of each sample, ``[P]``."""
        return self.answer_PT.sum(1)

    def answer_tokens(self, index: np.ndarray | None = None) -> int:
        """Loss-bearing tokens of the samples at ``index`` (all of them by default), repeats counted."""
        length = self.learned()
        return int((length if index is None else length[torch.from_numpy(index)]).sum())

    def batch(self, index: np.ndarray, full: int) -> Batch:
        """The samples at ``index`` ``[B]`` as a batch ``[1, B, T]`` of a step whose full size is ``full`` samples."""
        chosen = torch.from_numpy(index)
        width = int(self.end_P[chosen].max())
        answer = self.answer_PT[chosen, :width]
        return Batch(self.tokens_PT[chosen, :width][None], answer[None], int(answer.sum()) * full / len(index))


def encode(samples: Sequence[Sample] | Sequence[Item], tokenizer: PreTrainedTokenizerFast) -> Encoded:
    """Samples (or items with their gold answers) as tokens, in order; each whole answer ends with the end token."""
    before = prompts(samples, tokenizer)
    pool: list[Sample | Item] = list(samples)
    parts = [pieces(sample, prompt, tokenizer) for sample, prompt in zip(pool, before, strict=True)]
    flat = list(chain.from_iterable(parts))
    rows, end = tokens([text for text, _ in flat], tokenizer), tokenizer.eos_token_id
    for row, (_, is_learned) in zip(rows, flat, strict=True):
        if is_learned:
            row.append(end)
    last = -1
    for sample, own in zip(pool, parts, strict=True):
        last += len(own)
        if isinstance(sample, Sample) and not sample.ended:
            rows[last].pop()
    return _padded(rows, [is_learned for _, is_learned in flat], [len(own) for own in parts], tokenizer.pad_token_id)


def encode_answers(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], pad: int) -> Encoded:
    """Prompts and written answers, both as tokens: what was written is learned as it was, its end where it has one."""
    rows = list(chain.from_iterable(zip(prompts, answers, strict=True)))
    return _padded(rows, [False, True] * len(answers), [2] * len(answers), pad)


def _padded(rows: Sequence[Sequence[int]], learned: Sequence[bool], counts: Sequence[int], pad: int) -> Encoded:
    """Samples of ``counts`` rows each, one behind another and padded on the right."""
    sizes = np.array([len(row) for row in rows], dtype=np.int64)
    end_P = np.bincount(np.repeat(np.arange(len(counts)), counts), weights=sizes, minlength=len(counts))
    end_P = end_P.astype(np.int64)
    filled_PT = np.arange(end_P.max())[None] < end_P[:, None]
    padded_PT = np.full(filled_PT.shape, pad, dtype=np.int64)
    padded_PT[filled_PT] = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=sizes.sum())
    answer_PT = np.zeros(filled_PT.shape, dtype=bool)
    answer_PT[filled_PT] = np.repeat(learned, sizes)
    return Encoded(torch.from_numpy(padded_PT), torch.from_numpy(answer_PT), torch.from_numpy(end_P))
