"""rho* on simulated students whose need is known: level crossings, statuses, real beside self-written, the two laws."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from forgetting.analysis.replay_share import ShareLaw, replay_shares, share_laws
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import UsageError
from forgetting.record.schema import ScoreRow

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def study(
    needs: dict[int, float], kinds: tuple[str, ...] = ("replay",), students: int = 8, seed: int = 0
) -> StudyFolder:
    """Sizes by their rho* at level .9: retention is logistic in log10(share + .005), students scatter by .1 decades."""
    draw, rows, arms = np.random.default_rng(seed), list[dict[str, Any]](), list[dict[str, Any]]()
    for kind in kinds:
        for share in SHARES:
            plain = {"contamination": {"name": "dialogue"}, "shift": 1.0, "rate_policy": "constant"}
            part: dict[str, Any] = {"name": kind, "share": share} if share else {"name": "none"}
            if kind == "shift":
                plain, part = plain | {"shift": 1 - share}, {"name": "none"}
            name = f"dialogue-{kind}{share:g}" if share else "dialogue"
            if name not in [arm["name"] for arm in arms]:
                arms.append(plain | {"name": name, "mitigation": part})
            for size, need in needs.items():
                for student in range(students) if share or kind == kinds[0] else ():
                    own = math.log10(need + 0.005) + 0.1 * np.random.default_rng([size, student]).normal()
                    p = expit(logit(0.9) + 6 * (math.log10(share + 0.005) - own))
                    for dose, accuracy in ((0, 1.0), (100, 0.999), (200, draw.binomial(500, p) / 500)):
                        rows.append(dict.fromkeys(ScoreRow.__dataclass_fields__) | {
                            "student": f"{size}", "capacity": size, "arm": name, "distillation_seed": student,
                            "seed": student, "dose": dose, "benchmark": "maths", "skill": "maths", "items": 500,
                            "variant": "original", "chance": 0.0, "accuracy": accuracy, "retention": accuracy,
                            "status": "ok",
                        })  # fmt: skip
    found = StudyFolder(Path("simulated"), {"arms": arms})
    found.__dict__ |= {
        "scores": pd.DataFrame(rows), "ledger": None, "arm_names": tuple(arm["name"] for arm in arms)
    }  # fmt: skip
    return found


def test_the_share_is_found_within_its_interval() -> None:
    found = replay_shares(study({10_000: 0.1, 30_000: 0.03}), levels=(0.9,)).to_dict("records")
    assert [row["capacity"] for row in found] == [10_000, 30_000]
    for row, need in zip(found, (0.1, 0.03), strict=True):
        assert row["status"] == "located" and (row["students"], row["shares"], row["dose"]) == (8, 7, 200)
        assert row["low"] <= need <= row["high"] and abs(math.log10(row["share"] / need)) < 0.15
        assert 0 <= row["low"] < row["share"] < row["high"] <= 1


def test_less_is_needed_for_half() -> None:
    keeps = replay_shares(study({10_000: 0.1})).set_index("level")["share"]
    assert float(keeps[0.5]) < float(keeps[0.9])


def test_ends_are_said_in_words() -> None:
    needs = {10_000: 20.0, 30_000: 0.05, 100_000: -0.0045}
    found = replay_shares(study(needs), levels=(0.9,))["status"].tolist()
    assert found == ["more than was tried", "located", "none needed"]
    assert replay_shares(study({10_000: 0.05}), dose=100, levels=(0.9,))["status"].tolist() == ["none needed"]


def test_real_and_self_written_replay_stand_apart_and_a_shift_is_replay() -> None:
    found = replay_shares(study({10_000: 0.1}, ("replay", "self_replay")), levels=(0.9,))
    assert found["replayed"].tolist() == ["replay", "self_replay"] and (found["status"] == "located").all()
    assert (found["shares"] == 7).all()  # the plain arm is in both
    shift = replay_shares(study({10_000: 0.1}, ("shift",)), levels=(0.9,))
    assert shift["replayed"].tolist() == ["replay"] and shift["status"].tolist() == ["located"]


def test_nothing_of_a_study_that_replays_nothing() -> None:
    one = study({10_000: 0.1})
    one.record["arms"] = [arm for arm in one.record["arms"] if arm["name"] == "dialogue"]
    assert replay_shares(one).empty
    with pytest.raises(UsageError, match=r"^dose: must be 0 \(the last\) or one of \[100, 200\], got 150"):
        replay_shares(study({10_000: 0.1}), dose=150)


def shares(law: ShareLaw, sizes: list[int]) -> pd.DataFrame:
    rho = law.share(sizes)
    status = ["none needed" if share == 0 else "located" if share < 0.5 else "more than was tried" for share in rho]
    frame = pd.DataFrame({"capacity": sizes, "share": rho, "low": rho / 1.3, "high": rho * 1.3, "status": status})
    frame.loc[frame["status"] != "located", ["share", "low", "high"]] = np.nan
    return frame


SIZES = [10_000, 14_000, 20_000, 34_000, 50_000, 66_000, 110_000, 240_000]


def test_the_law_that_made_them_is_found() -> None:
    made = ShareLaw("parameters", (100_000.0, 60.0), math.nan, 8)
    constant, parameters = share_laws(shares(made, SIZES))
    assert parameters.parameters == pytest.approx((100_000, 60), rel=0.1)
    assert parameters.error < 0.05 < constant.error and parameters.sizes == 8
    made = ShareLaw("constant", (0.05,), math.nan, 8)
    constant, parameters = share_laws(shares(made, SIZES))
    assert constant.parameters[0] == pytest.approx(0.05, rel=1e-2) and constant.error < 0.01 < parameters.error


def test_in_the_law_replay_counts_as_parameters() -> None:
    law = ShareLaw("parameters", (100_000.0, 60.0), math.nan, 8)
    for N in (10_000, 50_000):
        assert (1 + 60 * law.share(N)) * N == pytest.approx(100_000)
    assert law.share([100_000, 1_000_000]).tolist() == [0, 0]


def test_too_few_sizes_have_no_law() -> None:
    assert share_laws(shares(ShareLaw("constant", (0.05,), math.nan, 3), SIZES[:3])) == ()
