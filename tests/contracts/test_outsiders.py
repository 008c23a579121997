"""Parts of somebody else's package go through the same suites by an environment variable, and a bad one fails there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forgetting.testing import ContaminationLaws
from tests.contracts.members import VARIABLE, label, models, parts

ROOT = Path(__file__).parents[2]

OUTSIDER = '''
"""Somebody else's package."""
from dataclasses import dataclass

from forgetting.contracts import Contamination, Mitigation, Sample
from forgetting.errors import require
from forgetting.testing.small import model


@dataclass(frozen=True)
class Counting(Contamination):
    """Two numbers and their order."""

    top: int = 9

    def __post_init__(self):
        require(2 <= self.top <= 99, "counting.top", "from 2 to 99", self.top)

    def samples(self, rng):
        while True:
            a, b = (int(n) for n in rng.integers(0, self.top, 2))
            yield Sample(f"{a} , {b} ?", "less" if a < b else "more", "order", 1, "pair")


@dataclass(frozen=True)
class Forgetful(Contamination):
    """Breaks its laws: equal generators do not give equal samples, and it ends."""

    drawn = [0]

    def samples(self, rng):
        for _ in range(100):
            self.drawn[0] += 1
            yield Sample(f"{self.drawn[0] % 99} ?", "more", "order", 1, "pair")


@dataclass(frozen=True)
class Shrink(Mitigation):
    """Pulls the weights towards 0 after each step."""

    neutral = {"strength": 0.0}
    strength: float = 0.1

    def pull(self, name, weight, memory, rate):
        return rate * self.strength * weight if self.strength else None


def stacked(seed):
    return model(seed + 100)
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "outside.py").write_text(OUTSIDER)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("package")
def test_the_environment_adds_members(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {family: len(parts(family)) for family in ("contamination", "mitigation")}
    monkeypatch.setenv(VARIABLE, "contamination=outside.Counting mitigation=outside.Shrink models=outside.stacked")
    assert [label(p) for p in parts("contamination")[before["contamination"] :]] == ["outside.Counting"]
    assert [label(p) for p in parts("mitigation")[before["mitigation"] :]] == ["outside.Shrink"]
    assert models()["outside.stacked"](0).capacity > 0


@pytest.mark.usefixtures("package")
def test_a_bad_outsider_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "contamination=outside.Forgetful contamination=outside.Counting")
    bad, good = parts("contamination")[-2:]
    laws = ContaminationLaws()
    for law in (
        laws.test_equal_generators_give_equal_samples_without_end,
        laws.test_samples_are_made_of_the_tokenizers_words,
    ):
        law(good)
    with pytest.raises(AssertionError):
        laws.test_equal_generators_give_equal_samples_without_end(bad)


SUITE = """
import pytest
from forgetting.testing import ContaminationLaws, MitigationLaws
from outside import Counting, Forgetful, Shrink


@pytest.mark.parametrize("part", [Counting(), Forgetful()], ids=["Counting", "Forgetful"])
class TestSources(ContaminationLaws):
    pass


@pytest.mark.parametrize("part", [Shrink(), Shrink(strength=0.5)], ids=["Shrink", "Shrink more"])
class TestShrink(MitigationLaws):
    pass
"""


@pytest.mark.slow
def test_outsiders_are_held_to_the_laws_without_a_clone(package: Path) -> None:
    (package / "test_outside.py").write_text(SUITE)
    arguments = [
        "-p",
        "no:cacheprovider",
        "-n0",
        "-q",
        "-rpf",
        "--rootdir",
        str(package),
        str(package / "test_outside.py"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        capture_output=True, text=True, check=False, cwd=package, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT)])},
    )  # fmt: skip
    outcomes = [line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED"))]
    for part in ("Counting", "Shrink"):
        assert len([o for o in outcomes if part in o]) >= 7, done.stdout
        assert not [o for o in outcomes if part in o and o.startswith("FAILED")], done.stdout
    assert [o for o in outcomes if o.startswith("FAILED") and "without_end[Forgetful]" in o], done.stdout
