"""Samples to tensors: tokenised prompts and answers, right-padded batches, one loss denominator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from forgetting.contracts import Batch, Item, Sample


def tokens(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Token ids of texts, without special tokens."""
    return [e.ids for e in tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def texts(rows: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Answer tokens back to text, special tokens left out."""
    decoded: list[str] = tokenizer.backend_tokenizer.decode_batch([list(r) for r in rows], skip_special_tokens=True)
    return decoded


@dataclass(frozen=True)
class Encoded:
    """A pool of samples as tokens: ``tokens_PT`` right-padded, with each answer's start and end (end token in)."""

    tokens_PT: Tensor
    start_P: Tensor
    end_P: Tensor

    def __len__(self) -> int:
        return len(self.start_P)

    def answer_tokens(self, index: np.ndarray | None = None) -> int:
        """Loss-bearing tokens of the samples at ``index`` (all of them by default), repeats counted."""
        length = self.end_P - self.start_P
        return int((length if index is None else length[torch.from_numpy(index)]).sum())

    def batch(self, index: np.ndarray, full: int) -> Batch:
        """The samples at ``index`` ``[B]`` as a batch ``[1, B, T]`` of a step whose full size is ``full`` samples."""
        chosen = torch.from_numpy(index)
        start, end = self.start_P[chosen, None], self.end_P[chosen, None]
        width = int(end.max())
        position = torch.arange(width)
        answer = (position >= start) & (position < end)
        answer_tokens = int((end - start).sum())
        return Batch(self.tokens_PT[chosen, :width][None], answer[None], answer_tokens * full / len(index))


def encode(samples: Sequence[Sample] | Sequence[Item], tokenizer: PreTrainedTokenizerFast) -> Encoded:
    """Samples (or items with their gold answers) as tokens, in order; each answer ends with the end token."""
    prompts = tokens([s.prompt for s in samples], tokenizer)
    answers = tokens([s.answer for s in samples], tokenizer)
    start = torch.tensor([len(p) for p in prompts])
    end = start + torch.tensor([len(a) + 1 for a in answers])
    padded = torch.full((len(samples), int(end.max())), tokenizer.pad_token_id, dtype=torch.long)
    for row, prompt, answer in zip(padded, prompts, answers, strict=True):
        filled = [*prompt, *answer, tokenizer.eos_token_id]
        row[: len(filled)] = torch.tensor(filled)
    return Encoded(padded, start, end)
