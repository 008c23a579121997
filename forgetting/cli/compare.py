"""``compare``: two checkpoints, two studies, or two sample logs of lm-eval, paired by item, as a table or as JSON."""

from __future__ import annotations

import sys
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from forgetting.cli import arguments
from forgetting.spec import Device

COMPARE = """What the second of two measurements lost and gained against the first, item by item: counts, McNemar's
exact p, and the difference of accuracies with its 95% interval. Both are checkpoints (asked here), studies or runs of
them, or sample logs of lm-eval (written by its --log_samples)."""

EXAMPLES = """  forgetting compare models/base models/tuned --benchmarks gsm8k
  forgetting compare runs/plain-0123abcd runs/replay-4567cdef --dose 640
  forgetting compare logs/base logs/tuned --json
"""


def parser() -> ArgumentParser:
    """The options of ``forgetting compare``."""
    command = arguments.parser("compare A B [OPTIONS]", COMPARE, EXAMPLES)
    for name, which in (("first", "A"), ("second", "B")):
        what = "checkpoint, study, run or sample log"
        command.add_argument(name, type=str, metavar=which, help=what if which == "A" else "another of the same kind")
    what = "what checkpoints are asked, by name or with settings: one or a list"
    command.add_argument(
        "--benchmarks", type=str | dict[str, Any] | list[str | dict[str, Any]], metavar="NAMES", help=what
    )
    command.add_argument("--max_new_tokens", type=int, help="longest answer of checkpoints (default: 256)")
    command.add_argument("--dtype", type=str, help="weights of checkpoints: float32, bfloat16, float16")
    command.add_argument("--device", type=Device, help="where checkpoints are asked: auto, cpu, gpu (default: auto)")
    command.add_argument("--arm", type=str, help="of studies: the arm of A (default: those of the same name)")
    command.add_argument("--other_arm", type=str, help="of studies: the arm of B (default: as that of A)")
    command.add_argument("--dose", type=int, help="of studies: at which dose (default: the last that both measured)")
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def compare(given: Namespace) -> int:
    """Compare and print."""
    from forgetting.own_model.compare import compare

    options = given.as_dict()
    as_json, first, second = options.pop("json", False), options.pop("first"), options.pop("second")
    found = compare(first, second, **{name: value for name, value in options.items() if value is not None})
    sys.stdout.write(f"{found.to_json() if as_json else found}\n")
    return 0
