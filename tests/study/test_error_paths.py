"""Whatever is wrong at whichever place of a spec, the one line begins with that place as the user wrote it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from forgetting.errors import UsageError
from forgetting.executors.own_data import check_own
from forgetting.spec import Machine, from_plain
from forgetting.study import spec_files
from forgetting.study.spec_files import spec_from
from forgetting.study.study import construct
from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.sweep_spec import SweepSpec

DATA = Path(__file__).parents[1] / "data"
Place = tuple[str | int, ...]

SPECS = {
    "world": """
        ladder:
          students: [10k]
          original: {name: original, direct: 0.1}
          teaching: {samples: 640, until: {benchmark: {name: maths, seed: 2}}, original: {name: original, direct: 0.2}}
          distilling: {samples: 640, until: {benchmark: {name: code, seed: 2}, answering: {name: symbolic, seed: 1}}}
          distillation:
            - {method: {name: rejection, judge: {name: maths, seed: 1}}, batch_size: 8}
            - {method: off_policy, until: {benchmark: {name: maths, seed: 1}, every: 5}}
          branches:
            - name: a
              stages: [{method: {name: process, steps: 2.0}, pool: 10, original: {name: original, direct: 0.3}}]
        contaminations:
          - dialogue
          - {name: sequence, phases: [m], doses: [40], tasks: {m: {name: altered_syntax, operations: 2}}}
        mitigations:
          - {name: replay, share: 0.2}
          - {name: self_replay, prompts: given, filter: right, judge: {name: maths, seed: 1}}
        interventions: [{name: restore, draws: 1}]
        evaluation:
          benchmarks: [{name: described, items_per_depth: 12}]
          answering: [{name: sampled, samples: 2, ks: [1]}]
    """,
    "natural": f"""
        ladder:
          students: [{{source: Qwen/Qwen3-0.6B, attention: sdpa}}]
          original:
            name: mixture
            parts: [{{name: altered_python, source: {DATA}/python.jsonl, limit: 5}}]
            shares: [1.0]
        contaminations: [{{name: conversations, source: {DATA}/conversations.jsonl, most_characters: 60}}]
        mitigations: [{{name: lora, rank: 4, targets: [q_proj]}}]
        evaluation: {{benchmarks: [{{name: gsm8k, source: "{DATA}/gsm8k-{{split}}.jsonl", shots: 1}}]}}
    """,
}  # fmt: skip


def spec(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(SPECS[name]))


def places(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every place of a spec below the root, with what is written there."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in below:
        yield (*place, key), one
        yield from places(one, (*place, key))


def written(place: Place) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).lstrip(".")


def wrong(value: Any) -> Iterator[Any]:
    """What cannot be right in the place of a value."""
    if isinstance(value, dict):
        yield {**value, "no_such": 1}
    elif isinstance(value, list):
        yield 5
    else:
        yield {"a": 1}
        if not isinstance(value, str):
            yield from ("many", -3)


def changed(whole: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    whole = copy.deepcopy(whole)
    inside: Any = whole
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return whole


CASES = [(name, place, value) for name in SPECS for place, given in places(spec(name)) for value in wrong(given)]


@pytest.mark.parametrize(("name", "place", "value"), CASES, ids=[f"{n}-{written(p)}-{v}"[:90] for n, p, v in CASES])
def test_the_line_begins_with_the_place(name: str, place: Place, value: Any) -> None:
    with pytest.raises(UsageError) as raised:
        construct(spec_from(changed(spec(name), place, value)))
    said = str(raised.value)
    field = said.partition(": ")[0]
    if place[-1] == "name" or isinstance(place[-1], int):  # of a part or of an entry, what holds it may be named
        assert field in (written(place), written(place[:-1]))
    else:
        assert field in (written(place), f"{written(place)}.no_such")
    assert "\n" not in said


@pytest.mark.parametrize("name", SPECS)
def test_without_a_mistake_they_are_constructed(name: str) -> None:
    construct(spec_from(spec(name)))


@pytest.mark.parametrize(("own", "field"), [
    ({"until": {"benchmark": "math"}}, "ladder.distilling.until.benchmark"),
    ({"original": "orignal"}, "ladder.distilling.original"),
])  # fmt: skip
def test_what_a_stage_inherits_is_named_where_it_is_written(own: dict[str, Any], field: str) -> None:
    with pytest.raises(UsageError) as raised:
        construct(spec_from({"ladder": {"distillation": [{"method": "gold", "samples": 8}], "distilling": own}}))
    assert str(raised.value).startswith(f"{field}: unknown name")


@pytest.mark.parametrize(("values", "field"), [
    ({"contaminations": ["dialogue", "worked_answers"]}, "contaminations[1]"),
    ({"ladder": {"teaching": {"original": "worked_answers"}}}, "ladder.teaching.original"),
    ({"ladder": {"distilling": {"original": "worked_answers"}}}, "ladder.distilling.original"),
    ({"evaluation": {"benchmarks": ["maths", "gsm8k"]}}, "evaluation.benchmarks[1]"),
])  # fmt: skip
def test_a_part_of_another_language_is_named_where_it_is_written(values: dict[str, Any], field: str) -> None:
    with pytest.raises(UsageError) as raised:
        construct(spec_from(values))
    assert str(raised.value).startswith(f"{field}: ")


@pytest.mark.parametrize("place", [
    ("ladder", "original", "parts", 0), ("contaminations", 0), ("contaminations", 1, "tasks", "x"),
])  # fmt: skip
def test_data_that_are_not_there_are_named_where_they_are_asked_for(place: Place) -> None:
    whole = spec("natural")
    whole["contaminations"].append({"name": "sequence", "phases": ["x"], "doses": [40], "tasks": {"x": 0}})
    whole = changed(whole, ("contaminations", 1, "tasks", "x"), whole["contaminations"][0])
    whole = changed(whole, place, {"name": "conversations", "source": "./nowhere.jsonl"})
    with pytest.raises(UsageError) as raised:
        check_own(construct(spec_from(whole)))
    assert str(raised.value).startswith(f"{written(place)}.source: there is no file or folder")


def test_a_sweep_names_its_study_and_its_targets() -> None:
    for values, field in (
        ({"study": {"mitigations": [{"name": "replay", "share": 2.0}]}}, "study.mitigations[0].share"),
        ({"targets": [{"contamination": {"name": "dialogue", "turns": 9}}]}, "targets[0].contamination.turns"),
    ):
        with pytest.raises(UsageError) as raised:
            construct_sweep(spec_files.built_from(SweepSpec, values))
        assert str(raised.value).startswith(f"{field}: ")


def test_a_spec_that_was_made_plain_is_named_in_full() -> None:
    with pytest.raises(UsageError, match=r"^ladder\.distilling\.until\.every: must be at least 1, got 0"):
        from_plain({"ladder": {"distilling": {"until": {"every": 0}}}})
    with pytest.raises(UsageError, match=r"^ladder\.distilling: unknown name 'sampels'; did you mean 'samples'"):
        from_plain({"ladder": {"distilling": {"sampels": 1}}})
    with pytest.raises(UsageError, match=r"^devices: must be at least 1, got 0"):
        from_plain({"devices": 0}, Machine)
