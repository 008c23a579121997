"""A study as ``report.html``: one file with its figures inline, every number behind them, and how they were made."""

from __future__ import annotations

import json
import re
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from forgetting.analysis.differences import differences
from forgetting.analysis.robustness import table_1
from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.tuning_cost import costs
from forgetting.report import answering_views, remedies, replay_views, robustness_views, tables
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
    "front": (
        "One line a method: the envelope of its strengths, rates and doses, chosen at each level on half of the "
        "students and shown on the others, as far as all of them learn; a cross where it ends before others. "
        "Bands: 95%, Student's t over students. Plain tuning has all its rates, every look as an end, and WiSE-FT."
    ),
    "replay": (
        "Bars: 90%, the level set along log share, by students. Arrows: none is needed, or more than was tried. Line: "
        "the better of two laws, a constant and (1 + B share) N parameters (arXiv 2502.06042), by the mean distance "
        "of sizes from the law fitted to the others."
    ),
    "readings": (
        "Means over students by size; bands: 95%, Student's t over students. Dotted: the share of well-formed answers. "
        "What steps in accuracy but not beside it is lost in form or in the metric; what is gone at equal learning was "
        "speed."
    ),
    "answering": (
        "Tokens are all that was written, inserted or dropped for an answer. Black: greedy decoding, then majority "
        "voting over more and more drawn answers, the control of all others. Hollow: controls of the way of that "
        "colour. Bars: 95%, Student's t over students."
    ),
    "robustness": (
        "Relative drop of accuracy against the original wording: the mean over a group of wordings; dashed, the worst "
        "of them for each problem. Renumbered is the reference: other items of the same kind. Bars: 95%, Student's t "
        "over students."
    ),
    "rates": "Arms that differ in nothing but the multiple of the learning rate.",
}
OF_AN_ARM = "retention likelihood readings depth-maths depth-code coverage perturbation robustness plasticity".split()
COST_COLUMNS = "skill items dose accuracy_0 accuracy retention low high below_from not_excluded status".split()
LONG = 40  # characters from which a cell is broken into lines
CURVE_COLUMNS = (
    "student capacity skill variant depth coverage dose accuracy accuracy_low accuracy_high retention low high "
    "relative_drop drop_points delta_nll items seeds status"
).split()


def page(study: StudyFolder, vector: dict[str, str]) -> str:
    """The report as HTML text: no script, nothing fetched from anywhere."""
    template = _environment().get_template("report.html.jinja")
    sweep, inline, shown, thresholds = read_sweep(study), _inline(vector), list(study.arm_names), None
    if sweep is not None:
        from forgetting.report.sweeps import views  # with scipy.stats and all else that only thresholds need

        thresholds = views.page(sweep, inline, _html_table)
        shown = [name for name in views.main_arms(sweep) if name in study.arm_names]
    return template.render(
        study=study,
        record=study.record,
        sweep=thresholds,
        undrawn=[name for name in study.arm_names if name not in shown],
        sections=_sections(study, inline, shown),
        cost=_cost(study) if sweep is None else "",
        last=_html_table(tables.at_last_dose(study)),
        passing=_html_table(study.passing) if len(study.passing) else "",
        statuses=tables.statuses(study).to_dict("records"),
        diverged_lines=tables.diverged_lines(study),
        rate_lines=tables.rate_lines(study),
        controls=tables.controls(study),
        seeds=tables.seeds_text(study),
        floor_text=tables.floor_text(study),
        floor=_html_table(study.noise_floor),
        differences=_html_table(differences(study)) if len(differences(study)) else "",
        wall_seconds=_html_table(tables.wall_seconds(study)),
        process_seconds=_html_table(tables.process_seconds(study)),
        orderings=_html_table(judged) if len(judged := remedies.kept_orderings(study)) else "",
        fronts=_fronts(study, inline),
        replay_table=_html_table(shares) if len(shares := replay_views.kept_shares(study)) else "",
        replay_figures=[figure for name, figure in inline.items() if name.startswith("replay-")],
        answering_table=_html_table(ways) if len(ways := answering_views.kept_ways(study)) else "",
        answering_figures=[figure for name, figure in inline.items() if name.startswith("answering-")],
        robustness_table=_html_table(twins) if len(twins := robustness_views.kept_robustness(study)) else "",
        table_1={name: _html_table(own) for name in study.arm_names if len(own := table_1(twins, name))},
        rates=[figure for name, figure in inline.items() if name.startswith("rates-")],
        captions=CAPTIONS,
        spec=json.dumps(study.record.get("spec", {}), indent=2, default=str),
    )


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


def _sections(study: StudyFolder, inline: dict[str, Markup], arms: list[str]) -> list[dict[str, Any]]:
    """One section an arm: its figures, then the numbers drawn in them."""
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
        sections.append(
            {"arm": arm, "figures": shown, "curves": _html_table(frame[CURVE_COLUMNS]), "plasticity": _html_table(own)}
        )
    return sections


def _fronts(study: StudyFolder, inline: dict[str, Markup]) -> list[dict[str, Any]]:
    """Of every set of arms that were compared, what remedies did: the figure and the table."""
    return [
        {"arms": arms, "svg": inline.get(f"front-{arms}", ""), "table": _html_table(table)}
        for arms, table in remedies.tables(study).items()
    ]


def _inline(vector: dict[str, str]) -> dict[str, Markup]:
    """Figures as SVG elements for an HTML page: no prologue, no metadata, no namespaces (HTML knows them)."""
    found = {}
    for number, (name, text) in enumerate(vector.items()):
        text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
        text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
        text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>f{number}-", text)
        found[name] = Markup(text)
    return found


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
    return Markup('<div class="table"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>').format(
        head, body
    )


def _shown(value: Any, column: str) -> Markup:
    if value is None or value is pd.NA or value != value:
        return Markup('<td class="n">–</td>')
    if isinstance(value, bool | str) or (not isinstance(value, int | float) and not hasattr(value, "dtype")):
        kind = Markup(' class="wrap"') if len(str(value)) > LONG else ""
        return Markup("<td{}>{}</td>").format(kind, value)
    if column in (
        "depth",
        "capacity",
        "dose",
        "below_from",
        "items",
        "seeds",
        "smallest",
        "largest",
        "sizes",
        "runs",
        "failed",
        "grid",
        "strengths",
        "students",
        "compared",
    ):
        return Markup('<td class="n">{}</td>').format(f"{int(value):,}")
    digits = 1 if column in ("seconds", "drop_points") else 3
    if column == "probability" or column.startswith("p_"):  # of a zone
        digits = 2
    return Markup('<td class="n">{}</td>').format(f"{float(value):.{digits}f}")
