"""Tasks of ``lm-eval`` on a model in memory: task names in, one row per task and metric, or every item's outcome out.

For skills that the project expects to stay (classification, retrieval, knowledge). Needs the extra
``forgetting[harness]``; tasks load their own data through ``datasets``. Prompts are the task's, without chat templates.
Source: the Language Model Evaluation Harness, Gao et al., doi 10.5281/zenodo.10256836.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from forgetting.batching import start_of_text, texts, tokens, without_end
from forgetting.contracts import Model
from forgetting.errors import UsageError, require

LONGEST = 256  # tokens of an answer where the task does not say
RIGHT = ("acc", "exact_match")  # metrics that are 1 where an item is right
FEWSHOT_SEED = 1234  # lm-eval's own


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
    require(model.replicas == 1, "lm-eval", "given a model of one replica", model.replicas)
    manager = _manager(tasks, folder)
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
        raise _why(tasks, error) from error
    finally:
        model.network.train(was_training)
    return _scores(found)


@dataclass(frozen=True)
class TaskQuestion:
    """One document of a task: what stands before its gold answer; how many choices there are, 0 where it is written."""

    task: str
    number: int
    context: str
    gold: str
    choices: int


def installed() -> str:
    """The version of lm-eval. ``UsageError`` where it is missing."""
    if importlib.util.find_spec("lm_eval") is None:
        raise UsageError("lm-eval: is not installed; pip install 'forgetting[harness]'")
    return importlib.metadata.version("lm_eval")


def content(folder: Path) -> str:
    """One hash of all files of a folder of tasks, by their places in it: YAML, functions, rows.

    What is hidden, and what Python compiled, is left out. ``UsageError`` where there is no such folder.
    """
    require(folder.is_dir(), "lm_eval.folder", "a folder with tasks as YAML files", str(folder))
    places = ((path.relative_to(folder), path) for path in folder.rglob("*") if path.is_file())
    files = sorted((own.as_posix(), path) for own, path in places if not any(map(_ours, own.parts)))
    told = [f"{len(own)} {own} {hashlib.sha256(path.read_bytes()).hexdigest()}" for own, path in files]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _ours(part: str) -> bool:
    return part.startswith(".") or part == "__pycache__"


def questions(tasks: tuple[str, ...], shots: int | None, limit: int, folder: str) -> tuple[TaskQuestion, ...]:
    """The documents of some tasks, the first ``limit`` of each. ``UsageError`` as ``measure_tasks``."""
    return _questions(tasks, shots, limit, folder, content(Path(folder)) if folder else "")


@lru_cache(maxsize=8)
def _questions(
    tasks: tuple[str, ...], shots: int | None, limit: int, folder: str, mark: str
) -> tuple[TaskQuestion, ...]:
    found = []
    for name, task in _loaded(tasks, shots, limit, folder, mark).items():
        for number, requests in _by_document(task).items():
            before, gold = _gold(name, task, requests)
            offered = len(_offered(task, requests)) if task.OUTPUT_TYPE == "multiple_choice" else 0
            found.append(TaskQuestion(name, number, before, gold, offered))
    return tuple(found)


def outcomes(
    model: Model, tasks: tuple[str, ...], shots: int | None, limit: int, folder: str, *, batch_items: int
) -> list[tuple[str, bool]]:
    """For each of ``questions``: what a model of R = 1 chooses or writes, and whether that is right for the task."""
    asked, found = _wrapped(model, batch_items), list[tuple[str, bool]]()
    mark = content(Path(folder)) if folder else ""
    was_training = model.network.training
    model.network.eval()
    try:
        for name, task in _loaded(tasks, shots, limit, folder, mark).items():
            ask = asked.generate_until if task.OUTPUT_TYPE == "generate_until" else asked.loglikelihood
            for request, reply in zip(task.instances, ask(task.instances, disable_tqdm=True), strict=True):
                request.resps = [reply] * (request.repeats or 1)
            task.apply_filters()
            found += [_outcome(name, task, requests) for requests in _by_document(task).values()]
    except UsageError:
        raise
    except Exception as error:
        raise _why(tasks, error) from error
    finally:
        model.network.train(was_training)
    return found


@lru_cache(maxsize=8)
def _loaded(tasks: tuple[str, ...], shots: int | None, limit: int, folder: str, mark: str) -> dict[str, Any]:  # noqa: ARG001
    """lm-eval's own tasks by name, their requests made as its ``simple_evaluate`` makes them.

    Made anew where a file of the folder has changed: ``mark`` is its ``content``, and part of the cache's key.
    """
    manager = _manager(tasks, Path(folder) if folder else None)
    try:
        with redirect_stderr(io.StringIO()):  # its bars
            made: dict[str, Any] = manager.load(list(tasks))["tasks"]
            for name, task in made.items():
                if getattr(task, "UNSAFE_CODE", False):
                    raise UsageError(f"lm_eval.task: must be a task that runs no code of models, got {name!r}")
                own = task.get_config("num_fewshot")
                task.set_config(key="num_fewshot", value=own if shots is None or own == 0 else shots)
                if task.get_config("num_fewshot") is None:
                    task.set_config(key="num_fewshot", value=0)
                task.set_fewshot_seed(seed=FEWSHOT_SEED)
                task.build_all_requests(limit=limit or None)
    except UsageError:
        raise
    except Exception as error:
        raise _why(tasks, error) from error
    return made


def _manager(tasks: Sequence[str], folder: Path | None) -> Any:
    """lm-eval's index of tasks, in which all of these are."""
    installed()
    require(bool(tasks), "lm-eval.tasks", "at least one name", list(tasks))
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = _index(folder, content(folder) if folder else "")
    if missing := [task for task in tasks if task not in manager.all_tasks]:
        raise UsageError(f"lm-eval.tasks: unknown name {missing[0]!r}; `lm-eval ls tasks` lists them")
    return manager


