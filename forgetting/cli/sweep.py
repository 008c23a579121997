"""The command ``sweep``: locate thresholds with as few runs as they need, or say beforehand what that would cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from forgetting.cli import arguments, folders, streams
from forgetting.cli.simulate import STORE_HELP, resume_command, store_of, training
from forgetting.errors import UsageError
from forgetting.executors import executor_of
from forgetting.executors.processes import Processes
from forgetting.executors.stacking import stack_of
from forgetting.study import spec_files
from forgetting.sweep.sweep_spec import SweepSpec

DESCRIPTION = """Locate the capacity, the shift and the dose at which a skill breaks, with intervals.

Of all the runs that the study in FILE could have, only those are made that the thresholds need; the same command goes
on with an interrupted sweep. The results are in OUTPUT/NAME-FINGERPRINT, in the form of a study's."""

EXAMPLES = """  forgetting sweep sweeps/quick.yaml --dry-run
  forgetting sweep sweeps/quick.yaml
  forgetting sweep sweeps/section_4_2.yaml --stop.hours 2 --workers 4
  forgetting sweep sweeps/quick.yaml --search.method grid --study.name quick_grid
  forgetting sweep sweeps/quick.yaml --storage postgresql+psycopg://user@host/optuna
  forgetting sweep sweeps/quick.yaml --executor '{name: ray, address: auto}'
"""


def sweep_parser() -> ArgumentParser:
    """The options of ``forgetting sweep``."""
    usage = "sweep [FILE] [--dry-run] [--output DIR] [--store DIR] [--workers N] [--stack auto|N|off] [--quiet] "
    usage += "[--SETTING VALUE ...]"
    parser = arguments.parser(usage, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "config",
        type=str,
        nargs="?",
        metavar="FILE",
        help="YAML file with a sweep; options override it; without one, the default sweep of --print_config",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print runs, operations, time and disk on this machine, and exit"
    )
    parser.add_argument(
        "--output", type=str, metavar="DIR", help=f"where the sweep's folder is made (default: {arguments.OUTPUT})"
    )
    parser.add_argument("--store", type=str, metavar="DIR", help=STORE_HELP)
    arguments.add_workers(parser)
    arguments.add_stack(parser, "off")
    arguments.add_spec(parser, SweepSpec, file_option=False)
    return parser


def sweep(given: Namespace) -> int:
    """Run a sweep, or estimate it."""
    spec = arguments.settings_of(given, SweepSpec)

    from forgetting.sweep.layout import construct_sweep
    from forgetting.sweep.sweep import run_sweep

    whole = construct_sweep(spec)
    if given.get("print_config"):
        sys.stdout.write(spec_files.dump(spec))
        return 0

    stack, executor = stack_of(given.get("stack") or "off"), executor_of(_executor(given, spec))
    output, store = Path(given.get("output", arguments.OUTPUT)), store_of(given)
    if given.get("dry_run"):
        from forgetting.sweep.cost import estimate_cost, show

        streams.say("measuring this machine with a small sweep of three shipped students: some ten seconds\n")
        show(estimate_cost(whole, executor, store))
        return 0
    folder = output / whole.folder_name
    folders.check_writable(folder, "output")
    arguments.set_sandbox(given)

    from forgetting.report.terminal import show as show_result

    again = resume_command(given, folder)
    quiet = bool(given.get("quiet"))
    result = training(
        lambda: run_sweep(spec, executor=executor, output=output, store=store, stack=stack, quiet=quiet), folder, again
    )
    if not quiet:
        show_result(result)
    return 0


def _executor(given: Namespace, spec: SweepSpec) -> Any:
    """The spec's executor, or ``--workers`` processes in place of its own ones."""
    workers, own = arguments.workers_of(given), executor_of(spec.executor)
    if workers is None:
        return spec.executor
    if not isinstance(own, Processes):
        raise UsageError(f"workers: must be left out with executor {spec.executor!r}, got {workers}")
    return {"name": "processes", "workers": workers} if workers else "inline"
