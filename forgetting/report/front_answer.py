"""What the fronts of a study answer first: the remedy that keeps most at equal learning, of every size, in sentences.

Its numbers are those of ``analysis.fronts``, whose strengths are chosen on one half of the students and shown on the
other. The remedy itself is chosen on the students that it is shown on: the sentences say among how many.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from forgetting.analysis.fronts import FEWEST, Fronts, fronts
from forgetting.analysis.learning_paths import PLAIN
from forgetting.analysis.study_folder import StudyFolder

PLAIN_PARTS = (PLAIN, "one rate", "all rates", "wise_ft")  # what plain tuning's front is made of
CEILINGS = ("joint",)  # no remedy, but what a student could hold
MOST_SIZES = 3  # that the sentence has room for


@dataclass(frozen=True)
class Remedy:
    """The remedy with the largest area of one size, and what it is held against.

    ``area`` is the mean difference in retention from plain tuning, with its 95% interval over the ``compared``
    students, over the ``covered`` share of the levels. ``operations`` are those until the last level that both learn,
    as a multiple of plain tuning's (NaN: not known); there it retains ``kept``, and plain tuning ``plain``. ``alike``
    are the remedies that its interval does not tell from it; ``behind`` those of which no student learns what half of
    plain tuning's do.
    """

    size: str
    method: str
    strengths: int
    students: int
    area: float
    low: float
    high: float
    compared: int
    covered: float
    operations: float
    kept: float
    plain: float
    alike: tuple[str, ...]
    behind: tuple[str, ...]

    @property
    def keeps_more(self) -> bool:
        """Whether its whole interval says so."""
        return self.low > 0


@dataclass(frozen=True)
class FrontAnswer:
    """The remedies that keep most of a skill among ``chosen_among``: ``told`` by size, ``untold`` sizes by name."""

    arms: str
    skill: str
    nll: tuple[float, float]  # the first level of learning and the last, nats a token
    chosen_among: int
    told: tuple[Remedy, ...]
    untold: tuple[str, ...]

    @property
    def shown(self) -> tuple[Remedy, ...]:
        """Of many sizes the smallest ones and the largest."""
        return self.told if len(self.told) <= MOST_SIZES else (*self.told[: MOST_SIZES - 1], self.told[-1])


def kept_fronts(study: StudyFolder, against: str = PLAIN) -> Fronts:
    """The fronts of a study at the usual levels, made once for all views."""
    names = {name: f"fronts against {against}: {name}" for name in ("levels", "areas", "lines")}
    if not set(names.values()) <= study.kept.keys():
        found = fronts(study, against=against)
        study.kept |= {label: getattr(found, name) for name, label in names.items()}
    return Fronts(**{name: study.kept[label] for name, label in names.items()})


def remedies(methods: Iterable[str]) -> list[str]:
    """Those methods that are held against plain tuning: neither a part of it nor a ceiling."""
    return [name for name in dict.fromkeys(methods) if name not in (*PLAIN_PARTS, *CEILINGS)]


def front_answer(study: StudyFolder, arm: str, skill: str) -> FrontAnswer | None:
    """The answer for one skill in the arms that are named after an arm, or the first; None where there is no front."""
    found = kept_fronts(study)
    names = list(dict.fromkeys(map(str, found.areas["arms"])))
    arms = arm if arm in names else next(iter(names), "")
    areas, levels = (own[(own["arms"] == arms) & (own["skill"] == skill)] for own in (found.areas, found.levels))
    among = remedies(areas["method"])
    if not among:
        return None
    sizes = {str(size): own for size, own in areas.groupby("student", sort=False)}
    best = {size: _best(study, (arms, skill, size), own, levels) for size, own in sizes.items()}
    nll = levels["nll"]
    return FrontAnswer(
        arms, skill, (float(nll.max()), float(nll.min())), len(among),
        tuple(one for one in best.values() if one is not None), tuple(size for size in best if best[size] is None),
    )  # fmt: skip


def _best(study: StudyFolder, cell: tuple[str, str, str], areas: pd.DataFrame, levels: pd.DataFrame) -> Remedy | None:
    """The remedy with the largest area of one size; None where no interval tells of any."""
    among = areas[areas["method"].isin(remedies(areas["method"])) & areas["low"].notna()]
    if among.empty:
        return None
    row = among.sort_values("area", ascending=False, kind="stable").iloc[0]
    method, levels = str(row["method"]), levels[levels["student"] == cell[2]]
    spent = levels.loc[levels["method"] == method, "operations"].dropna()
    area, low, high, covered = (float(row[name]) for name in ("area", "low", "high", "covered"))
    strengths, students, compared = (int(row[name]) for name in ("strengths", "students", "compared"))
    operations = float(spent.iloc[-1]) if len(spent) else math.nan
    both = levels.pivot_table(index="learning", columns="method", values="retention").get([method, PLAIN])
    kept, plain = (math.nan, math.nan) if both is None or both.dropna().empty else both.dropna().iloc[-1]
    alike, behind = tuple(_alike(study, cell, method)), tuple(_behind(levels))
    return Remedy(
        cell[2], method, strengths, students, area, low, high, compared, covered, operations, float(kept), float(plain),
        alike, behind,
    )  # fmt: skip


def _alike(study: StudyFolder, cell: tuple[str, str, str], method: str) -> list[str]:
    """The remedies whose difference from a method, on what both learn, does not lie below 0 as a whole."""
    areas = kept_fronts(study, method).areas
    own = areas[(areas[["arms", "skill", "student"]] == cell).all(axis=1) & (areas["method"] != method)]
    return remedies(own.loc[own["high"] >= 0, "method"])


def _behind(levels: pd.DataFrame) -> list[str]:
    """The remedies of which no student reaches the last level that half of plain tuning's students do."""
    plain = levels[levels["method"] == PLAIN]
    reached = plain.loc[2 * plain["reached"] >= plain["students"], "nll"]
    at_last = levels[levels["nll"] == reached.min()]
    return remedies(at_last.loc[at_last["reached"] == 0, "method"])


