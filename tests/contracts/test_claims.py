"""The laws of the claims family, for every claim of ``members.parts``, on synthetic studies of a few items."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forgetting import registry
from forgetting.claims import ClaimVerdict, Rules, judge
from forgetting.claims.judging.decision import OPEN, OPPOSES, SUPPORTS, UNTESTABLE
from forgetting.claims.judging.evidence import Measured
from forgetting.claims.judging.rules import ClaimRule, Needs, Pair, PartRule, RivalRule, known_claims
from forgetting.claims.judging.verdict import Finding
from forgetting.contracts import Claim
from forgetting.record.schema import FAILURES_FILE, PROBING_FILE
from tests.claims.synthetic import World, arm, rules, write, write_failures, write_probes
from tests.contracts.members import every, parts

ARMS = [  # of every kind that a claim may ask for
    arm("dialogue"), arm("original"), arm("noise"), arm("slow", "dialogue", rate_multiple=0.25),
    arm("joint", "dialogue", mitigation="joint"),
    arm("replay", "dialogue", mitigation={"name": "replay", "share": 0.01}),
    arm("high", "dialogue", shift=0.5), arm("low", "dialogue", shift=0.05),
    arm("policy", "dialogue", shift=0.5, rate_policy="inverse_width"),
    arm("snippet", "altered_syntax", form="snippet"), arm("marked", "altered_syntax", form="marked"),
]  # fmt: skip
WAYS = {  # what they add before and after, tokens
    **{f"thinking_budget budget={k} unit=steps": (0.0, 0.1, 16.0) for k in range(6)},
    "thinking_budget budget=2 unit=steps filler=True": (-0.2, -0.2, 16.0), "symbolic": (0.0, 0.3, 16.0),
    "symbolic results=random": (-0.5, -0.3, 16.0), "verified": (0.0, 0.2, 20.0), "adaptive": (0.0, 0.1, 34.0),
    "majority samples=2": (0.0, 0.0, 32.0), "majority": (0.0, 0.1, 128.0),
}  # fmt: skip
VARIANTS: dict[str, Any] = dict.fromkeys(
    ("rephrased", "renamed", "reordered", "distractor", "functional", "renumbered"), lambda capacity: 2000 / capacity
)
SKILLS = ("maths", "code", "lookup")
STATES = {"excluded", "explains", "open"}


def accuracy(capacity: int, name: str, benchmark: str, depth: int, coverage: str, dose: int) -> float:
    """Larger students, joint training, replay, low rates and shifts keep more; deep and rare items lose more."""
    start = 0.98**depth
    if dose == 0 or name == "original":
        return start
    strength = {"joint": 0.3, "replay": 0.5, "slow": 0.3, "low": 0.2, "noise": 0.5}.get(name, 1.0)
    strength *= (0.1 if benchmark == "lookup" else 1.0) * (1.5 if coverage == "rare" else 1.0)
    return float(start * np.exp(-0.15 * strength * depth * (10_000 / capacity) ** 0.3 * (dose / 1000) ** 0.3))


def _few(**fields: Any) -> World:
    arms = [arm("dialogue"), arm("original"), arm("snippet", "altered_syntax", form="snippet")]
    return dataclasses.replace(_world(), **({"arms": arms, "seeds": 2, "items": 8} | fields))


def _world() -> World:
    return World(
        accuracy, list(ARMS), capacities=(10_000, 20_000, 40_000), seeds=3, doses=(0, 2000), depths=(1, 2, 3),
        items=16, benchmarks=SKILLS, dialect=0.2, unparsed=0.2, ways=WAYS, variants=VARIANTS,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A study that has every kind of arm, and one of students that branch from one trunk."""
    root = tmp_path_factory.mktemp("claims")
    branches = {"off_policy": 1.0, "on_policy": 1.5, "multi_stage": 3.0, "process": 1.2, "gold": 1.0}
    several = dataclasses.replace(
        _world(), branches=branches, arms=ARMS[:1], doses=(0, 250, 2000, 16_000, 128_000, 1_024_000),
        benchmarks=("maths",), capacities=(10_000,), depths=(2,),
    )  # fmt: skip
    whole = write(_world(), root / "whole")
    write_probes(_world(), whole)
    write_failures(_world(), whole)
    return {False: whole, True: write(several, root / "branched")}


