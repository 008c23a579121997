"""A study in a terminal: retention at the last dose, a small plot, the noise floor, seconds by stage."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import numpy as np
import plotext
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from forgetting.analysis.curves import ForgettingCurve
from forgetting.analysis.metrics import LEVELS, Status
from forgetting.analysis.study_folder import ArmCurves, StudyFolder
from forgetting.report import tables
from forgetting.report.first_screen import first_screen
from forgetting.report.sweeps.read import read_sweep
from forgetting.report.tensorboard_link import tensorboard_link

COLOURS = ("blue+", "cyan+", "green+", "orange+", "magenta+", "red+", "gray", "white")
WIDTH = 80  # of what is printed
LETTERS = "abcdefghijklmnop"


class Summary(Group):
    """What the end of a run prints: for rich, and as text of at most 80 columns."""

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=WIDTH, color_system=None, markup=False, emoji=False)
        with console.capture() as captured:
            console.print(self)
        return "\n".join(line.rstrip() for line in captured.get().splitlines())

    __repr__ = __str__


def show(study: StudyFolder, console: Console | None = None) -> None:
    """Print the summary of a study."""
    console = console or Console(markup=False, emoji=False)
    utf = not console.legacy_windows and "utf" in console.encoding.lower()
    lines: list[RenderableType] = [summary(study, unicode=utf)]
    folder = study.folder / "tensorboard"
    if folder.is_dir():
        lines.append(Text(f"Report: {study.folder / 'report.html'}"))
        lines.append(Text(f"TensorBoard: tensorboard --logdir {folder}"))
        lines.append(Text(f"  and open {tensorboard_link(study)}"))
    try:
        for line in lines:
            console.print(line, soft_wrap=isinstance(line, Text))
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise


def summary(study: StudyFolder, width: int = 78, *, unicode: bool = True) -> Summary:
    """Everything that the end of a run prints."""
    answer, sweep = _answer(study), read_sweep(study)
    if sweep is not None:
        from forgetting.report.sweeps import sweep_terminal as sweeps  # with scipy.stats, which only thresholds need

        return Summary(
            *answer, *sweeps.summary(sweep), *_rates(study), Text(tables.seeds_text(study)), *seconds_tables(study)
        )
    parts: list[RenderableType] = [*answer]
    found = tables.skills(study)
    shown = [arm for arm in study.arms.values() if not tables.is_control(arm)] or list(study.arms.values())
    for arm in shown:
        parts += [Text(f"Retention at dose {_last(arm):,} · {arm.title}", style="bold")]
        parts += [retention_table(arm, some) for some in _side_by_side(arm, found)]
    if shown and found:
        parts += [plot(shown[0], _plotted(shown[0], found), width, unicode=unicode), Text()]
    parts += [_control_line(arm, found) for arm in study.arms.values() if arm not in shown]
    statuses = tables.statuses(study)
    for status, rows in statuses.groupby("status", sort=False):
        remedy = str(rows["remedy"].iloc[0])
        parts.append(Text(f"{status} ({len(rows)}): {remedy}", style="yellow"))
    parts += _rates(study)
    parts += [Text(tables.floor_text(study)), Text(tables.seeds_text(study)), *seconds_tables(study)]
    return Summary(*parts)


def _plotted(arm: ArmCurves, skills: list[str]) -> str:
    """Maths, or where no student has learned it the first skill that one has."""
    ordered = sorted(skills, key=lambda skill: skill != "maths")
    learned = (s for s in ordered if any(c.status == Status.ok.name for c in tables.main_curves(arm, s)))
    return next(learned, ordered[0])


def _answer(study: StudyFolder) -> list[Text]:
    """The sentence that the report opens with, and what qualifies it."""
    found = first_screen(study)
    mark = [Text(f"Exploratory: {'; '.join(found.exploratory)}.", style="yellow")] if found.exploratory else []
    return [Text(found.answer, style="bold"), *(Text(line) for line in found.more), *mark, Text()]


def _rates(study: StudyFolder) -> list[Text]:
    unverified = [Text(study.unverified, style="yellow")] if study.unverified else []
    diverged = [Text(line, style="red") for line in tables.diverged_lines(study)]
    rates = [*tables.rate_lines(study), *tables.risen_lines(study)]
    return [*unverified, *diverged, *(Text(line, style="yellow") for line in rates)]


def _side_by_side(arm: ArmCurves, skills: list[str]) -> Iterator[list[str]]:
    """The skills in groups whose columns fit beside the students' names."""
    names = max((len(student) for student in arm.curves), default=7)
    group, used = list[str](), max(names, 7) + 4
    for skill in skills:
        needed = max(len(skill), 10) + 3
        if group and used + needed > WIDTH:
            yield group
            group, used = [], max(names, 7) + 4
        group, used = [*group, skill], used + needed
    yield group


def retention_table(arm: ArmCurves, skills: list[str]) -> Table:
    """Retention of each student and skill at the last dose with its 95% interval, or the status."""
    last, table = _last(arm), Table()
    table.add_column("student", justify="right")
    for skill in skills:
        table.add_column(Text(skill), justify="right", no_wrap=True)
    for student, own in arm.curves.items():
        table.add_row(Text(student), *[_cell(own[skill], last) if skill in own else Text("-") for skill in skills])
    return table


