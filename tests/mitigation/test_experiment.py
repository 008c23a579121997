"""The study of remedies can be run: every arm is constructed, each method at several strengths."""

from __future__ import annotations

import collections
from pathlib import Path

from forgetting.study.spec_files import load_spec
from forgetting.study.study import construct

KINDS = {"kl_to_base": "inputs", "self_replay": "prompts", "l2_sp": "form", "trim": "by"}  # makes another method of it


def test_it_has_a_dozen_methods_of_five_strengths() -> None:
    study = construct(load_spec(Path(__file__).parents[2] / "experiments" / "remedies.yaml"))
    found = collections.Counter[tuple[str, str, str]]()
    for arm in study.arms:
        name, settings = arm.mitigation.short_name(), arm.mitigation.settings()
        found[arm.contamination.short_name(), name, str(settings.get(KINDS.get(name, "")))] += 1
    for contamination in ("dialogue", "altered_syntax"):
        assert len([method for method, count in found.items() if method[0] == contamination and count >= 5]) >= 12
