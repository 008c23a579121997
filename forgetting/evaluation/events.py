"""TensorBoard events of one run, without torch: a writer, and the scalars that score rows become, by tag."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.metrics import plasticity
from forgetting.analysis.scores import PROBE

HParam = str | float | bool
GROUPS = ("retention", "accuracy", "relative_drop", "delta_nll")
FIRST, BY_LOG_DOSE, OF_TASK, NEXT, REST = "1 retention", "2 retention by log dose", "3 new task", "4 accuracy", "5 more"
PER_SKILL = "accuracy retention relative_drop nll delta_nll base_ce kl valid_rate step_accuracy".split()


class EventsWriter:
    """One TensorBoard run. Opening a folder removes the event files in it, so that nothing is shown twice.

    Every call writes through to the disk, and nothing runs in the background.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("*tfevents*"):
            old.unlink()
        self._file = open(self.folder / f"events.out.tfevents.{time.time():.0f}.forgetting", "xb")  # noqa: SIM115 (until close)
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def scalars(self, dose: int, values: Mapping[str, float | None]) -> None:
        """Scalars by tag at one dose; those that are None (not learned, say) are left out.

        Retention stands once more in a group whose step is 100 log10(dose), since doses are spaced geometrically.
        """
        known = {shown_tag(tag): float(v) for tag, v in values.items() if v is not None and v == v}
        again = {BY_LOG_DOSE + tag.removeprefix(FIRST): v for tag, v in known.items() if tag.startswith(f"{FIRST}/")}
        for step, some in ((dose, known), (log_step(dose), again)):
            shown = [Summary.Value(tag=tag, simple_value=v) for tag, v in some.items()]
            if shown:
                self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=shown)))

    def session(self, settings: Mapping[str, HParam]) -> None:
        """This run's row of the HPARAMS tab."""
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        for name, value in settings.items():
            kind = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
            setattr(start.hparams[name], kind, value)
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
        self._hparams(hparams_metadata.SESSION_START_INFO_TAG, session_start_info=start)
        self._hparams(hparams_metadata.SESSION_END_INFO_TAG, session_end_info=end)

    def experiment(self, settings: Mapping[str, list[HParam]], metrics: Iterable[str]) -> None:
        """The columns of the HPARAMS tab: every setting with its values, and the metrics by tag."""
        shown = [(shown_tag(tag), tag) for tag in metrics]
        about = api_pb2.Experiment(
            hparam_infos=[_hparam_info(name, values) for name, values in settings.items()],
            metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=t), display_name=name) for t, name in shown],
            time_created_secs=time.time(),
        )
        self._hparams(hparams_metadata.EXPERIMENT_TAG, experiment=about)

    def layout(self, skills: Iterable[str], other: Iterable[str], tasks: Iterable[str] = ()) -> None:
        """The CUSTOM SCALARS tab: a category for each group of scalars, in it a chart for each skill with all runs.

        ``tasks`` of sequences have a category too.
        """
        skills = list(skills)
        categories = [_category(group, [f"{group}/{skill}" for skill in skills]) for group in GROUPS]
        categories.append(_category("contaminating task", list(other)))
        if named := [f"task/{task}/nll" for task in tasks]:
            categories.append(_category("tasks of a sequence", named))
        layout = layout_pb2.Layout(category=categories)
        tensor = TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[layout.SerializeToString()])
        self._value(layout_metadata.CONFIG_SUMMARY_TAG, layout_metadata.create_summary_metadata(), tensor)

    def image(self, tag: str, png: bytes) -> None:
        """A picture, which TensorBoard shows under IMAGES."""
        width, height = (int.from_bytes(png[place : place + 4], "big") for place in (16, 20))  # of the PNG's header
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        self._write(Event(wall_time=time.time(), summary=Summary(value=[Summary.Value(tag=tag, image=image)])))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _hparams(self, tag: str, **data: Any) -> None:
        content = plugin_data_pb2.HParamsPluginData(**data)
        self._value(tag, hparams_metadata.create_summary_metadata(content), hparams_metadata.NULL_TENSOR)

    def _value(self, tag: str, metadata: Any, tensor: Any) -> None:
        value = Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        self._write(Event(wall_time=time.time(), summary=Summary(value=[value])))

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()


