"""``report``: the views of studies, rebuilt from their records without torch."""

from __future__ import annotations

import sys

from jsonargparse import ArgumentParser, Namespace

from forgetting.cli import arguments, folders
from forgetting.errors import UsageError

REPORT = """Rebuild every view of finished studies from their records: figures, TensorBoard events, report.html.

With --index a table of all studies in a folder is written as well, or alone where no study is named."""

EXAMPLES = "  forgetting report runs/*\n  forgetting report --index results\n"


def parser() -> ArgumentParser:
    """The options of ``forgetting report``."""
    command = arguments.parser("report [--index DIR] [FOLDER ...]", REPORT, EXAMPLES)
    command.add_argument("folders", nargs="*", type=str, default=None, metavar="FOLDER", help="studies' folders")
    command.add_argument(
        "--index", type=str, metavar="DIR", help="write DIR/README.md, a row for each study that is in DIR"
    )
    return command


def report(given: Namespace) -> int:
    """Rebuild the views."""
    from forgetting.analysis.record_reading import read_record, shown

    named = given.get("folders") or []
    if not named and given.get("index") is None:
        raise UsageError("folder: must be at least one study's folder (or --index DIR), got none")
    index = None if given.get("index") is None else folders.existing(given.index, "index")
    studies = [folders.existing(value, "folder") for value in named]
    for study in studies:
        read_record(study)
        folders.check_writable(study, "folder")

    from forgetting.report.build import build_views

    for study in studies:
        with shown(study):
            written = build_views(study)
        sys.stdout.write("".join(f"{path}\n" for path in written))
    if index is not None:
        from forgetting.report.index import write_index

        folders.check_writable(index, "index")
        sys.stdout.write(f"{write_index(index)}\n")
    return 0
