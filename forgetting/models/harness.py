"""Tasks of ``lm-eval`` on a model in memory: task names in, one row per task and metric out.

For skills that the project expects to stay (classification, retrieval, knowledge). Needs the extra
``forgetting[harness]``; tasks load their own data through ``datasets``. Prompts are the task's, without chat templates.
Source: the Language Model Evaluation Harness, Gao et al., doi 10.5281/zenodo.10256836.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from forgetting.batching import texts, tokens
from forgetting.contracts import Model
from forgetting.errors import UsageError, require

LONGEST = 256  # tokens of an answer where the task does not say


@dataclass(frozen=True)
class TaskScore:
    """One metric of one task. ``filter`` names how answers were read; ``standard_error`` is NaN where there is none."""

    task: str
    version: str
    metric: str
    filter: str
    value: float
    standard_error: float
    items: int


def measure_tasks(
    model: Model, tasks: Sequence[str], *, shots: int | None = None, limit: int = 0, folder: Path | None = None,
    batch_items: int = 32,
) -> list[TaskScore]:  # fmt: skip
    """Scores of tasks by name (``folder`` may hold more tasks' YAML files), for a model of R = 1.

    Raises:
        UsageError: lm-eval is missing, a task is unknown, or its data cannot be loaded; one line that says what to do
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise UsageError("lm-eval: is not installed; pip install 'forgetting[harness]'")
    require(model.replicas == 1, "lm-eval", "given a model of one replica", model.replicas)
    require(bool(tasks), "lm-eval.tasks", "at least one name", list(tasks))
    library = importlib.import_module("lm_eval.tasks")
    manager = library.TaskManager(include_path=str(folder) if folder else None)
    if missing := [task for task in tasks if task not in manager.all_tasks]:
        raise UsageError(f"lm-eval.tasks: unknown name {missing[0]!r}; `lm-eval ls tasks` lists them")
    was_training = model.network.training
    model.network.eval()
    try:
        found = importlib.import_module("lm_eval").simple_evaluate(
            model=_wrapped(model, batch_items), tasks=list(tasks), num_fewshot=shots, limit=limit or None,
            task_manager=manager, bootstrap_iters=0, log_samples=False,
        )  # fmt: skip
    except UsageError:
        raise
    except Exception as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UsageError(f"lm-eval: {', '.join(tasks)} cannot be run: {line}; give local data or go online") from error
    finally:
        model.network.train(was_training)
    return _scores(found)


def _scores(found: dict[str, Any]) -> list[TaskScore]:
    rows = []
    for task, values in found["results"].items():
        items = found["n-samples"].get(task, {}).get("effective", 0)
        for key, value in values.items():
            metric, comma, how = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, (int, float)):
                continue
            error = values.get(f"{metric}_stderr,{how}")
            spread = float(error) if isinstance(error, (int, float)) else float("nan")
            version = str(found["versions"].get(task, ""))
            rows.append(TaskScore(task, version, metric, how, float(value), spread, int(items)))
    return rows


def _wrapped(model: Model, batch_items: int) -> Any:
    """The model as lm-eval wants it. The class is made here because its base is in a package that may be missing."""
    base = importlib.import_module("lm_eval.api.model").TemplateLM

    class _InMemory(base):  # type: ignore[misc, valid-type]
        eot_token_id = model.tokenizer.eos_token_id
        tokenizer_name = "in memory"

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
            return tokens([string], model.tokenizer)[0]

        def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
            return _likelihoods(model, [(before, after) for _, before, after in requests], batch_items)

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            pairs = [([self.eot_token_id], self.tok_encode(request.args[0])) for request in requests]
            return [total for total, _ in _likelihoods(model, pairs, batch_items)]

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return [_answer(model, *request.args) for request in requests]

    return _InMemory()


@torch.no_grad()
def _likelihoods(
    model: Model, pairs: Sequence[tuple[list[int], list[int]]], batch_items: int
) -> list[tuple[float, bool]]:
    """For each context and continuation: log-probability of the continuation, and whether greedy decoding writes it."""
    out: list[tuple[float, bool]] = [(0.0, True)] * len(pairs)
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    for start in range(0, len(order), batch_items):
        chunk = order[start : start + batch_items]
        rows = [[*pairs[i][0], *pairs[i][1]] for i in chunk]
        width, pad = max(map(len, rows)), model.tokenizer.pad_token_id
        padded = torch.tensor([[[*row, *[pad] * (width - len(row))] for row in rows]], device=model.device)
        chances_BTV = model.logits(padded)[0].float().log_softmax(-1).cpu()
        for i, own_TV in zip(chunk, chances_BTV, strict=True):
            before, after = pairs[i]
            told_TV = own_TV[len(before) - 1 : len(before) - 1 + len(after)]
            wanted = torch.tensor(after, dtype=torch.long)
            total = float(told_TV.gather(1, wanted[:, None]).double().sum())
            out[i] = total, bool((told_TV.argmax(-1) == wanted).all())
    return out


def _answer(model: Model, prompt: str, settings: dict[str, Any]) -> str:
    """Greedy text up to the first of the stop texts. ``UsageError`` where the task asks for sampled decoding."""
    if settings.get("do_sample") and settings.get("temperature", 1.0) > 0:
        raise UsageError("lm-eval: the task asks for sampled decoding; only greedy decoding is offered here")
    most = int(settings.get("max_gen_toks") or LONGEST)
    written = model.generate([tokens([prompt], model.tokenizer)], max_new_tokens=most)[0]
    text = texts(written, model.tokenizer)[0]
    stops = settings.get("until") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop)[0] if stop else text
    return text
