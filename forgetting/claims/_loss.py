"""What claims of a loss share: a measured study in, the retention lost at a dose against the control out."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from forgetting.claims.judging.comparisons import Loss, control_of, loss, rise_per_decade, treated_arms
from forgetting.claims.judging.decision import decide, interval
from forgetting.claims.judging.evidence import Measured, MeasuredArm
from forgetting.claims.judging.rules import ClaimRule, Pair
from forgetting.claims.judging.verdict import Finding, RivalState, missing_needs, rivals
from forgetting.contracts import Claim
from forgetting.errors import require


@dataclass(frozen=True, eq=False)
class LossReading:
    """Where a loss was read: ``arms`` best first, of which the first was taken, and its control, if there is one."""

    study: Measured
    arms: tuple[MeasuredArm, ...]
    control: MeasuredArm | None
    pair: Pair
    found: Loss
    margin: float

    @property
    def arm(self) -> MeasuredArm:
        """The arm that was taken."""
        return self.arms[0]


@dataclass(frozen=True)
class LossClaim(Claim):
    """A dose of contamination costs a skill. A member has its rivals, and may add notes.

    Args:
        dose: where the loss is read, in contaminating samples
    """

    parts: ClassVar[tuple[str, ...]] = ("loss",)

    dose: int = 10_000

    def __post_init__(self) -> None:
        require(self.dose >= 1, f"{self.identifier}.dose", "1 or more", self.dose)

    @abstractmethod
    def states(self, reading: LossReading) -> Mapping[str, Callable[[], RivalState]]:
        """By rival, a function that finds its state."""

    def notes(self, reading: LossReading) -> tuple[str, ...]:
        """What else stands in the finding."""
        return _by_capacity(reading.found)

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """The loss of the best treated arm against its control; against dose 0 where there is none."""
        arms, part = treated_arms(study, pair), rule.parts["loss"]
        source = f"{pair.contamination} ({pair.form})" if pair.form else pair.contamination
        conditions = f"{source} against {pair.skill}"
        if not arms:
            return Finding.nothing(rule, f"no plain arm of {source}", conditions)
        arm = arms[0]
        control = control_of(study, arm)
        found = loss(study, arm, pair.skill, self.dose, control)
        if found is None and control is not None:
            control = None  # measured, but at no dose that the arm has
            found = loss(study, arm, pair.skill, self.dose, None)
        if found is None:
            return Finding.nothing(rule, f"{pair.skill} was learned at no size", conditions, measured=True)
        decided = decide("loss", part, found.by_size, found.mean, found.n)
        missing = missing_needs(rule, found.n, study.fresh_students, control is not None)
        if found.dose < self.dose:
            missing += (f"dose: {found.dose:,} of {self.dose:,}",)
        conditions += f", dose {found.dose:,}, {arm.exposed}"
        reading = LossReading(study, tuple(arms), control, pair, found, part.margin)
        if control is None and not decided.note:
            decided = replace(decided, note="no control: the loss is against dose 0")
        return Finding((decided,), rivals(rule, self.states(reading)), conditions, missing, self.notes(reading))


def lower_rate(reading: LossReading) -> RivalState:
    """Whether the loss is there at a lower learning rate as well."""
    study, arm = reading.study, reading.arm
    lower = [a for a in reading.arms if a.rate_multiple < arm.rate_multiple and a.rate_policy == arm.rate_policy]
    lower = [a for a in lower if a.shift == arm.shift]
    if not lower:
        return "open", "no arm at a lower rate"
    slow = min(lower, key=lambda a: a.rate_multiple)
    less = loss(study, slow, reading.pair.skill, reading.found.dose, control_of(study, slow))
    if less is None:
        return "open", f"nothing measured at {slow.rate_multiple:g}× the rate"
    low, high = less.interval()
    text = f"at {slow.rate_multiple:g}× the rate {less.mean[0]:.2f} is lost [{low:.2f}, {high:.2f}]"
    return "excluded" if low > reading.margin else "explains" if high < reading.margin else "open", text


def _by_capacity(found: Loss) -> tuple[str, ...]:
    slope = rise_per_decade(found.by_size)
    if slope is None:
        return ()
    low, high = interval(slope, found.n.seeds, found.n.items)
    if not math.isfinite(low):
        return ()
    word = "larger students lose less" if high < 0 else "larger students lose more" if low > 0 else "no clear order"
    return (f"the loss changes by {slope[0]:+.2f} [{low:+.2f}, {high:+.2f}] per decade of capacity: {word}",)
