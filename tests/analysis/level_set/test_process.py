import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from forgetting.analysis.level_set import process
from forgetting.analysis.level_set.process import Objective, RetentionProcess

THETA = np.array([-1.0, -0.5, -0.8, -2.5])


@pytest.fixture(scope="module")
def data() -> process.Rows:
    """Twelve points, six of them with a replicate."""
    rng = np.random.default_rng(0)
    x = rng.random((12, 2))
    x = np.concatenate([x, x[:6]])
    right = rng.binomial(120, np.clip(special.expit(6 * (x[:, 0] - 0.5)) + 0.08 * rng.normal(size=18), 0, 1))
    p = (right + 0.5) / 121
    return process.rows(x, right / 120, p * (1 - p) / 120)


def dense(rows: process.Rows) -> tuple[np.ndarray, np.ndarray]:
    """Points and covariance with a row an observation, by definition."""
    x = rows.x_MD[rows.row_N]
    return x, process.covariance(x, x, THETA) + np.diag(rows.w_N + np.exp(2 * THETA[-1]))


def test_the_kernel_is_matern_plus_a_line_with_wide_priors() -> None:
    a, b = np.array([[0.1, 0.7]]), np.array([[0.5, 0.2]])
    far = np.linalg.norm((a - b) / np.exp(THETA[:2]))
    matern = 2 ** (1 - 2.5) / special.gamma(2.5) * (np.sqrt(5) * far) ** 2.5 * special.kv(2.5, np.sqrt(5) * far)
    line = 1 + (-0.4 * 0.0 + 0.2 * -0.3)
    assert process.covariance(a, b, THETA)[0, 0] == pytest.approx(np.exp(-1.6) * matern + line)


def test_pooled_likelihood_is_that_of_all_observations(data: process.Rows) -> None:
    """Against scipy's multivariate normal; the prior is a sum of squares."""
    assert len(data.x_MD) == 12
    _, total = dense(data)
    reference = stats.multivariate_normal.logpdf(data.z_N, np.zeros(18), total) + 9 * np.log(2 * np.pi)
    centre = np.array([np.log(0.3)] * 2 + [np.log(0.5), np.log(0.06)])
    reference -= 0.5 * np.sum(((THETA - centre) / [0.5, 0.5, 0.5, 0.6]) ** 2)
    assert -Objective.of(data)(THETA)[0] == pytest.approx(reference, abs=1e-4)


def test_the_gradient_is_the_slope_of_the_value(data: process.Rows) -> None:
    objective = Objective.of(data)
    slope = optimize.approx_fprime(THETA, lambda theta: objective(theta)[0], 1e-6)
    np.testing.assert_allclose(objective(THETA)[1], slope, atol=1e-3)


def test_pooled_prediction_is_that_of_all_observations(data: process.Rows) -> None:
    model, query = RetentionProcess.at(data, THETA), np.array([[0.2, 0.9], [0.8, 0.1], [1.0, 1.0]])
    x, total = dense(data)
    cross = process.covariance(query, x, THETA)
    spread = process.covariance(query, query, THETA) - cross @ np.linalg.solve(total, cross.T)
    mean, sd = model.predict(query)
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(total, data.z_N), atol=1e-4)
    np.testing.assert_allclose(sd, np.sqrt(np.diag(spread)), atol=1e-4)
    np.testing.assert_allclose(model.mean(query), mean)
    paths = model.paths(query, np.random.default_rng(0).standard_normal((20_000, 3)))
    np.testing.assert_allclose(paths.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(paths.T), spread, atol=0.05)


@pytest.fixture(scope="module")
def of_students() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points, retentions, variances, students: six sizes of four students, each at two shifts and with two streams."""
    rng = np.random.default_rng(3)
    size, student, shift, _ = (a.reshape(-1) for a in np.meshgrid(np.linspace(0, 1, 6), range(4), [0.0, 1.0], range(2)))
    label = np.unique(np.stack([size, student]), axis=1, return_inverse=True)[1].reshape(-1)
    retention = 0.3 + 0.5 * size - 0.2 * shift + 0.1 * rng.normal(size=24)[label] + 0.03 * rng.normal(size=label.size)
    return np.stack([size, shift], axis=1), retention, np.full(label.size, 0.0004), label


WITH_STUDENTS = np.append(THETA, -2.0)


def test_likelihood_and_gradient_with_students(of_students: tuple[np.ndarray, ...]) -> None:
    """Against scipy's multivariate normal over all observations, those of a student correlated wherever they are."""
    x, retention, variance, label = of_students
    data = process.rows(x, retention, variance, students_N=label)
    assert len(data.x_MD) == 48
    total = process.covariance(x, x, THETA) + np.diag(variance + np.exp(2 * THETA[-1]))
    total += np.exp(2 * WITH_STUDENTS[-1]) * (label[:, None] == label)
    reference = stats.multivariate_normal.logpdf(retention, np.zeros(96), total) + 48 * np.log(2 * np.pi)
    centre = np.array([np.log(0.3)] * 2 + [np.log(0.5), np.log(0.06), np.log(0.06)])
    reference -= 0.5 * np.sum(((WITH_STUDENTS - centre) / [0.5, 0.5, 0.5, 0.6, 0.8]) ** 2)
    objective = Objective.of(data)
    assert -objective(WITH_STUDENTS)[0] == pytest.approx(reference, abs=1e-3)
    slope = optimize.approx_fprime(WITH_STUDENTS, lambda theta: objective(theta)[0], 1e-6)
    np.testing.assert_allclose(objective(WITH_STUDENTS)[1], slope, atol=1e-3)
    model, query = RetentionProcess.at(data, WITH_STUDENTS), np.array([[0.4, 0.5]])
    cross = process.covariance(query, x, THETA)
    spread = process.covariance(query, query, THETA) - cross @ np.linalg.solve(total, cross.T)
    mean, sd = model.predict(query)
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(total, retention), atol=1e-4)
    np.testing.assert_allclose(sd, np.sqrt(np.diag(spread)), atol=1e-4)


