"""Figures of probes: every share and every module with its control in the same panel, and nothing where none is."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from forgetting.analysis.lost_shares import lost_shares, probe_effects
from forgetting.analysis.module_effects import module_effects
from forgetting.report.probe_views import modules_figure, shares_figure
from tests.analysis import test_lost_shares, test_module_effects


def lines(figure: Figure | None, panel: int) -> dict[str, list[float]]:
    assert figure is not None
    ax = figure.axes[panel]
    found = {str(one.get_label()): np.asarray(one.get_ydata(), float).tolist() for one in ax.lines}
    return found | {str(one.get_label()): one[0].get_ydata().tolist() for one in ax.containers if hasattr(one, "lines")}


def test_shares_are_stacked_and_each_probe_stands_beside_its_control() -> None:
    made = test_lost_shares.study(test_lost_shares.FULL)
    shares, probes = lost_shares(made), probe_effects(made)
    figure = shares_figure(shares, probes)
    assert figure is not None
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert np.allclose(heights, shares[["garbled", "hidden", "lost"]].to_numpy()[0]) and np.isclose(sum(heights), 1)
    own = lines(figure, 1)
    assert np.allclose(own["its control"], probes["control"]) and np.allclose(
        own["with the probe"], probes["recovered"]
    )
    assert shares_figure(shares.assign(status="probes missing"), probes) is None


def test_modules_are_drawn_with_random_sets_or_not_at_all() -> None:
    right = {"restore attention.0": 80, "restore mlp.0": 60}
    random = {f"restore random {kind} attention.0 #0": 50 for kind in ("size", "change")}
    table = module_effects(test_module_effects.study(right | random))
    own = lines(modules_figure(table, table), 0)
    assert len(own["random, as many weights"]) == 1 and np.allclose(own["modules"], 60 / 80)
    assert np.allclose(own["random, as many weights"], 30 / 80) and "random, equal change" in own
    assert modules_figure(module_effects(test_module_effects.study(right)), table) is None
