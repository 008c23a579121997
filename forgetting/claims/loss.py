"""C5 and C6, what a dose of contamination costs a skill: a measured study in, the loss against the control out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from forgetting.analysis.metrics import Floats
from forgetting.claims.judging.accuracy import Cell, seed_count, shared_doses, shared_runs
from forgetting.claims.judging.decision import Counts, decide, interval, untestable
from forgetting.claims.judging.evidence import Measured, MeasuredArm
from forgetting.claims.judging.rules import ClaimRule, Pair
from forgetting.claims.judging.verdict import Finding, Rival, missing_needs


@dataclass(frozen=True, eq=False)
class Loss:
    """Retention lost at one dose: by (student, capacity) and as the mean over sizes, drawn."""

    dose: int
    by_size: Mapping[tuple[str, int], Floats]
    n: Counts

    @property
    def mean(self) -> Floats:
        """Every size counts alike."""
        return np.asarray(np.mean(list(self.by_size.values()), axis=0))

    def interval(self) -> tuple[float, float]:
        """95%."""
        return interval(self.mean, self.n.seeds, self.n.items)


def treated_arms(study: Measured, pair: Pair) -> list[MeasuredArm]:
    """Plain arms of a pair, best first: rate as set, constant policy, with a control beside them, highest shift."""
    arms = [a for a in study.arms if a.contamination == pair.contamination and a.plain and pair.form in (None, a.form)]
    return sorted(
        arms,
        key=lambda a: (
            abs(math.log(a.rate_multiple)), a.rate_policy != "constant", control_of(study, a) is None, -a.shift
        ),
    )  # fmt: skip


def control_of(study: Measured, arm: MeasuredArm, contamination: str = "original") -> MeasuredArm | None:
    """The plain arm of another contamination at the same shift, rate and rate policy."""
    same = (arm.shift, arm.rate_multiple, arm.rate_policy)
    plain = (other for other in study.arms if other.plain and other.contamination == contamination)
    return next((o for o in plain if (o.shift, o.rate_multiple, o.rate_policy) == same), None)


def loss(study: Measured, arm: MeasuredArm, skill: str, dose: int, control: MeasuredArm | None) -> Loss | None:
    """Retention of the control minus that of the arm (1 minus it without a control), at the dose.

    Where the dose was not measured at every size: the largest that was, not above it, else the smallest that was.
    """
    cells: dict[tuple[str, int], tuple[Cell, ...]] = {}
    beside = {} if control is None else study.cells(control, skill)
    for student, cell in study.cells(arm, skill).items():
        if cell.learned() and (control is None or student in beside):
            cells[student, cell.capacity] = (cell, beside[student]) if control else (cell,)
    doses = [set(shared_doses(*own)) for own in cells.values()]
    common = sorted(set.intersection(*doses)) if doses else []
    if not common:
        return None
    at = max((d for d in common if d <= dose), default=common[0])
    by_size, seeds = {}, []
    for key, own in cells.items():
        runs = shared_runs(at, *own)
        lost = -own[0].retention(at, runs)
        by_size[key] = lost + (own[1].retention(at, runs) if len(own) > 1 else 1.0)
        seeds.append(seed_count(runs))
    items = min(cell.items for own in cells.values() for cell in own)
    return Loss(at, by_size, Counts(len(by_size), min(seeds), items))


def judge_loss(study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
    """C5 or C6 in one study."""
    arms, part = treated_arms(study, pair), rule.parts["loss"]
    source = f"{pair.contamination} ({pair.form})" if pair.form else pair.contamination
    conditions = f"{source} against {pair.skill}"
    if not arms:
        nothing = untestable("loss", part, f"no plain arm of {source}")
        return Finding((nothing,), (), conditions, measured=False)
    arm = arms[0]
    control = control_of(study, arm)
    assert rule.dose is not None
    found = loss(study, arm, pair.skill, rule.dose, control)
    if found is None and control is not None:
        control = None  # measured, but at no dose that the arm has
        found = loss(study, arm, pair.skill, rule.dose, None)
    if found is None:
        return Finding((untestable("loss", part, f"{pair.skill} was learned at no size"),), (), conditions)
    decided = decide("loss", part, found.by_size, found.mean, found.n)
    missing = missing_needs(rule, found.n, study.fresh_students, control is not None)
    if found.dose < rule.dose:
        missing += (f"dose: {found.dose:,} of {rule.dose:,}",)
    conditions += f", dose {found.dose:,}, shift {arm.shift:g}, {arm.rate_multiple:g}× rate, {arm.rate_policy} policy"
    states = {
        "noise": lambda: _noise(study, arm, control, pair.skill, found),
        "rate": lambda: _rate(study, arms, pair.skill, found, part.margin),
        "relabelling": lambda: _relabelling(study, arm, pair.skill, found, part.margin),
        "format": lambda: _format(study, arm, pair.skill, found),
    }
    rivals = tuple(Rival(name, r.text, *states[name](), r.blocks) for name, r in rule.rivals.items())
    notes = (*_by_capacity(found), *_other_forms(study, rule, pair, found))
    if control is None and not decided.note:
        decided = replace(decided, note="no control: the loss is against dose 0")
    return Finding((decided,), rivals, conditions, missing, notes)


def _noise(study: Measured, arm: MeasuredArm, control: MeasuredArm | None, skill: str, found: Loss) -> tuple[str, str]:
    other = control_of(study, arm, "noise")
    noise = None if other is None else loss(study, other, skill, found.dose, control)
    common = [] if noise is None or noise.dose != found.dose else [k for k in found.by_size if k in noise.by_size]
    if noise is None or not common:
        return "open", "no arm 'noise' at the same shift, rate and dose"
    more = np.mean([found.by_size[key] - noise.by_size[key] for key in common], axis=0)
    low, high = interval(more, min(found.n.seeds, noise.n.seeds), found.n.items)
    text = f"noise costs {noise.mean[0]:.2f}; dialogue costs {more[0]:+.2f} more [{low:+.2f}, {high:+.2f}]"
    return "excluded" if low > 0 else "explains" if noise.interval()[0] > 0 and more[0] <= 0 else "open", text


def _rate(study: Measured, arms: Sequence[MeasuredArm], skill: str, found: Loss, margin: float) -> tuple[str, str]:
    lower = [a for a in arms if a.rate_multiple < arms[0].rate_multiple and a.rate_policy == arms[0].rate_policy]
    lower = [a for a in lower if a.shift == arms[0].shift]
    if not lower:
        return "open", "no arm at a lower rate"
    slow = min(lower, key=lambda a: a.rate_multiple)
    less = loss(study, slow, skill, found.dose, control_of(study, slow))
    if less is None:
        return "open", f"nothing measured at {slow.rate_multiple:g}× the rate"
    low, high = less.interval()
    text = f"at {slow.rate_multiple:g}× the rate {less.mean[0]:.2f} is lost [{low:.2f}, {high:.2f}]"
    return "excluded" if low > margin else "explains" if high < margin else "open", text


def _relabelling(study: Measured, arm: MeasuredArm, skill: str, found: Loss, margin: float) -> tuple[str, str]:
    """Counts an answer that is right in the dialect as kept."""
    kept = []
    for student, _ in found.by_size:
        cell, share = study.cell(student, arm, skill), study.shares(student, arm, skill, found.dose)["dialect_rate"]
        assert cell is not None
        kept.append(share / (float(cell.accuracy(0, cell.runs(found.dose))[0]) - cell.chance))
    back = float(np.mean(kept))
    if not math.isfinite(back):
        return "open", "answers in the dialect were not counted"
    low, _ = found.interval()
    left = float(found.mean[0]) - back
    text = f"counting answers that are right in the dialect as kept, {left:.2f} is lost"
    return "excluded" if low - back > margin else "explains" if left <= margin else "open", text


def _format(study: Measured, arm: MeasuredArm, skill: str, found: Loss) -> tuple[str, str]:
    fallen = []
    for student, _ in found.by_size:
        rates = [study.shares(student, arm, skill, dose)["valid_rate"] for dose in (0, found.dose)]
        fallen.append(rates[0] - rates[1])
    share = float(np.mean(fallen))
    if not math.isfinite(share):
        return "open", "answers that parse were not counted"
    if share < float(found.mean[0]) / 2:
        return "excluded", f"answers that parse fell by {share:.2f} only, less than half of the loss"
    return "open", f"answers that parse fell by {share:.2f}; whether a few samples bring them back was not measured"


def rise_per_decade(by_size: Mapping[tuple[str, int], Floats]) -> Floats | None:
    """The slope of a drawn effect over log10 capacity (least squares); None with fewer than three sizes."""
    if len(by_size) < 3:
        return None
    x = np.log10([capacity for _, capacity in by_size])
    x = x - x.mean()
    return np.asarray(x @ np.stack(list(by_size.values())) / (x @ x))


def _by_capacity(found: Loss) -> tuple[str, ...]:
    slope = rise_per_decade(found.by_size)
    if slope is None:
        return ()
    low, high = interval(slope, found.n.seeds, found.n.items)
    if not math.isfinite(low):
        return ()
    word = "larger students lose less" if high < 0 else "larger students lose more" if low > 0 else "no clear order"
    return (f"the loss changes by {slope[0]:+.2f} [{low:+.2f}, {high:+.2f}] per decade of capacity: {word}",)


def _other_forms(study: Measured, rule: ClaimRule, pair: Pair, found: Loss) -> tuple[str, ...]:
    """The loss in forms of the contamination that the claim is not about."""
    notes = []
    for form in sorted({a.form for a in study.arms if a.form and a.contamination == pair.contamination} - {pair.form}):
        if pair.form is None:
            break
        arm = treated_arms(study, Pair(pair.contamination, pair.skill, form))
        other = loss(study, arm[0], pair.skill, found.dose, control_of(study, arm[0])) if arm else None
        if other is not None:
            back = _relabelling(study, arm[0], pair.skill, other, rule.parts["loss"].margin)[1]
            low, high = other.interval()
            notes.append(f"form {form}: {other.mean[0]:.2f} is lost [{low:.2f}, {high:.2f}]; {back}")
    return tuple(notes)
