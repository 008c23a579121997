"""The bootstrap against a plain loop, its coverage, Holm against statsmodels, and the noise floor."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from forgetting.analysis import metrics, statistics
from forgetting.analysis.statistics import Resampling


def _study(seeds: int, items: int, falls: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Outcomes [S, D, I] of independent items with these accuracies at the doses."""
    return rng.random((seeds, len(falls), items)) < np.array(falls)[None, :, None]


def test_cluster_weights_draw_whole_clusters_and_as_many_members() -> None:
    clusters = np.array(["b", "a", "a", "a", "b", "c"])
    weights = statistics.cluster_weights(clusters, 5000, np.random.default_rng(0))
    sizes = {"a": 3, "b": 2, "c": 1}
    for name, size in sizes.items():
        drawn = weights[:, clusters == name].sum(axis=1)
        assert np.all(drawn % size == 0)  # a drawn cluster of n members gives n draws
        assert drawn.mean() / size == pytest.approx(1.0, abs=0.05)
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.08)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 1000))
def test_cluster_weights_are_the_counts_of_what_was_drawn_one_by_one(clusters: list[int], seed: int) -> None:
    draws, rng = 7, np.random.default_rng(seed)
    names = sorted(set(clusters))
    members = [np.flatnonzero(np.array(clusters) == name) for name in names]
    widest, counts = max(map(len, members)), np.zeros((draws, len(clusters)))
    for picked in rng.integers(0, len(names), (len(names), draws)):
        for draw, share in enumerate(rng.random((draws, widest))):
            own = members[picked[draw]]
            for part in share[: len(own)]:
                counts[draw, own[int(part * len(own))]] += 1
    assert np.array_equal(statistics.cluster_weights(clusters, draws, np.random.default_rng(seed)), counts)


def test_what_was_drawn_for_a_set_of_items_serves_all_that_are_measured_on_it() -> None:
    items = [f"template {n % 7}" for n in range(40)]
    one, other = (statistics.resampling(runs, np.array(items), draws=20) for runs in ([0, 1], [0, 1, 2]))
    assert one.items_BI is other.items_BI
    assert one.runs_BS.shape == (20, 2) and other.runs_BS.shape == (20, 3)
    with pytest.raises(ValueError, match="read-only"):
        one.items_BI[0, 0] = 1.0


def test_cluster_weights_of_one_cluster_are_an_ordinary_bootstrap() -> None:
    weights = statistics.cluster_weights(np.zeros(40), 4000, np.random.default_rng(1))
    assert np.all(weights.sum(axis=1) == 40)
    assert weights.var() == pytest.approx(1 - 1 / 40, rel=0.03)  # multinomial counts


def test_given_draws_a_loop_over_seeds_and_items_gives_the_same_accuracies() -> None:
    rng = np.random.default_rng(2)
    outcomes = _study(3, 20, (0.9, 0.5, 0.2), rng)
    draw = statistics.resampling([0, 0, 1], np.arange(20) % 4, draws=12, seed=5)
    band = statistics.retention_band(outcomes, 0.1, draw)
    ratios = np.zeros((12, 3))
    for b in range(12):
        totals = np.zeros(3)
        for s, copies in enumerate(draw.runs_BS[b]):
            items = np.repeat(np.arange(20), draw.items_BI[b].astype(int))
            for d in range(3):
                totals[d] += copies * np.mean([outcomes[s, d, i] for i in items])
        accuracy = totals / draw.runs_BS[b].sum()
        ratios[b] = (accuracy - 0.1) / (accuracy[0] - 0.1)
    low, high = np.quantile(ratios, (0.025, 0.975), axis=0)
    assert band.low[1:] == pytest.approx(low[1:])
    assert band.high[1:] == pytest.approx(high[1:])


def test_intervals_agree_with_a_plain_triple_loop() -> None:
    rng = np.random.default_rng(3)
    templates = np.arange(60) % 6
    tilt = np.array([-0.3, -0.1, 0, 0.1, 0.2, 0.3])[templates]  # templates differ in difficulty
    outcomes = rng.random((4, 2, 60)) < np.clip(np.array([0.9, 0.55])[None, :, None] + tilt, 0, 1)
    ratios = []
    for _ in range(3000):
        accuracy = np.zeros(2)
        items = [
            i for t in rng.integers(0, 6, 6) for i in rng.choice(np.flatnonzero(templates == t), size=10, replace=True)
        ]
        for s in rng.integers(0, 4, 4):
            accuracy += outcomes[s][:, items].mean(axis=1)
        ratios.append(accuracy[1] / accuracy[0])
    band = statistics.retention_band(outcomes, 0.0, statistics.resampling(np.zeros(4), templates, draws=3000, seed=1))
    assert (band.low[1], band.high[1]) == pytest.approx(tuple(np.quantile(ratios, (0.025, 0.975))), abs=0.02)


