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
    FEWEST_SOURCES,
    LEAST,
    Forecaster,
    _quantile,
    _some,
    mean_of_the_size,
    past_runs,
    runs_so_far,
    sizes_of,
    source_of,
)
from forgetting.analysis.gaussian_process import GaussianProcess
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
                about = {"student": f"s{student}", "source": f"c{source}", "arm": f"a{arm}"}
                about |= {"skill": "maths", "method": "none"}
                rows.append(about | {"capacity": 1000.0 * (1 + student), "outcome": min(max(outcome, 0), 1)} | values)
    return pd.DataFrame(rows)


def points(seed: int, count: int) -> np.ndarray:
    """Two numbers and a kind of three words."""
    draw = np.random.default_rng(seed)
    return np.column_stack([draw.normal(size=(count, 2)), draw.integers(0, 3, count)])


def test_conditioning_is_the_textbook_formula() -> None:
    x, y, at = points(0, 12), np.random.default_rng(1).normal(size=12), points(2, 5)
    at[0, 2] = -1  # a word that no past point has
    scales, length, amplitude, noise = np.array([0.7, 2.0]), 1.3, 0.4, 0.1
    mean, sd = GaussianProcess(x, y, 1, np.log([*scales, length, amplitude, noise])).conditioned(at)

    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        apart = [[(((p - q)[:2] / scales) ** 2).sum() + (p[2] != q[2]) / length**2 for q in b] for p in a]
        return amplitude**2 * np.exp(-np.array(apart) / 2)

    inverse = np.linalg.inv(k(x, x) + noise**2 * np.eye(12))
    assert mean == pytest.approx(y.mean() + k(at, x) @ inverse @ (y - y.mean()), abs=1e-6)
    assert sd**2 == pytest.approx(amplitude**2 + noise**2 - np.diag(k(at, x) @ inverse @ k(x, at)), abs=1e-6)


def test_a_group_left_out_is_foretold_as_by_the_others_alone() -> None:
    x, y, group = points(0, 40), np.random.default_rng(1).normal(size=40), np.arange(40) % 5
    for one in range(5):
        y[group == one] += 0.5 - y[group == one].mean()  # the others' mean is the whole's
    process = GaussianProcess(x, y, 1, np.log([0.7, 2.0, 1.3, 0.4, 0.1]))
    found = np.stack(process.left_out(group.astype(str)))
    for one in range(5):
        rest = group != one
        others = GaussianProcess(x[rest], y[rest], 1, process.log_theta).conditioned(x[~rest])
        assert found[:, ~rest] == pytest.approx(np.stack(others), rel=1e-6)


def test_some_runs_are_of_every_contamination_alike() -> None:
    """Rows lie by study: of a contamination that few studies have as many are taken, and of each of every part."""
    sources = np.repeat(["dialogue", "noise", "rows"], [1_000, 500, 100])
    places = _some(sources, 400)
    assert sorted(places.tolist()) == places.tolist() and len(set(places.tolist())) == 400
    assert [int((sources[places] == name).sum()) for name in ("dialogue", "noise", "rows")] == [150, 150, 100]
    assert 50 < int((places < 500).sum()) < 100
    assert _some(sources[:5], 400).tolist() == [0, 1, 2, 3, 4]


def test_it_covers_students_not_seen_as_often_as_said_and_tells_more_than_the_mean() -> None:
    inside, error, baseline = list[bool](), list[float](), list[float]()
    for seed in range(4):
        past, new = simulated(6, 3, seed), simulated(6, 3, 100 + seed)
        found = Forecaster.learned(past).forecast(new)
        assert np.mean([one.told for one in found]) > 0.9
        inside += [one.low <= y <= one.high for one, y in zip(found, new["outcome"], strict=True)]
        error += [abs(one.value - y) for one, y in zip(found, new["outcome"], strict=True)]
        baseline += list(np.abs(mean_of_the_size(past, new) - new["outcome"]))
    assert 0.72 <= np.mean(inside) <= 0.9
    assert np.mean(error) < np.mean(baseline) / 2


