"""A teacher whose written answers are kept: every student of one seed learns from the same ones, written once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from forgetting.errors import UsageError
from forgetting.models.huggingface import Answers, HuggingFaceModel
from forgetting.record.files import write_atomically
from forgetting.record.reading import first_line
from forgetting.record.seals import SEAL, damaged
from forgetting.training.checkpoints import content_hash


class Mentor(HuggingFaceModel):
    """A model whose weights and settings ``mark`` stands for; ``generate`` looks into ``folder`` first."""

    def __init__(self, model: HuggingFaceModel, mark: str, folder: Path) -> None:
        super().__init__(model.network, model.tokenizer)
        self.mark, self.folder = mark, folder

    def generate(
        self,
        prompts_RB: Sequence[Sequence[Sequence[int]]],
        drafts: Sequence[Sequence[Sequence[int]]] | None = None,
        *,
        max_new_tokens: int,
        batch_items: int = 128,
    ) -> Answers:
        """Greedy answers, as the model writes them or as it wrote them before."""
        asked = json.dumps([self.mark, prompts_RB, drafts, max_new_tokens, batch_items]).encode()
        file = self.folder / f"{hashlib.sha256(asked).hexdigest()[:32]}.safetensors"
        if file.is_file():
            kept = _read(file)
            flat, ends = kept["tokens"].tolist(), kept["ends"].tolist()
            return [[flat[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]]
        answers = super().generate(prompts_RB, drafts, max_new_tokens=max_new_tokens, batch_items=batch_items)
        lengths = torch.tensor([len(a) for a in answers[0]])
        flat_tokens = torch.tensor([t for a in answers[0] for t in a], dtype=torch.int32)
        kept = {"tokens": flat_tokens, "ends": lengths.cumsum(0)}
        write_atomically(file, save(kept, metadata={SEAL: content_hash(kept, {})}))
        return answers


def _read(file: Path) -> dict[str, torch.Tensor]:
    """Answers that were kept. ``UsageError`` where they are not what was written."""
    remedy = "delete it: the answers are written again"
    try:
        with safe_open(file, framework="pt") as opened:
            meta, kept = opened.metadata() or {}, {name: opened.get_tensor(name) for name in ("tokens", "ends")}
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{file}: cannot be read ({first_line(error)}); {remedy}") from None
    if SEAL in meta and content_hash(kept, {}) != meta[SEAL]:
        raise damaged(file, remedy)
    return kept