@pytest.fixture
def folder(request: pytest.FixtureRequest, wholes: dict[bool, Path]) -> Path:
    """The study that has what the test's claim asks for."""
    about = getattr(request.node, "callspec", None)
    return wholes["part" in about.params and about.params["part"].of_branches if about else False]


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Studies that lack something, by what they lack."""
    root, worlds = tmp_path_factory.mktemp("lacking"), {
        "arms": _few(arms=[]), "contamination": _few(arms=[arm("other")]), "benchmark": _few(benchmarks=("chess",)),
        "skill": _few(accuracy=lambda *_: 0.1), "seeds": _few(seeds=1), "sizes": _few(capacities=(10_000,)),
        "doses": _few(doses=(0,)),
    }  # fmt: skip
    found = {}
    for name, world in worlds.items():
        shown = dataclasses.replace(world, arms=world.arms or [arm("dialogue")])  # a ledger has some rows
        found[name] = write(shown, root / name)
        if not world.arms:
            record = json.loads((root / name / "record.json").read_text())
            (root / name / "record.json").write_text(json.dumps(record | {"arms": []}))
    return found


def rule_of(part: Claim) -> ClaimRule:
    """The package's entry with this part's settings, or one made up for somebody else's claim."""
    own = rules().claims.get(part.identifier)
    if own is not None:
        return dataclasses.replace(own, claim=part)
    statistics = {name: PartRule(name, "shape" if name == "shape" else "above", 0.0) for name in part.parts}
    others = {name: RivalRule(name, False) for name in part.rivals}
    needs = Needs(3, 5, 500, True)
    return ClaimRule(part, "title", "paper", "source", (Pair("dialogue", "maths"),), needs, statistics, others)


def verdict(part: Claim, folder: Path) -> ClaimVerdict:
    (found,) = judge([folder], Rules(1, 0.05, 2, {part.identifier: rule_of(part)}))
    return found


@cache
def findings(part: Claim, folder: Path) -> list[Finding]:
    rule, study = rule_of(part), Measured(folder)
    return [part.judge(study, rule, pair) for pair in rule.pairs]


def test_the_package_has_a_rule_for_every_claim_with_its_defaults() -> None:
    """One file and one entry: neither stands without the other."""
    known = rules().claims
    own = [registry.part_class("claims", name)() for name in registry.names("claims")]
    assert {part.identifier for part in own if isinstance(part, Claim)} == set(known) == set(known_claims())
    assert len(known) == len(own)
    for rule in known.values():
        assert rule.claim == type(rule.claim)()
        assert tuple(rule.parts) == rule.claim.parts and tuple(rule.rivals) == rule.claim.rivals
        assert not {f.name for f in dataclasses.fields(ClaimRule)} & {f.name for f in dataclasses.fields(rule.claim)}


@every("claims")
def test_a_finding_has_the_parts_and_the_rivals_that_the_claim_names(part: Claim, folder: Path) -> None:
    assert len(set(part.parts)) == len(part.parts) > 0 and len(set(part.rivals)) == len(part.rivals)
    for finding in findings(part, folder):
        assert tuple(one.name for one in finding.parts) == part.parts
        assert tuple(rival.name for rival in finding.rivals) in (part.rivals, ())
        assert {rival.state for rival in finding.rivals} <= STATES and all(r.evidence for r in finding.rivals)
        if any(one.outcome != UNTESTABLE for one in finding.parts):
            assert tuple(rival.name for rival in finding.rivals) == part.rivals


@every("claims")
def test_a_whole_study_tests_it(part: Claim, folder: Path) -> None:
    assert any(one.outcome != UNTESTABLE for finding in findings(part, folder) for one in finding.parts)