def test_clusters_widen_the_interval() -> None:
    templates = np.arange(100) // 20
    right = templates[None, None, :] % 2 == 0  # a template is right as a whole
    outcomes = np.concatenate([np.ones((1, 1, 100), bool), right], axis=1)
    wide, narrow = (
        statistics.retention_band(outcomes, 0.0, statistics.resampling([0], groups, 500))
        for groups in (templates, np.arange(100))
    )
    assert wide.high[1] - wide.low[1] > 2 * (narrow.high[1] - narrow.low[1])


def test_coverage_is_near_what_it_says() -> None:
    rng = np.random.default_rng(4)
    truth, hits, trials = 0.5 / 0.95, 0, 150
    for trial in range(trials):
        outcomes = _study(3, 150, (0.95, 0.5), rng)
        band = statistics.retention_band(outcomes, 0.0, statistics.resampling(np.arange(3), np.arange(150), 300, trial))
        hits += bool(band.low[1] <= truth <= band.high[1])
    assert 0.88 <= hits / trials <= 1.0


def test_pairing_leaves_only_what_unasked_items_could_do_where_nothing_changed() -> None:
    base = np.random.default_rng(5).random((3, 1, 80)) < 0.7
    outcomes = np.concatenate([base, base], axis=1)
    band = statistics.retention_band(outcomes, 0.0, statistics.resampling(np.arange(3), np.arange(80), 400))
    unseen = float(metrics.wilson(0, 80)[1])
    assert band.retention[1] == 1.0
    assert (band.high[1] - 1, 1 - band.low[1]) == pytest.approx((unseen / band.accuracy_0[1],) * 2)


def test_a_difference_of_equal_arms_is_nothing_and_of_unequal_ones_is_found() -> None:
    rng = np.random.default_rng(6)
    treated, control = _study(3, 200, (0.95, 0.4), rng), _study(3, 200, (0.95, 0.9), rng)
    draw = statistics.resampling(np.arange(3), np.arange(200), 500)
    value, low, high = statistics.retention_difference(treated, treated, 0.0, draw)
    unseen = float(metrics.wilson(0, 200)[1]) / treated[:, 0].mean()  # what items that were not asked may do
    assert (value[1], low[1], high[1]) == pytest.approx((0.0, -unseen, unseen))
    assert (value[0], low[0], high[0]) == (0.0, 0.0, 0.0)
    value, low, high = statistics.retention_difference(treated, control, 0.0, draw)
    assert low[1] < value[1] < high[1] < 0


def test_all_right_or_none_right_still_has_an_interval() -> None:
    outcomes = np.stack([np.ones((2, 50), bool), np.ones((2, 50), bool), np.zeros((2, 50), bool)], axis=1)
    band = statistics.retention_band(outcomes, 0.0, statistics.resampling([0, 0], np.arange(50), 200))
    assert (band.low[0], band.high[0]) == (1.0, 1.0)  # dose 0, by definition
    assert 0.9 < band.low[1] < band.retention[1] == band.high[1] == 1.0
    assert 0.0 == band.low[2] == band.retention[2] < band.high[2] < 0.1


def test_not_learned_is_no_number() -> None:
    outcomes = _study(2, 100, (0.2, 0.1), np.random.default_rng(7))
    band = statistics.retention_band(outcomes, 0.0, statistics.resampling([0, 0], np.arange(100), 100))
    assert np.isnan(band.retention).all() and np.isnan(band.low).all() and np.isfinite(band.accuracy_low).all()


def test_a_dose_that_only_some_runs_reached_is_compared_with_their_own_start() -> None:
    outcomes = np.zeros((2, 2, 10), bool)
    outcomes[0, 0], outcomes[0, 1, :5] = True, True  # 1.0 to .5
    outcomes[1, 0, :6] = True  # .6, and then stopped
    draw = Resampling(np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]]), np.ones((3, 10)))
    band = statistics.retention_band(outcomes, 0.0, draw, [[1, 1], [1, 0]])
    assert band.accuracy == pytest.approx([0.8, 0.5]) and band.retention == pytest.approx([1.0, 0.5])


def test_same_seed_same_draws() -> None:
    one, other, third = (statistics.resampling([0, 1], np.arange(9) % 3, 50, seed) for seed in (0, 0, 1))
    assert np.array_equal(one.items_BI, other.items_BI) and not np.array_equal(one.items_BI, third.items_BI)


