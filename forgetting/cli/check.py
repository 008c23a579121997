"""``check``: a model and data of one's own; one page that says what fine-tuning on them costs."""

from __future__ import annotations

import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from forgetting.cli import arguments, folders
from forgetting.cli.simulate import STORE_HELP, resume_command, store_of, training
from forgetting.spec import Device, LoggerName, PartValue, Precision

CHECK = """What does fine-tuning a model on data of one's own cost, from which dose on, and is it within noise?

Rate, doses, items and control are chosen by the sizes of model and data, within --minutes, and printed before anything
starts. The study is an ordinary one: the same command goes on with it, and shows its page when it is finished."""

EXAMPLES = """  forgetting check models/mine --data chats.jsonl
  forgetting check Qwen/Qwen3-0.6B --data chats.jsonl --benchmarks '[gsm8k, sums]' --original math.jsonl
  forgetting check models/mine --data '{source: table.csv, prompt: frage, answer: antwort}' --minutes 120
  forgetting check 34k --data dialogue          in the embedded world, in a minute, nothing is downloaded
"""


def parser() -> ArgumentParser:
    """The options of ``forgetting check``."""
    command = arguments.parser("check MODEL --data DATA [OPTIONS]", CHECK, EXAMPLES)
    command.add_argument(
        "model", type=str, metavar="MODEL", help="a checkpoint (folder or hub name), or a capacity of the ladder"
    )
    what = "what it is fine-tuned on: a file, a hub name, or a source by name or with settings"
    command.add_argument("--data", type=PartValue, required=True, metavar="DATA", help=what)
    what = "what is measured, by name or with settings: one or a list (default: what is at hand)"
    command.add_argument("--benchmarks", type=PartValue | list[PartValue], metavar="NAMES", help=what)
    what = "data like those that the model had learned; as many steps on them are the control"
    command.add_argument("--original", type=PartValue, metavar="DATA", help=what)
    command.add_argument("--minutes", type=float, help="what it may take, by formula (default: 30)")
    command.add_argument("--dose", type=int, help="samples trained on at the end (default: by the data's size)")
    command.add_argument("--learning_rate", type=float, help="of all weights (default: by the model's size)")
    command.add_argument("--batch_size", type=int, help="samples a step (default: 8, from a dose of 2,000 on 32)")
    what = "what may slow forgetting (default: none; lora from 1,000,000,000 parameters on)"
    command.add_argument("--mitigation", type=PartValue, metavar="NAME", help=what)
    command.add_argument("--seeds", type=int, help="orders of the data, a run each (default: 1)")
    command.add_argument("--max_new_tokens", type=int, help="longest answer (default: by the benchmarks)")
    command.add_argument("--precision", type=Precision, help="float32 or bfloat16_mixed (default: float32)")
    command.add_argument("--device", type=Device, help="auto, cpu or gpu (default: auto)")
    command.add_argument("--name", type=str, help="names the study's folder (default: check)")
    what = "where scores are sent to beside the record: wandb, mlflow (default: nowhere)"
    command.add_argument("--loggers", type=list[LoggerName], metavar="NAMES", help=what)
    what = f"where the study's folder is made (default: {arguments.OUTPUT})"
    command.add_argument("--output", type=str, metavar="DIR", help=what)
    command.add_argument("--store", type=str, metavar="DIR", help=STORE_HELP)
    command.add_argument("--plan", action="store_true", help="print what would be done, and exit")
    arguments.add_workers(command)
    return command


def check(given: Namespace) -> int:
    """Plan, print the plan, carry it out, print the page."""
    options = given.as_dict()
    workers, output = arguments.workers_of(given), Path(options.get("output") or arguments.OUTPUT)
    store, quiet = store_of(given), bool(options.get("quiet"))
    wished = "benchmarks original minutes dose learning_rate batch_size mitigation seeds max_new_tokens".split()
    wished += "precision device name loggers".split()
    wishes = {name: options[name] for name in wished if options.get(name) is not None}

    from forgetting.executors.bars import print_early
    from forgetting.own_model.check import carried_out, study_folder
    from forgetting.own_model.check_plan import Wishes, planned
    from forgetting.own_model.page import before

    wishes = {name: tuple(value) if isinstance(value, list) else value for name, value in wishes.items()}
    plan = planned(options["model"], options["data"], Wishes(**wishes, workers=workers))
    if options.get("plan"):
        sys.stdout.write(f"{before(plan)}\n")
        return 0
    folder = study_folder(plan, output)
    folders.check_study(folder, "output")
    arguments.set_sandbox(given)
    if not quiet:
        print_early(f"{before(plan)}\n\n")
    again = resume_command(given, folder)
    done = training(lambda: carried_out(plan, output, store, workers, quiet=quiet), folder, again)
    if not quiet:
        sys.stdout.write(f"{done}\n")
    return 0
