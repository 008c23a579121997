"""A stand-in for vLLM: another process, the same protocol, the answers of transformers on a CPU. It can misbehave.

``python standin.py [stale | shuffled | dies | noisy]``: keeps its first weights; damages what it loads; ends at the
first answers; gives another last token at every second request.
"""

from __future__ import annotations

import os
import sys

import torch

from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.vllm_process import TokenRows, serve


class StandIn:
    def __init__(self, fault: str) -> None:
        self.fault, self.model, self.requests = fault, None, 0

    def load(self, folder: str) -> None:
        if self.fault == "stale" and self.model is not None:
            return
        self.model = HuggingFaceModel.load(folder)  # type: ignore[arg-type]
        if self.fault == "shuffled":
            with torch.no_grad():
                for _, p in self.model.named_parameters():
                    p.copy_(p.flip(0))

    def generate(self, prompts: TokenRows, ends: list[int], max_new_tokens: int) -> TokenRows:
        assert self.model
        if self.fault == "dies":
            os._exit(3)
        self.requests += 1
        answers = self.model.generate([prompts], max_new_tokens=max_new_tokens)[0]
        noisy = self.fault == "noisy" and self.requests % 2 == 0
        return [[*a[:-1], 5] if noisy and i == 0 else a for i, a in enumerate(answers)]

    def score(self, prompts: TokenRows, answers: TokenRows) -> list[list[float]]:
        assert self.model
        told = []
        with torch.no_grad():
            for before, after in zip(prompts, answers, strict=True):
                chances = self.model.logits(torch.tensor([[[*before, *after]]]))[0, 0].log_softmax(-1)
                told.append([float(chances[len(before) - 1 + i, token]) for i, token in enumerate(after)])
        return told


if __name__ == "__main__":
    torch.set_num_threads(1)
    given = [word for word in sys.argv[1:2] if not word.startswith("--")]  # vLLM's own options come in a study
    serve(StandIn(given[0] if given else os.environ.get("STANDIN_FAULT", "")))
