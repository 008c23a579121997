"""Verdicts for the terminal: verdicts in, a table, a paragraph a claim and the table of zones out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from forgetting.analysis.thresholds.zones import ZONES, zone_table
from forgetting.claims.judging.decision import UNTESTABLE, ClaimPart
from forgetting.claims.judging.verdict import ClaimVerdict, VerdictStatus

COLOURS = {"supported": "green", "contradicted": "red", "inconclusive": "yellow", "not_testable": "dim"}


def show(verdicts: Sequence[ClaimVerdict], console: Console | None = None) -> None:
    """Print the table, then what stands behind each verdict."""
    out = console or Console(highlight=False)
    for item in renderables(verdicts):
        out.print(item)


def renderables(verdicts: Sequence[ClaimVerdict]) -> Iterator[RenderableType]:
    """What ``show`` prints."""
    version = verdicts[0].rules_version if verdicts else 0
    table = Table(title=f"Claims of the paper (rules version {version})", title_justify="left", expand=False)
    for name in ("claim", "verdict", "part", "effect", "sizes x seeds x items", "Holm p"):
        table.add_column(name, min_width=14 if name == "verdict" else None, no_wrap=name in ("part", "effect"))
    for verdict in verdicts:
        part, mark = verdict.primary, Text(verdict.status.title, COLOURS[verdict.verdict])
        if verdict.exploratory and verdict.status is not VerdictStatus.not_testable:
            mark.append("\nexploratory", "dim")
        n = f"{verdict.sizes} x {verdict.seeds} x {verdict.items:,}" if verdict.sizes else ""
        p = f"{verdict.p:.3f}" if math.isfinite(verdict.p) else ""
        table.add_row(verdict.claim, mark, part.name, _effect(part), n, p)
    yield table
    for verdict in verdicts:
        yield _paragraph(verdict)
    for verdict in verdicts:
        if verdict.zones is not None:
            yield _zones(verdict)


def _effect(part: ClaimPart) -> str:
    if part.outcome == UNTESTABLE:
        return ""
    return f"{part.value:+.2f} [{part.low:+.2f}, {part.high:+.2f}]"


def _paragraph(verdict: ClaimVerdict) -> Text:
    lines = [f"\n[bold]{verdict}[/bold]. {escape(verdict.title)}.", f"  because   {escape(verdict.reason)}"]
    lines.append(f"  paper     {escape(verdict.paper)}")
    lines.append(f"  measured  {escape(verdict.study)}: {escape(verdict.conditions)}")
    for part in verdict.parts:
        margin = "one rung spacing, " if part.direction == "shape" else ""
        side = f"{part.direction} {margin}{part.margin:g}" if part.direction != "shape" or part.margin else "narrow"
        found = f"{_effect(part)} {part.outcome}" if part.outcome != UNTESTABLE else part.outcome
        note = f" ({part.note})" if part.note else ""
        lines.append(escape(f"  {part.name}: {part.statistic}; claimed {side}: {found}{note}"))
        if part.by_size:
            sizes = ", ".join(f"{e.student} {e.value:+.2f} [{e.low:+.2f}, {e.high:+.2f}]" for e in part.by_size)
            lines.append(escape(f"    by size  {sizes}"))
    for rival in verdict.rivals:
        lines.append(escape(f"  rival     {rival.text}: {rival.state} ({rival.evidence})"))
    lines += [escape(f"  note      {note}") for note in verdict.notes]
    lines += [escape(f"  missing   {need}") for need in verdict.missing]
    if verdict.verdict in ("inconclusive", "not_testable"):
        lines.append(f"  remedy    {escape(verdict.remedy)}")
    return Text.from_markup("\n".join(lines))


def _zones(verdict: ClaimVerdict) -> RenderableType:
    """The table of section 4.2, then the probability of every zone at each capacity."""
    frame = verdict.zones
    assert frame is not None
    table = Table(title=f"\nZones of the measured ladder ({verdict.conditions})", title_justify="left")
    for name in ("zone", "capacities", "probability", "the paper"):
        table.add_column(name)
    for row in zone_table(frame).to_dict("records"):
        apart = "" if row["contiguous"] else " (not in one piece)"
        table.add_row(str(row["zone"]), f"{row['capacities']}{apart}", f"{row['probability']:.2f}", str(row["paper"]))
    each = Table(title="Probability of each zone by capacity", title_justify="left")
    for name in ("capacity", "zone", *ZONES, "R at shift .5", "R at shift .05"):
        each.add_column(name, justify="left" if name == "zone" else "right")
    for row in frame.to_dict("records"):
        chances = [f"{row[f'p_{zone}']:.2f}" for zone in ZONES]
        kept = ["" if pd.isna(row[f"retention_{s}"]) else f"{row[f'retention_{s}']:.2f}" for s in ("0.5", "0.05")]
        each.add_row(f"{row['capacity']:,}", str(row["zone"]), *chances, *kept)
    whole = Table.grid()
    whole.add_row(table)
    whole.add_row(each)
    return whole
