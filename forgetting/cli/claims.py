"""``claims``: the paper's claims judged on measured studies, by rules that were fixed beforehand."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from forgetting.cli import arguments, folders, streams
from forgetting.errors import UsageError

CLAIMS = """Judge the claims of the paper on the results of studies and sweeps.

{claims}.

Each is judged in the study that measured most of what it takes, by statistic, direction, margin and needs of a
versioned rules file, with Holm's correction over the claims that were judged. A verdict is supported, contradicted,
inconclusive, or not testable at these sizes; it is marked exploratory where it lacks something that a published one
takes (5 seeds on fresh students, 500 items a cell, ...), and the lack is named."""

EXAMPLES = """  forgetting claims results/section_4_1-6afa3498
  forgetting claims results/section_4_* --output verdicts.json
  forgetting claims runs/section_4_2-0123abcd --rules my_rules.yaml --json
"""


def parser() -> ArgumentParser:
    """The options of ``forgetting claims``."""
    from forgetting.claims import read_rules

    titles = "; ".join(f"{name} {rule.title}" for name, rule in read_rules().claims.items())
    usage = "claims RESULTS [RESULTS ...] [--rules FILE] [--json] [--output FILE]"
    command = arguments.parser(usage, CLAIMS.format(claims=textwrap.fill(titles, 118)), EXAMPLES)
    command.add_argument("results", nargs="*", type=str, metavar="RESULTS", help="folders of studies or sweeps")
    command.add_argument("--rules", type=str, metavar="FILE", help="YAML file of rules (default: the package's own)")
    command.add_argument("--json", action="store_true", help="print the verdicts as JSON instead of tables")
    command.add_argument("--output", type=str, metavar="FILE", help="write the verdicts to FILE as JSON as well")
    return command


def claims(given: Namespace) -> int:
    """Judge, print, and write only where ``--output`` says."""
    named = given.get("results") or []
    if not named:
        raise UsageError("results: must be at least one folder of a study or sweep, got none")
    paths = [folders.existing(value, "results") for value in named]
    output = None if given.get("output") is None else Path(given.output)
    if output is not None:
        if output.suffix != ".json":
            raise UsageError(f"output: must be a file that ends in .json, got {str(output)!r}")
        folders.check_writable(output.parent, "output")

    from pyarrow import ArrowException

    from forgetting.analysis.study_folder import open_study
    from forgetting.claims import judge
    from forgetting.claims.judging import verdict_lines
    from forgetting.record.files import write_json
    from forgetting.report.tables import diverged_lines

    try:
        verdicts = judge(paths, given.get("rules"))
    except UsageError:
        raise
    except (ArrowException, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UsageError(f"results: must be readable studies, got {named} ({type(error).__name__}: {error})") from error
    plain = [verdict.to_dict() for verdict in verdicts]
    if output is not None:
        write_json(output, plain)
    if given.get("json"):
        sys.stdout.write(json.dumps(plain, indent=1, allow_nan=False) + "\n")
    else:
        verdict_lines.show(verdicts)
    streams.say("".join(f"{path}: {line}\n" for path in paths for line in diverged_lines(open_study(path))))
    return 0
