"""SVG as matplotlib writes it in; with a tooltip for each point, and for a page in a third of the bytes, out.

In a page all figures share one style sheet and one set of definitions: matplotlib names markers and clipping paths by
what is in them, so that equal names are equal shapes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from forgetting.analysis.metrics import Floats

Spot = tuple[int, int]  # of a point on a figure, in tenths of a point of print

_SAID: WeakKeyDictionary[Artist, Sequence[str]] = WeakKeyDictionary()
_USE = re.compile(r'<use [^>]*?x="([-\d.]+)" y="([-\d.]+)"[^>]*/>')
_DEFINED = re.compile(r"<defs>(.*?)</defs>", re.DOTALL)
_SHAPE = re.compile(r'<path id="(?P<path>[^"]+)"[^>]*/>|<clipPath id="(?P<clip>[^"]+)".*?</clipPath>', re.DOTALL)
_NUMBER = re.compile(r"-?\d+\.\d+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def say(line: Line2D, texts: Sequence[str]) -> None:
    """What the tooltips of a line's points say, a text a point; else they say its label and the coordinates."""
    _SAID[line] = texts


def with_tooltips(text: str, figure: Figure) -> str:
    """The SVG of a figure that has just been drawn, each marker of a line of data in a group with a title."""
    found: dict[Spot, list[str]] = {}
    for place, said in _points(figure):
        if said not in (own := found.setdefault(place, [])):
            own.append(said)

    last = {_place(float(use[1]), float(use[2])): use.start() for use in _USE.finditer(text)}

    def told(use: re.Match[str]) -> str:  # of points that lie on one another, the uppermost tells of all
        place = _place(float(use[1]), float(use[2]))
        said = found.get(place) if use.start() == last[place] else None
        return f"<g><title>{html.escape(chr(10).join(said), quote=False)}</title>{use[0]}</g>" if said else use[0]

    return _USE.sub(told, text)


def _points(figure: Figure) -> Iterator[tuple[Spot, str]]:
    """Where every point of a line with markers lies on the figure as SVG has it, and what it is."""
    height = figure.get_figheight() * figure.dpi
    ylabels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    for ax in (ax for ax in figure.axes if ax.get_visible()):
        names = {c.lines[0]: str(c.get_label()) for c in ax.containers if isinstance(c, ErrorbarContainer)}
        across, up = _plain(ax.get_xlabel()), _plain(ax.get_ylabel() or next(iter(ylabels), ""))
        for line in ax.lines:
            name = names.get(line, str(line.get_label()))
            if line.get_marker() in ("None", "", " ", None) or (line not in _SAID and name.startswith("_")):
                continue
            xy: Floats = np.asarray(np.ma.filled(np.ma.asarray(line.get_xydata(), float), np.nan))
            for number, (x, y) in enumerate(line.get_transform().transform(xy)):
                if np.isfinite(x) and np.isfinite(y):
                    said = _SAID[line][number] if line in _SAID else _told(name, across, up, xy[number], ax)
                    yield _place(float(x), height - float(y)), said


def _told(name: str, across: str, up: str, xy: Floats, ax: Axes) -> str:
    at = ax.fmt_xdata(xy[0]) if ax.fmt_xdata else f"{xy[0]:,.6g}"  # where the axis is not in the units of its label
    return f"{_plain(name)}: {up} {xy[1]:,.4g}, {across} {at}"


def _plain(label: str) -> str:
    return " ".join(label.split())


def _place(x: float, y: float) -> Spot:
    return round(10 * x), round(10 * y)


