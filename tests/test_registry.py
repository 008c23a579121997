"""Parts by name: short names, import paths from elsewhere, and one clear line for every mistake."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from forgetting import registry
from forgetting.contracts import FAMILIES, Contamination, Part
from forgetting.errors import UsageError
from forgetting.evaluation.bench import Bench
from forgetting.executors.worker import carry_out
from tests.conftest import Outcome

OUTSIDER = '''
"""Somebody else's package."""
from dataclasses import dataclass
from typing import Literal

from forgetting.contracts import Contamination, Sample
from forgetting.errors import require


@dataclass(frozen=True)
class Silence(Contamination):
    """Nothing is said."""

    length: int = 1
    weight: float = 0.5
    loud: bool = False
    shape: Literal["flat", "round"] = "flat"
    widths: tuple[int, ...] = (1, 2)

    def __post_init__(self):
        require(self.length >= 0, "silence.length", "0 or more", self.length)

    def samples(self, rng):
        while True:
            yield Sample("", "", "dialogue", 0, "silence")


@dataclass(frozen=True)
class Needy(Contamination):
    """Cannot do without a setting."""

    length: int

    def samples(self, rng):
        yield from ()


@dataclass(frozen=True)
class Faulty(Contamination):
    """Breaks where it is told to.

    Args:
        place: where
    """

    place: str = "samples"

    def __post_init__(self):
        assert self.place != "start", "not at the start"

    def samples(self, rng):
        yield {}["no such key"]


class Undecorated(Silence):
    """Its annotation is no setting."""

    length: int = 3


