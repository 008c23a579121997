"""Orderings of remedies that several papers agree on: the fronts of a study in; pass, fail or open for each out.

What is judged is the area between two fronts at equal learning (``analysis.fronts``) with its 95% interval over
students. An ordering that the literature holds and a small world does not show is as much of a finding as the reverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from forgetting.analysis.fronts import fronts
from forgetting.analysis.learning_paths import PLAIN, compared
from forgetting.analysis.study_folder import StudyFolder

MARGIN = 0.05  # of retention: less is no more, and alike
Claimed = Literal["more", "no more", "alike"]
COLUMNS = [
    "ordering",
    "says",
    "sources",
    "arms",
    "student",
    "skill",
    "method",
    "against",
    "area",
    "low",
    "high",
    "verdict",
]


@dataclass(frozen=True)
class Ordering:
    """What is said of the area between the fronts of two methods, the second by its name or, where absent, plain."""

    name: str
    says: str
    sources: str
    method: str
    against: str
    claimed: Claimed

    def verdict(self, low: float, high: float) -> str:
        """``pass`` or ``fail`` where the whole interval says so, else ``open``; NaN bounds (one student) are open."""
        held = {
            "more": low > 0,
            "no more": high < MARGIN,
            "alike": low > -MARGIN and high < MARGIN,
        }[self.claimed]
        broken = {
            "more": high < 0,
            "no more": low > MARGIN,
            "alike": low > MARGIN or high < -MARGIN,
        }[self.claimed]
        return "pass" if held else "fail" if broken else "open"


ORDERINGS = (
    Ordering("S1", "a lower rate forgets less", "2509.20758, 2605.26097", "all rates", "one rate", "more"),
    Ordering("S2", "a little replay keeps most", "2502.06042, 2605.26097", "replay", PLAIN, "more"),
    Ordering("S2", "self-written replay is as good", "2502.06042, 2605.26097", "self_replay", "replay", "alike"),
    Ordering("S5", "LoRA is no better than a rate", "2405.09673", "lora", "all rates", "no more"),
    Ordering("S6", "EWC adds little to a rate", "TRACE, 2509.20758", "ewc", "all rates", "no more"),
    Ordering("S6", "L2-SP adds little to a rate", "TRACE, 2509.20758", "l2_sp", "all rates", "no more"),
    Ordering("S9", "averaging adds little to a rate", "2510.17776", "wise_ft", "all rates", "no more"),
)


def orderings(study: StudyFolder) -> pd.DataFrame:
    """One row for each ordering, set of arms, size and skill that the study has the methods for."""
    names = dict.fromkeys(name for group in compared(study) for name in group.methods)
    rows = []
    for ordering in ORDERINGS:
        against = ordering.against if ordering.against in names else PLAIN
        own = [name for name in names if name.split()[0] == ordering.method or name == ordering.method]
        if not own or against in own or (against == PLAIN and ordering.against == "one rate"):
            continue
        areas = fronts(study, against=against).areas
        for row in areas[areas["method"].isin(own)].to_dict("records"):
            about = {"ordering": ordering.name, "says": ordering.says, "sources": ordering.sources, "against": against}
            kept = {name: row[name] for name in ("arms", "student", "skill", "method", "area", "low", "high")}
            verdict = {"verdict": ordering.verdict(row["low"], row["high"])}
            rows.append(about | kept | verdict)
    return pd.DataFrame(rows, columns=COLUMNS)