def inline(vector: Mapping[str, str]) -> tuple[dict[str, Markup], tuple[Markup, Markup]]:
    """Figures as elements of one HTML page, by name; and what all of them need once: style sheet and definitions."""
    styles: dict[str, str] = {}
    shapes: dict[str, str] = {}
    found = {name: _small(text, styles, shapes) for name, text in vector.items()}
    names = {known: f"m{number}" for number, known in enumerate(shapes)}
    drawn = {name: Markup(_renamed(text, names)) for name, text in found.items()}
    sheet = "".join(f".{name}{{{style}}}" for style, name in styles.items())
    defined = _renamed("".join(shapes.values()), names)
    style = f"<style>figure svg *{{stroke-linejoin:round;stroke-linecap:butt}}{sheet}</style>"
    return drawn, (Markup(style), Markup(f'<svg width="0" height="0" class="shapes"><defs>{defined}</defs></svg>'))


def _small(text: str, styles: dict[str, str], shapes: dict[str, str]) -> str:
    """One figure without prologue, metadata, namespaces, names that nothing refers to, and needless digits."""
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)
    text = re.sub(r">[^<]+<", lambda said: said[0].replace('"', "&quot;"), text)  # names would be read as attributes
    end = text.index(">")
    text = re.sub(r'\s(xmlns(:\w+)?|version|width|height)="[^"]*"', "", text[:end]) + text[end:]
    text = text.replace("xlink:href", "href")
    text = re.sub(r'style="([^"]*)"', lambda found: f'class="{_class(found[1], styles)}"', text)
    text = re.sub(r' d="([^"]*)"', lambda found: f' d="{_path(found[1])}"', text)
    text = re.sub(r'(?<= )(x|y|width|height|transform)="([^"]*)"', _rounded, text)

    def defined(found: re.Match[str]) -> str:
        for shape in _SHAPE.finditer(found[1]):
            shapes.setdefault(shape["path"] or shape["clip"], shape[0])
        return _SHAPE.sub("", found[1]).strip()

    text = _DEFINED.sub(defined, text)
    text = re.sub(r' id="[^"]*"', "", text)
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    text = re.sub(r">\s+<", "><", text)
    text = _without_bare_groups(re.sub(r"<g></g>", "", text))
    return re.sub(r"[^\S\n]*\n\s*", "\n", text).strip()


def _without_bare_groups(text: str) -> str:
    """Without groups that say nothing: no attribute, and no title."""
    kept: list[bool] = []

    def judged(tag: re.Match[str]) -> str:
        if tag[0] == "</g>":
            return tag[0] if kept.pop() else ""
        kept.append(tag[0] != "<g>" or text.startswith("<title>", tag.end()))
        return tag[0] if kept[-1] else ""

    return re.sub(r"<g(?: [^>]*)?>|</g>", judged, text)


def _class(style: str, styles: dict[str, str]) -> str:
    """The class that has a style, one for all figures; families of fonts are cut down to what browsers know."""
    plain = re.sub(r"(font(?:-family)?:[^;]*?)'DejaVu Sans'[^;]*", r"\1sans-serif", style)
    plain = re.sub(r"\s*([:;,])\s*", r"\1", plain.strip().rstrip(";"))
    return styles.setdefault(plain, f"s{_letters(len(styles))}")


def _letters(number: int) -> str:
    return (_letters(number // 26 - 1) if number >= 26 else "") + _LETTERS[number % 26]


def _path(text: str) -> str:
    """A path in tenths of a point, or where all of it is smaller than ten, as markers are, in hundredths."""
    numbers = [abs(float(one)) for one in _NUMBER.findall(text)]
    digits = 2 if max(numbers, default=0.0) < 10 else 1
    text = _NUMBER.sub(lambda found: _short(found[0], digits), text)
    return " ".join(re.sub(r"\s*([A-Za-z])\s*", r"\1", text).split())


def _rounded(found: re.Match[str]) -> str:
    return f'{found[1]}="{_NUMBER.sub(lambda number: _short(number[0], 1), found[2])}"'


def _short(number: str, digits: int) -> str:
    short = f"{float(number):.{digits}f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r'(id="|href="#|url\(#)([^")]+)', lambda found: found[1] + names.get(found[2], found[2]), text)
