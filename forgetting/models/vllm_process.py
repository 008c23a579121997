"""The process in which vLLM generates: one JSON line in, one out; a script for an interpreter that has vLLM.

It imports nothing of this package, since vLLM pins its own torch and lives in an environment of its own. ``serve`` is
the protocol and knows nothing of vLLM, so a stand-in speaks the same one in the tests. Requests and replies:

======================================================= ==============================================================
``{"do": "load", "folder": F}``                         ``{"weights": H}``: a checkpoint folder's weights are in place
``{"do": "generate", "prompts": [[..]], "ends": [..],   ``{"weights": H, "answers": [[..]]}``: greedy, without the end
"max_new_tokens": N}``                                  token
``{"do": "score", "prompts": [[..]], "answers":         ``{"weights": H, "logprobs": [[..]]}``: of each answer's
[[..]]}``                                               tokens, one by one
======================================================= ==============================================================

``H`` is ``weights_hash`` of the folder that was loaded last. A failure is ``{"error": text}``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Protocol

TokenRows = list[list[int]]


class Engine(Protocol):
    """What generates."""

    def load(self, folder: str) -> None:
        """Put the weights of a checkpoint folder in place."""

    def generate(self, prompts: TokenRows, ends: list[int], max_new_tokens: int) -> TokenRows:
        """Greedy answers without the end token, in order."""

    def score(self, prompts: TokenRows, answers: TokenRows) -> list[list[float]]:
        """The log-probability of every token of each answer."""


def weights_hash(folder: str | Path) -> str:
    """SHA-256 over the names and contents of a folder's safetensors files."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.safetensors")):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def serve(engine: Engine) -> None:
    """Answer requests until the input ends. What libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    weights = ""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                weights = ""
                engine.load(request["folder"])
                weights = weights_hash(request["folder"])
                reply: dict[str, Any] = {}
            elif request["do"] == "generate":
                answers = engine.generate(request["prompts"], request["ends"], request["max_new_tokens"])
                reply = {"answers": answers}
            else:
                reply = {"logprobs": engine.score(request["prompts"], request["answers"])}
            reply["weights"] = weights
        except Exception as error:  # noqa: BLE001 (whatever the engine raises is told to the other side)
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


class VLLM:
    """vLLM's offline engine. Made at the first ``load``; later ones put new weights into it."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.library = importlib.import_module("vllm")
        self.given = given
        self.engine: Any = None

    def load(self, folder: str) -> None:
        """Start with a folder, or read its weights into the running engine."""
        if self.engine is not None:
            self.engine.collective_rpc("reload_weights", kwargs={"weights_path": folder})
            return
        self.engine = self.library.LLM(
            model=folder, dtype=self.given.dtype, max_model_len=self.given.max_length, seed=0,
            gpu_memory_utilization=self.given.memory_share, tensor_parallel_size=self.given.gpus,
            enable_prefix_caching=False, trust_remote_code=False,
        )  # fmt: skip

    def _run(self, rows: TokenRows, **settings: Any) -> list[Any]:
        parameters = self.library.SamplingParams(temperature=0.0, detokenize=False, **settings)
        found: list[Any] = self.engine.generate([{"prompt_token_ids": row} for row in rows], parameters, use_tqdm=False)
        return found

    def generate(self, prompts: TokenRows, ends: list[int], max_new_tokens: int) -> TokenRows:
        """Greedy answers, with the end token where there is one."""
        answers = []
        for found in self._run(prompts, max_tokens=max_new_tokens, stop_token_ids=ends):
            written = list(found.outputs[0].token_ids)
            cut = next((i + 1 for i, token in enumerate(written) if token in ends), len(written))
            answers.append(written[:cut])
        return answers

    def score(self, prompts: TokenRows, answers: TokenRows) -> list[list[float]]:
        """From the prompt log-probabilities of prompt and answer together."""
        rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        found = self._run(rows, max_tokens=1, prompt_logprobs=0)
        told = []
        for one, row, prompt in zip(found, rows, prompts, strict=True):
            after = range(max(1, len(prompt)), len(row))  # nothing is known of a text's first token
            told.append([float(one.prompt_logprobs[t][row[t]].logprob) for t in after])
        return told


def main() -> None:
    """Read the options, import vLLM, serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--max-length", type=int, default=4096)
    parser.add_argument("--memory-share", type=float, default=0.45)
    parser.add_argument("--gpus", type=int, default=1)
    sys.path[:] = [
        p for p in sys.path if Path(p).resolve() != Path(__file__).resolve().parent
    ]  # no names of this folder
    serve(VLLM(parser.parse_args()))


if __name__ == "__main__":
    main()
