"""What TensorBoard itself reads back from the event files."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from forgetting.analysis.study_folder import open_study
from forgetting.evaluation.events import EventsWriter, scalar_values, shown_tag
from forgetting.report.tensorboard import write_events
from forgetting.report.tensorboard_link import tensorboard_link


@pytest.fixture(scope="module")
def written(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events") / "tensorboard"
    write_events(open_study(study_folder), folder)
    return folder


def test_a_live_writer_is_read_back(tmp_path: Path) -> None:
    writer = EventsWriter(tmp_path)
    writer.scalars(0, {"accuracy/maths": 1.0, "retention/maths": None, "nll/maths": float("nan")})
    writer.scalars(20, {"accuracy/maths": 0.5})
    found = EventAccumulator(str(tmp_path)).Reload()  # still open: every call has reached the disk
    assert found.Tags()["scalars"] == ["4 accuracy/maths"]
    assert [(s.step, s.value) for s in found.Scalars("4 accuracy/maths")] == [(0, 1.0), (20, 0.5)]
    writer.close()


def test_opening_again_replaces_and_never_duplicates(tmp_path: Path) -> None:
    for value in (0.25, 0.75):
        writer = EventsWriter(tmp_path)
        writer.scalars(0, {"kl": value})
        writer.close()
    (file,) = tmp_path.iterdir()
    events = [event for event in EventFileLoader(str(file)).Load() if event.summary.value]
    assert [event.summary.value[0].tag for event in events] == ["5 more/kl"]
    assert EventAccumulator(str(tmp_path)).Reload().Scalars("5 more/kl")[0].value == 0.75


def test_a_run_for_each_student_arm_and_seed(written: Path) -> None:
    runs = {path.name for path in written.iterdir() if path.is_dir()}
    assert len(runs) == 3 * 5 * 2 + 1 and {"34k-dialogue-d0-s1", "study"} <= runs
    assert not [path for path in written.iterdir() if path.is_file()]  # which would be a run called "."


def test_retention_comes_first_and_geometric_doses_have_a_group_of_their_own(written: Path) -> None:
    found = EventAccumulator(str(written / "34k-dialogue-d0-s1")).Reload()
    groups = sorted({tag.split("/")[0] for tag in found.Tags()["scalars"]})
    assert groups == ["1 retention", "2 retention by log dose", "3 new task", "4 accuracy", "5 more"]
    assert {tag for tag in found.Tags()["scalars"] if tag.startswith("1 ")} == {
        f"1 retention/{skill}" for skill in ("maths", "code", "lookup")
    }
    by_dose, by_log = found.Scalars("1 retention/code"), found.Scalars("2 retention by log dose/code")
    assert [s.value for s in by_dose] == [s.value for s in by_log]
    assert [s.step for s in by_log] == [0, 130, 190, 251, 311] and [s.step for s in by_dose] == [0, 20, 80, 320, 1280]


def test_the_link_carries_no_smoothing_and_a_colour_a_student(study_folder: Path) -> None:
    query = parse_qs(urlsplit(tensorboard_link(open_study(study_folder))).query)
    assert query["smoothing"] == ["0"]
    (rule,) = query["runColorGroup"]
    found = re.match(rule.removeprefix("regex:"), "100k-dialogue-rate0.25-d0-s1")
    assert found is not None and found[1] == "100k"


def test_scalars_are_those_of_the_score_rows(written: Path, study_folder: Path) -> None:
    scores = open_study(study_folder).scores
    own = scores[(scores["student"] == "34k") & (scores["arm"] == "dialogue") & (scores["seed"] == 1)]
    found = EventAccumulator(str(written / "34k-dialogue-d0-s1")).Reload()
    maths = own[(own["benchmark"] == "maths") & (own["variant"] == "original") & own["depth"].isna()]
    for tag, group in (("accuracy", "4"), ("retention", "1"), ("nll", "5 more/nll"), ("kl", "5 more/kl")):
        shown = found.Scalars(f"{group} {tag}/maths" if len(group) == 1 else f"{group}/maths")
        assert [s.step for s in shown] == maths["dose"].tolist()
        assert [s.value for s in shown] == pytest.approx(maths[tag].tolist())
    tags = set(found.Tags()["scalars"])
    assert {
        "3 new task/plasticity",
        "3 new task/new/nll",
        "3 new task/new/kl",
        "3 new task/original/kl",
        "5 more/accuracy/maths/depth-3",
        "5 more/accuracy/maths/renamed",
    } <= tags
    new = own[(own["benchmark"] == "probe") & (own["variant"] == "dialogue")]
    assert [s.value for s in found.Scalars("3 new task/plasticity")] == pytest.approx((-new["delta_nll"]).tolist())


def test_what_was_not_learned_is_left_out(written: Path) -> None:
    tags = EventAccumulator(str(written / "10k-dialogue-d0-s0")).Reload().Tags()["scalars"]
    assert "4 accuracy/maths" in tags and "1 retention/maths" not in tags and "1 retention/code" in tags


def test_live_and_rebuilt_values_are_the_same(written: Path, study_folder: Path) -> None:
    scores = open_study(study_folder).scores
    own = scores[(scores["student"] == "100k") & (scores["arm"] == "noise") & (scores["seed"] == 0)]
    values = scalar_values(own.to_dict("records"), "noise")
    found = EventAccumulator(str(written / "100k-noise-d0-s0")).Reload()
    for dose, by_tag in values.items():
        for tag, value in by_tag.items():
            if value is not None:
                assert value == pytest.approx(next(s.value for s in found.Scalars(shown_tag(tag)) if s.step == dose))


def test_the_hparams_tab_lists_every_run_with_settings_and_metrics(written: Path) -> None:
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(written))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(written))
    tab = backend_context.Context(TBContext(logdir=str(written), multiplexer=multiplexer, data_provider=provider))
    context, tags = RequestContext(), tab.hparams_metadata(RequestContext(), "")
    experiment = tab.experiment_from_metadata(
        context, "", True, tags, tab.hparams_from_data_provider(context, "", limit=100)
    )
    names = [info.name for info in experiment.hparam_infos]
    assert set(names) == {"student", "capacity", "arm", "contamination", "rate_multiple", "seed"}  # what differs
    assert len(names) == len(set(names))
    metrics = [info.display_name for info in experiment.metric_infos]
    assert metrics == ["retention/maths", "retention/code", "retention/lookup", "plasticity"]
    statuses = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=100, allowed_statuses=statuses)
    groups = list_session_groups.Handler(context, tab, "", request).run().session_groups
    assert len(groups) == 30
    one = next(g for g in groups if g.sessions[0].name == "34k-dialogue-rate0.25-d0-s0")
    assert one.hparams["rate_multiple"].number_value == 0.25 and one.hparams["student"].string_value == "34k"
    assert one.hparams["contamination"].string_value == "dialogue"
    assert {value.name.tag for value in one.metric_values} >= {"1 retention/maths", "3 new task/plasticity"}


def test_the_custom_scalar_layout_has_one_chart_for_all_students_of_a_skill(written: Path) -> None:
    found = EventAccumulator(str(written / "study"), size_guidance={"tensors": 0}).Reload()
    tensor = found.Tensors("custom_scalars__config__")[0].tensor_proto
    layout = layout_pb2.Layout.FromString(tensor.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    assert charts["retention/maths"] == ["^1\\ retention/maths$"] and "accuracy/lookup" in charts
