"""``list``: every part of every family with its settings, and the ladder with its sizes; as tables or as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from forgetting import registry
from forgetting.cli import arguments
from forgetting.contracts import FAMILIES
from forgetting.errors import require, unknown, wants
from forgetting.study import settings

LIST = """Show the parts with their settings, units and defaults, and the ladder of models.

A spec can name all of them but claims, which `forgetting claims` judges by rules. PART is the name of one part, or the
import path of a part of your own, whose module is then run.
"""

NAMES = ("models", *FAMILIES)


def parser() -> ArgumentParser:
    """The options of ``forgetting list``."""
    examples = "  forgetting list\n  forgetting list contamination\n  forgetting list models --json\n"
    examples += "  forgetting list mitigation my_package.parts.Homing\n"
    command = arguments.parser("list [--json] [FAMILY [PART]]", LIST, examples)
    command.add_argument(
        "family", nargs="?", type=str, metavar="FAMILY", help=f"one of {', '.join(NAMES)}; all without it"
    )
    command.add_argument("part", nargs="?", type=str, metavar="PART", help="the one to be shown; all without it")
    command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return command


def listing(given: Namespace) -> int:
    """Print the families."""
    chosen, part = given.get("family"), given.get("part")
    if chosen is not None and chosen not in NAMES:
        raise unknown("family", chosen, NAMES)
    require(part is None or chosen != "models", "part", "left out with models", part)
    families = {name: models() if name == "models" else parts(name, part) for name in ((chosen,) if chosen else NAMES)}
    if given.get("json"):
        sys.stdout.write(json.dumps(families, indent=1) + "\n")
    else:
        _print_tables(families)
    return 0


def parts(family: str, only: str | None = None) -> list[dict[str, Any]]:
    """Every member of a family, or one: name, what it is, settings with type, meaning (and unit) and default."""
    members = []
    for name in registry.names(family) if only is None else (only,):
        cls = registry.part_class(family, name)
        hints, notes = typing.get_type_hints(cls), settings.notes(cls)
        described = [
            {"name": f.name, "type": wants(hints[f.name]), "default": _default(f), "meaning": notes[f.name]}
            for f in dataclasses.fields(cls)
        ]
        members.append({"name": name, "what": settings.summary(cls), "settings": described})
    return members


def models() -> list[dict[str, Any]]:
    """Every architecture by strand: sizes, parameters in the embedded world's vocabulary, and what of it is shipped."""
    from forgetting.models import ladder
    from forgetting.record.store import MANIFEST, REFERENCE, manifest
    from forgetting.world.vocabulary import vocabulary

    words, shipped = len(vocabulary()), dict[str, list[str]]()
    for about in (manifest(path.parent) for path in sorted(REFERENCE.glob(f"*/{MANIFEST}"))):
        shipped.setdefault(about["made_from"]["architecture"]["name"], []).append(about["role"])
    return [
        {
            "name": a.name,
            "strand": strand,
            "hidden_size": a.hidden_size,
            "layers": a.layers,
            "loops": a.loops,
            "heads": a.heads,
            "key_value_heads": a.key_value_heads,
            "head_dim": a.head_dim,
            "intermediate_size": a.intermediate_size,
            "parameters": a.parameters(words),
            "non_embedding": a.non_embedding(),
            "shipped": ", ".join(shipped.get(a.name, [])),
        }
        for strand, rungs in ladder.STRANDS.items()
        for a in rungs
    ]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else "(must be given)"


def _print_tables(families: dict[str, list[dict[str, Any]]]) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140)
    for family, members in families.items():
        console.print(f"\n[bold]{family}[/bold]", highlight=False)
        console.print(_model_table(members) if family == "models" else _part_table(members))


def _model_table(rungs: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("name", no_wrap=True)
    sizes = "hidden\nsize", "layers", "loops", "heads", "kv\nheads", "head\nsize", "feed-\nforward"
    for column in (*sizes, "total\nparameters", "non-embedding\nparameters"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("shipped", no_wrap=True)
    table.add_column("strand", no_wrap=True)
    for rung in rungs:
        numbers = [f"{value:,}" for value in rung.values() if isinstance(value, int)]
        table.add_row(rung["name"], *numbers, rung["shipped"] or "-", rung["strand"])
    return table


def _part_table(members: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_lines=False)
    for column in ("name", "setting", "default", "type", "meaning and unit"):
        table.add_column(column, overflow="fold")
    for member in members:
        table.add_row(f"[bold]{escape(member['name'])}[/bold]", "", "", "", escape(member["what"]))
        for setting in member["settings"]:
            cells = setting["name"], json.dumps(setting["default"]), setting["type"], setting["meaning"]
            table.add_row("", *map(escape, cells))
    return table
