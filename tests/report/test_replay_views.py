"""The figure of how much replay a size needs: points and arrows where the table has them, laws, what lies outside."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from forgetting.analysis.replay_share import COLUMNS, ShareLaw, replay_shares
from forgetting.report import replay_views
from forgetting.report.replay_views import LEAST_SHOWN, OUTSIDE_SIZE, replay_figure
from tests.analysis.test_replay_share import SIZES, shares, study


def by_law() -> pd.DataFrame:
    """Eight sizes of which the two largest need none."""
    own = shares(ShareLaw("parameters", (100_000.0, 60.0), math.nan, 8), SIZES)
    own = own.assign(student=[f"{size}" for size in SIZES], arms="dialogue", replayed="replay", skill="maths", dose=200)
    return own.assign(level=0.9, students=8, shares=7)[COLUMNS]


def drawn(figure: Figure | None) -> dict[str, tuple[list[float], list[float]]]:
    assert figure is not None
    (said,) = figure.axes[0].texts
    assert str(said.get_text()).startswith("replay: (1 + B share) N, 0.0")
    found = {}
    for line in figure.axes[0].lines:
        x, y = (np.asarray(values, float).tolist() for values in (line.get_xdata(), line.get_ydata()))
        found[f"{line.get_label()} {line.get_marker()}"] = (x, y)
    return found


def test_the_law_and_an_arrow_where_none_is_needed() -> None:
    lines = drawn(replay_figure(by_law()))
    (arrows,) = [xy for name, xy in lines.items() if name.endswith(" v")]
    assert arrows == ([110_000, 240_000], [LEAST_SHOWN] * 2)
    (law,) = [xy for xy in lines.values() if len(xy[0]) == 60]
    assert law[0][0] == pytest.approx(SIZES[0]) and law[0][-1] == pytest.approx(SIZES[-1])
    assert law[1][0] == pytest.approx((100_000 / 10_000 - 1) / 60, rel=0.1)
    assert not [name for name in lines if "extrapolated" in name or "Llama" in name]


def test_beyond_the_sizes_only_where_asked_for_and_labelled() -> None:
    lines = drawn(replay_figure(by_law(), beyond=1e10))
    (outside,) = [xy for name, xy in lines.items() if name.startswith("extrapolated")]
    assert outside[0][0] == pytest.approx(SIZES[-1]) and outside[0][-1] == pytest.approx(1e10)
    (point,) = [xy for name, xy in lines.items() if "Llama" in name]
    assert point == ([OUTSIDE_SIZE], [0.01])
    assert not [name for name in drawn(replay_figure(by_law(), beyond=1e8)) if "Llama" in name]


def test_of_a_study_that_replays_and_none_of_fewer_sizes() -> None:
    one = study({10_000: 0.2, 30_000: 0.05, 100_000: -0.0045})
    assert list(replay_views.drawn(one)) == ["replay-dialogue"]
    pd.testing.assert_frame_equal(replay_views.kept_shares(one), replay_shares(one))
    assert replay_figure(replay_shares(study({10_000: 0.2, 30_000: 0.05}))) is None
    shifts = study({10_000: 0.2, 30_000: 0.05, 100_000: 0.01}, ("shift",))  # has its own thresholds in the report
    assert replay_views.kept_shares(shifts).empty and replay_views.drawn(shifts) == {}
