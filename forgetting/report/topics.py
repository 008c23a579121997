"""Every topic of the report, in the order of its sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import (
    answering_views,
    branch_views,
    distance_views,
    keyword_views,
    looped_views,
    probe_views,
    quality_views,
    remedies,
    replay_views,
    robustness_views,
    transfer_views,
)

TOPICS = (
    remedies.TOPIC,
    remedies.ORDERINGS,
    branch_views.TOPIC,
    quality_views.TOPIC,
    replay_views.TOPIC,
    transfer_views.TOPIC,
    probe_views.TOPIC,
    distance_views.TOPIC,
    answering_views.TOPIC,
    looped_views.TOPIC,
    robustness_views.TOPIC,
    keyword_views.TOPIC,
)


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """The figures of all topics, by file name."""
    return {name: figure for topic in TOPICS for name, figure in topic.drawn(study).items()}


def sections(study: StudyFolder, inline: Mapping[str, Markup]) -> list[dict[str, Any]]:
    """Of every topic that the study has something of: itself, sentence, figures with captions, and tables by title."""
    found = []
    for topic in TOPICS:
        tables = {title: table for title, table in topic.tables(study).items() if len(table)}
        if tables:
            kinds = topic.captions
            shown = [(svg, kinds[name.split("-")[0]]) for name, svg in inline.items() if name.split("-")[0] in kinds]
            found.append({"topic": topic, "said": topic.said(study), "figures": shown, "tables": tables})
    return found
