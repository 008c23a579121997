"""What the report shows of the quality of branches: the figure's points are the tables', the sentence counts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forgetting.report import html, quality_views
from forgetting.report.result import Result, load
from tests.analysis.test_branch_quality import quality_study, steady
from tests.claims.synthetic import World, arm, write


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return load(quality_study(tmp_path_factory.mktemp("views") / "study"))


def test_the_figure_has_what_the_tables_have(result: Result) -> None:
    found, differences = quality_views.kept_quality(result)
    ((name, figure),) = quality_views.drawn(result).items()
    assert name == "quality-10k"
    skill, effort, apart = figure.axes
    drawn = {c.get_label(): c.lines[0].get_ydata() for c in effort.containers}
    assert drawn["off_policy"] == pytest.approx([1, 2, 3]) and drawn["on_policy"] == pytest.approx([2, 2, 2])
    accuracy = found[(found["measure"] == "accuracy") & (found["dose"] == 0) & (found["branch"] == "on_policy")]
    by_depth = [accuracy[accuracy["of"] == depth]["value"].mean() for depth in "123"]
    assert next(c for c in skill.containers if c.get_label() == "on_policy").lines[0].get_ydata() == pytest.approx(
        by_depth
    )
    labels = [label.get_text() for label in apart.get_yticklabels()]
    assert labels[:3] == ["accuracy, depth 1", "accuracy, depth 2", "accuracy, depth 3"] and len(labels) == 8
    equal = differences[(differences["skill"] == "equal") & (differences["dose"] == 0)].set_index(["measure", "of"])
    shown = np.array([float(c.lines[0].get_xdata()[0]) for c in apart.containers])
    wanted = [("accuracy", "1"), ("accuracy", "2"), ("accuracy", "3"), *quality_views.NAMES]
    assert shown == pytest.approx([float(equal.loc[pair, "value"]) for pair in wanted])


def test_without_answers_there_is_no_panel_of_steps(result: Result) -> None:
    found, differences = (one[one["dose"] == 0] for one in quality_views.kept_quality(result))
    kept = [one[one["measure"].isin(["accuracy", "drop"])] for one in (found, differences)]
    assert len(quality_views.quality_figure(*kept).axes) == 2


def test_the_sentence_and_the_page(result: Result) -> None:
    said = quality_views.TOPIC.said(result)
    assert said.startswith("Where both arrived, beside off_policy: on_policy differs in ")
    assert "written steps a step of depth -1.00" in said and "of 7 measures" in said
    tables = quality_views.TOPIC.tables(result)
    assert set(tables["Before the contamination"]["dose"]) == {0} and set(tables["All measures and looks"]["dose"]) == {
        0,
        2000,
    }
    assert said in html.page(result, {})


def test_a_study_without_branches_has_no_such_views(tmp_path: Path) -> None:
    plain = load(write(World(steady, [arm("dialogue")], seeds=1, items=10), tmp_path / "plain"))
    assert quality_views.drawn(plain) == {} == quality_views.TOPIC.tables(plain)
    assert all(isinstance(one, pd.DataFrame) and one.empty for one in quality_views.kept_quality(plain))
