"""What a run says of a target: the right row, the variance of its retention, and why there is none."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forgetting.errors import UsageError
from forgetting.record.files import RunFolder
from forgetting.sweep.outcomes import outcome, retention_variance
from forgetting.sweep.sweep_spec import Target
from tests.sweep.small import a_space, completed


def row(dose: int, accuracy: float, retention: float | None, **changes: Any) -> dict[str, Any]:
    """A score row as far as a sweep reads it."""
    plain = {"benchmark": "maths", "variant": "original", "depth": None, "items": 24, "chance": 0.0, "status": "ok"}
    return {**plain, "dose": dose, "accuracy": accuracy, "retention": retention, **changes}


def scores(folder: Path, *rows: dict[str, Any]) -> RunFolder:
    """A complete run with these scores."""
    (folder / "scores.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return completed(folder)


def test_retention_is_read_at_the_targets_dose(tmp_path: Path) -> None:
    run = scores(tmp_path, row(0, 0.8, 1.0), row(40, 0.6, 0.75), row(80, 0.4, 0.5), row(160, 0.2, 0.25))
    found = outcome(a_space(Target(dose=80, levels=(0.5,))), run)
    assert (found.status, found.retention, found.baseline, found.items) == ("ok", 0.5, 0.8, 24)
    assert not found.censored
    assert outcome(a_space(), run).retention == 0.25


def test_other_benchmarks_variants_and_depths_are_left_out(tmp_path: Path) -> None:
    run = scores(
        tmp_path,
        row(0, 0.8, 1.0),
        row(160, 0.4, 0.5),
        *[row(d, 0.9, 0.9, depth=2) for d in (0, 160)],
        *[row(d, 0.1, 0.1, variant="renamed") for d in (0, 160)],
        *[row(d, 0.2, 0.2, benchmark="code") for d in (0, 160)],
    )
    assert outcome(a_space(), run).retention == 0.5
    assert outcome(a_space(Target(skill="maths:2")), run).retention == 0.9


def test_a_run_that_ended_before_the_dose_is_censored_at_its_last_look(tmp_path: Path) -> None:
    found = outcome(a_space(), scores(tmp_path, row(0, 0.8, 1.0), row(40, 0.4, 0.5), row(80, 0.08, 0.1)))
    assert found.censored
    assert (found.retention, found.last_dose) == (0.1, 80)
    assert found.variance == pytest.approx(retention_variance(0.08, 0.8, 24, 0.0) + 0.1**2 / 3)
    at_its_last_look = outcome(a_space(Target(dose=80, levels=(0.5,))), RunFolder(tmp_path))
    assert not at_its_last_look.censored
    assert at_its_last_look.variance == retention_variance(0.08, 0.8, 24, 0.0)


def test_what_was_not_learned_has_no_retention(tmp_path: Path) -> None:
    rows = row(0, 0.2, None, status="not_learned"), row(160, 0.1, None, status="not_learned")
    found = outcome(a_space(), scores(tmp_path, *rows))
    assert found.status == "not_learned"
    assert math.isnan(found.retention)
    assert math.isnan(found.variance)
    assert found.baseline == 0.2


def test_scores_without_the_skill_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no row of maths at dose 0"):
        outcome(a_space(), scores(tmp_path, row(40, 0.4, 0.5)))


@pytest.mark.parametrize(("p", "p_0", "chance"), [(0.45, 0.9, 0.0), (0.7, 0.8, 0.25), (0.5, 0.6, 0.0)])
def test_the_variance_is_that_of_simulated_runs(p: float, p_0: float, chance: float) -> None:
    items, rng = 400, np.random.default_rng(0)
    now, then = (rng.binomial(items, q, 20_000) / items for q in (p, p_0))
    simulated = float(np.var((now - chance) / (then - chance)))
    assert retention_variance(p, p_0, items, chance) == pytest.approx(simulated, rel=0.05)


def test_the_variance_is_never_nothing_and_falls_with_items() -> None:
    found = [retention_variance(1.0, 1.0, items, 0.0) for items in (10, 100, 1000)]
    assert found[0] > found[1] > found[2] > 0
