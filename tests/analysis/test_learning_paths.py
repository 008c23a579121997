"""Learning paths: what a look and a worse strength may change, and how arms are sorted into methods."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.analysis.learning_paths import Compared, LearningPath, floor_of, method

LEVELS = np.linspace(-3.0, 3.0, 25)
numbers = st.floats(-3, 3, allow_nan=False, width=32)


@st.composite
def some_paths(draw: st.DrawFn) -> LearningPath:
    looks = draw(st.integers(1, 6))
    learned, kept = (draw(st.lists(numbers, min_size=looks, max_size=looks)) for _ in range(2))
    return LearningPath(np.array(learned), np.array(kept), np.arange(looks, dtype=float))


def filled(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=-np.inf)


@given(some_paths(), numbers, numbers)
def test_what_is_retained_never_falls_when_a_look_is_added(path: LearningPath, learned: float, kept: float) -> None:
    longer = LearningPath(*(np.append(a, b) for a, b in zip(vars(path).values(), (learned, kept, 9.0), strict=True)))
    assert (filled(longer.at(LEVELS)[0]) >= filled(path.at(LEVELS)[0])).all()


@given(some_paths(), st.floats(0, 2), st.floats(0, 2))
def test_a_dominated_run_is_never_better(path: LearningPath, less: float, worse: float) -> None:
    """One that has learned less and retained less at every look."""
    under = LearningPath(path.learning_D - less, path.retention_D - worse, path.operations_D)
    assert (filled(under.at(LEVELS)[0]) <= filled(path.at(LEVELS)[0]) + 1e-9).all()


@given(some_paths())
def test_whoever_learns_more_retains_no_more(path: LearningPath) -> None:
    found = filled(path.at(LEVELS)[0])
    assert (found[1:] <= found[:-1] + 1e-9).all()


def test_between_looks_by_hand() -> None:
    path = LearningPath(np.array([-3.0, -1.0, 0.0]), np.array([1.0, 0.8, 0.2]), np.array([0.0, 100.0, 200.0]))
    kept, done = path.at(np.array([-2.0, -1.0, -0.5, 0.0, 0.1]))
    assert kept[:4] == pytest.approx([0.9, 0.8, 0.5, 0.2]) and math.isnan(kept[4])
    assert done[:4] == pytest.approx([50, 100, 150, 200]) and math.isnan(done[4])
    back = LearningPath(np.array([-3.0, 0.0, -1.0]), np.array([1.0, 0.0, 0.9]), np.arange(3.0))
    assert back.at(np.array([-1.0]))[0] == pytest.approx(0.9)  # the last look, later than the first to learn as much


def test_a_path_ended_by_hand() -> None:
    path = LearningPath(np.array([-3.0, -1.0, 0.0]), np.array([1.0, 0.8, 0.2]), np.array([0.0, 100.0, 200.0]))
    short = path.until(150.0)
    assert [values.tolist() for values in vars(short).values()] == [[-3, -1, -0.5], [1, 0.8, 0.5], [0, 100, 150]]
    assert path.until(200.0) is path and np.isnan(path.until(-1.0).at(LEVELS)).all()


def arm(mitigation: Any, rate: float = 1.0) -> dict[str, Any]:
    return {"mitigation": mitigation, "rate_multiple": rate}


def test_methods_and_the_parts_of_plain_tuning() -> None:
    arms = {
        "a": arm({"name": "none"}),
        "b": arm({"name": "none"}, 4.0),
        "c": arm({"name": "low_rate", "multiple": 0.5}),
        "d": arm({"name": "wise_ft", "alpha": 0.5}),
        "e": arm({"name": "kl_to_base", "inputs": "new", "beta": 1.0}),
        "f": arm({"name": "kl_to_base", "inputs": "noise", "beta": 1.0}),
        "g": arm({"name": "freezing", "layers": 1, "modules": [], "random": False}),
        "h": arm({"name": "freezing", "layers": 1, "modules": [], "random": True}),
        "i": arm({"name": "trim", "by": "fapm", "keep": 0.5}),
        "j": arm("joint"),
    }
    assert Compared("a", "dialogue", 0.0, arms).methods == {
        "plain": ("a", "b", "c", "d"), "one rate": ("a",), "all rates": ("a", "b", "c"), "wise_ft": ("d",),
        "kl_to_base new": ("e",), "kl_to_base noise": ("f",), "freezing": ("g",), "freezing random": ("h",),
        "trim": ("i",), "joint": ("j",),
    }  # fmt: skip
    few = {name: arms[name] for name in "ae"}
    assert list(Compared("a", "dialogue", 0.0, few).methods) == ["plain", "kl_to_base"]


SEQUENCE = {"name": "sequence", "phases": ["a"], "tasks": {"a": "some.package.Class"}}


@pytest.mark.parametrize(
    "strange", ["os.path", {"name": "some.package.Class"}, {"name": "mixture", "parts": [{}]}, {}, SEQUENCE]
)
def test_reading_a_record_imports_nothing_that_it_names(strange: Any) -> None:
    assert floor_of(strange) == 0.0


def test_the_floor_is_the_contaminations_own() -> None:
    assert floor_of({"name": "dialogue", "turns": 1}) == 0.0 == floor_of("dialogue")


def test_modules_tell_methods_apart_and_numbers_do_not() -> None:
    parts: list[dict[str, Any]] = [
        {"name": "module_rate", "modules": ["mlp"], "multiple": 0.1},
        {"name": "module_rate", "modules": ["mlp"], "multiple": 0.5},
        {"name": "module_rate", "modules": ["attention", "embedding"], "multiple": 0.1},
    ]
    arms = [{"name": str(n), "mitigation": part} for n, part in enumerate(parts)]
    named = [method(arm, arms) for arm in arms]
    assert named == ["module_rate mlp", "module_rate mlp", "module_rate attention+embedding"]
    assert method(arms[0], arms[:2]) == "module_rate"
