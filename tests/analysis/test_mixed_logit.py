"""Mixed logit against the plain formula, quadrature and known truths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from statsmodels.api import Logit

from forgetting.analysis.mixed_logit import LogitData, _Inner, fit, mixed_logit
from forgetting.analysis.study_folder import open_study
from tests.claims.synthetic import World, arm, write


def drawn(deviations: tuple[float, float, float], problems: int, students: int, times: int, seed: int) -> LogitData:
    """Every student answers every problem so many times before and after; beta is (1, -1)."""
    rng = np.random.default_rng(seed)
    shape = (problems, students, 2, times)
    problem, student, after, _ = (index.ravel() for index in np.indices(shape))
    u, v, w = (sd * rng.standard_normal(n) for sd, n in zip(deviations, (problems, students, students), strict=True))
    linear = 1 - after + u[problem] + v[student] + w[student] * after
    X = np.column_stack([np.ones(len(after)), after]).astype(float)
    right = (rng.random(len(after)) < expit(linear)).astype(float)
    return LogitData(X, right, problem, student, after * float(deviations[2] > 0), prior_sd=1e3)


def test_the_likelihood_is_the_plain_formula() -> None:
    """The same approximation with a dense design, its mode found by a general optimiser."""
    answers, beta, deviations = drawn((1, 0.5, 0.7), 6, 3, 2, seed=1), np.array([0.8, -0.6]), (0.9, 0.4, 0.6)
    own = np.eye(3)[answers.student_N]
    Z = np.hstack([0.9 * np.eye(6)[answers.problem_N], 0.4 * own, 0.6 * own * answers.slope_N[:, None]])

    def cost(b: np.ndarray) -> float:
        linear = answers.X_NP @ beta + Z @ b
        return float(b @ b / 2 - log_expit(np.where(answers.right_N > 0, linear, -linear)).sum())

    mode = minimize(cost, np.zeros(Z.shape[1]), method="BFGS", options={"gtol": 1e-8}).x
    p = expit(answers.X_NP @ beta + Z @ mode)
    curvature = np.eye(Z.shape[1]) + (Z.T * (p * (1 - p))) @ Z
    wanted = -cost(mode) - np.linalg.slogdet(curvature)[1] / 2 - beta @ beta / 2e6
    assert _Inner(answers).given(beta, deviations) == pytest.approx(wanted, abs=1e-6)
    inner = _Inner(answers)
    joint = (np.hstack([answers.X_NP, Z]).T * (p * (1 - p))) @ np.hstack([answers.X_NP, Z])
    joint += np.diag([1e-6, 1e-6, *np.ones(Z.shape[1])])
    assert inner.covariance(beta, deviations) == pytest.approx(np.linalg.inv(joint)[:2, :2], rel=1e-4)


def test_close_to_quadrature() -> None:
    """Problems alone: the likelihood of each is an integral over one number, by 60 nodes of Gauss and Hermite."""
    answers = drawn((0.9, 0, 0), 60, 1, 40, seed=2)
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    after_N = answers.X_NP[:, 1].astype(int)
    right = np.zeros((60, 2))
    np.add.at(right, (answers.problem_N, after_N), answers.right_N)

    def cost(x: np.ndarray) -> float:
        linear = np.array([[x[0]], [x[0] + x[1]]]) + np.exp(x[2]) * node
        whole = right @ log_expit(linear) + (40 - right) @ log_expit(-linear)
        return -float(np.log(np.exp(whole) @ (weight / np.sqrt(2 * np.pi))).sum())

    exact, found = minimize(cost, [1, -1, 0]).x, fit(answers)
    assert found.beta_P == pytest.approx(exact[:2], abs=0.02)
    assert found.deviations[0] == pytest.approx(np.exp(exact[2]), abs=0.05)


def test_without_scatter_it_is_logistic_regression() -> None:
    answers = drawn((0, 0, 0), 40, 4, 4, seed=3)
    inner = _Inner(answers)
    inner.both((0, 0, 0))
    plain = Logit(answers.right_N, answers.X_NP).fit(disp=0)
    assert inner.beta_P == pytest.approx(plain.params, abs=1e-5)
    assert inner.covariance(inner.beta_P, (0, 0, 0)) == pytest.approx(plain.cov_params(), rel=1e-4)


def test_known_parameters_come_back() -> None:
    found = fit(drawn((1.2, 0.6, 0.8), 60, 24, 1, seed=4))
    assert found.converged
    errors = np.sqrt(np.diag(found.covariance_PP))
    assert (np.abs(found.beta_P - [1, -1]) < 3 * errors).all() and (errors < 0.25).all()
    assert found.deviations == pytest.approx((1.2, 0.6, 0.8), abs=0.35)


def test_students_that_differ_widen_the_interval_of_the_dose() -> None:
    answers = drawn((1, 0.5, 1.5), 30, 8, 1, seed=5)
    flat = LogitData(answers.X_NP, answers.right_N, answers.problem_N, answers.student_N, 0 * answers.slope_N)
    assert fit(answers).covariance_PP[1, 1] > 2 * fit(flat).covariance_PP[1, 1]


def test_of_a_study(tmp_path: Path) -> None:
    costs = {"distractor": 0.3, "renumbered": 0.0}
    variants = {name: (lambda capacity, cost=cost: cost) for name, cost in costs.items()}
    world = World(
        lambda *look: 0.9 if look[-1] == 0 else 0.6, [arm("high", "dialogue")], capacities=(10_000,), seeds=3,
        items=60, wobble=0.0, variants=variants,
    )  # fmt: skip
    table = mixed_logit(open_study(write(world, tmp_path / "study"))).set_index("term")
    assert table["students"].eq(3).all() and table["converged"].all() and table["dose"].eq(10_000).all()
    logit = {p: np.log(p / (1 - p)) for p in (0.9, 0.6, 0.63)}
    assert table.loc["original"]["estimate"] == pytest.approx(logit[0.9], abs=0.5)
    assert table.loc["after"]["estimate"] == pytest.approx(logit[0.6] - logit[0.9], abs=0.5)
    assert table.loc["distractor"]["estimate"] == pytest.approx(logit[0.63] - logit[0.9], abs=0.5)
    assert table.loc["renumbered"]["low"] < 0 < table.loc["renumbered"]["high"]
    assert table.loc["after:renumbered"]["estimate"] == pytest.approx(0, abs=0.4)