def test_where_looks_say_nothing_it_cannot_tell() -> None:
    past = simulated(6, 3, 0, noise=0.3, tells=0.0)
    found = Forecaster.learned(past).forecast(simulated(2, 3, 1))
    assert not any(one.told for one in found) and str(found[0]).startswith("cannot tell: anything from ")


def test_a_factor_counts_each_group_alike() -> None:
    """By hand: of four groups .8 lies within the last of their runs, which has an eighth of the weight."""
    four = [np.array([1.0, 2.0]), np.array([3.0]), np.array([9.0, 4.0]), np.array([5.0])]
    assert _quantile(four, outside=0) == 5.0 and _quantile([*four, np.array([20.0])], outside=0) == 9.0
    assert _quantile(four, outside=1) == 9.0 and _quantile(four[:3], outside=1) == math.inf
    runs = np.random.default_rng(0).normal(size=99)  # each run a group of its own: split conformal's quantile
    assert _quantile([runs[[place]] for place in range(99)], outside=1) == np.sort(runs)[79]


def test_of_a_contamination_not_seen_nothing_is_told_below_eight() -> None:
    new = simulated(2, 1, 1).assign(source="another")
    few = Forecaster.learned(simulated(4, FEWEST_SOURCES - 1, 0)).forecast(new)
    assert all((one.low, one.high, one.told) == (0.0, 1.0, False) for one in few)
    known = Forecaster.learned(simulated(4, FEWEST_SOURCES, 0))
    seen, unseen = known.forecast(new.assign(source="c0")), known.forecast(new)
    assert all(one.told for one in unseen)
    assert all(a.high - a.low <= b.high - b.low for a, b in zip(seen, unseen, strict=True))


def test_a_wary_one_takes_the_width_of_others_for_past_contaminations() -> None:
    past = simulated(4, FEWEST_SOURCES, 0)
    by_source = dict(zip(past["source"].unique(), np.random.default_rng(0).normal(0, 0.1, FEWEST_SOURCES), strict=True))
    known = Forecaster.learned(past.assign(outcome=past["outcome"] + past["source"].map(by_source)))
    known = dataclasses.replace(known, apart_sources_N=3 * known.apart_N)
    new = simulated(2, 1, 1).assign(source="c0")
    seen, wary = known.forecast(new), dataclasses.replace(known, wary=True).forecast(new)
    assert np.mean([one.high - one.low for one in wary]) > 2 * np.mean([one.high - one.low for one in seen])


def test_capacities_that_follow_each_other_closely_are_one_size() -> None:
    found = sizes_of(pd.DataFrame({"capacity": [111_000.0, 9_952, 34_240, 10_080, 31_940, 99_740, 34_240, 50_160]}))
    assert found.tolist() == [3, 0, 1, 0, 1, 3, 1, 2]


def test_of_a_skill_not_seen_nothing_is_told() -> None:
    found = Forecaster.learned(simulated(6, 3, 0)).forecast(simulated(2, 3, 1).assign(skill="sums"))
    assert all((one.low, one.high, one.told) == (0.0, 1.0, False) for one in found)


def test_methods_part_runs_that_look_alike() -> None:
    """Half of the runs come back by .3: without the method the two could not be told apart."""
    past, new = simulated(8, 4, 0), simulated(4, 4, 1)
    for frame in (past, new):
        frame["method"] = np.where(np.arange(len(frame)) % 2, "replay", "none")
        frame["outcome"] = 0.2 + 0.6 * frame["outcome"] + np.where(frame["method"] == "replay", 0.2, -0.2)
    found = Forecaster.learned(past).forecast(new)
    assert np.mean([abs(one.value - y) for one, y in zip(found, new["outcome"], strict=True)]) < 0.07


def test_of_a_size_far_beyond_the_past_ones_nothing_is_told() -> None:
    known, new = Forecaster.learned(simulated(6, 3, 0)), simulated(2, 3, 1)
    smallest, largest = known._capacities
    for at, told in ((largest + 1.3, True), (largest + 1.5, False), (smallest - 1.5, False)):
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