@every("claims")
def test_what_was_tested_has_numbers_and_what_was_not_a_reason(part: Claim, folder: Path) -> None:
    world = _world()
    for one in (one for finding in findings(part, folder) for one in finding.parts):
        if one.outcome == UNTESTABLE:
            assert one.note and math.isnan(one.value) and math.isnan(one.p) and one.sizes == 0
            continue
        assert one.outcome in (SUPPORTS, OPPOSES, OPEN)
        assert one.low <= one.value <= one.high
        assert 1 <= one.sizes <= len(world.capacities) and 1 <= one.seeds <= world.seeds
        assert 1 <= one.items <= world.items * len(world.depths)
        assert one.direction == "shape" or 0 < one.p <= 1


@every("claims")
@pytest.mark.parametrize("lack", ["arms", "contamination", "benchmark", "skill", "seeds", "sizes", "doses"])
def test_where_evidence_lacks_the_verdict_says_so_and_nothing_is_raised(
    part: Claim, lack: str, lacking: dict[str, Path]
) -> None:
    found = verdict(part, lacking[lack])
    assert found.reason and all(one.note for one in found.parts if one.outcome == UNTESTABLE)
    if lack == "sizes":  # one size may say something, but nothing that is published
        assert found.verdict == "not_testable" or found.exploratory
    else:
        assert found.verdict == "not_testable" and found.sizes == 0


@every("claims")
def test_equal_evidence_gives_equal_verdicts_as_plain_values_and_the_order_of_the_arms_plays_no_part(
    part: Claim, folder: Path, tmp_path: Path
) -> None:
    record = json.loads((folder / "record.json").read_text())
    other = tmp_path / folder.name
    other.mkdir()
    for name in ("ledger.parquet", PROBING_FILE, FAILURES_FILE):
        (other / name).symlink_to(folder / name)
    (other / "record.json").write_text(json.dumps(record | {"arms": record["arms"][::-1]}))
    first, again = verdict(part, folder).to_dict(), verdict(part, other).to_dict()
    assert json.loads(json.dumps(first, allow_nan=False)) == json.loads(json.dumps(again, allow_nan=False))


@every("claims")
def test_settings_are_plain_values(part: Claim) -> None:
    assert json.loads(json.dumps(part.settings()))
    assert registry.build("claims", part.settings() | {"name": part.short_name()}) == part


def test_another_packages_claim_is_named_by_its_import_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """A claim of one's own is one file and an entry in a rules file of one's own."""
    (tmp_path / "my_claims.py").write_text(OUTSIDER)
    (tmp_path / "rules.yaml").write_text(RULES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FORGETTING_CONTRACT_MEMBERS", "claims=my_claims.NoiseLoss")
    (found,) = judge([folder], tmp_path / "rules.yaml")
    (only,) = found.parts
    assert found.claim == "my_claims.NoiseLoss" and only.outcome != UNTESTABLE and only.value > 0
    law = test_a_finding_has_the_parts_and_the_rivals_that_the_claim_names
    law(parts("claims")[-1], folder)  # type: ignore[arg-type]


OUTSIDER = '''
"""Somebody else's claim: noise costs a skill, against dose 0."""
from dataclasses import dataclass

from forgetting.claims.judging.comparisons import loss, treated_arms
from forgetting.claims.judging.decision import decide
from forgetting.claims.judging.verdict import Finding
from forgetting.contracts import Claim
from forgetting.record.schema import PROBING_FILE


@dataclass(frozen=True)
class NoiseLoss(Claim):
    """Noise costs a skill."""

    identifier = "X1"
    parts = ("loss",)

    dose: int = 2000

    def judge(self, study, rule, pair):
        arms = treated_arms(study, pair)
        found = loss(study, arms[0], pair.skill, self.dose, None) if arms else None
        if found is None:
            return Finding.nothing(rule, "no noise", "noise")
        return Finding((decide("loss", rule.parts["loss"], found.by_size, found.mean, found.n),), (), "noise")
'''
RULES = """
version: 1
level: 0.05
least_seeds: 2
claims:
  my_claims.NoiseLoss:
    title: Noise costs maths
    paper: "mine"
    source: "mine"
    pairs: [{contamination: noise, skill: maths}]
    dose: 2000
    needs: {sizes: 3, seeds: 5, items: 16, fresh_students: true}
    parts: {loss: {statistic: retention lost, direction: above, margin: 0.02}}
    rivals: {}
"""
