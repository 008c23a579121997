"""Mixed logit by Laplace's approximation: answers in, effects of dose and wording and how they scatter out.

logit P(right) = X beta + u_problem + v_student + w_student * slope, with u, v, w normal around 0 and independent. As in
Bates et al. (arXiv 1406.5823) effects are in units of their deviations, modes by penalised iteratively reweighted
least squares; the approximate likelihood is maximised over the three deviations, beta being found jointly with the
modes (what lme4 calls ``nAGQ = 0``): with few answers a problem estimates are some per cent small, 4% with 16. Problems
are many and, given the students, independent, so that only a system of the size of the students' effects is solved.

A weak normal prior on beta (``PRIOR_SD``, in logits) keeps estimates finite where all answers of a cell are right.

Shapes: N answers, P fixed effects, I problems, S students, F = 2 S students' effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.metrics import LEARNED_MARGIN, Z_95, Floats
from forgetting.analysis.robustness import OTHER_DEPTHS, PARTS, groups, place
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder

Ints = NDArray[np.int64]
Deviations = tuple[float, float, float]  # of problems, students, students' slopes

PRIOR_SD = 10.0
MOST_STEPS, CLOSE, SLACK = 100, 1e-9, 1e-10
KEY = ["arm", "benchmark", "student", "capacity"]
COLUMNS = (
    *KEY, "dose", "term", "estimate", "standard_error", "low", "high",
    "sd_problem", "sd_student", "sd_student_dose", "students", "problems", "answers", "converged",
)  # fmt: skip


@dataclass(frozen=True)
class MixedFit:
    """A fitted model: ``beta_P`` with its covariance given the standard deviations."""

    beta_P: Floats
    covariance_PP: Floats
    deviations: Deviations
    log_likelihood: float  # of Laplace's approximation, with the prior
    converged: bool


@dataclass(frozen=True)
class LogitData:
    """What is fitted: ``slope_N`` is what each student has an own effect of; all 0 for a model without."""

    X_NP: Floats
    right_N: Floats
    problem_N: Ints
    student_N: Ints
    slope_N: Floats
    prior_sd: float = PRIOR_SD


def fit(answers: LogitData) -> MixedFit:
    """Maximise the approximate likelihood; without variation of the slope its deviation is 0."""
    inner = _Inner(answers)

    def deviations(log_sd: Floats) -> Deviations:
        one, two, *three = np.exp(np.clip(log_sd, -6, 3))
        return float(one), float(two), float(three[0]) if three else 0.0

    begin = np.full(3 if answers.slope_N.any() else 2, -0.5)
    options = {"xatol": 0.01, "fatol": 0.01, "maxfev": 300}
    found = minimize(lambda log_sd: -inner.both(deviations(log_sd)), begin, method="Nelder-Mead", options=options)
    best = deviations(found.x)
    value = inner.both(best)
    return MixedFit(inner.beta_P, inner.covariance(inner.beta_P, best), best, value, bool(found.success))


class _Inner:
    """The penalised least squares within: modes of the students' and problems' effects for given deviations.

    Modes are in units of their deviations. Students' effects are S intercepts, then S slopes.
    """

    def __init__(self, answers: LogitData) -> None:
        self.prior_sd, self.beta_P = answers.prior_sd, np.zeros(answers.X_NP.shape[1])
        self.problems, self.students = int(answers.problem_N.max()) + 1, int(answers.student_N.max()) + 1
        self.problem_I, self.student_F = np.zeros(self.problems), np.zeros(2 * self.students)
        # Answers of one student to one problem in one cell of the design count together: rows R, cells C.
        cells, cell_N = np.unique(np.column_stack([answers.X_NP, answers.slope_N]), axis=0, return_inverse=True)
        self.X_CP, self.slope_C = cells[:, :-1], cells[:, -1]
        sizes = (len(cells), self.problems, self.students)
        key_N = np.ravel_multi_index((cell_N.ravel(), answers.problem_N, answers.student_N), sizes)
        key_R, row_N = np.unique(key_N, return_inverse=True)
        self.cell_R, self.problem_R, self.student_R = np.unravel_index(key_R, sizes)
        self.count_R = np.bincount(row_N).astype(float)
        self.right_R = np.bincount(row_N, answers.right_N)
        self.slope_R = self.slope_C[self.cell_R]
        self.by_problem_R = self.problem_R * len(cells) + self.cell_R
        self.by_student_R = self.student_R * len(cells) + self.cell_R
        self.pair_R = self.problem_R * self.students + self.student_R

    def given(self, beta_P: Floats, deviations: Deviations) -> float:
        """The approximate log likelihood of these effects and deviations."""
        self.beta_P = np.asarray(beta_P, float)
        return self._solve(deviations, free=False)

    def both(self, deviations: Deviations) -> float:
        """The same at the best effects, found jointly with the modes, where ``beta_P`` then stands."""
        return self._solve(deviations, free=True)

    def covariance(self, beta_P: Floats, deviations: Deviations) -> Floats:
        """Of beta, given the deviations."""
        self.given(beta_P, deviations)
        n = len(self.beta_P)
        return np.asarray(np.linalg.inv(self._system(deviations, free=True)[0])[:n, :n])

    def _linear(self, deviations: Deviations) -> Floats:
        problem, *own = deviations
        scaled_IS = self.student_F.reshape(2, self.students) * np.array(own)[:, None]
        students_R = scaled_IS[0][self.student_R] + scaled_IS[1][self.student_R] * self.slope_R
        return np.asarray(
            (self.X_CP @ self.beta_P)[self.cell_R] + problem * self.problem_I[self.problem_R] + students_R
        )

    def _cells(self, values_R: Floats) -> tuple[Floats, Floats]:
        """Sums of a value of each row by problem and cell, and by student and cell."""
        n = len(self.X_CP)
        by_problem = np.bincount(self.by_problem_R, values_R, self.problems * n).astype(float)
        by_student = np.bincount(self.by_student_R, values_R, self.students * n).astype(float)
        return by_problem.reshape(-1, n), by_student.reshape(-1, n)

    def _system(self, deviations: Deviations, free: bool) -> tuple[Floats, Floats, Floats]:
        """Curvature of (beta where it is free, students) without the problems; the problems' own; what couples them."""
        problem, student, slope = deviations
        p_R = expit(self._linear(deviations))
        weight_R = self.count_R * p_R * (1 - p_R)
        weight_IC, weight_SC = self._cells(weight_R)
        own_I = 1 + problem**2 * weight_IC.sum(axis=1)
        pairs = [
            np.bincount(self.pair_R, v, self.problems * self.students) for v in (weight_R, weight_R * self.slope_R)
        ]
        scaled = [problem * d * v.reshape(self.problems, -1) for d, v in zip((student, slope), pairs, strict=True)]
        cross = np.hstack(scaled)
        one, two, three = (np.diag(weight_SC @ self.slope_C**power) for power in range(3))
        full = np.block([[student**2 * one, student * slope * two], [student * slope * two, slope**2 * three]])
        full += np.eye(len(full))
        if free:
            sloped_CP = self.slope_C[:, None] * self.X_CP
            beside = np.vstack([student * (weight_SC @ self.X_CP), slope * (weight_SC @ sloped_CP)]).T
            fixed = (self.X_CP.T * weight_SC.sum(axis=0)) @ self.X_CP + np.eye(len(beside)) / self.prior_sd**2
            full = np.block([[fixed, beside], [beside.T, full]])
            cross = np.hstack([problem * (weight_IC @ self.X_CP), cross])
        return full - cross.T @ (cross / own_I[:, None]), own_I, cross

    def _penalised(self, deviations: Deviations) -> float:
        linear_R = self._linear(deviations)
        fitted = self.right_R @ log_expit(linear_R) + (self.count_R - self.right_R) @ log_expit(-linear_R)
        squares = float(self.problem_I @ self.problem_I + self.student_F @ self.student_F)
        return float(fitted) - 0.5 * squares - 0.5 * float(self.beta_P @ self.beta_P) / self.prior_sd**2

    def _solve(self, deviations: Deviations, free: bool) -> float:
        moved, value = len(self.beta_P) if free else 0, self._penalised(deviations)
        problem, student, slope_sd = deviations
        for _ in range(MOST_STEPS):
            system, own_I, cross = self._system(deviations, free)
            rest_IC, rest_SC = self._cells(self.right_R - self.count_R * expit(self._linear(deviations)))
            slope_I = problem * rest_IC.sum(axis=1) - self.problem_I
            own = np.concatenate([student * rest_SC.sum(axis=1), slope_sd * (rest_SC @ self.slope_C)]) - self.student_F
            fixed = rest_SC.sum(axis=0) @ self.X_CP - self.beta_P / self.prior_sd**2
            slope = np.concatenate([fixed, own]) if free else own
            step = np.linalg.solve(system, slope - cross.T @ (slope_I / own_I))
            step_I = (slope_I - cross @ step) / own_I
            before, size = (self.beta_P, self.student_F, self.problem_I), 1.0
            while True:  # halved until it does not get worse
                self.beta_P = before[0] + size * step[:moved] if free else before[0]
                self.student_F, self.problem_I = before[1] + size * step[moved:], before[2] + size * step_I
                now = self._penalised(deviations)
                if now >= value - SLACK or size < SLACK:
                    break
                size /= 2
            gained, value = now - value, now
            if gained < CLOSE:
                break
        system, own_I, _ = self._system(deviations, free=False)
        return value - 0.5 * float(np.log(own_I).sum() + np.linalg.slogdet(system)[1])


