"""Decoding of one replica, greedy or sampled, from what forward passes left behind: each text's keys and values.

A pass over a prompt and a draft (the gold answer, or the answer of the look before) tells which of the draft's tokens
greedy decoding would write itself, and its keys and values are all that going on from there takes. Texts are decoded in
slots (``decoding_slots.py``), each at its own position; a slot that is done goes to the next text.

Shape suffixes: N texts, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forgetting.contracts import Layers, Sampling
from forgetting.models.decodable import check_decodable
from forgetting.models.decoding_slots import DecodingRow, Slots
from forgetting.models.sampling import drawn

if TYPE_CHECKING:
    from forgetting.models.huggingface import HuggingFaceModel

KEPT_BYTES = 256 * 2**20  # of keys and values that may wait to be decoded from
PASS_BYTES = 2 * 2**30  # of the keys and values of one reading pass on an accelerator, and of its logits
CPU_ROWS = 64  # of a reading pass; twice as many took half as long again for each row at 100k (speed/evaluation.py)
CPU_BYTES = 2**29  # of the logits of a reading pass on a CPU: a look holds some four tables of that size
COMPACT_BELOW = 0.75  # slots are filled again, or dropped, once at most this share of them is in use


@dataclass(eq=False)
class _Open:
    """An answer that is not at its end: where it goes on, and its draft from there."""

    answer: list[int]
    row: DecodingRow
    draft: list[int]
    number: int  # names its draws, where answers are sampled


def rows_together(config: Any, batch_items: int, length: int, device: torch.device, asked: int = 1) -> int:
    """Rows of one reading pass over texts of a length: on a CPU so few that what a layer computes stays in the
    processor's cache, elsewhere so few that the keys and values of a pass take ``PASS_BYTES`` at most; and so few that
    logits take ``CPU_BYTES`` or ``PASS_BYTES`` at most, of which a vocabulary of 262,144 words fills 1 MiB a place.

    Args:
        config: of the network
        batch_items: at most so many
        length: tokens of the longest text
        device: on which the pass is made, whatever else the machine has
        asked: most places of a row whose logits are wanted
    """
    logits: int = 4 * config.vocab_size * asked  # bytes of a row, in fp32
    if device.type == "cpu":
        return max(1, min(batch_items, CPU_ROWS, CPU_BYTES // logits))
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    row: int = 2 * 4 * config.num_hidden_layers * heads * size * length  # of fp32
    return max(1, min(batch_items, PASS_BYTES // row, PASS_BYTES // logits))


class Decoding:
    """Answers under way. ``add`` takes one with what was read of it, ``finish`` writes all to their ends, in place.

    Args:
        model: the model that reads and writes
        limit: most tokens of an answer
        batch_items: most slots
        sampling: how tokens are drawn; None takes the most probable one
    """

    def __init__(self, model: HuggingFaceModel, limit: int, batch_items: int, sampling: Sampling | None = None) -> None:
        self.model, self.limit, self.batch_items, self.sampling = model, limit, batch_items, sampling
        check_decodable(model.network.config, 0)
        self.ends = sorted(model.ends)
        self._open: list[_Open] = []
        self._bytes = 0
        self._numbers: dict[int, NDArray[np.float64]] = {}

    def is_open(self, answer: Sequence[int]) -> bool:
        """Whether an answer is not at its end."""
        return len(answer) < self.limit and answer[-1] not in self.ends

    def first(self, logits_NV: Tensor, numbers: Sequence[int]) -> list[int]:
        """The tokens that logits lead to; where they are drawn, the first tokens of the answers ``numbers``."""
        if self.sampling is None:
            found: list[int] = logits_NV.argmax(-1).tolist()
            return found
        uniform = np.array([self._uniforms(self.sampling, number)[0] for number in numbers])
        chosen: list[int] = drawn(logits_NV, torch.from_numpy(uniform), self.sampling).tolist()
        return chosen

    def _uniforms(self, sampling: Sampling, number: int) -> NDArray[np.float64]:
        """The numbers that decide one answer; they are made once."""
        if number not in self._numbers:
            self._numbers[number] = sampling.uniforms(number, self.limit)
        return self._numbers[number]

    def add(
        self, answers: Sequence[list[int]], drafts: Sequence[list[int]], layers: Layers, lengths: Sequence[int],
        numbers: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        """Open answers, each with its draft; row i of ``layers`` holds ``lengths[i]`` tokens, all but its last one."""
        named = numbers if numbers is not None else range(len(answers))
        for index, (answer, draft, length, number) in enumerate(zip(answers, drafts, lengths, named, strict=True)):
            self._open.append(_Open(answer, DecodingRow(layers, index, length, answer[-1]), draft, number))
        self._bytes += sum(keys.nbytes + values.nbytes for keys, values in layers)
        if self._bytes > KEPT_BYTES:
            self.finish()

    @torch.no_grad()
    def finish(self) -> None:
        """Write every answer to its end."""
        drafted = sorted((one for one in self._open if one.draft), key=lambda one: len(one.draft))  # padded to the last
        waiting = [one for one in self._open if not one.draft]
        with self.model.at_rest():
            if drafted:
                asked = 1 + len(drafted[-1].draft)
                room = max(one.row.length for one in drafted) + asked
                size = rows_together(self.model.network.config, self.batch_items, room, self.model.device, asked)
                for start in range(0, len(drafted), size):
                    waiting += self._verified(drafted[start : start + size])
            self._write(sorted(waiting, key=lambda one: one.row.length))
        self._open, self._bytes = [], 0

    def _verified(self, rows: list[_Open]) -> list[_Open]:
        """Rows after one pass over their drafts; those at their ends are left out."""
        width = 1 + max(len(one.draft) for one in rows)
        slots = Slots(self.model, len(rows), max(one.row.length for one in rows) + width)
        slots.fill(range(len(rows)), [one.row for one in rows])
        pad = self.model.tokenizer.pad_token_id
        given = [[one.row.token, *one.draft] for one in rows]
        tokens = torch.tensor([row + [pad] * (width - len(row)) for row in given], device=self.model.device)
        guesses = slots.step(tokens).argmax(-1).tolist()
        layers, still = slots.layers(), []
        for slot, (one, guess) in enumerate(zip(rows, guesses, strict=True)):
            agree, written = self.agreed(one.draft, guess, self.limit - len(one.answer))
            one.answer += written
            if self.is_open(one.answer):
                row = DecodingRow(layers, slot, one.row.length + 1 + agree, one.answer[-1])
                still.append(_Open(one.answer, row, [], one.number))
        return still

    def agreed(self, draft: Sequence[int], guess: Sequence[int], limit: int) -> tuple[int, list[int]]:
        """How many of the draft's tokens greedy decoding writes, and all that it is known to write, up to an end."""
        agree = next((n for n, (a, d) in enumerate(zip(guess, draft, strict=False)) if a != d), len(draft))
        written = list(guess[: agree + 1])
        stop = next((n for n, token in enumerate(written) if token in self.ends), len(written) - 1)
        return agree, written[: min(stop + 1, limit)]

    def _write(self, waiting: list[_Open]) -> None:
        if not waiting:
            return
        count = min(self.batch_items, len(waiting))
        room = max(one.row.length + self.limit - len(one.answer) for one in waiting) + 1
        check_decodable(self.model.network.config, room)
        device, ends = self.model.device, torch.tensor(self.ends, device=self.model.device)
        slots = Slots(self.model, count, room)
        queue = iter(waiting)
        inside = waiting[:count]
        alive = torch.zeros(count, dtype=torch.bool, device=device)
        tokens = torch.zeros(count, 1, dtype=torch.long, device=device)
        left = torch.zeros(count, dtype=torch.long, device=device)
        written = torch.zeros(count, self.limit, dtype=torch.long, device=device)
        done = torch.zeros(count, dtype=torch.long, device=device)
        uniform = torch.zeros(count, self.limit, dtype=torch.float64, device=device)

        def take(free: list[int]) -> None:
            """The next rows into free slots."""
            new = list(islice(queue, len(free)))
            free = free[: len(new)]
            slots.fill(free, [one.row for one in new])
            into = torch.tensor(free, dtype=torch.long, device=device)
            tokens[into, 0] = torch.tensor([one.row.token for one in new], dtype=torch.long, device=device)
            left[into] = torch.tensor([self.limit - len(one.answer) for one in new], dtype=torch.long, device=device)
            done[into], alive[into] = 0, True
            for slot, one in zip(free, new, strict=True):
                inside[slot] = one
                if self.sampling is not None:
                    own = self._uniforms(self.sampling, one.number)[len(one.answer) :]
                    self._numbers.pop(one.number, None)  # a long answer's are many, and they are not wanted again
                    uniform[slot, : len(own)] = torch.from_numpy(own).to(device)

        take(list(range(count)))
        while True:
            logits = slots.step(tokens)[:, -1]
            if self.sampling is None:
                chosen = logits.argmax(-1)
            else:
                chosen = drawn(logits, uniform.gather(1, done[:, None])[:, 0], self.sampling)
            written.scatter_(1, done[:, None], chosen[:, None])
            done += alive
            tokens = chosen[:, None]
            alive &= ~torch.isin(chosen, ends) & (done < left)
            in_use = int(alive.sum())
            if in_use > COMPACT_BELOW * len(inside):
                continue
            free = (~alive).nonzero()[:, 0].tolist()
            for slot, count_written, tokens_written in zip(
                free, done[free].tolist(), written[free].tolist(), strict=True
            ):
                inside[slot].answer += tokens_written[:count_written]
            take(free)
            if not bool(alive.any()):
                return
            if not bool(alive.all()):
                kept = alive.nonzero()[:, 0]
                slots.keep(kept)
                inside = [inside[slot] for slot in kept.tolist()]
                state = (tokens, left, written, done, alive, uniform)
                tokens, left, written, done, alive, uniform = (t[kept] for t in state)
