"""The paper re-measured: a folder of results in, one page out that has what the paper says beside what was measured.

Every table, figure and claim of *Thinking is Fragile* stands in the paper's own form (``paper.yaml``). Verdicts are
those that studies reached by their registered rules: the page reads them from ``claims.json`` and ``orderings.csv``
of every folder and judges nothing itself. Where several folders judged a claim, the one that measured most is shown,
by the rule of ``claims.judging.judge``. What no folder has is a line that says what it would take.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from forgetting.analysis.record_reading import read_record
from forgetting.analysis.study_folder import open_study
from forgetting.claims.judging.decision import UNTESTABLE
from forgetting.errors import UsageError
from forgetting.record.field_kinds import FLAG, NONE, NUMBER, TEXT, WHOLE, check_shape, maybe
from forgetting.record.files import write_atomically
from forgetting.record.reading import check_texts, first_line, opened, read_bytes
from forgetting.report.index import former
from forgetting.report.paper_tables import MarkdownRow, as_table, as_words, link_to, losses, table_1

HEAD = """# "Thinking is Fragile", re-measured

Made by `forgetting report --paper {results}`; do not edit. What the paper says about Qwen3 models of 4B to 235B
parameters stands beside what was measured on students of ten thousand to some hundred thousand parameters in an
embedded world ([world.md](world.md)). Such students can show the *shape* of a claim: whether there is a loss, an
order, a step. They say nothing of a threshold at 4B, and nothing is extrapolated; where a claim would have to be
tested at that size is named.