def mixed_logit(study: StudyFolder, dose: int | None = None, slopes: bool = True) -> pd.DataFrame:
    """``right ~ after x wording + (1|problem) + (1|student) + (0 + after|student)``, one row a term of each fit.

    One fit for each arm, benchmark and size with several variants and two students or more that had learned the skill:
    answers at dose 0 and at ``dose``. Terms are in logits against the original wording at dose 0: ``after``, each group
    of wordings (several at once are one), and ``after:`` group, what that wording loses more than the original. Bounds
    are 95% by the normal distribution, given the standard deviations; ``answers`` are those of the fit.

    Args:
        study: with its ledger
        dose: the dose that is compared with 0; left out: each arm's last
        slopes: whether students differ in how much they lose; without, intervals are of these very students
    """
    if study.ledger is None:
        return pd.DataFrame(columns=list(COLUMNS))
    own = study.ledger[(study.ledger["benchmark"] != PROBE) & ~study.ledger["variant"].isin((OTHER_DEPTHS, *PARTS))]
    rows = list[dict[str, object]]()
    for key, some in own.groupby(KEY, sort=False, observed=True):
        after = int(some["dose"].max()) if dose is None else dose
        rows += _fitted(dict(zip(KEY, key, strict=True)) | {"dose": after}, some[some["dose"].isin((0, after))], slopes)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _fitted(head: dict[str, object], own: pd.DataFrame, slopes: bool) -> list[dict[str, object]]:
    """The rows of one fit; none where there is nothing to compare."""
    run = own["distillation_seed"].astype(str) + "/" + own["seed"].astype(str)
    start = own[(own["dose"] == 0) & (own["variant"] == ORIGINAL)]
    right = start["verdict"].eq("right").groupby(run[start.index]).mean()
    own = own[run.isin(right.index[right >= LEARNED_MARGIN - 1e-12])]
    of_group = {name: group for group, some in _groups(own).items() for name in some}
    if not of_group or own["dose"].nunique() < 2 or run[own.index].nunique() < 2:
        return []
    group = own["variant"].map(of_group | {ORIGINAL: ORIGINAL})
    after_N = own["dose"].gt(0).to_numpy().astype(float)
    names = list(dict.fromkeys(of_group.values()))
    wording = {name: group.eq(name).to_numpy().astype(float) for name in names}
    columns = {"original": np.ones(len(own)), "after": after_N, **wording}
    columns |= {f"after:{name}": after_N * wording[name] for name in names}
    problem_N, problems = pd.factorize(pd.Series(place(own["item"], own["variant"])))
    student_N, students = pd.factorize(run[own.index])
    found = fit(
        LogitData(
            np.column_stack(list(columns.values())), own["verdict"].eq("right").to_numpy().astype(float),
            problem_N.astype(np.int64), student_N.astype(np.int64), slopes * after_N,
        )
    )  # fmt: skip
    counts = {"students": len(students), "problems": len(problems), "answers": len(own), "converged": found.converged}
    spread = dict(zip(("sd_problem", "sd_student", "sd_student_dose"), found.deviations, strict=True))
    error_P = np.sqrt(np.diag(found.covariance_PP))
    return [
        {**head, "term": term, "estimate": value, "standard_error": error, "low": value - Z_95 * error,
         "high": value + Z_95 * error, **spread, **counts}
        for term, value, error in zip(columns, found.beta_P, error_P, strict=True)
    ]  # fmt: skip


def _groups(own: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Every variant in one group: devices each by itself, several at once and other words together."""
    found = groups([str(name) for name in own["variant"].unique()])
    return {name: some for name, some in found.items() if name != "devices"}
