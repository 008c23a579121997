"""The study of remedies can be run: every arm is constructed, each method at several strengths."""

from __future__ import annotations

import collections
from pathlib import Path

from forgetting.study.spec_files import load_spec
from forgetting.study.study import construct

KINDS = ("inputs", "prompts", "form", "by")  # settings that make another method of a part


def test_it_has_a_dozen_methods_of_five_strengths() -> None:
    study = construct(load_spec(Path(__file__).parents[2] / "experiments" / "remedies.yaml"))
    found = collections.Counter(
        (arm.contamination.short_name(), *(arm.mitigation.settings().get(n) for n in ("name", *KINDS) if n != "prompts"
         or arm.mitigation.short_name() == "self_replay"))
        for arm in study.arms
    )  # fmt: skip
    often = [method for method, count in found.items() if count >= 5]
    assert len(often) >= 2 * 12
    assert {method[0] for method in often} == {"dialogue", "altered_syntax"}
