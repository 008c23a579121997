"""Composition on accuracies whose products are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.composition_index import composition_index
from forgetting.analysis.study_folder import StudyFolder


def test_by_hand() -> None:
    parts = {"original": 0.4, "first": 0.8, "second": 0.5, "novel_pair": 0.1, "novel_first": 0.8, "novel_second": 0.5}
    whole = {**parts, "crossed": 0.2}
    depths = {1: 0.9, 2: 0.6, 3: 0.3}
    head = {"arm": "a", "student": "s", "capacity": 10, "dose": 0, "chance": 0.0}
    rows = [
        row for seed, less in ((0, 1.0), (1, 0.5), (2, 0.1)) for row in (
            *({**head, "seed": seed, "benchmark": "composition", "variant": name, "depth": np.nan,
               "accuracy": value * (1 if name in ("first", "second", "novel_first", "novel_second") else less)}
              for name, value in whole.items()),
            {**head, "seed": seed, "benchmark": "maths", "variant": "original", "depth": np.nan, "accuracy": 0.6},
            *({**head, "seed": seed, "benchmark": "maths", "variant": "original", "depth": k, "accuracy": value}
              for k, value in depths.items()),
        )
    ]  # fmt: skip
    fresh = pd.DataFrame(rows).assign(distillation_seed=lambda table: table["seed"])
    study: Any = SimpleNamespace(scores=fresh)
    table = composition_index(cast(StudyFolder, study)).set_index(["benchmark", "whole"])
    assert table.loc[("composition", "original")]["students"] == 1  # the others had not learned the originals
    assert table.loc[("composition", "original")]["index"] == pytest.approx(1)
    assert table.loc[("composition", "novel_pair")]["index"] == pytest.approx(0.25)
    assert table.loc[("composition", "novel_pair")]["beside"] == pytest.approx(-0.75)
    assert table.loc[("composition", "crossed")]["index"] == pytest.approx(0.5)
    assert table.loc[("maths", "depth 3")]["students"] == 3
    assert table.loc[("maths", "depth 3")]["index"] == pytest.approx(0.3 / 0.9**3)
    assert table.loc[("maths", "depth 3")]["beside"] == pytest.approx(0.3 / 0.9**3 - 0.6 / 0.9**2)
    assert np.isnan(table.loc[("maths", "depth 2")]["beside"])
    study = SimpleNamespace(scores=fresh.assign(distillation_seed=0))
    of_one = composition_index(cast(StudyFolder, study)).set_index(["benchmark", "whole"])
    assert of_one.loc[("maths", "depth 3")]["students"] == 1  # three runs of one student
    assert of_one.loc[("maths", "depth 3")]["index"] == pytest.approx(0.3 / 0.9**3)