def front_lines(found: FrontAnswer, source: str) -> list[str]:
    """The answer as sentences: which remedy, how much, at what cost; then what qualifies it."""
    start, end = found.nll
    head = f"Retention of {found.skill} beside plain tuning, at equal learning of {source} "
    head += f"(mean over NLL {start:.3g} to {end:.3g})"
    parts = [_clause(one, found.chosen_among) for one in found.shown]
    if len(found.shown) < len(found.told):
        parts.append(f"{len(found.told) - len(found.shown)} more sizes are in the table")
    if found.untold:
        least = "fewer than two students learn as much under both"
        parts.append(f"which remedy is the best cannot be told at {', '.join(found.untold)} ({least})")
    qualified = " ".join(_qualified(found))
    return [f"{head}: {'; '.join(parts)}.", *([qualified] if qualified else [])]


def _clause(one: Remedy, among: int) -> str:
    """What is said of one size: the best of several is not said to keep more where its interval does not say so."""
    number = f"{one.area:+.2f} (95% {one.low:+.2f} to {one.high:+.2f}, {one.compared} students, "
    number += f"{one.covered:.0%} of that range)"
    if one.keeps_more:
        spent = f"for {one.operations:.1f} times plain tuning's operations"
        spent = "at a cost not known" if math.isnan(one.operations) else spent
        best = f"{one.method} is the best of {among} remedies" if among > 1 else f"{one.method} keeps more"
        last = (
            ""
            if math.isnan(one.kept)
            else f", at the last level {one.kept:.2f} where plain tuning keeps {one.plain:.2f}"
        )
        return f"at {one.size} {best}, {number}{last}, {spent}"
    verdict = "keeps as much" if one.high < 0 else "is shown to keep more"
    if among > 1:
        return f"at {one.size} none of {among} remedies {verdict}; the best, {one.method}, {number}"
    return f"at {one.size} {one.method} {'keeps less' if one.high < 0 else 'is not shown to keep more'}, {number}"


def _qualified(found: FrontAnswer) -> list[str]:
    """What the choice of the best does to its number, who is as good, and who never learned as much."""
    told, said = found.shown, list[str]()
    if told and found.chosen_among > 1:
        said.append(f"The best was chosen on the students that it is shown on, which flatters it{_strengths(told)}.")
    alike = sizes_named({one.size: one.alike for one in told if one.keeps_more})
    behind = sizes_named({one.size: one.behind for one in told})
    said += [f"Not told apart from the best: {alike}."] if alike else []
    return [*said, *([f"Never learned as much as plain tuning: {behind}."] if behind else [])]


def _strengths(told: Sequence[Remedy]) -> str:
    """On whom strengths were chosen, where there were several."""
    several = [one for one in told if one.strengths > 1]
    if not several:
        return ""
    halved = all(one.students >= FEWEST for one in several)
    return " (its strengths were chosen on the other half of them)" if halved else ", and so were its strengths"


def sizes_named(methods: Mapping[str, Sequence[str]]) -> str:
    """Methods, each with the sizes of which they are said; that it is of all goes without saying."""
    sizes: dict[str, list[str]] = {}
    for size, own in methods.items():
        for name in own:
            sizes.setdefault(name, []).append(size)
    return ", ".join(name if len(at) == len(methods) else f"{name} ({', '.join(at)})" for name, at in sizes.items())
