"""How figures look: style, colours by capacity, grids of panels, dose and retention axes; saving as SVG or PNG."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from forgetting.analysis.curves import ForgettingCurve
from forgetting.analysis.metrics import LEVELS, Floats, Status
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import file_name
from forgetting.record.files import write_atomically
from forgetting.report import inline_svg, tables

MARKERS = "osD^vP*X"
STYLE: Any = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titley": 1.0,  # else it is sought among the ticks, panel by panel
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.markersize": 4,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may have dollar signs in it
    "svg.hashsalt": "forgetting",
}
PANEL, COLUMNS = (2.6, 1.9), 3  # inches of a panel's axes; panels in a row
DOTS_PER_INCH = 130
EM = STYLE["font.size"] / 72  # inches
MOST_COLUMNS = 8  # of a legend
LEVEL_COLOUR = "#6a6a6a"


P = ParamSpec("P")
T = TypeVar("T")


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Draw with this file's style, leaving matplotlib's settings as they were."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.rc_context(STYLE):
            return function(*args, **kwargs)

    return inner


def save(drawn: dict[str, Figure], vector: dict[str, str], folder: Path, pictures: bool = False) -> list[Path]:
    """Write each figure as SVG (its text in ``vector``); the same study gives the same SVG, byte for byte.

    As PNG, which takes longer than all else of a figure, with ``pictures``, and where there is one of an earlier day.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in drawn.items():
        plain, picture = (folder / file_name(f"{name}{end}", "the name of a figure") for end in (".svg", ".png"))
        write_atomically(plain, vector[name])
        paths.append(plain)
        if pictures or picture.is_file():
            write_atomically(picture, png(figure))
            paths.append(picture)
    return paths


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    picture = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.set_dpi(DOTS_PER_INCH)  # drawing SVG leaves it at 72
        FigureCanvasAgg(figure).print_png(picture, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return picture.getvalue()


def vectors(drawn: dict[str, Figure]) -> dict[str, str]:
    """The SVG text of every figure, by name."""
    return {name: svg(figure) for name, figure in drawn.items()}


def svg(figure: Figure) -> str:
    """A figure as SVG text, without date, with a tooltip for each point."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return inline_svg.with_tooltips(buffer.getvalue(), figure)


def colours(study: StudyFolder) -> dict[str, Any]:
    """A colour for each student, light to dark by capacity (viridis survives colour blindness and grey print)."""
    ladder = students(study)
    shades = matplotlib.colormaps["viridis"](np.linspace(0.82, 0.0, max(len(ladder), 2)))
    return dict(zip(ladder, shades, strict=False))


def students(study: StudyFolder) -> list[str]:
    """All students in ascending order of capacity."""
    found = {
        s: next(iter(own.values())).capacity for arm in study.arms.values() for s, own in arm.curves.items() if own
    }
    return sorted(found, key=lambda student: (found[student], student))


def grid(
    panels: int,
    columns: int,
    title: str,
    *,
    below: float = 0.5,
    foot: float = 0.3,
    above: float = 0.28,
    beside: float = 0.15,
    panel: tuple[float, float] = PANEL,
    sharey: Literal["all", "row"] = "all",
) -> tuple[Figure, Any]:
    """A figure with a panel each in rows of at most ``columns``; panels that are not needed are hidden.

    Laid out in inches, since solving for the layout would cost more than drawing; ``below`` is what a panel's tick
    labels and axis label need, ``above`` what its title does, ``beside`` names at its right, ``foot`` the legend.
    """
    columns, (wide, high) = min(columns, panels), panel
    rows, left, gap, head = -(-panels // columns), 0.6, beside + 0.15, 0.5
    width = left + columns * wide + (columns - 1) * gap + beside
    height = head + rows * (above + high + below) + foot
    figure = Figure(figsize=(max(width, 4.6), height), dpi=DOTS_PER_INCH)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    figure.subplots_adjust(
        left=left / width,
        right=1 - beside / width,
        bottom=(foot + below) / height,
        top=1 - (head + above) / height,
        wspace=gap / wide,
        hspace=(above + below) / high,
    )
    _title(figure, title)
    for ax in axes.flat[panels:]:
        ax.set_visible(False)
    return figure, axes


def line(ax: Axes, study: StudyFolder, curve: ForgettingCurve, x: Floats | None) -> None:
    """One student's curve in the student's colour and marker."""
    number = students(study).index(curve.student)
    style = {"color": colours(study)[curve.student], "marker": MARKERS[number % len(MARKERS)], "label": curve.student}
    draw(ax, curve, x, style)


def draw(ax: Axes, curve: ForgettingCurve, x: Floats | None, style: dict[str, Any]) -> None:
    """A curve against dose with its band, or against ``x`` with error bars; nothing if the skill was not learned."""
    if curve.status != Status.ok.name:
        return
    across = curve.dose if x is None else x
    (points,) = ax.plot(across, curve.retention, zorder=3, **style)
    inline_svg.say(points, [_told(curve, number) for number in range(len(curve.dose))])
    if x is None:
        ax.fill_between(across, curve.low, curve.high, color=style["color"], alpha=0.16, linewidth=0)
    else:
        error = np.clip([curve.retention - curve.low, curve.high - curve.retention], 0, None)
        ax.errorbar(across, curve.retention, yerr=error, fmt="none", ecolor=style["color"], alpha=0.35, linewidth=0.8)


def _told(curve: ForgettingCurve, number: int) -> str:
    """What one point of a curve is, with its interval."""
    value, low, high = (float(values[number]) for values in (curve.retention, curve.low, curve.high))
    return f"{curve.student}, dose {curve.dose[number]:,}: {value:.3f} ({low:.3f} to {high:.3f})"


def dose_axis(ax: Axes, found: Sequence[ForgettingCurve]) -> None:
    """Dose on a log axis with dose 0 at its left end (linear below the first dose)."""
    doses = np.unique(np.concatenate([curve.dose for curve in found]))
    positive = doses[doses > 0]
    ax.set_xlabel("dose (contaminating samples)")
    place_label(ax.xaxis)
    if not len(positive):
        return
    ax.set_xscale("symlog", linthresh=float(positive[0]), linscale=0.6)
    keep = tables.doses_apart(doses, ax.xaxis.get_transform().transform(doses.astype(float)))
    ax.xaxis.set_major_locator(FixedLocator([float(dose) for dose in keep]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([tables.short_dose(dose) for dose in keep])
    ax.set_xlim(-0.12 * float(positive[0]), float(positive[-1]) * 1.15)


def place_label(axis: XAxis | YAxis) -> None:
    """Put an axis label beside tick labels of one line, of four figures at most.

    To find the place by itself matplotlib lays out every tick label once more, a quarter of the time of drawing.
    """
    across, figure = isinstance(axis, XAxis), axis.axes.figure
    shift = ScaledTranslation(0 if across else -0.43, -0.28 if across else 0, figure.dpi_scale_trans)  # inches
    axis.set_label_coords(0.5 if across else 0, 0 if across else 0.5, transform=axis.axes.transAxes + shift)


def retention_axes(axes: Any) -> None:
    """The same retention axis in every panel, with dashed lines at the levels, named in the first panel."""
    used = [ax for ax in axes.flat if ax.get_visible()]
    drawn = [ax.dataLim for ax in used if np.isfinite(ax.dataLim.get_points()).all()]
    low = min([-0.05, *(max(box.y0 - 0.05, -0.3) for box in drawn)])
    high = max([1.08, *(min(box.y1 + 0.05, 1.3) for box in drawn)])
    for ax in used:
        place_label(ax.yaxis)
        ax.set_ylim(low, high)
        ax.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
        for level in LEVELS:
            ax.axhline(level, color=LEVEL_COLOUR, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for level, name in zip(LEVELS, ("retained (.9)", "half lost (.5)"), strict=True):
        style = {"fontsize": 6.5, "color": LEVEL_COLOUR, "va": "top", "zorder": 4}
        axes.flat[0].annotate(
            name, (0.02, level), (0, -1), ("axes fraction", "data"), textcoords="offset points", **style
        )
    for ax in axes[:, 0]:
        ax.set_ylabel("retention")


def say_what_is_missing(ax: Axes, found: Sequence[ForgettingCurve]) -> None:
    """Name the students that have no line, in the panel."""
    missing = [curve.student for curve in found if curve.status != Status.ok.name]
    if missing:
        ax.annotate(
            f"not learned: {', '.join(missing)}", (0.03, 0.04), xycoords="axes fraction", fontsize=7.5, color="#666666"
        )


def legend(figure: Figure, axes: Any, order: Sequence[str], columns: int | None = None) -> None:
    """One legend for all panels, below them, in the given order; in as many rows as long names take.

    ``columns`` are at most so many, in rows for which the figure has room; left out: in a single one. For more rows
    the figure grows, and names that are longer than it is wide are written smaller.
    """
    entries: dict[str, Any] = {}
    for ax in axes.flat:
        handles, labels = ax.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    names = [name for name in order if name in entries] or list(entries)
    if not names:
        return
    widths = inches(names)
    most = min(len(names), columns or MOST_COLUMNS)
    across = {count: _legend_inches(widths, count) for count in range(1, most + 1)}
    count = max((n for n, wide in across.items() if wide <= figure.get_figwidth()), default=1)
    more = -(-len(names) // count) - (-(-len(names) // most) if columns else 1)
    if more > 0:
        _grow(figure, more * 1.5 * EM)
    size = STYLE["font.size"] * min(1.0, figure.get_figwidth() / across[count])
    handles = [entries[name] for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=count, frameon=False, fontsize=size)


def inches(names: Sequence[str]) -> list[float]:
    """How wide names in a legend are: text, the line before it and the gap between them."""
    font = FontProperties(family=STYLE["font.family"], size=STYLE["font.size"])
    points = [text_to_path.get_text_width_height_descent(name, font, ismath=False)[0] for name in names]
    return [width / 72 + 2.8 * EM for width in points]


def _legend_inches(widths: Sequence[float], count: int) -> float:
    """How wide a legend of so many columns is, which are filled one after the other."""
    columns = [max(own) for own in np.array_split(widths, count)]
    return float(sum(columns) + 2 * EM * (count - 1) + 2.5 * EM)


def _grow(figure: Figure, more: float) -> None:
    """Add inches at the foot of a grid; its panels and the title keep their sizes and their places below the top."""
    width, height = figure.get_size_inches()
    whole, places = height + more, figure.subplotpars
    figure.set_size_inches(width, whole)
    figure.subplots_adjust(bottom=(places.bottom * height + more) / whole, top=(places.top * height + more) / whole)
    _title(figure, figure.get_suptitle())


def _title(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, y=1 - 0.08 / figure.get_figheight(), ha="left", va="top", fontsize=10)


def short(size: float) -> str:
    """Parameters in few letters: 30k, 1M, 10B."""
    unit, letter = next((u, c) for u, c in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if size >= u)
    return f"{size / unit:g}{letter}"