def test_the_scatter_between_students_is_found_apart_from_that_between_streams(of_students: tuple) -> None:
    x, retention, variance, label = of_students
    model = process.fit(process.rows(x, retention, variance, students_N=label))
    assert model.student_sd == pytest.approx(0.1, rel=0.35)
    assert model.seed_sd == pytest.approx(0.03, rel=0.35)


def test_more_streams_on_the_same_students_say_next_to_nothing(of_students: tuple) -> None:
    """Ten streams a student for two: students told, the spread hardly shrinks; not told, it halves."""
    x, retention, variance, label = (np.concatenate([values] * 5) for values in of_students)
    middle = np.array([[0.4, 0.0]])
    spreads = {}
    for told in (True, False):
        few, many = (
            process.fit(process.rows(*a[:3], students_N=a[3] if told else None)).predict(middle)[1][0]
            for a in (of_students, (x, retention, variance, label))
        )
        spreads[told] = many / few
    assert spreads[True] > 0.85
    assert spreads[False] < 0.6


def test_one_student_a_point_has_no_effect_of_its_own(data: process.Rows) -> None:
    x = data.x_MD[data.row_N]
    told = process.rows(x, data.z_N, data.w_N, students_N=data.row_N)
    assert told.student_M is None
    assert process.fit(told).student_sd is None


def test_points_under_way_narrow_the_spread_and_leave_the_mean(data: process.Rows) -> None:
    model, point = RetentionProcess.at(data, THETA), np.array([[0.9, 0.9]])
    pending = model.with_pending(point)
    (before, wide), (after, narrow) = model.predict(point), pending.predict(point)
    assert after == pytest.approx(before, abs=1e-5)
    assert narrow < wide
    assert model.with_pending(np.empty((0, 2))) is model


@given(st.lists(st.integers(70, 130), min_size=1, max_size=6))
def test_a_row_is_the_mean_of_its_runs(right: list[int]) -> None:
    """Above 1 too (of a baseline of 120), and whatever variance each run's own answers give it."""
    p = (np.asarray(right) + 1) / 142
    rows = process.rows(np.zeros((len(right), 1)), np.asarray(right) / 120, p * (1 - p) / 120)
    mean, variance = rows.pooled(0.01)
    assert mean[0] == pytest.approx(np.mean(right) / 120)
    assert variance[0] == pytest.approx((np.mean(p * (1 - p)) / 120 + 0.01**2) / len(right))


def test_a_run_that_was_ended_early_keeps_its_variance() -> None:
    rows = process.rows(np.zeros((4, 1)), [0.9, 0.95, 1.0, 0.3], [0.0008, 0.0005, 0.0002, 0.03])
    np.testing.assert_allclose(rows.w_N, [0.0005, 0.0005, 0.0005, 0.03])


def test_runs_without_a_variance_are_weighed_by_their_scatter() -> None:
    rows = process.rows(np.zeros((3, 1)), [0.9, 1.1, 1.0], [0.0, 0.0, 0.0])
    mean, variance = rows.pooled(0.1)
    assert (mean[0], variance[0]) == (pytest.approx(1.0), pytest.approx(0.01 / 3))


@settings(max_examples=20)
@given(st.integers(10, 60))
def test_rows_are_bounded(most: int) -> None:
    x = np.random.default_rng(1).random((400, 2))
    rows = process.rows(x, np.full(400, 0.5), np.full(400, 0.002), most_rows=most)
    assert len(rows.x_MD) <= most
    assert np.bincount(rows.row_N).sum() == 400
    assert np.abs(rows.x_MD[rows.row_N] - x).max() < 0.5


def test_fit_finds_the_scales_that_made_the_data() -> None:
    """Forty points with five replicates each, drawn from the process itself."""
    rng = np.random.default_rng(2)
    x = np.repeat(rng.random((40, 1)), 5, axis=0)
    truth = np.log([0.2, 0.5, 0.08])
    f = rng.multivariate_normal(np.zeros(200), process.covariance(x, x, truth) + 1e-9 * np.eye(200), method="cholesky")
    z = f + 0.08 * rng.standard_normal(200)
    points, row = np.unique(x, axis=0, return_inverse=True)
    found = process.mode(process.Rows(points, row.reshape(-1), z, np.full(200, 0.0005)))
    np.testing.assert_allclose(np.exp(found), np.exp(truth), rtol=0.4)


def test_fit_is_a_minimum_that_does_not_depend_on_the_order(data: process.Rows) -> None:
    found = process.mode(data)
    assert np.abs(Objective.of(data)(found)[1]).max() < 0.01
    assert np.array_equal(found, process.mode(data))
