"""``advise``: pilots on a user's own model tell what to do about forgetting, and how surely."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from forgetting.cli import arguments, folders
from forgetting.cli.simulate import STORE_HELP, store_of, training
from forgetting.errors import UsageError, wants

ADVISE = """What to do about forgetting when MODEL is tuned on DATA: is there anything to forget, which way to tune
keeps it, how surely, and at what cost. Pilots on the model itself tell: plain tuning at three rates, replay (of the
original data, or of what the model itself writes), KL to the base, averaging, adapters. The run that is advised is
written as a spec. Nothing else than MODEL and --data is needed."""

EXAMPLES = """  forgetting advise 34k --data dialogue --keep maths:.95
  forgetting advise models/mine --data mine.jsonl --keep maths:.95 --budget 2h
  forgetting advise Qwen/Qwen3-0.6B --data mine.jsonl --original worked_answers \\
      --benchmarks '[{name: gsm8k, limit: 100}, {name: lm_eval, task: arc_easy, limit: 200}]' \\
      --keep maths:.95,knowledge:.98 --rate 1e-5
"""
PART = str | dict[str, Any]


def parser() -> ArgumentParser:
    """The options of ``forgetting advise``."""
    command = arguments.parser("advise MODEL --data DATA [--keep SKILL:SHARE,...] [OPTIONS]", ADVISE, EXAMPLES)
    command.add_argument(
        "model", type=str, metavar="MODEL", help="a checkpoint's folder or hub name, or a capacity (34k)"
    )
    command.add_argument(
        "--data", type=PART, help="what it is to be tuned on: a file, or a part by name or with settings"
    )
    what = "data like those that the model has its skills from; without them it replays what it writes itself"
    command.add_argument("--original", type=PART, help=what)
    what = "what measures the skills, by name or with settings: one or a list (default: of those in --keep)"
    command.add_argument("--benchmarks", type=PART | list[PART], metavar="NAMES", help=what)
    command.add_argument(
        "--keep",
        type=str,
        metavar="SKILL:SHARE,...",
        help="how much of each skill is to stay (default: .95 of maths, or of what is at hand)",
    )
    what = "of all pilots: a multiple of the planned run, time (2h, 30m) or operations (1e17op) (default: 2 or more)"
    command.add_argument("--budget", type=str, help=what)
    what = "samples of the planned run (default: your data once, and 10240 of an endless source)"
    command.add_argument("--dose", type=str, metavar="N", help=what)
    command.add_argument(
        "--rate", type=str, metavar="RATE", help="learning rate (default: by a checkpoint's size; 2e-3 of capacities)"
    )
    what = "YAML file with a spec: everything else of the planned run, batch size, schedule, devices and so on"
    command.add_argument("--config", type=str, metavar="FILE", help=what)
    command.add_argument("--output", type=str, metavar="DIR", help=f"where it is written (default: {arguments.OUTPUT})")
    command.add_argument("--store", type=str, metavar="DIR", help=STORE_HELP)
    command.add_argument("--json", action="store_true", help="print JSON")
    arguments.add_workers(command)
    return command


def _number(text: str, kind: type[int] | type[float], field: str) -> int | float:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{field}: must be {wants(kind)}, got {text!r}") from None


def advise(given: Namespace) -> int:
    """Try, choose, write and print."""
    from forgetting.own_model.advise import advise
    from forgetting.study.spec_files import load_spec

    if given.get("data") is None:
        raise UsageError(
            "data: must be what the model is to be tuned on (a file, or a part such as dialogue), got none"
        )
    options = {k: v for k, v in given.as_dict().items() if v is not None}
    as_json, quiet = options.pop("json", False), bool(options.pop("quiet", False))
    options["workers"] = arguments.workers_of(given)
    options["store"] = store_of(given)
    output = Path(options.setdefault("output", arguments.OUTPUT))
    folders.check_writable(output, "output")
    if "config" in options:
        options["spec"] = load_spec(options.pop("config"))
    options.pop("sandbox", None)
    options |= {
        name: _number(options[name], kind, name) for name, kind in (("dose", int), ("rate", float)) if name in options
    }
    arguments.set_sandbox(given)
    model, data = options.pop("model"), options.pop("data")
    found = training(lambda: advise(model, data, quiet=quiet or as_json, **options), output, "the same command")
    sys.stdout.write(f"{found.to_json() if as_json else found}\n")
    return 0
