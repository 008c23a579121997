"""Generation in another process: a model and a command in, the same model with answers from elsewhere out.

Everything but ``generate`` is the wrapped model's own. Before answers are asked for, weights that have changed are
written to a folder and loaded by the other process; a canary then compares log-probabilities on eight fixed texts, and
every reply has to carry the hash of the weights that were written. So answers from stale or broken weights are an
error, never a score.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from forgetting.batching import tokens
from forgetting.contracts import AnswerRequest, Answers, Model
from forgetting.errors import UsageError, require
from forgetting.models import vllm_process
from forgetting.models.vllm_process import weights_hash

START_SECONDS, SECONDS = 900.0, 3600.0
TOLERANCE = 0.1  # nats of mean absolute difference a token; two bfloat16 kernels differ by a few hundredths
CANARY = (
    "Question: A farmer has 12 cows and buys 7 more. How many cows has he now?\nAnswer: 12 + 7 = 19",
    "def add(first, second):\n    return first + second\n",
    "User: Where is the nearest station?\nAssistant: Two streets from here.",
    "The quick brown fox jumps over the lazy dog and runs away.",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
    "Water boils at one hundred degrees and freezes at zero.",
    "for i in range(10):\n    print(i, i * i)\n",
    "Yesterday it rained; today the sun is shining again.",
)


def vllm_command(
    *command: str, dtype: str = "bfloat16", max_length: int = 4096, memory_share: float = 0.45, gpus: int = 1
) -> list[str]:
    """The command of a vLLM process.

    Args:
        command: an interpreter with vLLM, in an environment of its own; a program after it takes the place of vLLM's
        dtype: of weights and arithmetic
        max_length: longest prompt and answer together, in tokens
        memory_share: of the GPU's memory that vLLM may take
        gpus: that the model is split over
    """
    options = {"dtype": dtype, "max-length": max_length, "memory-share": memory_share, "gpus": gpus}
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [*command, *([] if command[1:] else [vllm_process.__file__]), *given]


@dataclass(frozen=True)
class BackendNoise:
    """What a backend adds to a score by itself, measured with unchanged weights.

    Args:
        repeated: share of prompts whose answer differs when they are asked again in another order
        model: share of prompts whose answer differs from the model's own
        canary: mean absolute difference of log-probabilities from the model's own, nats a token
        prompts: how many
    """

    repeated: float
    model: float
    canary: float
    prompts: int

    def __str__(self) -> str:
        shares = f"{self.repeated:.1%} of answers differ when asked again, {self.model:.1%} from the model's own"
        return f"backend's noise floor on {self.prompts} prompts: {shares}; canary {self.canary:.4f} nats a token"


def content_hash(model: Model) -> str:
    """Of the weights as they are in memory."""
    digest = hashlib.blake2b(digest_size=16)
    for value in model.state().values():
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class BackedModel(Model):
    """A model of R = 1 whose answers come from another process.

    Args:
        model: the one that is trained
        command: starts a process that speaks the protocol of ``vllm_process``
        folder: where weights are exchanged; made, overwritten, and removed by ``stop``
        noise_prompts: prompts of the first ``generate`` on which the noise floor is measured and printed; 0 for none
        tolerance: of the canary, nats a token
        quiet: do not print the noise floor
    """

    def __init__(
        self, model: Model, command: Sequence[str], folder: Path, *, noise_prompts: int = 64,
        tolerance: float = TOLERANCE, quiet: bool = False,
    ) -> None:  # fmt: skip
        self.tolerance, self.quiet, self.replicas = tolerance, quiet, 1
        self.weights, self.canary = "", float("nan")
        self.noise: BackendNoise | None = None
        self._noise_prompts = noise_prompts
        self.follow(model, folder)
        try:
            self.process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )  # fmt: skip
        except OSError as error:
            raise UsageError(f"backend: {command[0]!r} cannot be started: {error.strerror}") from error
        atexit.register(self.stop)

    def follow(self, model: Model, folder: Path) -> BackedModel:
        """Write the answers of this model from now on, with weights exchanged in ``folder``; its shape is as before."""
        require(model.replicas == 1, "backend", "given a model of one replica", model.replicas)
        self.model, self.folder = model, Path(folder)
        self.network, self.tokenizer = model.network, model.tokenizer
        self.capacity, self.capacity_non_embedding = model.capacity, model.capacity_non_embedding
        self.hidden_size = model.hidden_size
        self._written = ""
        return self

    @property
    def ends(self) -> frozenset[int]:
        """The model's own."""
        return self.model.ends

    def answers(self, asked: AnswerRequest) -> Answers:
        """Greedy answers of the other process; drafts and ``batch_items`` are not needed there. No sampling."""
        require(asked.sampling is None, "backend", "asked for greedy answers, which is all that it writes", "sampling")
        self.refresh()
        prompts, most = [list(p) for p in asked.prompts_RB[0]], asked.max_new_tokens
        answers = self._answers(prompts, most)
        if self.noise is None and self._noise_prompts and prompts:
            self.noise = self._measured(prompts[: self._noise_prompts], answers, most)
            if not self.quiet:
                sys.stdout.write(f"{self.noise}\n")
        return [answers]

    def refresh(self) -> None:
        """Hand the weights over where they have changed, and look whether they arrived. ``RuntimeError`` if not."""
        now = content_hash(self.model)  # torch's own version counters miss what a fused optimizer writes
        if now == self._written:
            return
        self._written = ""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.model.save(self.folder)
        self.weights = weights_hash(self.folder)
        self._ask({"do": "load", "folder": str(self.folder)}, START_SECONDS)
        self.canary = self._canary()
        if not self.canary <= self.tolerance:
            what = f"log-probabilities differ by {self.canary:.4f} nats a token, more than {self.tolerance}"
            raise RuntimeError(f"backend: its weights are not the model's: {what}")
        self._written = now

    def _answers(self, prompts: list[list[int]], most: int) -> list[list[int]]:
        ends = sorted(self.ends)
        asked = {"do": "generate", "prompts": prompts, "ends": ends, "max_new_tokens": most}
        answers: list[list[int]] = self._ask(asked, SECONDS)["answers"]
        if len(answers) != len(prompts):
            raise RuntimeError(f"backend: {len(answers)} answers to {len(prompts)} prompts")
        return answers

    def _measured(self, prompts: list[list[int]], answers: list[list[int]], most: int) -> BackendNoise:
        again = self._answers(prompts[::-1], most)[::-1]
        own = self.model.generate([prompts], max_new_tokens=most)[0]
        pairs = [(a, b, c) for a, b, c in zip(answers[: len(prompts)], again, own, strict=True)]
        differing = sum(a != b for a, b, _ in pairs), sum(a != c for a, _, c in pairs)
        return BackendNoise(differing[0] / len(pairs), differing[1] / len(pairs), self.canary, len(pairs))

    @torch.no_grad()
    def _canary(self) -> float:
        """Mean absolute difference of log-probabilities over the second halves of the fixed texts."""
        rows = tokens(CANARY, self.tokenizer)
        halves = [(row[: len(row) // 2], row[len(row) // 2 :]) for row in rows]
        asked = {"do": "score", "prompts": [a for a, _ in halves], "answers": [b for _, b in halves]}
        theirs = [chance for row in self._ask(asked, SECONDS)["logprobs"] for chance in row]
        training = self.network.training
        self.network.eval()
        ours: list[float] = []
        for before, after in halves:
            told_TV = self.model.logits(torch.tensor([[[*before, *after]]], device=self.device))[0, 0]
            chances = told_TV.float().log_softmax(-1)[len(before) - 1 : -1].cpu()
            ours += chances.gather(1, torch.tensor(after)[:, None])[:, 0].tolist()
        self.network.train(training)
        if len(theirs) != len(ours):
            return float("nan")
        return float(sum(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / len(ours))

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """One request. ``RuntimeError`` where the process fails, ends, hangs, or works with other weights."""
        assert self.process.stdin and self.process.stdout
        with suppress(OSError):
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline() if select.select([self.process.stdout], [], [], seconds)[0] else "{}"
        if not line:
            raise RuntimeError(f"backend: its process ended with status {self.process.wait()}; see what it printed")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply or "weights" not in reply:
            raise RuntimeError(f"backend: {reply.get('error', f'no reply within {seconds:g} s')}")
        if reply["weights"] != self.weights:
            raise RuntimeError(f"backend: it works with other weights, {reply['weights']!r}, not {self.weights!r}")
        return reply

    def stop(self) -> None:
        """End the process and remove the exchanged weights."""
        atexit.unregister(self.stop)
        assert self.process.stdin and self.process.stdout
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def logits(self, tokens_RBT: Tensor) -> Tensor:
        """The model's own."""
        return self.model.logits(tokens_RBT)

    def named_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """The model's own."""
        return self.model.named_parameters()

    def state(self) -> dict[str, Tensor]:
        """The model's own."""
        return self.model.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Into the model; the other process gets them before the next answers."""
        self.model.load_state(state)

    def save(self, folder: Path) -> None:
        """The model's own."""
        self.model.save(folder)