def shown_tag(tag: str) -> str:
    """The tag in TensorBoard, which sorts groups by name: retention first, what is of the details in the last group."""
    group, _, rest = tag.partition("/")
    if group in ("retention", "accuracy") and rest and "/" not in rest:
        return f"{FIRST if group == 'retention' else NEXT}/{rest}"
    if group in ("plasticity", "new", "original", "task"):
        return f"{OF_TASK}/{tag}"
    return f"{REST}/{tag}"


def log_step(dose: int) -> int:
    """The step of a dose in the second group: 100 log10(dose), 0 for dose 0."""
    return round(100 * math.log10(max(dose, 1)))


def scalar_values(rows: Iterable[Mapping[str, Any]], new_source: str = "new") -> dict[int, dict[str, float | None]]:
    """By dose, the scalars of one run by tag, from its score rows as plain values.

    Tags: ``accuracy/SKILL``, ``accuracy/SKILL/depth-3``, ``accuracy/SKILL/VARIANT`` and so on; of the probes
    ``new/nll``, ``new/kl``, ``plasticity`` (fall of the new task's NLL, nats per token) and ``original/kl`` (without a
    probe of original samples, the mean over the benchmarks' original items). Of a sequence, whose own probe is of all
    its tasks, ``task/NAME/nll`` and ``task/NAME/kl`` are of each.
    """
    rows = list(rows)
    several = any(row["variant"] == new_source for row in rows if row["benchmark"] == PROBE)
    found: dict[int, dict[str, float | None]] = {}
    original: dict[int, list[float]] = {}
    for row in rows:
        dose = int(row["dose"])
        values = found.setdefault(dose, {})
        if row["benchmark"] == PROBE:
            source = "original" if row["variant"] == ORIGINAL != new_source else "new"
            source = f"task/{row['variant']}" if several and row["variant"] not in (ORIGINAL, new_source) else source
            values |= {f"{source}/nll": _known(row["nll"]), f"{source}/kl": _known(row["kl"])}
            if source == "new" and _known(row["delta_nll"]) is not None:
                values["plasticity"] = float(plasticity(row["delta_nll"]))
            continue
        whole = _known(row["depth"]) is None
        name = str(row["skill"]) + ("" if row["variant"] == ORIGINAL else f"/{row['variant']}")
        name += "" if whole else f"/depth-{int(row['depth'])}"
        values |= {f"{group}/{name}": _known(row[group]) for group in (PER_SKILL if whole else PER_SKILL[:2])}
        if whole and row["variant"] == ORIGINAL and _known(row["kl"]) is not None:
            original.setdefault(dose, []).append(float(row["kl"]))
    for dose, kl in original.items():
        found[dose].setdefault("original/kl", sum(kl) / len(kl))
    return found


def _known(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _category(title: str, tags: list[str]) -> layout_pb2.Category:
    charts = [
        layout_pb2.Chart(title=tag, multiline=layout_pb2.MultilineChartContent(tag=[f"^{re.escape(shown_tag(tag))}$"]))
        for tag in tags
    ]
    return layout_pb2.Category(title=title, chart=charts)


def _hparam_info(name: str, values: list[HParam]) -> api_pb2.HParamInfo:
    info = api_pb2.HParamInfo(name=name, display_name=name)
    kinds = {type(value) for value in values}
    if kinds <= {bool}:
        info.type = api_pb2.DATA_TYPE_BOOL
    elif str in kinds:
        info.type = api_pb2.DATA_TYPE_STRING
        info.domain_discrete.extend(sorted({str(value) for value in values}))
    else:
        info.type = api_pb2.DATA_TYPE_FLOAT64
        info.domain_interval.min_value = min(float(value) for value in values)
        info.domain_interval.max_value = max(float(value) for value in values)
    return info
