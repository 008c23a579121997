"""``budget``: accuracy of a checkpoint against its thinking budget, as a table, a CSV file and a figure."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

from jsonargparse import ArgumentParser, Namespace

from forgetting import registry
from forgetting.cli import arguments, folders
from forgetting.contracts import Benchmark
from forgetting.errors import UsageError, require
from forgetting.models import checkpoint

BUDGET = """Accuracy of a checkpoint against its thinking budget: generation is closed with </think> at the budget.

Greedy decoding; the answer is what follows the thought. Written to OUTPUT: budget.csv and budget.svg and budget.png."""

EXAMPLE = """  forgetting budget Qwen/Qwen3-0.6B --benchmark gsm8k --budgets '[0, 128, 512, 2048]' --output runs/budget
  forgetting budget models/mine --benchmark '{name: gsm8k, source: "data/{split}.jsonl", limit: 50}' --output runs/b
"""


def parser() -> ArgumentParser:
    """The options of ``forgetting budget``."""
    usage = "budget CHECKPOINT [--benchmark NAME] [--budgets LIST] [--max_new_tokens N] [--output DIR]"
    command = arguments.parser(usage, BUDGET, EXAMPLE)
    command.add_argument("checkpoint", type=str, metavar="CHECKPOINT", help="hub name or folder")
    command.add_argument("--benchmark", type=str | dict, default="gsm8k", help="by name or with settings")
    command.add_argument("--budgets", type=list[int], default=[0, 64, 256, 1024], help="in tokens of thought")
    command.add_argument("--max_new_tokens", type=int, default=256, help="longest answer after the thought, in tokens")
    command.add_argument("--dtype", type=str, default="float32", help="float32, bfloat16 or float16")
    command.add_argument("--output", type=str, metavar="DIR", help="where the table and the figure are written")
    return command


def budget(given: Namespace) -> int:
    """Measure, print, and write where ``--output`` says."""
    values = {"benchmark": "gsm8k", "budgets": [0, 64, 256, 1024], "max_new_tokens": 256, "dtype": "float32"}
    values |= given.as_dict()
    budgets, longest = cast(list[int], values["budgets"]), cast(int, values["max_new_tokens"])
    require(bool(budgets) and min(budgets) >= 0, "budgets", "one or more numbers of tokens, 0 or more", budgets)
    require(longest >= 1, "max_new_tokens", "at least 1", longest)
    benchmark = cast(Benchmark, registry.build("benchmarks", cast(Any, values["benchmark"]), "benchmark"))
    student = checkpoint.from_value({"source": given.checkpoint, "dtype": values["dtype"]}, "checkpoint")
    if benchmark.language != "natural":
        raise UsageError(f"benchmark: {benchmark.short_name()!r} is of the embedded world; give one of natural text")
    output = Path(given.output) if "output" in given else None
    if output is not None:
        folders.check_writable(output, "output")

    import torch

    from forgetting.evaluation.budgets import accuracy_by_budget
    from forgetting.record.files import write_atomically
    from forgetting.report import drawing
    from forgetting.report.budget import budget_curve

    model = student.load()
    model.network.to("cuda" if torch.cuda.is_available() else "cpu")
    frame = accuracy_by_budget(model, benchmark, budgets, max_new_tokens=longest)
    sys.stdout.write(frame.to_string(index=False, float_format="%.3f") + "\n")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_atomically(output / "budget.csv", frame.to_csv(index=False, float_format="%.6g"))
        drawn = {"budget": budget_curve(frame, f"{benchmark.short_name()} against thinking budget, {student.name}")}
        drawing.save(drawn, drawing.vectors(drawn), output, pictures=True)
    return 0
