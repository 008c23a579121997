"""The remedies' figure and table, in every view, of the synthetic study with two more arms; none without them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from forgetting.analysis.fronts import NEVER
from forgetting.errors import UsageError
from forgetting.record.files import write_json
from forgetting.report import drawing, remedies
from forgetting.report.build import build_views
from forgetting.report.result import Result, load
from tests.report.conftest import synthetic_record, write_study

MORE = {"dialogue-replay": {"name": "replay", "share": 0.05}, "dialogue-ewc": {"name": "ewc", "strength": 30.0}}


@pytest.fixture(scope="module")
def built(synthetic_ledger: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Replay learns as plain tuning does and loses what the noise arm loses; ewc learns nothing."""
    few = synthetic_ledger["benchmark"].isin(["code", "probe"])
    small = synthetic_ledger[(synthetic_ledger["student"] == "34k") & few]
    plain = small[small["arm"].isin(["dialogue", "dialogue-rate0.25"])]
    probes = small["benchmark"] == "probe"
    own = small[(small["arm"] == "dialogue") & probes]
    replay = pd.concat([small[(small["arm"] == "noise") & ~probes], own]).assign(arm="dialogue-replay")
    stuck = small[(small["arm"] == "dialogue-rate0") & ~probes]
    still = own[own["dose"] == 0]
    idle = [stuck, *(still.assign(dose=dose) for dose in sorted(stuck["dose"].unique()))]
    ledger = pd.concat([plain, replay, pd.concat(idle).assign(arm="dialogue-ewc")], ignore_index=True)
    folder = write_study(tmp_path_factory.mktemp("remedies") / "synthetic", ledger)
    record = synthetic_record()
    own_arms = {arm["name"]: arm for arm in record["arms"]}
    plain_arms = [own_arms["dialogue"], own_arms["dialogue-rate0.25"]]
    more = [own_arms["dialogue"] | {"name": name, "mitigation": part} for name, part in MORE.items()]
    write_json(folder / "record.json", record | {"arms": plain_arms + more})
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
    assert (
        'id="remedies"' in page
        and NEVER in page
        and page.count("<svg view") == len(list((built / "figures").glob("*.svg")))
    )
    events = EventAccumulator(str(built / "tensorboard" / "study")).Reload()
    assert events.Tags()["images"] == ["front/dialogue"]
    image = events.Images("front/dialogue")[0]
    figure = remedies.front(result, "dialogue")
    assert figure is not None and image.encoded_image_string == drawing.png(figure)
    assert image.width > image.height > 100


def test_a_line_ends_where_its_method_does(result: Result) -> None:
    figure = remedies.front(result, "dialogue")
    assert figure is not None
    ax = next(ax for ax in figure.axes if ax.get_title() == "34k, code")
    named = [line for line in ax.lines if not str(line.get_label()).startswith("_")]
    ends = {str(line.get_label()): float(np.max(np.asarray(line.get_xdata(), float))) for line in named}
    assert list(ends) == ["plain", "one rate", "replay", "ewc"]
    assert ends["ewc"] < ends["one rate"] == ends["replay"] == ends["plain"]
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert np.asarray(cross.get_xdata(), float).tolist() == [ends["ewc"]]


def test_levels_can_be_asked_for(result: Result) -> None:
    assert set(result.front([2.0, 1.0]).levels["nll"]) == {2.0, 1.0}
    with pytest.raises(UsageError, match=r"^levels: must be falling"):
        result.front([1.0, 2.0])


@pytest.mark.usefixtures("undrawn")
def test_a_study_without_remedies_has_none_of_it(small_folder: Path, tmp_path: Path) -> None:
    plain = load(small_folder)
    assert remedies.tables(plain) == {} == remedies.drawn(plain)
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
