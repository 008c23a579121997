"""A study as ``report.html``: one file with the answer first, its figures inline, and every number behind them.

A page has a limit of bytes. What does not fit is left out from the least important end, and named with the file that
has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from forgetting.analysis.differences import differences
from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.tuning_cost import costs
from forgetting.record.places import inside
from forgetting.record.schema import RUN_KEY
from forgetting.report import first_screen, inline_svg, next_steps, tables, topics
from forgetting.report.sweeps.read import read_sweep

CAPTIONS = {
    "retention": (
        "Dashed lines: .9 (retained) and .5 (half lost). Bands: 95%, paired hierarchical bootstrap; where no item has "
        "changed, what items that were not asked may have done."
    ),
    "likelihood": (
        "A skill that some student had not learned: its accuracy cannot carry the curve, and what the gold answers "
        "tell does: the rise of their NLL since dose 0, the share of their written-out steps that answers have, and KL "
        "from the student as it was. Means over seeds; bands: 95% over the items of the first seed, paired with dose 0."
    ),
    "depth": "Loss grows with depth by itself: at per-step accuracy q, k steps score q to the power k.",
    "coverage": "Common and rare: how much of the original training data is of the item's kind.",
    "perturbation": "The same problems in other words, names, orders or numbers. Bars: 95% intervals.",
    "plasticity": (
        "Plasticity is the fall of the contaminating task's validation NLL, as a share of the fall to the lowest NLL "
        "that any student reached on this source in this study."
    ),
    "failures": (
        "Classes of failure from the top of the tree (docs/failures.md): greys are no solutions at all, colours are "
        "solutions that went wrong. Left: shares of all items; right: of the wrong answers, where there are ten. The "
        "control arm stands beside. Light green: right answers by wrong steps."
    ),
    "readings": (
        "Means over students by size; bands: 95%, Student's t over students. Dotted: the share of well-formed answers. "
        "What steps in accuracy but not beside it is lost in form or in the metric; what is gone at equal learning was "
        "speed."
    ),
    "rates": "Arms that differ in nothing but the multiple of the learning rate.",
}
OF_AN_ARM = "retention likelihood readings depth-maths depth-code coverage perturbation plasticity".split()
COST_COLUMNS = "skill items dose accuracy_0 accuracy retention low high below_from not_excluded status".split()
LIMITS = {"study": 1_000_000, "sweep": 2_000_000, "large": 3_000_000}  # bytes of a page; large: above 200 runs
LARGE = 200  # runs
MOST_SIZES = 8  # that are all named
ORDER = "answer sweep-capacity retention sweep-policies sweep-shape readings rates front replay likelihood".split()
LAST = "sweep-surface sweep-calibration sweep-cost".split()  # of the kinds of figures; all others lie between
WHOLE = frozenset(  # columns of counts, also where some have none
    "depth capacity dose below_from items seeds smallest largest sizes runs failed grid strengths students compared "
    "parameters candidates shares".split()
)
LONG = 40  # characters from which a cell is broken into lines
CURVE_COLUMNS = "student curve dose accuracy retention low high delta_nll items seeds status".split()


def page(study: StudyFolder, vector: dict[str, str]) -> str:
    """The report as HTML text: nothing is fetched from anywhere, and its only script sorts tables."""
    template = _environment().get_template("report.html.jinja")
    figures, shapes = inline_svg.inline(vector)
    pieces: dict[str, Markup] = {}  # what may be left out, most important first
    for name in sorted(figures, key=_rank):
        pieces[f"figures/{name}.svg"] = figures[name]
    inline = {name: _token(f"figures/{name}.svg") for name in figures}
    sweep, shown, thresholds = read_sweep(study), list(study.arm_names), None
    if sweep is not None:
        from forgetting.report.sweeps import views  # with scipy.stats and all else that only thresholds need

        thresholds = views.page(sweep, inline, _html_table)
        shown = [name for name in views.main_arms(sweep) if name in study.arm_names]
    text = template.render(
        study=study,
        shapes=shapes,
        first=first_screen.first_screen(study),
        next=next_steps.next_steps(study),
        sizes=_sizes(study),
        first_figures=[figure for name, figure in inline.items() if name.startswith("answer-")],
        record=study.record,
        sweep=thresholds,
        undrawn=[name for name in study.arm_names if name not in shown],
        sections=_sections(study, inline, shown, pieces),
        cost=_cost(study) if sweep is None else "",
        last=_html_table(tables.at_last_dose(study)),
        passing=_html_table(study.passing) if len(study.passing) else "",
        statuses=tables.statuses(study).to_dict("records"),
        diverged_lines=tables.diverged_lines(study),
        rate_lines=[*tables.rate_lines(study), *tables.risen_lines(study)],
        controls=tables.controls(study),
        seeds=tables.seeds_text(study),
        floor_text=tables.floor_text(study),
        floor=_html_table(study.noise_floor),
        differences=_html_table(differences(study)) if len(differences(study)) else "",
        wall_seconds=_html_table(tables.wall_seconds(study)),
        process_seconds=_html_table(tables.process_seconds(study)),
        topics=topics.sections(study, inline),
        html=_html_table,
        rates=[figure for name, figure in inline.items() if name.startswith("rates-")],
        captions=CAPTIONS,
        undrawn_files=_undrawn_files(study, vector),
        spec=json.dumps(study.record.get("spec", {}), indent=2, default=str),
    )
    return _filled(text, pieces, _limit(study, sweep is not None))


def _sizes(study: StudyFolder) -> str:
    """Of how many parameters the students are, in brackets: all of a few, else from which to which."""
    known = sorted((int(s["capacity"]), str(s["name"])) for s in study.record.get("students", []) if "capacity" in s)
    if not known:
        return ""
    seeds = study.record.get("seeds", {})
    fresh = 0 if seeds.get("shared_students", True) else len(seeds.get("distillation", []))
    each = f"; {fresh} fresh ones of each" if fresh > 1 else ""
    if len(known) > MOST_SIZES:
        return f" ({known[0][1]} to {known[-1][1]}: {known[0][0]:,} to {known[-1][0]:,} parameters{each})"
    return f" ({', '.join(f'{name}: {size:,}' for size, name in known)} parameters{each})"


def _undrawn_files(study: StudyFolder, vector: Mapping[str, str]) -> list[str]:
    """Figures in a folder without its ledger that were not drawn from what it has: they stay as they are."""
    if study.ledger is not None:
        return []
    pictures = [path for path in inside(study.folder / "figures") if path.suffix in (".svg", ".png")]
    return [path.name for path in pictures if path.stem not in vector and path.name.isprintable()]


def _limit(study: StudyFolder, is_sweep: bool) -> int:
    """How many bytes the page may have."""
    runs = len(study.scores[list(RUN_KEY)].drop_duplicates())
    return LIMITS["sweep" if is_sweep else "large" if runs > LARGE else "study"]


def _rank(name: str) -> int:
    """Where a figure stands among those that a page must keep, by its kind."""
    kinds = [*ORDER, "", *LAST]
    return next((place for place, kind in enumerate(kinds) if kind and name.startswith(kind)), len(ORDER))


def _token(name: str) -> Markup:
    return Markup("<!--piece {}-->").format(name)  # escaped, so that no name ends the comment


def _filled(text: str, pieces: Mapping[str, Markup], limit: int) -> str:
    """The page with its pieces in their places, or, beyond the limit, the name of the file that has them."""
    room, kept = limit - len(text.encode()), {}
    for name, piece in pieces.items():
        note = f'<p class="small">Left out of this page for its size: {escape(name.split("#")[0])}</p>'
        size, count = len(piece.encode()), text.count(_token(name))
        kept[_token(name)] = str(piece) if size <= room else note
        room -= count * len(kept[_token(name)].encode())
    return re.sub("<!--piece .*?-->", lambda found: kept[Markup(found[0])], text)


def _cost(study: StudyFolder) -> Markup | str:
    """What a single student lost in each arm; nothing where there are several, whose curves say more."""
    students = {student for arm in study.arms.values() for student in arm.curves}
    if len(students) != 1:
        return ""
    (student,) = students
    rows = [{"arm": arm.name, **vars(row)} for arm in study.arms.values() for row in costs(arm, student)]
    frame = pd.DataFrame(rows, columns=["arm", *COST_COLUMNS])
    return _html_table(frame.astype({"below_from": "Int64"})) if rows else ""


def notebook(study: StudyFolder) -> str:
    """A short HTML view of a study for notebooks."""
    columns = ["arm", "student", "skill", "dose", "retention", "low", "high", "status"]
    head = Markup("<p><b>{}</b>: retention at the last dose (full report: {})</p>")
    return str(head.format(study.name, study.folder / "report.html") + _html_table(tables.at_last_dose(study)[columns]))


def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("forgetting.report", ".")
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _sections(
    study: StudyFolder, inline: Mapping[str, Markup], arms: list[str], pieces: dict[str, Markup]
) -> list[dict[str, Any]]:
    """One section an arm: its figures, then the numbers drawn in them, which are the last that a page keeps."""
    learnt, sections = tables.plasticity(study), []
    names = {*OF_AN_ARM, *(f"failures-{benchmark}" for benchmark in study.record.get("benchmarks", {}))}
    for name in arms:
        arm = study.arm(name)
        shown = [
            {"svg": svg, "caption": CAPTIONS[key.split("-")[0]]}
            for key, svg in inline.items()
            if key.removesuffix(name).rstrip("-") in names
        ]
        own = learnt[learnt["arm"] == name].drop(columns=["arm"])
        frame = arm.curves.to_frame()
        keys = [curve.key for curves in arm.curves.values() for curve in curves.values() for _ in curve.dose]
        found = {f"curves.csv#{name}": frame.assign(curve=keys)[CURVE_COLUMNS], f"scores.jsonl#{name}": own}
        pieces |= {place: _html_table(table) for place, table in found.items()}
        curves, plasticity = map(_token, found)
        sections.append({"arm": arm, "figures": shown, "curves": curves, "plasticity": plasticity})
    return sections


def _html_table(frame: pd.DataFrame) -> Markup:
    """A frame as an HTML table; numbers right-aligned in a fixed number of digits, what is undefined as a dash."""
    cells = [
        [_shown(value, name) for name, value in zip(frame.columns, row, strict=True)]
        for row in frame.itertuples(index=False)
    ]
    kinds = [Markup(' class="n"') if pd.api.types.is_numeric_dtype(frame[name]) else "" for name in frame.columns]
    names = [str(name).replace("_", " ") for name in frame.columns]
    head = Markup("").join(Markup("<th{}>{}</th>").format(kind, name) for kind, name in zip(kinds, names, strict=True))
    body = Markup("").join(Markup("<tr>{}</tr>\n").format(Markup("").join(row)) for row in cells)
    table = Markup('<div class="table"><table class="data"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>')
    return _lean(table.format(head, body))


def _lean(table: Markup) -> Markup:
    """A table in fewer bytes: HTML ends cells and rows by itself, and most cells are numbers."""
    text = str(table).replace("</td>", "").replace("</th>", "").replace("</tr>", "")
    return Markup(text.replace("<td>", "<td class=t>").replace('<td class="n">', "<td>"))


def _shown(value: Any, column: str) -> Markup:
    if value is None or value is pd.NA or value != value:
        return Markup('<td class="n">–</td>')
    if isinstance(value, bool | str) or (not isinstance(value, int | float) and not hasattr(value, "dtype")):
        kind = Markup(' class="wrap"') if len(str(value)) > LONG else ""
        return Markup("<td{}>{}</td>").format(kind, value)
    if isinstance(value, int | np.integer) or column in WHOLE:
        return Markup('<td class="n">{}</td>').format(f"{int(value):,}")
    digits = 1 if column in ("seconds", "drop_points") else 3
    if column == "probability" or column.startswith("p_"):  # of a zone
        digits = 2
    return Markup('<td class="n">{}</td>').format(f"{float(value):.{digits}f}")
