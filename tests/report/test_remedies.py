"""The remedies' figure and table, in every view, of the synthetic study with two more arms; none without them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from forgetting.analysis.fronts import NEVER
from forgetting.errors import UsageError
from forgetting.report import drawing, front_figures, remedies
from forgetting.report.build import build_views
from forgetting.report.result import Result, load
from tests.report.conftest import write_remedied


@pytest.fixture(scope="module")
def built(remedied_ledger: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_remedied(tmp_path_factory.mktemp("remedies") / "synthetic", remedied_ledger)
    build_views(folder)
    return folder


@pytest.fixture(scope="module")
def result(built: Path) -> Result:
    return load(built)


@pytest.mark.slow
def test_the_table_has_a_row_a_method_and_says_who_never_learns_as_much(result: Result) -> None:
    (table,) = remedies.tables(result).values()
    rows: dict[str, dict[Any, Any]] = {row["method"]: row for row in table.to_dict("records") if row["skill"] == "code"}
    assert list(rows) == ["plain", "one rate", "replay", "ewc"] and rows["plain"]["strengths"] == 2
    levels = [name for name in table if str(name).startswith("at NLL")]
    assert len(levels) == 4 and all(rows["ewc"][name] == NEVER for name in levels)
    found = result.front().levels
    for row in found[(found["skill"] == "code") & (found["method"] == "replay")].to_dict("records"):
        assert rows["replay"][f"at NLL {row['nll']:.3g}"] == f"{row['retention']:.2f}"  # one student: no interval
    apart = [float(rows["replay"][name]) - float(rows["one rate"][name]) for name in levels]
    assert min(apart) > 0 and max(apart) > 0.1
    assert (
        rows["replay"]["operations"] == pytest.approx(rows["one rate"]["operations"])
        and rows["replay"]["students"] == 1
    )


def test_every_view_has_it(built: Path, result: Result) -> None:
    assert (built / "figures" / "front-dialogue.svg").is_file()
    page = (built / "report.html").read_text()
    assert "EWC adds little to a rate" in page
    told = "which remedy is the best cannot be told at 34k"  # of one student
    assert told in page[: page.index("<h2")] and told in " ".join(str(load(built).summary()).split())
    assert (
        'id="remedies"' in page
        and NEVER in page
        and page.count("<svg view") == len(list((built / "figures").glob("*.svg")))
    )
    events = EventAccumulator(str(built / "tensorboard" / "study")).Reload()
    assert events.Tags()["images"] == ["front/dialogue"]
    image = events.Images("front/dialogue")[0]
    figure = front_figures.front(result, "dialogue")
    assert figure is not None and image.encoded_image_string == drawing.png(figure)
    assert image.width > image.height > 100


def test_levels_can_be_asked_for(result: Result) -> None:
    assert set(result.front([2.0, 1.0]).levels["nll"]) == {2.0, 1.0}
    with pytest.raises(UsageError, match=r"^levels: must be falling"):
        result.front([1.0, 2.0])


@pytest.mark.usefixtures("undrawn")
def test_a_study_without_remedies_has_none_of_it(small_folder: Path, tmp_path: Path) -> None:
    plain = load(small_folder)
    assert remedies.tables(plain) == {} == front_figures.drawn(plain)
    assert not re.search("remedies", plain.report(tmp_path / "plain.html").read_text())
    with pytest.raises(UsageError, match=r"^front: needs an arm without mitigation beside one with"):
        plain.front()


def test_how_much_replay_is_needed_of_two_shares_is_too_little_to_say(result: Result, small_folder: Path) -> None:
    found = result.replay_shares("code", levels=(0.5,))
    assert found[["replayed", "student", "shares", "status"]].to_numpy().tolist() == [
        ["replay", "34k", 2, "too little data"]
    ]
    with pytest.raises(UsageError, match=r"^replay_shares: needs arms with replay"):
        load(small_folder).replay_shares()
    with pytest.raises(UsageError, match=r"^skill: "):
        result.replay_shares("math")
