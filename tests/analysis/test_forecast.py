"""The forecast: looks by hand, the process against its textbook formula, coverage in simulation, and "cannot tell"."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.forecast import (
    FEATURES,
    LEAST,
    Forecaster,
    _conditioned,
    _quantile,
    _root,
    _some,
    mean_of_the_size,
    past_runs,
    runs_so_far,
    source_of,
)
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import UsageError
from forgetting.record.schema import ScoreRow


def simulated(students: int, sources: int, seed: int, noise: float = 0.05, tells: float = 0.3) -> pd.DataFrame:
    """Runs whose outcome falls with ``log_rise``, by a logistic curve, as much as ``tells`` says."""
    draw, rows = np.random.default_rng(seed), []
    for student in range(students):
        for source in range(sources):
            for arm in range(4):
                values = dict(zip(FEATURES, draw.normal(0, 1, len(FEATURES)), strict=True))
                outcome = 0.5 - tells * math.tanh(values["log_rise"]) + noise * draw.normal()
                about = {"student": f"s{student}", "source": f"c{source}", "arm": f"a{arm}", "skill": "maths"}
                rows.append(about | {"capacity": 1000.0 * (1 + student), "outcome": min(max(outcome, 0), 1)} | values)
    return pd.DataFrame(rows)


def test_conditioning_is_the_textbook_formula() -> None:
    draw = np.random.default_rng(0)
    x, y, at = draw.normal(size=(12, 2)), draw.normal(size=12), draw.normal(size=(5, 2))
    scales, amplitude, noise = np.array([0.7, 2.0]), 0.4, 0.1
    theta = np.log([*scales, amplitude, noise])
    mean, sd = _conditioned(x, y, at, theta, _root(x, theta))

    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.array([[amplitude**2 * math.exp(-(((p - q) / scales) ** 2).sum() / 2) for q in b] for p in a])

    inverse = np.linalg.inv(k(x, x) + noise**2 * np.eye(12))
    assert mean == pytest.approx(y.mean() + k(at, x) @ inverse @ (y - y.mean()), abs=1e-6)
    assert sd**2 == pytest.approx(amplitude**2 + noise**2 - np.diag(k(at, x) @ inverse @ k(x, at)), abs=1e-6)


def test_a_group_left_out_is_foretold_as_by_the_others_alone() -> None:
    past = simulated(4, 3, 0)
    past["outcome"] += 0.5 - past.groupby("student")["outcome"].transform("mean")  # the others' mean is the whole's
    known, student = Forecaster.learned(past), past["student"].to_numpy(object).astype(str)
    found = known._apart(student)
    for name in np.unique(student):
        out = student == name
        x_NF, y_N = known.x_NF[~out], known.y_N[~out]
        mean, sd = _conditioned(x_NF, y_N, known.x_NF[out], known.log_theta, _root(x_NF, known.log_theta))
        assert found[out] == pytest.approx(np.abs(known.y_N[out] - np.clip(mean, 0, 1)) / sd, rel=1e-6)


def test_some_runs_are_of_every_skill() -> None:
    """Rows lie skill by skill: every fourth of them would be of one."""
    places = _some(1600, 400)
    assert len(set(places.tolist())) == 400 and sorted(places.tolist()) == places.tolist()
    assert all(70 < int((places % 4 == skill).sum()) < 130 for skill in range(4))
    assert _some(5, 400).tolist() == [0, 1, 2, 3, 4]


def test_it_covers_students_not_seen_as_often_as_said_and_tells_more_than_the_mean() -> None:
    inside, error, baseline = list[bool](), list[float](), list[float]()
    for seed in range(4):
        past, new = simulated(6, 3, seed), simulated(6, 3, 100 + seed)
        found = Forecaster.learned(past).forecast(new)
        assert all(one.told for one in found)
        inside += [one.low <= y <= one.high for one, y in zip(found, new["outcome"], strict=True)]
        error += [abs(one.value - y) for one, y in zip(found, new["outcome"], strict=True)]
        baseline += list(np.abs(mean_of_the_size(past, new) - new["outcome"]))
    assert 0.72 <= np.mean(inside) <= 0.9
    assert np.mean(error) < np.mean(baseline) / 2


def test_where_looks_say_nothing_it_cannot_tell() -> None:
    past = simulated(6, 3, 0, noise=0.3, tells=0.0)
    found = Forecaster.learned(past).forecast(simulated(2, 3, 1))
    assert not any(one.told for one in found) and str(found[0]).startswith("cannot tell: anything from ")


def test_a_factor_counts_each_group_alike_and_one_more_as_outside() -> None:
    """By hand: of four groups all runs make .8 of the whole; of five, 5/6, so that a fifth of one may lie outside."""
    four = [np.array([1.0, 2.0]), np.array([3.0]), np.array([9.0, 4.0]), np.array([5.0])]
    assert _quantile(four) == 9.0 and _quantile(four[:3]) == math.inf
    assert _quantile([*four, np.array([0.5, 6.0, 7.0, 8.0, 20.0])]) == 9.0
    runs = np.random.default_rng(0).normal(size=99)  # each run a group of its own: split conformal's quantile
    assert _quantile([runs[[place]] for place in range(99)]) == np.sort(runs)[79]


def test_of_a_contamination_not_seen_nothing_is_told_below_four() -> None:
    new = simulated(2, 1, 1).assign(source="another")
    few = Forecaster.learned(simulated(6, 3, 0)).forecast(new)
    assert all((one.low, one.high, one.told) == (0.0, 1.0, False) for one in few)
    known = Forecaster.learned(simulated(6, 6, 0))
    seen, unseen = known.forecast(new.assign(source="c0")), known.forecast(new)
    assert all(one.told for one in unseen)
    assert all(a.high - a.low <= b.high - b.low for a, b in zip(seen, unseen, strict=True))
    wary = dataclasses.replace(known, wary=True).forecast(new.assign(source="c0"))
    assert [vars(one) for one in wary] == [vars(one) for one in unseen]


def test_of_a_size_far_beyond_the_past_ones_nothing_is_told() -> None:
    known, new = Forecaster.learned(simulated(6, 3, 0)), simulated(2, 3, 1)
    sizes = known.x_NF[:, -1] * known.spread_F[-1] + known.centre_F[-1]
    for at, told in ((sizes.max() + 1.3, True), (sizes.max() + 1.5, False), (sizes.min() - 1.5, False)):
        found = known.forecast(new.assign(log_capacity=at))
        assert any(one.told for one in found) == told
        assert told or all((one.low, one.high) == (0.0, 1.0) for one in found)


def test_contaminations_not_seen_are_covered_where_each_is_of_its_own_kind() -> None:
    """Outcomes move up or down with the contamination: a width learned from runs alone covers too few of another."""
    inside: dict[bool, list[bool]] = {True: [], False: []}
    for seed in range(6):
        draw = np.random.default_rng(seed)
        both = simulated(5, 18, seed)
        both["outcome"] += both["source"].map(dict(zip(both["source"].unique(), draw.normal(0, 0.1, 18), strict=True)))
        past = both[both["source"].isin([f"c{place}" for place in range(9)])]
        new = both[~both["source"].isin(past["source"])]
        known = Forecaster.learned(past)
        for right in inside:
            found = known.forecast(new if right else new.assign(source="c0"))
            inside[right] += [one.low <= y <= one.high for one, y in zip(found, new["outcome"], strict=True)]
    assert 0.74 <= np.mean(inside[True]) <= 0.92
    assert np.mean(inside[False]) < np.mean(inside[True]) - 0.1


def test_few_runs_are_too_few() -> None:
    with pytest.raises(UsageError, match=r"^past runs: must be 20 or more, got 12"):
        Forecaster.learned(simulated(1, 3, 0))


def test_past_runs_by_hand() -> None:
    rows = list[dict[str, Any]]()
    for seed, rise in ((0, 0.01), (1, 0.03)):
        for arm in ("dialogue", "original", "sham"):
            for dose in (0, 40, 80, 160, 1280):
                run = dict.fromkeys(ScoreRow.__dataclass_fields__) | {
                    "student": "34k", "capacity": 34_240, "arm": arm, "distillation_seed": 5, "seed": seed,
                    "dose": dose, "stream_samples": 2 * dose, "benchmark": "maths", "skill": "maths",
                    "variant": "original",
                    "status": "ok", "retention": 1.0 - dose / 1280 if dose != 1280 else 0.25, "delta_nll": rise * dose,
                    "kl": 0.0,
                }  # fmt: skip
                probe = {"benchmark": "probe", "skill": "probe", "variant": "dialogue", "kl": dose / 160, "status": "-"}
                rows += [run, run | probe]
    arms = [{"name": arm, "contamination": {"name": arm}} for arm in ("dialogue", "original")]
    record = {"arms": [*arms, {"name": "sham", "contamination": {"name": "dialogue"}, "rate_multiple": 0.0}]}
    study = StudyFolder(Path("by hand"), record)
    study.__dict__ |= {"scores": pd.DataFrame(rows), "ledger": None}
    (found,) = past_runs([study]).to_dict("records")  # seeds averaged, no row of a control
    assert (found["student"], found["source"], found["skill"]) == ("34k-d5", "dialogue", "maths")
    assert source_of({"contamination": {"name": "world_rows", "source": "mine.jsonl"}}) == "world_rows mine.jsonl"
    assert found["log_rise"] == pytest.approx((math.log(1.6 + LEAST) + math.log(4.8 + LEAST)) / 2)
    assert found["log_rise_before"] == pytest.approx((math.log(0.8 + LEAST) + math.log(2.4 + LEAST)) / 2)
    assert found["log_kl"] == math.log(LEAST) and found["log_probe_kl"] == pytest.approx(math.log(1 + LEAST))
    assert found["log_left"] == pytest.approx(math.log(8)) and found["share"] == 0.5 and found["outcome"] == 0.25
    assert found["retention_early"] == pytest.approx(1 - 160 / 1280)
    assert past_runs([study], early=0.04).empty  # a single look
    (early,) = runs_so_far(study, 12_800, early=0.0125).to_dict("records")
    assert early["log_left"] == pytest.approx(math.log(80)) and "outcome" not in early
    assert all(early[name] == found[name] for name in FEATURES if name != "log_left")


def test_the_factor_is_of_past_runs_of_which_as_much_was_still_to_come() -> None:
    """With four times the scatter where more is to come, the width of one for all would cover neither well."""

    def runs(seed: int, students: int) -> pd.DataFrame:
        each = ((0.03, 1.0), (0.12, 4.0))
        return pd.concat([simulated(students, 2, seed, noise).assign(log_left=left) for noise, left in each])

    past, new = runs(0, 50), runs(1, 50)
    found = Forecaster.learned(past).forecast(new)
    inside = np.array([one.low <= y <= one.high for one, y in zip(found, new["outcome"], strict=True)])
    width = np.array([one.high - one.low for one in found])
    soon = (new["log_left"] == 1.0).to_numpy()
    assert 0.7 <= inside[soon].mean() <= 0.9 and 0.7 <= inside[~soon].mean() <= 0.9
    assert width[~soon].mean() > 2 * width[soon].mean()
