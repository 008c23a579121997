"""A run whose pairs push down what they are to prefer, and one that learns the same continuations plainly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forgetting.analysis.displaced import DISPLACED
from forgetting.simulate import run_study
from forgetting.spec import Doses, Evaluation, Fit, Ladder, Optimiser, Spec


def branch(name: str, rate: float, **settings: Any) -> dict[str, Any]:
    """Taught for forty steps by pairs from its own answers."""
    method = {"name": "contrastive", "samples": 2, "max_new_tokens": 16, **settings}
    return {"name": name, "stages": [{"method": method, "samples": 320, "batch_size": 8, "learning_rate": rate}]}


@pytest.mark.slow
def test_preference_without_likelihood_displaces_and_its_control_does_not(tmp_path: Path) -> None:
    short = Fit(samples=320, pool=160)
    branches = (
        {"name": "off_policy", "stages": [{"method": "off_policy", "samples": 64}]},
        branch("pairs", 0.06, objective="dpo", nll=0.0, dpo_beta=1.0),
        branch("chosen", 0.003, objective="nll"),
    )
    spec = Spec(
        name="displaced",
        ladder=Ladder(
            students=("10k",), teacher="10k", teaching=short, distilling=Fit(samples=12_800, pool=6_400),
            distillation=({"method": "gold"},), branches=branches, fresh_students=True,
        ),
        contaminations=("dialogue",),
        doses=Doses(40, first=20, ratio=2.0),
        fine_tuning=Optimiser(learning_rate=4e-3, warmup_steps=2),
        evaluation=Evaluation(
            benchmarks=({"name": "maths", "items_per_depth": 4, "depths": (1,)},), perturbed="never", probe_items=20
        ),
        seeds=1,
        keep="none",
    )  # fmt: skip
    result = run_study(spec, output=tmp_path / "out", store=tmp_path / "store", workers=0, quiet=True)
    runs = result.branches().set_index("branch")
    assert runs["chosen_status"].dropna().to_dict() == {"pairs": "displaced", "chosen": "kept"}
    assert runs.loc["pairs", "chosen_change"] < DISPLACED < 0 < runs.loc["chosen", "chosen_change"]
    assert "start): pairs 1 of 1, chosen 0 of 1." in (result.folder / "report.html").read_text()
    assert "displaced" in (result.folder / "branches.csv").read_text()