def seconds_tables(study: StudyFolder) -> list[Table]:
    """Wall seconds of the study by stage, and apart from them the seconds of the processes inside the runs."""
    inside = "Seconds inside the runs, added up over processes"
    shown = []
    for title, frame in (("Wall seconds", tables.wall_seconds(study)), (inside, tables.process_seconds(study))):
        table = Table(title=title, title_justify="left", title_style="bold", min_width=len(title))
        for column in ("stage", "seconds", "share"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        for number, (stage, spent, share) in enumerate(frame.itertuples(index=False), 1):
            table.add_row(Text(str(stage)), f"{spent:.1f}", f"{share:.0%}", end_section=number == len(frame) - 1)
        shown += [table] if len(frame) else []
    return shown


def plot(arm: ArmCurves, skill: str, width: int = 78, height: int = 16, *, unicode: bool = True) -> Text:
    """Retention of one skill against log dose, one line a student; dose 0 stands one step left of the first dose."""
    drawn = [curve for curve in tables.main_curves(arm, skill) if curve.status == Status.ok.name]
    if not drawn:
        return Text(f"No student has learned {skill}: there is nothing to plot.", style="yellow")
    figure = plotext.figure
    figure.clear.all()
    figure.theme("colorless")
    figure.plot_size(width, height)
    for number, curve in enumerate(drawn):
        _line(figure, curve, number, "braille" if unicode else ".")
    doses = max((curve.dose for curve in drawn), key=len)
    shown = tables.doses_apart(doses, _positions(doses))
    places = [float(x) for dose, x in zip(doses, _positions(doses), strict=True) if dose in shown]
    figure.ruler("x").ticks(places, [tables.short_dose(dose) for dose in shown])
    figure.ruler("y").lim(min(0.0, *(float(np.nanmin(c.retention)) for c in drawn)), 1.05)
    figure.ruler("y").ticks([0.0, LEVELS[1], LEVELS[0], 1.0], ["0", ".5", ".9", "1"])
    figure.title(f"Retention of {skill} against dose, {arm.name}")
    text = Text.from_ansi(figure.build().string())
    figure.clear.all()
    for number, curve in enumerate(drawn):
        text.append(f"   {LETTERS[number % len(LETTERS)]} {curve.student}")
    return text


def _line(figure: plotext.plot_class, curve: ForgettingCurve, number: int, trace: str) -> None:
    """The trace of a curve, then a letter at every dose, so that students can be told apart without colour."""
    known = np.isfinite(curve.retention)
    x, y = _positions(curve.dose)[known].tolist(), curve.retention[known].tolist()
    colour, letter = COLOURS[number % len(COLOURS)], LETTERS[number % len(LETTERS)]
    figure.draw(figure.signal(x, y, marker=plotext.marker(trace, colour)).lines())
    figure.draw(figure.signal(x, y, marker=plotext.marker(letter, colour)))


def _positions(dose: np.ndarray) -> np.ndarray:
    """log10 of the dose; dose 0 one typical step below the first."""
    positive = np.log10(dose[dose > 0].astype(float))
    step = float(positive[1] - positive[0]) if len(positive) > 1 else 0.5
    return np.where(dose > 0, np.log10(np.maximum(dose, 1)), (positive[0] if len(positive) else 0.0) - step)


def _last(arm: ArmCurves) -> int:
    """The last dose that any student of the arm reached."""
    return max((int(curve.dose[-1]) for own in arm.curves.values() for curve in own.values()), default=0)


def _control_line(arm: ArmCurves, skills: list[str]) -> Text:
    """A control in one line: the lowest retention at its last dose."""
    found = [c for skill in skills for c in tables.main_curves(arm, skill) if np.isfinite(c.retention[-1])]
    if not found:
        return Text(f"control {arm.name}: no skill was learned")
    lowest = min(found, key=lambda curve: float(curve.retention[-1]))
    interval = f"{lowest.retention[-1]:.2f} ({lowest.low[-1]:.2f} to {lowest.high[-1]:.2f})"
    return Text(
        f"control {arm.name}: lowest retention at dose {_last(arm):,} is {interval}, {lowest.student} {lowest.key}"
    )


def _cell(curve: ForgettingCurve, last: int) -> Text:
    if curve.status != Status.ok.name:
        return Text(
            f"{curve.status.replace('_', chr(10))}\nstart {curve.accuracy[0]:.2f}\nΔNLL {curve.delta_nll[-1]:+.2f}",
            style="dim",
        )
    value, low, high = (float(values[-1]) for values in (curve.retention, curve.low, curve.high))
    if math.isnan(value):
        return Text("-")
    style = "green" if value >= LEVELS[0] else "yellow" if value >= LEVELS[1] else "red"
    text = Text(f"{value:.2f}", style=f"bold {style}")
    text.append(f"\n{low:.2f}–{high:.2f}", style="dim")
    return (
        text if curve.dose[-1] == last else text.append(f"\nat {tables.short_dose(int(curve.dose[-1]))}", style="dim")
    )