def test_a_study_costs_seconds_not_minutes() -> None:
    outcomes = [_study(3, 300, (0.95,) * 8, np.random.default_rng(n)) for n in range(4)]
    begin = time.process_time()
    for cell, outcome in itertools.product(range(10), outcomes):
        if outcome is outcomes[0]:
            draw = statistics.resampling(np.arange(3), np.arange(300) % 12, seed=cell)
        statistics.retention_band(outcome, 0.0, draw)
    assert time.process_time() - begin < 6  # about 1 s on an idle core


@pytest.mark.parametrize("p", [[0.04], [0.01, 0.04, 0.03], [0.5, 0.5, 0.001, 0.02], [1.0, 0.0, 0.2], [0.01] * 6])
def test_holm_agrees_with_statsmodels(p: list[float]) -> None:
    assert statistics.holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


def test_noise_floor_halves_are_disjoint_equal_and_keep_twins_together() -> None:
    problems = [f"p{i // 2}" for i in range(22)]  # 11 problems, twins
    right = [int(problem[1:]) % 2 for problem in problems]
    floor = statistics.noise_floor(right, problems)
    assert floor.items == 10  # five problems of two items; the odd problem is left out
    assert abs(floor.difference * 5 - round(floor.difference * 5)) < 1e-9  # twins move together
    assert floor.accuracy == pytest.approx(10 / 22)
    assert statistics.noise_floor(right[::-1], problems[::-1]) == floor


def test_noise_floor_covers_the_difference_of_nothing() -> None:
    rng = np.random.default_rng(8)
    z = []
    for trial in range(200):
        floor = statistics.noise_floor(rng.random(120) < 0.7, [f"{trial}-{i}" for i in range(120)])
        z.append(floor.difference / floor.standard_error)
    assert np.std(z) == pytest.approx(1.0, abs=0.15)
    assert statistics.noise_floor(np.ones(10), [str(i) for i in range(10)]).standard_error > 0


def test_undefined_draws_are_left_out_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    outcomes = _study(2, 60, (0.4, 0.2), np.random.default_rng(9))
    band = statistics.retention_band(outcomes, 0.9, statistics.resampling([0, 0], np.arange(60), 50))
    assert np.isnan(band.low[1:]).all() and np.isfinite(band.accuracy_high).all() and not recwarn.list


def test_retention_draws_are_what_the_band_is_made_of() -> None:
    rng = np.random.default_rng(8)
    outcomes, draw = _study(3, 80, (0.9, 0.5), rng), statistics.resampling([0, 1, 2], np.arange(80) % 8, 400)
    draws = statistics.retention_draws(outcomes, 0.1, draw)
    band = statistics.retention_band(outcomes, 0.1, draw)
    assert np.all(draws[:, 0] == 1)
    assert np.quantile(draws[:, 1], (0.025, 0.975)) == pytest.approx((band.low[1], band.high[1]))


def test_equivalence_is_two_one_sided_tests() -> None:
    rng = np.random.default_rng(9)
    draws = 0.005 + 0.005 * rng.standard_normal(20_000)
    found = statistics.equivalence(0.005, draws, items=5000)
    assert found.equivalent
    assert (found.low, found.high) == pytest.approx((0.005 - 1.645 * 0.005, 0.005 + 1.645 * 0.005), abs=3e-4)
    assert found.p == pytest.approx(0.00135, abs=8e-4)  # the normal's upper tail at (.02 - .005) / .005 = 3
    wide = statistics.equivalence(0.0, 0.02 * rng.standard_normal(20_000), items=5000)
    assert not wide.equivalent and wide.p == pytest.approx(0.159, abs=0.01)
    apart = statistics.equivalence(0.05, 0.05 + 0.001 * rng.standard_normal(500), items=5000)
    assert not apart.equivalent and apart.p == 1


def test_items_that_were_not_asked_may_differ() -> None:
    for items, equivalent in ((132, False), (133, True)):
        found = statistics.equivalence(0.0, np.zeros(2000), items)
        assert found.equivalent == equivalent
        assert (found.p < 0.05) == equivalent


def test_equivalence_holds_its_error_at_the_margin() -> None:
    """A true difference of just two points is called equivalent in at most about 5% of studies."""
    rng, called, values = np.random.default_rng(10), [], np.array([-1, 0, 1])
    for _ in range(400):
        counts = rng.multinomial(1500, [0.02, 0.94, 0.04])
        draws = rng.multinomial(1500, counts / 1500, 200) @ values / 1500  # the items drawn again
        called.append(statistics.equivalence(float(counts @ values) / 1500, draws, 1500).equivalent)
    assert np.mean(called) < 0.08


def test_equivalence_without_draws_shows_nothing() -> None:
    found = statistics.equivalence(np.nan, [np.nan], 100)
    assert not found.equivalent and found.p == 1
