"""The command line: arguments in, an exit status out; every mistake is one line on stderr and status 2."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from jsonargparse import ArgumentParser, Namespace

from forgetting import __version__
from forgetting.cli import (
    advise,
    arguments,
    budget,
    check,
    claims,
    compare,
    folders,
    listing,
    report,
    simulate,
    streams,
    sweep,
)
from forgetting.errors import UsageError
from forgetting.study import settings

DESCRIPTION = """How much will a distilled student forget when it is fine-tuned, at which capacity and at which dose?

Students of many capacities are distilled, fed contaminating data, and measured again and again; the record, the
curves and a report are written to a folder. In the embedded world this takes a minute or two on two CPU cores."""

EXAMPLES = """  forgetting simulate                                   the quick study
  forgetting simulate --config experiments/quick.yaml   the same from its file
  forgetting check models/mine --data chats.jsonl       what your tuning costs
  forgetting sweep sweeps/quick.yaml                    thresholds
  forgetting resume runs/quick-0123abcd                 go on where it stopped
  forgetting claims results/section_4_*                 the paper's claims
  forgetting advise 34k --data dialogue                 what to do about it
  forgetting report runs/quick-0123abcd                 figures and report.html
  forgetting list contamination                         parts and their settings
"""

# A mistake of the code's, or of a part's: one line, and its place on request.
UNEXPECTED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, MemoryError)

Command = tuple[Callable[[], ArgumentParser], Callable[[Namespace], int], str]

COMMANDS: dict[str, Command] = {
    "simulate": (simulate.simulate_parser, simulate.simulate, "run a study, or continue it"),
    "sweep": (sweep.sweep_parser, sweep.sweep, "locate thresholds with as few runs as they need"),
    "resume": (simulate.resume_parser, simulate.resume, "continue a study from its folder"),
    "claims": (claims.parser, claims.claims, "judge the paper's claims on measured studies"),
    "report": (report.parser, report.report, "rebuild the views of studies from their records"),
    "check": (check.parser, check.check, "what fine-tuning a model on data of one's own costs, on one page"),
    "compare": (compare.parser, compare.compare, "pair two checkpoints, studies or lm-eval logs item by item"),
    "advise": (advise.parser, advise.advise, "try on a model of your own what keeps it from forgetting"),
    "distil": (simulate.distil_parser, simulate.distil, "make the students of a spec, without contaminating them"),
    "budget": (budget.parser, budget.budget, "measure accuracy against the thinking budget of a checkpoint"),
    "list": (listing.parser, listing.listing, "show the parts, their settings and the ladder of models"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Status: 0 done, 2 bad input or a failed write (one line on stderr), 130 interrupted."""
    streams.make_safe()
    try:
        status = _command(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except UsageError as error:
        return _fail(str(error))
    except KeyboardInterrupt as error:
        again = f"; continue with: {error.args[0]}" if error.args else ""
        streams.say(f"forgetting: interrupted{again}\n")
        return 130
    except BrokenPipeError:
        _close_stdout()
        return 141
    except RuntimeError as error:
        if "FORGETTING_TRACEBACK" in os.environ:
            raise
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return _fail(f"{_place(error)}{first}; set FORGETTING_TRACEBACK=1 to see where")
    except OSError as error:
        if error.filename is None:
            _close_stdout()
        return _fail(f"{error.filename or 'standard output'}: cannot be read or written: {folders.reason(error)}")
    except UNEXPECTED as error:
        if "FORGETTING_TRACEBACK" in os.environ:
            raise
        return _fail(
            f"{_place(error)}{type(error).__name__}: {str(error) or 'no more is known'}; "
            "set FORGETTING_TRACEBACK=1 to see where"
        )
    return status


def _command(argv: list[str]) -> int:
    chosen = next((a for a in argv if not a.startswith("-")), "")
    parser, command = _parser(chosen)
    try:
        given = parser.parse_args(argv, defaults=False)
    except SystemExit as done:
        return int(done.code or 0)
    except (argparse.ArgumentError, TypeError, ValueError, KeyError, RecursionError) as error:
        raise arguments.told(str(error), command or parser, of_sweep=chosen == "sweep") from None
    if "command" not in given:
        raise UsageError(f"command: must be one of {', '.join(COMMANDS)}; see forgetting --help")
    return COMMANDS[given.command][1](given[given.command])


def _parser(chosen: str) -> tuple[ArgumentParser, ArgumentParser | None]:
    """The whole parser, and that of the chosen command; the others stay empty, which saves their making."""
    parser = arguments.parser("COMMAND [OPTIONS]", DESCRIPTION, EXAMPLES)
    version = f"forgetting {__version__}"
    parser.add_argument("--version", action="version", version=version, help="print the version and exit")
    commands = parser.add_subcommands(
        required=False, dest="command", title="commands", description="forgetting COMMAND --help explains each of them"
    )
    for name, (make, _, help_text) in COMMANDS.items():
        commands.add_subcommand(name, make() if name == chosen else ArgumentParser(), help=help_text)
    return parser, commands.choices.get(chosen)


def _place(error: Exception) -> str:
    from forgetting import registry

    place = registry.place_outside(error)
    return f"{place}: " if place else ""


def _fail(message: str) -> int:
    line = "".join(c if c.isprintable() else " " if c.isspace() else f"\\x{ord(c):02x}" for c in message)
    streams.say(f"forgetting: error: {settings.shorten(line, 600)}\n")
    return 2


def _close_stdout() -> None:
    """Point stdout elsewhere, so that the interpreter's last flush cannot fail again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
