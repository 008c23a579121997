"""A teacher whose written answers are kept: every student of one seed learns from the same ones, written once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from forgetting.contracts import AnswerRequest, Answers
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint, Home, load
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.files import write_atomically
from forgetting.record.reading import first_line
from forgetting.record.seals import SEAL, damaged, file_hash
from forgetting.record.store import Store
from forgetting.spec import Machine
from forgetting.study.fingerprints import fingerprint, settings_form
from forgetting.training.checkpoints import content_hash
from forgetting.training.fit import device


class Mentor(HuggingFaceModel):
    """A model whose weights and settings ``mark`` stands for; its answers are looked up in ``folder`` first."""

    def __init__(self, model: HuggingFaceModel, mark: str, folder: Path) -> None:
        super().__init__(model.network, model.tokenizer)
        self.mark, self.folder = mark, folder

    def answers(self, asked: AnswerRequest) -> Answers:
        """Greedy answers, as the model writes them or as it wrote them before; sampled ones are not kept."""
        if asked.sampling is not None:
            return super().answers(asked)
        about = [self.mark, asked.prompts_RB, asked.drafts_RB, asked.max_new_tokens, asked.batch_items, "with ends"]
        file = self.folder / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]}.safetensors"
        if file.is_file():
            kept = _read(file)
            flat, ends = kept["tokens"].tolist(), kept["ends"].tolist()
            return [[flat[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]]
        answers = super().answers(asked)
        lengths = torch.tensor([len(a) for a in answers[0]])
        flat_tokens = torch.tensor([t for a in answers[0] for t in a], dtype=torch.int32)
        kept = {"tokens": flat_tokens, "ends": lengths.cumsum(0)}
        write_atomically(file, save(kept, metadata={SEAL: content_hash(kept, {})}))
        return answers


def mentor_of(home: Home, store: Store, machine: Machine) -> Mentor:
    """The teacher on the machine's device, whose answers are kept in the store."""
    mark = fingerprint(settings_form(home)) if isinstance(home, Checkpoint) else file_hash(home / "model.safetensors")
    mentor = Mentor(load(home), mark, store.root / "answers")
    mentor.network.to(device(machine.plain))
    return mentor


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
