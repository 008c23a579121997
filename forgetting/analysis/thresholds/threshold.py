"""A threshold as a value: where retention crosses a level, with its interval, or why there is no number."""

from __future__ import annotations

import enum
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from forgetting.errors import require

Axis = Literal["capacity", "dose", "shift"]
CONFIDENCE = 0.90  # of the intervals of thresholds


class ThresholdStatus(enum.Enum):
    """Whether a threshold was found. The name is stored; the text is the remedy."""

    located = "Nothing to remedy; a narrower interval takes more runs near the threshold."
    below_range = (
        "The threshold is smaller than anything measured (a capacity: every size keeps the level; a dose or a shift: "
        "the first one loses it already): measure smaller values."
    )
    above_range = (
        "The threshold is larger than anything measured (a capacity: no size keeps the level; a dose or a shift: the "
        "last one still keeps it): measure larger values."
    )
    not_monotone = (
        "Retention crosses the level more than once beyond noise, so there is no single threshold: look at the curve, "
        "and at other causes than this axis (rate, shape of the students, baseline)."
    )
    too_little_data = (
        "Too few points, seeds or items say anything about the crossing: add runs, or learn the skill first."
    )


OPEN_BELOW, OPEN_ABOVE = "open_below", "open_above"
OPEN_REMEDIES = {
    OPEN_BELOW: "The interval has no lower end among what was measured: measure smaller values, or add runs.",
    OPEN_ABOVE: "The interval has no upper end among what was measured: measure larger values, or add runs.",
}


IN_WORDS = {
    "below_range": "below all measured",
    "above_range": "above all measured",
    OPEN_BELOW: "no lower end",
    OPEN_ABOVE: "no upper end",
}


def place_text(place: str | float) -> str:
    """Where on the other axis a threshold holds, in words: a student, or a shift."""
    return f"student {place}" if isinstance(place, str) else f"shift {place:g}"


def number(axis: str, value: float) -> str:
    """A capacity or dose as a whole number, or a share; a dash where there is none, an open side in words."""
    if math.isnan(value):
        return "–"
    if math.isinf(value) or (axis != "shift" and value <= 0):
        return "open"
    return f"{value:.2f}" if axis == "shift" else f"{value:,.0f}"


@dataclass(frozen=True)
class Threshold:
    """The smallest capacity (largest dose, largest shift) at which retention stays at or above ``level``.

    ``value``, ``low`` and ``high`` are in units of the axis: parameters, contaminating samples, or a share. They are
    NaN where ``status`` is not ``located``; a side that the data do not bound is 0 or infinite, and then ``verdict`` is
    no longer ``located`` but open on that side. ``confidence`` is that of the interval. ``students`` is how many
    students the runs were made on (0: not told), ``student_sd`` the standard deviation of retention between students of
    one size; None where the interval excludes that scatter.
    """

    axis: Axis
    level: float
    status: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    confidence: float = CONFIDENCE
    students: int = 0
    student_sd: float | None = None

    def __post_init__(self) -> None:
        require(self.status in ThresholdStatus.__members__, "status", "the name of a ThresholdStatus", self.status)
        require(0 < self.level < 1, "level", "above 0 and below 1", self.level)
        if self.located:
            require(self.low <= self.value <= self.high, "value", f"between {self.low} and {self.high}", self.value)

    @property
    def located(self) -> bool:
        """Whether there is a value."""
        return self.status == ThresholdStatus.located.name

    @property
    def verdict(self) -> str:
        """What is said of it everywhere: the status, but ``located`` only where the interval ends on both sides."""
        if not self.located or (self.low > 0 and math.isfinite(self.high)):
            return self.status
        sides = [
            name for name, open_side in ((OPEN_BELOW, self.low <= 0), (OPEN_ABOVE, math.isinf(self.high))) if open_side
        ]
        return sides[0] if len(sides) == 1 else ThresholdStatus.too_little_data.name

    @property
    def decades(self) -> float:
        """Width of the interval in decades, log10(high / low); infinite where it is open or there is none."""
        return math.log10(self.high / self.low) if self.located and self.low > 0 else math.inf

    @property
    def of_students(self) -> str:
        """Whether the interval counts the scatter between students, in words; empty where students were not told."""
        if not self.students:
            return ""
        count = "1 student" if self.students == 1 else f"{self.students} students"
        if self.student_sd is None:
            each = "" if self.students == 1 else ", one a size"
            return f"{count}{each}: the interval excludes the scatter between students"
        return f"{count}, sd of retention between students {self.student_sd:.2f}"

    @property
    def remedy(self) -> str:
        """What to do about the verdict."""
        verdict = self.verdict
        return OPEN_REMEDIES[verdict] if verdict in OPEN_REMEDIES else ThresholdStatus[verdict].value

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what is not finite becomes None."""
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}
        return plain | {"verdict": self.verdict}

    def __str__(self) -> str:
        if not self.located:
            return f"{self.axis} threshold at level {self.level:g}: {self.status.replace('_', ' ')}"
        value, low, high = (number(self.axis, one) for one in (self.value, self.low, self.high))
        interval = f"{self.confidence:.0%} interval {low} to {high}"
        about = f"; {self.of_students}" if self.of_students else ""
        verdict = "" if self.verdict == self.status else f"{self.verdict.replace('_', ' ')}, about "
        return f"{self.axis} threshold at level {self.level:g}: {verdict}{value} ({interval}{about})"


def status_text(axis: str, status: str) -> str:
    """A verdict in words: a capacity lies off the ladder, a shift off the measured shifts, a dose off the doses."""
    text = IN_WORDS.get(status, status.replace("_", " "))
    return text if axis == "capacity" else text.replace("the ladder", f"the {axis}s")


def told(found: Threshold) -> str:
    """A threshold in few words: its value with the interval, or why there is none; open sides are named as such."""
    if not found.located:
        return status_text(found.axis, found.status)
    value, low, high = (number(found.axis, one) for one in (found.value, found.low, found.high))
    if found.verdict == found.status:
        return f"{value} ({low} to {high})"
    return f"about {value}, {status_text(found.axis, found.verdict)} ({low} to {high})"
