"""The commands that train: ``simulate``, ``resume``, ``distil``. All is checked before anything heavy is imported."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from jsonargparse import ArgumentParser, Namespace

from forgetting.cli import arguments, folders
from forgetting.errors import UsageError, require
from forgetting.executors.stacking import stack_of
from forgetting.study import spec_files
from forgetting.study.estimates import table
from forgetting.study.fingerprints import study_fingerprint
from forgetting.study.study import construct

T = TypeVar("T")

SIMULATE = """Run a study: distil students of many capacities, feed them contaminating data, measure what they forget.

Without arguments this is the quick study in the embedded world (see --print_config). The study's folder is
OUTPUT/NAME-FINGERPRINT; running the same spec again continues it where it stopped."""

SIMULATE_EXAMPLES = """  forgetting simulate
  forgetting simulate --config experiments/quick.yaml --seeds 3
  forgetting simulate --name dose --ladder.students '[10k, 34k]' --doses.dose 10240 --shifts '[1.0, 0.2]'
  forgetting simulate --contaminations '[dialogue, {name: altered_syntax, form: snippet}]'
  forgetting simulate --seeds 5 --print_config > mine.yaml

Doses are counted in contaminating samples, capacities in parameters, rates per step.
"""

RESUME = """Continue a study that was interrupted; its numbers equal those of an uninterrupted run, bit for bit."""

STORE_HELP = "where teachers and students are kept by fingerprint (default: the user's cache folder)"

DISTIL = """Make the teacher and the students of a spec and keep them in the store (--export: also as checkpoints)."""


def simulate_parser() -> ArgumentParser:
    """The options of ``forgetting simulate``."""
    usage = "simulate [--config FILE] [--output DIR] [--store DIR] [--workers N] [--stack auto|N|off]"
    usage += " [--sandbox WORDS] [--quiet] [--SETTING VALUE ...]"
    parser = arguments.parser(usage, SIMULATE, SIMULATE_EXAMPLES)
    parser.add_argument(
        "--output", type=str, metavar="DIR", help=f"where the study's folder is made (default: {arguments.OUTPUT})"
    )
    parser.add_argument("--store", type=str, metavar="DIR", help=STORE_HELP)
    parser.add_argument(
        "--estimate", type=str, metavar="GPU", help="print memory and GPU-hours by student (a100, h100, h200), and exit"
    )
    arguments.add_workers(parser)
    arguments.add_stack(parser)
    arguments.add_spec(parser)
    return parser


def resume_parser() -> ArgumentParser:
    """The options of ``forgetting resume``."""
    parser = arguments.parser(
        "resume [--store DIR] [--workers N] [--stack auto|N|off] [--quiet] FOLDER",
        RESUME,
        "  forgetting resume runs/quick-0123abcd\n",
    )
    parser.add_argument("folder", type=str, metavar="FOLDER", help="a study's folder")
    parser.add_argument("--store", type=str, metavar="DIR", help=STORE_HELP)
    parser.add_argument(
        "--trust",
        action="store_true",
        help="go on with a folder from elsewhere although that runs code, starts programs or fetches what it names",
    )
    arguments.add_workers(parser)
    arguments.add_stack(parser, "as before")
    return parser


def distil_parser() -> ArgumentParser:
    """The options of ``forgetting distil``."""
    usage = "distil [--config FILE] [--store DIR] [--export DIR] [--workers N] [--quiet] [--SETTING VALUE ...]"
    example = "  forgetting distil --config experiments/reference_ladder.yaml --export students\n"
    parser = arguments.parser(usage, DISTIL, example)
    parser.add_argument("--store", type=str, metavar="DIR", help=STORE_HELP)
    parser.add_argument(
        "--export", type=str, metavar="DIR", help="write every student there as a Hugging Face checkpoint"
    )
    arguments.add_workers(parser)
    arguments.add_spec(parser)
    return parser


def simulate(given: Namespace) -> int:
    """Run a study."""
    spec = arguments.spec_of(given)
    study = construct(spec)
    if given.get("print_config"):
        return _print(spec_files.dump(spec))
    if "estimate" in given:
        return _print(table(study, given.estimate))
    workers, stack = arguments.workers_of(given), stack_of(given.get("stack") or "auto")
    output = Path(given.get("output", arguments.OUTPUT))
    folder = output / f"{spec.name}-{study_fingerprint(study)[:8]}"
    folders.check_study(folder, "output")
    store = store_of(given)
    arguments.set_sandbox(given)

    from forgetting.simulate import run_study

    training(
        lambda: run_study(
            spec, output=output, store=store, workers=workers, stack=stack, quiet=bool(given.get("quiet"))
        ),
        folder,
        "the same command" if spec.machine.backend.command else resume_command(given, folder),
    )
    return 0


def resume(given: Namespace) -> int:
    """Continue a study."""
    folder = folders.existing(given.folder, "folder")
    workers, stack = arguments.workers_of(given), stack_of(given.stack) if "stack" in given else None
    store = store_of(given)
    folders.check_study(folder, "folder")
    arguments.set_sandbox(given)

    quiet, trust = bool(given.get("quiet")), bool(given.get("trust"))
    if (folder / "sweep.json").is_file():
        from forgetting.executors import executor_of
        from forgetting.sweep.resume_sweep import resume_sweep

        own = {"name": "processes", "workers": workers} if workers else "inline"
        executor = None if workers is None else executor_of(own)
        work = partial(resume_sweep, folder, executor=executor, store=store, stack=stack, quiet=quiet, trust=trust)
    else:
        from forgetting.resume import resume

        work = partial(resume, folder, store=store, workers=workers, stack=stack, quiet=quiet, trust=trust)
    try:
        result = training(work, folder, resume_command(given, folder))
    except UsageError as error:
        raise UsageError(str(error) if str(folder) in str(error) else f"{folder}: {error}") from error
    if (folder / "sweep.json").is_file() and not quiet:
        from forgetting.report.terminal import show

        show(result)
    return 0


def distil(given: Namespace) -> int:
    """Make a ladder."""
    spec = arguments.spec_of(given)
    construct(spec)
    if given.get("print_config"):
        return _print(spec_files.dump(spec))
    workers = arguments.workers_of(given)
    store = store_of(given)
    arguments.set_sandbox(given)
    export = Path(given.export) if "export" in given else None
    if export:
        folders.check_writable(export, "export")

    from forgetting.executors.distilling import distil_ladder

    homes = training(
        lambda: distil_ladder(spec, store=store, export=export, workers=workers, quiet=bool(given.get("quiet"))),
        export or store or Path(),
        "the same command",
    )
    return 0 if given.get("quiet") else _print("".join(f"{home}\n" for home in homes))


def resume_command(given: Namespace, folder: Path) -> str:
    """What continues the study with the same store and workers."""
    options = [
        part
        for name in ("store", "workers", "stack", "sandbox")
        if name in given
        for part in (f"--{name}", str(given[name]))
    ]
    return shlex.join(["forgetting", "resume", *options, str(folder)])


def store_of(given: Namespace) -> Path | None:
    """The folder of ``--store``, checked to be writable."""
    if "store" not in given:
        return None
    require(given.store != "", "store", "a folder", given.store)
    folders.check_writable(Path(given.store), "store")
    return Path(given.store)


def training(work: Callable[[], T], folder: Path, again: str) -> T:
    """Do the work; a full disk names the folder, an interruption (Ctrl-C or SIGTERM) says how to go on."""
    before = (
        signal.signal(signal.SIGTERM, _terminated) if threading.current_thread() is threading.main_thread() else None
    )
    try:
        return work()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(again) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        place = error.filename or folder
        raise UsageError(f"{place}: cannot be read or written: {folders.reason(error)}") from error
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt


def _print(text: str) -> int:
    sys.stdout.write(text)
    return 0
