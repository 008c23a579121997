"""``report``: the views of studies, rebuilt from their records without torch."""

from __future__ import annotations

import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from forgetting.cli import arguments, folders
from forgetting.errors import UsageError

REPORT = """Rebuild every view of finished studies from their records: figures, TensorBoard events, report.html.

Figures are SVG; with --png also PNG, which later reports of the folder draw anew. With --index a table of all
studies in a folder is written as well, with --paper a page that has the paper's tables, figures and claims beside
what was measured; either alone where no study is named."""

EXAMPLES = "  forgetting report runs/*\n  forgetting report --index results\n  forgetting report --paper results\n"


def parser() -> ArgumentParser:
    """The options of ``forgetting report``."""
    command = arguments.parser("report [--index DIR] [--paper DIR] [FOLDER ...]", REPORT, EXAMPLES)
    command.add_argument("folders", nargs="*", type=str, default=None, metavar="FOLDER", help="studies' folders")
    command.add_argument("--png", action="store_true", help="figures as PNG as well")
    command.add_argument(
        "--index", type=str, metavar="DIR", help="write DIR/README.md, a row for each study that is in DIR"
    )
    command.add_argument(
        "--paper", type=str, metavar="DIR", help="write docs/paper.md beside DIR: the paper re-measured by its studies"
    )
    return command


def report(given: Namespace) -> int:
    """Rebuild the views."""
    from forgetting.analysis.record_reading import read_record, shown

    named = given.get("folders") or []
    if not named and given.get("index") is None and given.get("paper") is None:
        raise UsageError("folder: must be at least one study's folder (or --index DIR, --paper DIR), got none")
    paper = None if given.get("paper") is None else folders.existing(given.paper, "paper")
    index = None if given.get("index") is None else folders.existing(given.index, "index")
    studies = [folders.existing(value, "folder") for value in named]
    for study in studies:
        read_record(study)
        folders.check_writable(study, "folder")

    from forgetting.report.build import PICTURES, VIEWS, build_views

    for study in studies:
        with shown(study):
            written = build_views(study, (*VIEWS, PICTURES) if given.get("png") else VIEWS)
        sys.stdout.write(_written(study, written))
    if index is not None:
        from forgetting.report.index import write_index

        folders.check_writable(index, "index")
        sys.stdout.write(f"{write_index(index)}\n")
    if paper is not None:
        from forgetting.report.paper import write_paper

        page = paper.resolve().parent / "docs" / "paper.md"
        folders.check_writable(page.parent, "paper")
        page.parent.mkdir(exist_ok=True)
        sys.stdout.write(f"{write_paper(paper.resolve(), page)}\n")
    return 0


def _written(study: Path, paths: list[Path]) -> str:
    """What was written of a study: its page first, then each file beside it, and of folders how many."""
    inside = [path.relative_to(study).parts for path in paths]
    files = [parts[0] for parts in inside if len(parts) == 1]
    lines = sorted((str(study / name) for name in files), key=lambda line: not line.endswith("report.html"))
    for name in dict.fromkeys(parts[0] for parts in inside if len(parts) > 1):
        count = sum(parts[0] == name for parts in inside)
        lines.append(f"{study / name}: {count} file{'' if count == 1 else 's'}")
    if any(parts[0] == "tensorboard" for parts in inside):
        lines.append(f"tensorboard --logdir {study / 'tensorboard'}")
    return "".join(f"{line}\n" for line in lines)