@lru_cache(maxsize=4)
def _index(folder: Path | None, mark: str) -> Any:  # noqa: ARG001 (part of the cache's key)
    """lm-eval's index, which takes seconds to make; anew where a file of the folder has changed."""
    return importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(folder) if folder else None)


def _why(tasks: Sequence[str], error: Exception) -> UsageError:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return UsageError(f"lm-eval: {', '.join(tasks)} cannot be run: {line}; give local data or go online")


def _by_document(task: Any) -> dict[int, list[Any]]:
    """The requests of each document, in their order."""
    found: dict[int, list[Any]] = {}
    for request in sorted(task.instances, key=lambda r: (r.doc_id, r.idx)):
        found.setdefault(request.doc_id, []).append(request)
    return found


def _offered(task: Any, requests: list[Any]) -> list[Any]:
    """The requests that offer the choices; with ``acc_mutual_info`` as many more ask without context."""
    both = "acc_mutual_info" in task._metric_fn_list
    return requests[: len(requests) // 2] if both else requests


def _gold(name: str, task: Any, requests: list[Any]) -> tuple[str, str]:
    """What is asked of a document, and its gold answer. ``UsageError`` where a task has none."""
    target = task.doc_to_target(requests[0].doc)
    first = target[0] if isinstance(target, list) and target else target
    if task.OUTPUT_TYPE == "multiple_choice":
        if task.multiple_input:
            first = task.doc_to_text(requests[0].doc)
        choices = _offered(task, requests)
        place = first if isinstance(first, int) else task.doc_to_choice(requests[0].doc).index(first)
        return str(choices[place].args[0]), str(choices[place].args[1])
    if task.OUTPUT_TYPE == "loglikelihood":
        return str(requests[0].args[0]), str(requests[0].args[1])
    if task.OUTPUT_TYPE == "generate_until":
        return str(requests[0].args[0]), f"{task.config.target_delimiter}{first}"
    raise UsageError(f"lm_eval.task: must be a task that is right or wrong on each item, got {name!r}")


def _outcome(name: str, task: Any, requests: list[Any]) -> tuple[str, bool]:
    how = next(iter(requests[0].filtered_resps))
    metrics = task.process_results(requests[0].doc, [request.filtered_resps[how] for request in requests])
    right = next((float(metrics[metric]) for metric in RIGHT if metric in metrics), None)
    if right is None:
        raise UsageError(
            f"lm_eval.task: must be a task with one of {', '.join(RIGHT)}, got {name!r} with {list(metrics)}"
        )
    replies = [request.resps[0] for request in _offered(task, requests)]
    if task.OUTPUT_TYPE == "multiple_choice":
        best = max(range(len(replies)), key=lambda i: replies[i][0])
        return str(requests[best].args[1]), right == 1
    if task.OUTPUT_TYPE == "loglikelihood":
        return str(requests[0].args[1]) if replies[0][1] else "", right == 1
    return str(replies[0]), right == 1


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
            return _begun([string], model)[0]

        def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
            return _likelihoods(model, [(before, after) for _, before, after in requests], batch_items)

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            pairs = [([self.eot_token_id], self.tok_encode(request.args[0])) for request in requests]
            return [total for total, _ in _likelihoods(model, pairs, batch_items)]

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return _answers(model, [request.args for request in requests], batch_items)

    return _InMemory()


def _begun(asked: Sequence[str], model: Model) -> list[list[int]]:
    """Tokens of texts, with the tokenizer's own beginning token before them, if it has one."""
    start = start_of_text(model.tokenizer)
    return [[*start, *row] for row in tokens(asked, model.tokenizer)]


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


def _answers(model: Model, asked: Sequence[tuple[str, dict[str, Any]]], batch_items: int) -> list[str]:
    """Greedy texts up to the first of the stop texts, those of one length limit in one call.

    ``UsageError`` where the task asks for sampled decoding.
    """
    out = [""] * len(asked)
    by_limit: dict[int, list[int]] = {}
    for i, (_, settings) in enumerate(asked):
        if settings.get("do_sample") and settings.get("temperature", 1.0) > 0:
            raise UsageError("lm-eval: the task asks for sampled decoding; only greedy decoding is offered here")
        by_limit.setdefault(int(settings.get("max_gen_toks") or LONGEST), []).append(i)
    for most, places in by_limit.items():
        before = _begun([asked[i][0] for i in places], model)
        written = model.generate([before], max_new_tokens=most, batch_items=batch_items)[0]
        for i, text in zip(places, texts(without_end(written, model.ends), model.tokenizer), strict=True):
            stops = asked[i][1].get("until") or []
            for stop in [stops] if isinstance(stops, str) else stops:
                text = text.split(stop)[0] if stop else text
            out[i] = text
    return out