broken = 3
'''


@pytest.fixture
def outsider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module outside the package."""
    (tmp_path / "outsider_parts.py").write_text(OUTSIDER)
    monkeypatch.syspath_prepend(tmp_path)
    return "outsider_parts"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_file_of_a_family_is_one_member(family: str) -> None:
    names = registry.names(family)
    assert names
    for name in names:
        cls = registry.part_class(family, name)
        assert issubclass(cls, FAMILIES[family])
        assert cls.short_name() == name
        assert dataclasses.is_dataclass(cls)
        assert registry.build(family, name).settings()["name"] == name


def test_an_outsiders_part_by_its_import_path(outsider: str) -> None:
    part = registry.build("contamination", {"name": f"{outsider}.Silence", "length": 3, "weight": 1, "widths": [4]})
    assert isinstance(part, Contamination)
    assert part.settings() == {
        "name": "outsider_parts.Silence",
        "length": 3,
        "weight": 1.0,
        "loud": False,
        "shape": "flat",
        "widths": (4,),
    }


def test_an_outsiders_part_runs_in_a_study(outsider: str) -> None:
    from forgetting import Spec
    from forgetting.study.study import construct

    study = construct(Spec(contaminations=(f"{outsider}.Silence",)))
    assert study.arms[0].name == "Silence"


FAULT = "outsider_parts.Faulty (outsider_parts.py, line {}): KeyError: 'no such key'".format(
    1 + OUTSIDER.splitlines().index('        yield {}["no such key"]')
)


def test_an_error_in_an_outsiders_part_names_the_part_and_the_line(
    outsider: str, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = registry.build("contamination", f"{outsider}.Faulty")
    assert isinstance(part, Contamination)

    def drawing(*_: object) -> Any:
        return next(part.samples(np.random.default_rng(0)))

    monkeypatch.setattr("forgetting.executors.worker._make", drawing)
    with pytest.raises(RuntimeError, match=f"^{re.escape(FAULT)}$"):
        carry_out({}, lambda done, total: None, cast(Bench, None))
    monkeypatch.setattr("forgetting.cli.listing.parts", drawing)
    outcome = command("list", "contamination")
    assert outcome.status == 2 and outcome.err.startswith(f"forgetting: error: {FAULT}")
    monkeypatch.setattr("forgetting.cli.listing.parts", lambda *_: {}["ours"])
    assert "error: KeyError: 'ours'" in command("list", "contamination").err


@pytest.mark.slow
def test_an_error_in_an_outsiders_part_comes_back_from_a_worker(
    outsider: str, command: Callable[..., Outcome], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]))
    study = ("--contaminations", f"[{outsider}.Faulty]", "--ladder.students", "[10k]", "--seeds", "1")
    outcome = command("simulate", *study, "--workers", "1", "--quiet")
    assert outcome.status == 2 and len(outcome.err.splitlines()) == 1
    assert FAULT in outcome.err


def test_an_outsiders_part_is_shown_as_ours_are(outsider: str, command: Callable[..., Outcome]) -> None:
    (part,) = json.loads(command("list", "contamination", f"{outsider}.Faulty", "--json").out)["contamination"]
    assert part["name"] == "outsider_parts.Faulty" and part["what"] == "Breaks where it is told to."
    assert part["settings"] == [{"name": "place", "type": "text", "default": "samples", "meaning": "where"}]
    assert [p["name"] for p in json.loads(command("list", "mitigation", "ewc", "--json").out)["mitigation"]] == ["ewc"]
    assert "did you mean 'ewc'" in command("list", "mitigation", "ew").err
    assert "part: must be left out with models" in command("list", "models", "10k").err


def test_a_part_is_taken_as_it_is() -> None:
    part = registry.build("contamination", "noise")
    assert registry.build("contamination", part) is part
    with pytest.raises(UsageError, match="must be a Benchmark"):
        registry.build("benchmarks", part)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("dialoge", "unknown name 'dialoge'; did you mean 'dialogue'"),
        ("", "must be a name or a mapping with a name"),
        (3, "must be a name or a mapping with a name"),
        (None, "must be a name or a mapping with a name"),
        ({}, "must be a name or a mapping with a name"),
        ({"name": ["dialogue"]}, "must be a name or a mapping with a name"),
        ({"name": "dialogue", "turn": 1}, "unknown name 'turn'; did you mean 'turns'"),
        ({"name": "dialogue", "turns": "two"}, "must be a whole number, got 'two'"),
        ({"name": "dialogue", "turns": True}, "must be a whole number, got True"),
        ({"name": "dialogue", "turns": 1.0}, "must be a whole number, got 1.0"),
        ({"name": "altered_syntax", "form": "snipet"}, "did you mean 'snippet'"),
        ("nowhere.Part", "cannot import 'nowhere.Part': No module named 'nowhere'; install it, or name its folder"),
        ("outsider_parts.Missing", "module 'outsider_parts' has no 'Missing'; its parts: "),
        ("forgetting.seeds.Silence", "module 'forgetting.seeds' has no 'Silence'; it defines no Contamination"),
        ("outsider_parts.Undecorated", "Undecorated.length is no setting: write @dataclass(frozen=True)"),
        ("outsider_parts.broken", "is not a Contamination"),
        ("forgetting.mitigation.l2_sp.L2SP", "is not a Contamination"),
        ("outsider_parts.Needy", "length"),
        ({"name": "outsider_parts.Silence", "length": -1}, "contaminations.length: must be 0 or more, got -1"),
        ({"name": "outsider_parts.Faulty", "place": "start"}, "Faulty: AssertionError: not at the start"),
        ({"name": "outsider_parts.Silence", "weight": float("nan")}, "must be a finite number, got nan"),
        ({"name": "outsider_parts.Silence", "weight": "1"}, "must be a number"),
        ({"name": "outsider_parts.Silence", "loud": 1}, "must be true or false"),
        ({"name": "outsider_parts.Silence", "widths": 3}, "must be a list, each a whole number, got 3"),
        ({"name": "outsider_parts.Silence", "widths": [1, "a"]}, "must be a whole number, got 'a'"),
    ],
)
@pytest.mark.usefixtures("outsider")
def test_every_mistake_is_one_line(value: object, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry.build("contamination", value, "contaminations")  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_family() -> None:
    with pytest.raises(UsageError, match="did you mean 'benchmarks'"):
        registry.part_class("benchmark", "maths")


@pytest.mark.parametrize("family", FAMILIES)
def test_settings_are_plain_values(family: str) -> None:
    for name in registry.names(family):
        part: Part = registry.build(family, name)
        assert json.loads(json.dumps(part.settings()))


def test_the_example_of_the_docs_is_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
    example = text.split("<!-- EXAMPLE -->\n```python\n")[1].split("```")[0]
    (tmp_path / "documented_parts.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    part = registry.build("contamination", {"name": "documented_parts.Counting", "length": 3})
    assert isinstance(part, Contamination)
    first, again = (next(part.samples(np.random.default_rng(0))) for _ in range(2))
    assert first == again
    assert len(first.answer.split()) == 3
    with pytest.raises(UsageError, match=r"^contamination\.length: must be from 1 to 20, got 99"):
        registry.build("contamination", {"name": "documented_parts.Counting", "length": 99})
