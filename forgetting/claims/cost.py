"""C13, what distillation costs: a study of branches in; operations beside those of training without a teacher out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from forgetting.analysis.branches import mean_with_interval
from forgetting.analysis.lesson_costs import SampleLengths, lesson_costs
from forgetting.claims._branches import KEYS, fewest_items, not_arrived, over_trunks
from forgetting.claims.judging.decision import Counts, untestable
from forgetting.claims.judging.evidence import Measured
from forgetting.claims.judging.rules import ClaimRule, Pair
from forgetting.claims.judging.verdict import Finding, RivalState, missing_needs, rivals
from forgetting.contracts import Claim


@dataclass(frozen=True)
class DistillationCost(Claim):
    """C13: to take a student to a skill by distillation costs about a tenth of what it costs without a teacher.

    Args:
        full: name of the branch that learns gold answers
        off_policy: name of the branch that learns the teacher's answers
        on_policy: name of the branch that learns from the teacher on its own answers
        teacher: parameters of the teacher
        prompt_tokens: mean tokens of a prompt of the original distribution
        answer_tokens: mean tokens of its answers, the end counted
    """

    identifier: ClassVar[str] = "C13"
    parts: ClassVar[tuple[str, ...]] = ("off_policy", "on_policy")
    rivals: ClassVar[tuple[str, ...]] = ("teacher", "seconds")
    of_branches: ClassVar[bool] = True

    full: str = "gold"
    off_policy: str = "off_policy"
    on_policy: str = "on_policy"
    teacher: int = 999_488
    prompt_tokens: float = 15.0
    answer_tokens: float = 17.0

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """log10 of each way's operations over those of full training, on seeds on which both arrived."""
        conditions, known = f"{pair.skill}, before any contamination", study.benchmark(pair.skill)
        costs = lesson_costs(study.record, SampleLengths(self.prompt_tokens, self.answer_tokens, self.teacher))
        full = costs[(costs["branch"] == self.full) & costs["arrived"]].set_index(KEYS)
        if full.empty or not known:
            why = f"takes branches, among them {self.full}, whose stages say how many samples they took"
            return Finding.nothing(rule, why, conditions)
        items = fewest_items(study, pair.skill)
        ways = {name: getattr(self, name) for name in self.parts}
        ratios = {name: _ratios(costs, branch, full) for name, branch in ways.items()}
        parts = tuple(
            untestable(name, rule.parts[name], f"no trunk on which {ways[name]} and {self.full} arrived")
            if ratios[name].empty
            else over_trunks(name, rule.parts[name], ratios[name], "all", items)
            for name in self.parts
        )
        tested = [part for part in parts if part.sizes]
        n = Counts(*(min((getattr(p, c) for p in tested), default=0) for c in ("sizes", "seeds", "items")))
        missing = missing_needs(rule, n, study.fresh_students, True)
        missing += not_arrived(costs, (self.full, *ways.values()))
        margins = {name: rule.parts[name].margin for name in self.parts}
        states: dict[str, Callable[[], RivalState]] = {
            "teacher": lambda: _below(ratios, "own", margins), "seconds": lambda: _below(ratios, "seconds", margins),
        }  # fmt: skip
        return Finding(parts, rivals(rule, states) if tested else (), conditions, missing)


def _ratios(costs: pd.DataFrame, branch: str, full: pd.DataFrame) -> pd.DataFrame:
    """By trunk log10 of the branch over full training: all operations, the student's own, processor seconds."""
    own = costs[(costs["branch"] == branch) & costs["arrived"]].set_index(KEYS)
    own, other = own.align(full, join="inner", axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "all": np.log10((own["student"] + own["teacher"]) / (other["student"] + other["teacher"])),
            "own": np.log10(own["student"] / other["student"]),
            "seconds": np.log10(own["processor_seconds"] / other["processor_seconds"]),
        }
    return pd.DataFrame(found).dropna(subset=["all"])


def _below(ratios: dict[str, pd.DataFrame], what: str, margins: dict[str, float]) -> RivalState:
    """Whether what is counted otherwise lies where the claim has it, by each way; as ratios."""
    said, states = [], []
    for name, own in ratios.items():
        value, low, high = mean_with_interval(own[what].dropna().to_numpy(float))
        if not np.isfinite(low):
            continue
        said.append(f"{name} {10**value:.2f} [{10**low:.2f}, {10**high:.2f}] of full training")
        states.append("explains" if high < margins[name] else "excluded" if low > margins[name] else "open")
    if not said:
        return "open", "not known for two trunks"
    return max(states, key=("excluded", "open", "explains").index), "; ".join(said)
