"""Forms and fingerprints: a setting at its default is left out, any other counts, and no default changes unnoticed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting import registry
from forgetting.contracts import FAMILIES, Mitigation
from forgetting.intervention.relearning import Relearning
from forgetting.spec import Spec
from forgetting.study.fingerprints import (
    arm_form,
    canonical,
    fingerprint,
    run_form,
    settings_form,
    study_fingerprint,
)
from forgetting.study.spec_files import to_mapping
from forgetting.study.study import construct

DEFAULTS = Path(__file__).parents[1] / "golden" / "defaults.json"


@dataclass(frozen=True)
class Inner:
    """A group of settings inside another."""

    depth: int = 1
    words: tuple[str, ...] = ("a", "b")


@dataclass(frozen=True)
class Outer:
    """Settings of which one is a group, whose default is not that of its class."""

    rate: float = 0.5
    inner: Inner = field(default_factory=lambda: Inner(depth=2))


@dataclass(frozen=True)
class Later(Outer):
    """The same after somebody added settings."""

    switch: bool = False
    more: Inner = field(default_factory=Inner)


@dataclass(frozen=True)
class Pull(Mitigation):
    """A part with settings."""

    strength: float = 0.1
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class LaterPull(Pull):
    """The same after somebody added a setting."""

    extra: int = 3


RATES, DEPTHS = st.sampled_from([0.1, 0.5, 1.0]), st.sampled_from([1, 2, 3])
WORDS = st.sampled_from([(), ("a",), ("a", "b"), ("b", "a")])
OUTERS = st.builds(Outer, RATES, st.builds(Inner, DEPTHS, WORDS))


@given(OUTERS, OUTERS)
def test_two_groups_have_one_form_exactly_if_they_are_equal(one: Outer, other: Outer) -> None:
    assert (settings_form(one) == settings_form(other)) == (one == other)


@given(OUTERS)
def test_a_new_setting_at_its_default_moves_no_form(one: Outer) -> None:
    later = Later(one.rate, one.inner)
    assert settings_form(later) == settings_form(one)
    assert settings_form(dataclasses.replace(later, switch=True)) == {**settings_form(one), "switch": True}
    assert settings_form(dataclasses.replace(later, more=Inner(depth=2)))["more"] == {"depth": 2}


@given(RATES, WORDS)
def test_a_new_setting_of_a_part_at_its_default_moves_no_form(strength: float, names: tuple[str, ...]) -> None:
    one, later = settings_form(Pull(strength, names)), settings_form(LaterPull(strength, names))
    assert {n: v for n, v in one.items() if n != "name"} == {n: v for n, v in later.items() if n != "name"}
    assert settings_form(LaterPull(strength, names, 4))["extra"] == 4
    given_ones = {"strength": strength} if strength != 0.1 else {}
    assert one == {"name": one["name"], **given_ones, **({"names": list(names)} if names else {})}


def test_parts_inside_a_part_follow_the_same_rule() -> None:
    def mixture(*parts: Any) -> dict[str, Any]:
        whole = {"name": "mixture", "parts": parts, "shares": (0.5, 0.5)}
        return dict(settings_form(registry.build("contamination", whole)))

    written = {
        "name": "altered_python",
        "dialect": registry.build("contamination", "altered_python").settings()["dialect"],
    }
    answers = {"name": "worked_answers", "source": "a/x.jsonl"}
    assert mixture(answers, "altered_python") == mixture(answers, written)
    assert mixture(answers, {**written, "limit": 9}) != mixture(answers, written)


def test_the_default_study_says_only_what_it_must() -> None:
    study = construct(Spec())
    assert arm_form(study.arms[0]) == {"contamination": {"name": "dialogue"}}
    assert settings_form(study.spec) == {}


def defaults() -> dict[str, dict[str, Any]]:
    """Every default of the spec and of the parts, as JSON holds them."""
    found: dict[str, dict[str, Any]] = {"spec": to_mapping(Spec())}
    for family in FAMILIES:
        for name in registry.names(family):
            kind: Any = registry.part_class(family, name)
            known = {f.name: f.default for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING}
            found[f"{family}.{name}"] = known
    return dict(json.loads(json.dumps(found)))


def test_the_version_of_an_intervention_counts_from_the_second_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    study = construct(Spec(interventions=("average", "relearning")))
    before = study_fingerprint(study)
    assert canonical(study)["interventions"] == [{"name": "average"}, {"name": "relearning", "version": 2}]
    monkeypatch.setattr(Relearning, "version", 3)
    assert study_fingerprint(study) != before
    run = study.runs()[0]
    assert run_form(study, run)["interventions"] == canonical(study)["interventions"]


def test_no_default_has_changed_without_a_new_version() -> None:
    """A form leaves defaults out, so that a new default gives other numbers under the old fingerprint.

    After a change of a default: raise STUDENTS_VERSION or RESULTS_VERSION, then
    ``python -m tests.study.test_fingerprints > tests/golden/defaults.json``. New settings and parts may be added there.
    """
    now = defaults()

    def compare(where: str, held: dict[str, Any], found: dict[str, Any]) -> None:
        for name, value in held.items():
            if name in found and isinstance(value, dict) and isinstance(found[name], dict):
                compare(f"{where}.{name}", value, found[name])
            elif name in found:
                assert found[name] == value, f"{where}.{name}"

    compare("", json.loads(DEFAULTS.read_text()), now)
    assert now.keys() <= json.loads(DEFAULTS.read_text()).keys(), "a new part: write its defaults down"


@pytest.mark.parametrize("form", [{"a": 1.0}, {"a": 1}])
def test_a_fingerprint_is_of_the_values_whatever_their_order(form: dict[str, Any]) -> None:
    assert fingerprint({"b": 2, **form}) == fingerprint({**form, "b": 2}) != fingerprint({"b": 3, **form})


if __name__ == "__main__":
    print(json.dumps(defaults(), indent=1, sort_keys=True))