Verdicts are those of the studies, reached by rules that were written down before the runs
([claims.md](claims.md), [log](../experiments/LOG.md)); this page only assembles them. Intervals are 95% and of students
unless they say otherwise. *Exploratory* marks what lacks something that a published finding takes.
"""
WORDS = {"supported": "supported", "contradicted": "contradicted", "inconclusive": "inconclusive",
         "not_testable": "not testable at these sizes"}  # fmt: skip
GLANCE = ("claim", "the paper", "verdict", "measured")
ENDS = {"value": (NUMBER, NONE), "low": (NUMBER, NONE), "high": (NUMBER, NONE)}
VERDICT = {  # what the page takes from a verdict
    **dict.fromkeys(("claim", "verdict", "reason", "study", "conditions"), TEXT), "exploratory": FLAG,
    **dict.fromkeys(("seeds", "sizes", "items", "rules_version"), WHOLE), "missing": [TEXT],
    "parts": [{
        **dict.fromkeys(("name", "statistic", "outcome", "note"), TEXT), "sizes": WHOLE, **ENDS,
        "by_size": [{"student": TEXT, **ENDS, "value": NUMBER}],
    }],
    "rivals": [dict.fromkeys(("text", "state", "evidence"), TEXT)],
    "zones": maybe([{"capacity": WHOLE, "zone": TEXT, "probability": NUMBER}], NONE),
}  # fmt: skip
BRANCH_TABLE, ORDERINGS_FILE, CLAIMS_FILE = "branch_table.csv", "orderings.csv", "claims.json"


def write_paper(results: Path, target: Path) -> Path:
    """Write the page of a folder of results as ``target``.

    Raises:
        UsageError: a folder without a study, a broken ``claims.json`` or ``orderings.csv``, another page in its place
    """
    title = HEAD.partition("\n")[0]
    if target.is_file() and not read_bytes(target).startswith(title.encode()):
        raise UsageError(f"{target}: is a page of another kind, which is not written over; move it away")
    write_atomically(target, page_of(results, Path("..") / results.name))
    return target


def page_of(results: Path, link: Path) -> str:
    """The page as Markdown; ``link`` leads from where it stands to the folder of results."""
    folders = sorted(path.parent for path in results.glob("*/record.json"))
    if not folders:
        raise UsageError(f"paper: must be a folder with studies, got {str(results)!r}, which has none")
    paper = yaml.safe_load(resources.files("forgetting.report").joinpath("paper.yaml").read_text(encoding="utf-8"))
    studies = [open_study(folder) for folder in folders]
    verdicts = {name: _judged(folders, name) for name in paper["claims"]}
    parts = [
        HEAD.format(results=results.name),
        "## At a glance\n",
        as_table(GLANCE, [_glance(name, claim, verdicts[name]) for name, claim in paper["claims"].items()]),
        "## Table 1: perturbed problems\n", _as_paper(paper["table_1"]), table_1(studies, link),
        "## Table 2: ways of distilling\n", _as_paper(paper["table_2"]), _tables(folders, BRANCH_TABLE, link)
        or f"Not measured: it takes {paper['claims']['C4']['takes']}.\n",
        "## Section 4.1: what dialogue and altered syntax cost\n", losses(studies, paper["figures"], link),
        "## Section 4.2: zones\n", _zones(verdicts["C9"], link, paper["claims"]["C9"]),
        "## Claims one by one\n", *(_claim(n, c, verdicts[n], folders, link) for n, c in paper["claims"].items()),
        "## What several papers agree on\n", _orderings(folders, paper["orderings"], link),
    ]  # fmt: skip
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _judged(folders: Iterable[Path], claim: str) -> list[tuple[Path, dict[str, Any]]]:
    """Every verdict on a claim, with the folder it stands in, the one that measured most first."""
    found = []
    for folder in folders:
        path = folder / CLAIMS_FILE
        if path.is_file():
            try:
                held = _plainly(json.loads(read_bytes(path)))
                check_texts(held)
                check_shape(held, [VERDICT], "")
                if other := {one["verdict"] for one in held} - set(WORDS):
                    raise ValueError(f"no verdict is called {', '.join(sorted(other))}")
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}: not readable as verdicts ({first_line(error)})") from None
            found += [(folder, one) for one in held if one["claim"] == claim]
    return sorted(found, key=lambda pair: _measured(pair[1]), reverse=True)


def _plainly(value: Any) -> Any:
    """The same values, their texts such that they can stand in the page."""
    if isinstance(value, dict):
        return {as_words(name): _plainly(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_plainly(one) for one in value]
    return as_words(value) if isinstance(value, str) else value


def _measured(verdict: dict[str, Any]) -> tuple[int, ...]:
    """How much a verdict rests on: parts tested, needs missing, seeds, sizes and items (as ``judge`` ranks studies).

    Where no part was tested, a study that names what it lacked was meant for the claim, and the others were not.
    """
    tested, lacks = sum(part["outcome"] != UNTESTABLE for part in verdict["parts"]), len(verdict["missing"])
    return tested, -lacks if tested else lacks, verdict["seeds"], verdict["sizes"], verdict["items"]


def _glance(name: str, claim: dict[str, Any], found: list[tuple[Path, dict[str, Any]]]) -> MarkdownRow:
    if not found:
        return f"[{name}](#{name.lower()})", claim["says"], "open: not judged yet", "–"
    verdict = found[0][1]
    return f"[{name}](#{name.lower()})", claim["says"], _verdict_words(verdict), _effects(verdict)


def _verdict_words(verdict: dict[str, Any]) -> str:
    mark = ", exploratory" if verdict["exploratory"] and verdict["verdict"] != "not_testable" else ""
    return f"**{WORDS[verdict['verdict']]}**{mark}"


def _effects(verdict: dict[str, Any]) -> str:
    known = [part for part in verdict["parts"] if part["value"] is not None and part["outcome"] != UNTESTABLE]
    return "; ".join(f"{part['name']} {_interval(part)}, {part['outcome']}" for part in known) or "–"


def _interval(part: dict[str, Any]) -> str:
    low, high = ("open" if part[side] is None else f"{part[side]:+.2f}" for side in ("low", "high"))
    return f"{part['value']:+.2f} ({low} to {high})"


def _claim(
    name: str, claim: dict[str, Any], found: list[tuple[Path, dict[str, Any]]], folders: Iterable[Path], link: Path
) -> str:
    """One claim with everything that stands behind its verdict."""
    lines = [f"### {name}\n", f"*{claim['says']}* ({claim['where']})\n"]
    if not found:
        rivals = f" Rivals to tell apart: {claim['rivals']}." if "rivals" in claim else ""
        lines.append(
            f"- Verdict: **open**, no study of `{link.name}/` has judged it. It would take {claim['takes']}.{rivals}"
        )
    else:
        folder, verdict = found[0]
        sizes = sorted({part["sizes"] for part in verdict["parts"] if part["outcome"] != UNTESTABLE})
        many = " to ".join(map(str, [sizes[0], sizes[-1]] if len(sizes) > 1 else sizes or [0]))
        n = f"{many} sizes, {verdict['seeds']} students a size, {verdict['items']} items"
        lines.append(f"- Verdict: {_verdict_words(verdict)} ({verdict['reason']}); {n}.")
        for part in verdict["parts"]:
            value = f"{_interval(part)}: {part['outcome']}" if part["value"] is not None else part["outcome"]
            note = f" ({part['note']})" if part["note"] else ""
            lines.append(f"- {part['name']}: {part['statistic']}; {value}{note}.")
            each = ", ".join(f"{one['student']} {_interval(one)}" for one in part["by_size"])
            lines += [f"  By size: {each}."] if each else []
        for rival in verdict["rivals"]:
            lines.append(f"- Rival: {rival['text']}: {rival['state']} ({rival['evidence']}).")
        if verdict["missing"]:
            lines.append(f"- What a published verdict would take besides: {'; '.join(verdict['missing'])}.")
        if verdict["verdict"] in ("inconclusive", "not_testable"):
            lines.append(f"- It would take {claim['takes']}.")
        study = f"{verdict['study']}, {verdict['conditions']}"
        where = link_to(folder, CLAIMS_FILE, link)
        lines.append(f"- Study: {study}; verdict in {where}, rules version {verdict['rules_version']}.")
        others = [
            f"{WORDS[own['verdict']]} on {own['study']} ({link_to(place, CLAIMS_FILE, link)})"
            f"{former(read_record(place))}"
            for place, own in found[1:]
            if own["verdict"] != "not_testable" and own["study"] != verdict["study"]
        ]
        lines += [f"- Also judged: {'; '.join(others)}."] if others else []
    lines.append(f"- At 4B: {_code(claim['large'])}.")
    if "part" in claim and (tables := _tables(folders, claim["part"]["file"], link)):
        lines.append(f"- Of its parts was measured: {claim['part']['says']}.\n\n{tables}")
    return "\n".join(lines)


def _tables(folders: Iterable[Path], file: str, link: Path) -> str:
    """The table of this name of every study that has one."""
    lines = []
    for folder in folders:
        if (path := folder / file).is_file():
            frame = _frame(path)
            rows = [[_cell(v) for v in row] for row in frame.to_numpy(object)]
            lines += [f"Measured, from {link_to(folder, file, link)}:\n", as_table(list(map(str, frame.columns)), rows)]
    return "\n".join(lines)


def _zones(found: list[tuple[Path, dict[str, Any]]], link: Path, claim: dict[str, Any]) -> str:
    """The zones of the measured ladder with their probabilities."""
    own = [(folder, verdict) for folder, verdict in found if verdict.get("zones")]
    paper = (
        "The paper: below 4B erased by almost any data, 4B to 14B vulnerable above 5% shift, 32B and more retained.\n"
    )
    if not own:
        return f"{paper}\nNot measured: it takes {claim['takes']}.\n"
    folder, verdict = own[0]
    rows = [
        [f"{zone['capacity']:,}", _kept(zone, "0.5"), _kept(zone, "0.05"), zone["zone"], f"{zone['probability']:.2f}"]
        for zone in verdict["zones"]
    ]
    head = ["parameters", "retention at shift .5", "at shift .05", "zone", "probability"]
    about = f"Measured ({verdict['conditions']}; {link_to(folder, CLAIMS_FILE, link)}):\n"
    return f"{paper}\n{about}\n{as_table(head, rows)}"


def _kept(zone: dict[str, Any], shift: str) -> str:
    value, low, high = (zone.get(f"retention_{shift}{end}") for end in ("", "_low", "_high"))
    return "–" if value is None else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _orderings(folders: Iterable[Path], known: dict[str, Any], link: Path) -> str:
    """S1 to S10: by ordering how many cells of every study pass, fail or stay open."""
    judged: dict[str, list[str]] = {name: [] for name in known}
    outcomes: dict[str, set[str]] = {name: set() for name in known}
    for folder in folders:
        if not (path := folder / ORDERINGS_FILE).is_file():
            continue
        frame = _frame(path, "ordering", "verdict")
        for name, rows in frame.groupby("ordering", sort=False):
            if str(name) in judged:
                counts = rows["verdict"].value_counts()
                said = ", ".join(f"{counts[v]} {v}" for v in ("pass", "fail", "open") if v in counts)
                judged[str(name)].append(f"{said} ({link_to(folder, ORDERINGS_FILE, link)})")
                outcomes[str(name)] |= set(map(as_words, counts.index))
    lines: list[MarkdownRow] = []
    for name, (says, sources, takes) in known.items():
        found = outcomes[name]
        verdict = next(iter(found)) if len(found) == 1 else "open" if not found or "fail" in found else "pass in part"
        lines.append(
            [name, says, sources, f"**{verdict}**", "; ".join(judged[name]) or f"not judged; it takes {_code(takes)}"]
        )
    about = (
        "Each size and statistic is a cell that its study judged; an ordering passes or fails where all its cells do, "
        "passes in part where none fails, and is open where they disagree or none was judged. Sources are arXiv "
        "numbers.\n"
    )
    return about + "\n" + as_table(["", "says", "sources", "verdict", "cells, or what it would take"], lines)


def _frame(path: Path, *columns: str) -> pd.DataFrame:
    """A table in a CSV file. ``UsageError`` where it is none, or lacks one of these columns."""
    try:
        with opened(path) as file:
            frame = pd.read_csv(file).rename(columns=as_words)
    except ValueError as error:  # of which pandas makes its own
        raise UsageError(f"{path}: not readable as a table ({first_line(error)})") from None
    if missing := [name for name in columns if name not in frame]:
        raise UsageError(f"{path}: must have the columns {' and '.join(columns)}, lacks {', '.join(missing)}")
    return frame


def _as_paper(table: dict[str, Any]) -> str:
    return f"The paper's *{table['title']}*:\n\n{as_table(table['columns'], table['rows'])}"


def _code(text: str) -> str:
    """A file that stands first in code type, anything else as it is."""
    first, _, rest = text.partition(" ")
    return f"`{first.rstrip(',')}`{',' * first.endswith(',')} {rest}".rstrip() if "/" in first else text


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "–" if value != value else f"{value:.3g}"
    return as_words(value)
