"""Samples to tensors: tokenised prompts and answers, right-padded batches, one loss denominator."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import ByteLevel
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from forgetting.contracts import PLAIN, Batch, Item, Sample
from forgetting.errors import panics_told
from forgetting.natural import chat

IGNORED = -100  # torch's mark of a token that has no loss
TOKENIZER = "the tokenizer"
ENCODED_TOGETHER = 2048  # texts whose offsets are in memory at a time

Labelled = tuple[list[list[int]], np.ndarray]  # rows of tokens, and which tokens of all are learned, one after another


def tokens(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Token ids of texts, without special tokens."""
    core = tokenizer.backend_tokenizer
    if _is_of_whole_words(tokenizer) and not (core.normalizer or core.truncation or core.padding):
        known = core.get_vocab()
        try:  # in a third of the time, where texts are nothing but known words
            return [[known[word] for word in text.split(" ")] for text in texts]
        except KeyError:
            pass
    with panics_told(TOKENIZER):
        return [e.ids for e in core.encode_batch_fast(list(texts), add_special_tokens=False)]


def _is_of_whole_words(tokenizer: PreTrainedTokenizerFast) -> bool:
    core = tokenizer.backend_tokenizer
    return isinstance(core.model, WordLevel) and isinstance(core.pre_tokenizer, WhitespaceSplit)


