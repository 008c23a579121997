"""What claims about branches of one trunk share: their runs in; by how much longer one lasts than another, out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forgetting.analysis.branches import branch_runs, mean_with_interval
from forgetting.analysis.metrics import Floats
from forgetting.analysis.statistics import bootstrap_weights
from forgetting.claims.judging.decision import ClaimPart, Counts, decide, untestable
from forgetting.claims.judging.evidence import Measured, MeasuredArm
from forgetting.claims.judging.rules import PartRule
from forgetting.claims.judging.verdict import RivalState

KEYS = ["trunk", "capacity", "distillation_seed"]
BranchStep = tuple[str, str]  # names of two branches: the one that is taken off, and the other


def runs_of(study: Measured, arm: MeasuredArm, skill: str) -> tuple[pd.DataFrame, int]:
    """The runs of branches in an arm, and the fewest items that they were asked."""
    runs = branch_runs(study.study, skill)
    return runs[runs["arm"] == arm.name], fewest_items(study, skill)


def fewest_items(study: Measured, skill: str) -> int:
    """The fewest items of all depths that a run was asked."""
    scores = study.study.scores
    return int(scores[(scores["benchmark"] == study.benchmark(skill)) & scores["depth"].isna()]["items"].min())


def apart(runs: pd.DataFrame, step: BranchStep) -> pd.DataFrame:
    """A row for each trunk on which both arrived and lost half: what the other has more than the one."""
    columns = ["log2_half_dose", "retention", "gold_nll"]
    arrived = runs[runs["arrived"]]
    one, other = (arrived[arrived["branch"] == name].set_index(KEYS)[columns] for name in step)
    return (other - one).dropna(subset=["log2_half_dose"])


def longer(name: str, rule: PartRule, both: pd.DataFrame, step: BranchStep, items: int) -> ClaimPart:
    """The mean over trunks of log2 of the dose that halves, the other less the one, against its margin."""
    if both.empty:
        return untestable(name, rule, f"no trunk on which {step[0]} and {step[1]} arrived and lost half")
    return over_trunks(name, rule, both, "log2_half_dose", items)


def over_trunks(name: str, rule: PartRule, table: pd.DataFrame, column: str, items: int) -> ClaimPart:
    """The mean of a column of a table, which has the index ``KEYS``, over trunks, against its margin."""
    by_size: dict[tuple[str, int], Floats] = {}
    for (trunk, capacity), own in table.groupby(level=["trunk", "capacity"], sort=False):
        known = own[column].to_numpy(float)
        seeds = own.index.get_level_values("distillation_seed").astype(str)
        draws = bootstrap_weights(list(seeds), "trunks") @ known / len(known)
        by_size[str(trunk), int(str(capacity))] = np.concatenate([[known.mean()], draws])
    fewest = int(table.groupby(level="trunk").size().min())
    return decide(name, rule, by_size, np.mean(list(by_size.values()), axis=0), Counts(len(by_size), fewest, items))


def not_arrived(runs: pd.DataFrame, names: tuple[str, ...]) -> tuple[str, ...]:
    """Of these branches those that did not arrive at the skill on every trunk, in words."""
    found = []
    for name in names:
        own = runs[runs["branch"] == name]
        if len(own) and not own["arrived"].all():
            found.append(f"equal skill: {name} arrived on {own['arrived'].sum()} of {len(own)} trunks")
    return tuple(found)


def confidence(both: list[pd.DataFrame], steps: tuple[BranchStep, ...]) -> RivalState:
    """Whether the branch that lasts longer was surer of the gold answers to begin with."""
    said, states = [], []
    for own, (one, other) in zip(both, steps, strict=True):
        value, low, high = mean_with_interval(own["gold_nll"].to_numpy(float))
        lasts, *_ = mean_with_interval(own["log2_half_dose"].to_numpy(float))
        if not np.isfinite(low):
            continue
        said.append(f"gold NLL at dose 0, {other} less {one}: {value:+.3f} [{low:+.3f}, {high:+.3f}]")
        surer = high < 0 < lasts or lasts < 0 < low
        states.append("explains" if surer else "excluded" if not low <= 0 <= high else "open")
    if not said:
        return "open", "too few trunks"
    return max(states, key=("excluded", "open", "explains").index), "; ".join(said)


def speed(both: list[pd.DataFrame], steps: tuple[BranchStep, ...]) -> RivalState:
    """Whether nothing is left of the difference where both have learned as much of the new task."""
    said, states = [], []
    for own, (one, other) in zip(both, steps, strict=True):
        kept = own["retention"].dropna().to_numpy(float)
        lasts, *_ = mean_with_interval(own["log2_half_dose"].to_numpy(float))
        value, low, high = mean_with_interval(kept)
        if not np.isfinite(low):
            continue
        said.append(f"retained at equal learning, {other} less {one}: {value:+.2f} [{low:+.2f}, {high:+.2f}]")
        states.append("open" if low <= 0 <= high else "excluded" if value * lasts > 0 else "explains")
    if not said:
        return "open", "too few trunks that learn as much"
    return max(states, key=("excluded", "open", "explains").index), "; ".join(said)


def as_long(runs: pd.DataFrame, controls: tuple[str, ...], treated: str) -> RivalState:
    """Whether controls last as long as what they are controls of, on trunks on which both arrived."""
    said, states = [], []
    for control in controls:
        own = runs[runs["branch"] == control]
        if own.empty:
            continue
        value, low, high = mean_with_interval(apart(runs, (control, treated))["log2_half_dose"].to_numpy(float))
        if not np.isfinite(low):
            said.append(f"{control} arrived on {own['arrived'].sum()} of {len(own)} trunks")
            states.append("open")
            continue
        said.append(f"log2 half dose, {treated} less {control}: {value:+.2f} [{low:+.2f}, {high:+.2f}]")
        states.append("excluded" if low > 0 else "explains" if value <= 0 else "open")
    if not said:
        return "open", f"no branch of {', '.join(controls)}"
    return max(states, key=("excluded", "open", "explains").index), "; ".join(said)