def texts(rows: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Answer tokens back to text, special tokens left out."""
    core = tokenizer.backend_tokenizer
    with panics_told(TOKENIZER):
        decoded: list[str] = core.decode_batch([list(r) for r in rows], skip_special_tokens=True)
    return decoded


def start_of_text(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens that the tokenizer itself puts before a text, such as a beginning token; of most there are none."""
    with panics_told(TOKENIZER):
        whole = tokenizer.backend_tokenizer.encode("a")
    return whole.ids[: whole.special_tokens_mask.index(0)] if 0 in whole.special_tokens_mask else []


def prompts(samples: Sequence[Sample | Item], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """What stands before an answer: the prompt, as a user turn where the tokenizer has a chat template.

    Of a dialogue it is all that stands before its last turn. Without a template the text begins with the beginning
    token, if the tokenizer puts one there; a template writes its own.
    """
    if not tokenizer.chat_template:
        start = "".join(tokenizer.convert_ids_to_tokens(start_of_text(tokenizer)))
        return [start + s.prompt for s in samples]
    return [chat.asked(s, tokenizer) for s in samples]


def prompt_tokens(samples: Sequence[Sample | Item], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """``prompts`` as tokens: what a model is given to go on from."""
    if tokenizer.chat_template:
        return tokens(prompts(samples, tokenizer), tokenizer)
    start, rows = start_of_text(tokenizer), tokens([s.prompt for s in samples], tokenizer)
    return [[*start, *row] for row in rows] if start else rows


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

    def answers(self) -> list[list[int]]:
        """Loss-bearing tokens of each sample, the tokens themselves."""
        pairs = zip(self.tokens_PT.numpy(), self.answer_PT.numpy(), strict=True)
        return [row[learned].tolist() for row, learned in pairs]

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
    """Samples (or items with their gold answers) as tokens, in order; each whole answer ends with the end token.

    With a chat template a row has the tokens of the whole rendered dialogue, up to the last that is learned.
    """
    pool: list[Sample | Item] = list(samples)
    if tokenizer.chat_template and any(s.skill == PLAIN for s in pool):
        return _with_texts(pool, tokenizer)
    rows, learned = (_dialogues if tokenizer.chat_template else _plain)(pool, tokenizer)
    return _padded(rows, learned, int(tokenizer.pad_token_id))


def encode_answers(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], pad: int) -> Encoded:
    """Prompts and written answers, both as tokens: what was written is learned as it was, its end where it has one."""
    rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    sizes = [len(part) for pair in zip(prompts, answers, strict=True) for part in pair]
    return _padded(rows, np.repeat(np.tile([False, True], len(rows)), sizes), pad)


def _with_texts(pool: Sequence[Sample | Item], tokenizer: PreTrainedTokenizerFast) -> Encoded:
    """A pool of dialogues and of texts that stand by themselves."""
    bare = copy.copy(tokenizer)
    bare.chat_template = None
    found: dict[int, tuple[list[int], np.ndarray]] = {}
    for are_texts, encoder, own in ((True, _plain, bare), (False, _dialogues, tokenizer)):
        places = [place for place, s in enumerate(pool) if (s.skill == PLAIN) == are_texts]
        if places:
            rows, learned = encoder([pool[place] for place in places], own)
            parts = np.split(learned, np.cumsum([len(row) for row in rows])[:-1])
            found |= dict(zip(places, zip(rows, parts, strict=True), strict=True))
    whole = [found[place] for place in range(len(pool))]
    return _padded([row for row, _ in whole], np.concatenate([own for _, own in whole]), int(tokenizer.pad_token_id))


def _padded(rows: list[list[int]], learned: np.ndarray, pad: int) -> Encoded:
    end_P = np.array([len(row) for row in rows], dtype=np.int64)
    filled_PT = np.arange(end_P.max())[None] < end_P[:, None]
    padded_PT = np.full(filled_PT.shape, pad, dtype=np.int64)
    padded_PT[filled_PT] = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=end_P.sum())
    answer_PT = np.zeros(filled_PT.shape, dtype=bool)
    answer_PT[filled_PT] = learned
    return Encoded(torch.from_numpy(padded_PT), torch.from_numpy(answer_PT), torch.from_numpy(end_P))


def _plain(pool: Sequence[Sample | Item], tokenizer: PreTrainedTokenizerFast) -> Labelled:
    """Prompt and answer, which is learned with an end token after it, unless it was cut.

    They are one text, tokenised at once, wherever that leaves the prompt's own tokens as they are.
    """
    before, after = prompt_tokens(pool, tokenizer), tokens([s.answer for s in pool], tokenizer)
    if not _is_of_whole_words(tokenizer):  # whose texts have a space between words that neither part holds
        start = len(start_of_text(tokenizer))
        joined = tokens([s.prompt + s.answer for s in pool], tokenizer)
        for place, (asked, whole) in enumerate(zip(before, joined, strict=True)):
            if whole[: len(asked) - start] == asked[start:]:
                after[place] = whole[len(asked) - start :]
    for s, answer in zip(pool, after, strict=True):
        if not isinstance(s, Sample) or s.ended:
            answer.append(tokenizer.eos_token_id)
    sizes = [len(part) for pair in zip(before, after, strict=True) for part in pair]
    learned = np.repeat(np.tile([False, True], len(before)), sizes)
    if not all(sizes[::2]):  # nothing stands before the first token of a text, so nothing can tell it
        learned[np.cumsum([0, *sizes[:-1]])[::2][[not size for size in sizes[::2]]]] = False
    return [[*asked, *answer] for asked, answer in zip(before, after, strict=True)], learned


def _dialogues(pool: Sequence[Sample | Item], tokenizer: PreTrainedTokenizerFast) -> Labelled:
    """Dialogues in the chat template; a token is learned where any of it is in a learned span of the text.

    Where the template writes no end token after the last answer, the tokenizer's own is learned there. An item's row
    begins with the very tokens of its prompt, which answers go on from, also where a token of the whole reaches over.
    """
    found: list[tuple[list[int], np.ndarray]] = []
    items = [s for s in pool if isinstance(s, Item)]
    given = iter(prompt_tokens(items, tokenizer))
    for first in range(0, len(pool), ENCODED_TOGETHER):
        renderings = [chat.dialogue(s, tokenizer) for s in pool[first : first + ENCODED_TOGETHER]]
        with _whole_offsets(tokenizer) as core, panics_told(TOKENIZER):
            encodings = core.encode_batch([r.text for r in renderings], add_special_tokens=False)
        for rendering, encoding in zip(renderings, encodings, strict=True):
            begin_T, end_T = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2).T
            learned_T = np.zeros(len(begin_T), dtype=bool)
            for start, stop in rendering.learned:
                learned_T |= (begin_T < stop) & (np.maximum(end_T, begin_T + 1) > start)
            length = int(learned_T.nonzero()[0].max(initial=len(learned_T) - 1 if not rendering.learned else -1)) + 1
            row, own = encoding.ids[:length], learned_T[:length]
            if not rendering.ended:
                row, own = [*row, tokenizer.eos_token_id], np.append(own, True)
            found.append((row, own))
    for place in (place for place, s in enumerate(pool) if isinstance(s, Item)):
        (row, own), asked = found[place], next(given)
        if row[: len(asked)] != asked or own[: len(asked)].any() or not own[len(asked) :].all():
            gold = [token for token, learned in zip(row, own, strict=True) if learned]
            found[place] = [*asked, *gold], np.arange(len(asked) + len(gold)) >= len(asked)
    return [row for row, _ in found], np.concatenate([own for _, own in found])


@contextmanager
def _whole_offsets(tokenizer: PreTrainedTokenizerFast) -> Iterator[Tokenizer]:
    """The tokenizer's core; inside, the blanks of a token are within its offsets, and it adds no token of its own."""
    core = tokenizer.backend_tokenizer
    own = core.post_processor
    core.post_processor = ByteLevel(trim_offsets=False)
    try:
        yield core
    finally:
        core.post_processor = own
