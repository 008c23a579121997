"""The rules file: the package's own is whole, and every mistake in another gets one line."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from forgetting.claims.judging.rules import DEFAULT, known_claims, read_rules
from forgetting.errors import UsageError


def test_the_package_has_rules_for_every_claim() -> None:
    rules = read_rules()
    assert tuple(rules.claims) == tuple(known_claims())
    for name, rule in rules.claims.items():
        assert rule.claim.identifier == name
        assert tuple(rule.parts) == rule.claim.parts and tuple(rule.rivals) == rule.claim.rivals
        assert rule.title and rule.paper and rule.source and all(part.statistic for part in rule.parts.values())


def test_published_verdicts_need_what_the_protocol_says() -> None:
    """PROTOCOL section 3: 5 seeds on fresh students, 500 items a cell, 7 sizes for a shape, TOST within 2 points."""
    rules = read_rules()
    assert rules.level == 0.05
    for rule in rules.claims.values():
        assert (rule.needs.seeds, rule.needs.items, rule.needs.fresh_students) == (5, 500, True)
    assert rules.claims["C9"].needs.sizes == 7
    doses = [rules.claims[name].claim.settings()["dose"] for name in ("C5", "C6")]
    assert doses == [10_000, 5_000]
    simple = rules.claims["C7"].parts["simple"]
    assert (simple.direction, simple.margin) == ("within", 0.02)


def _set(path: str, value: Any) -> Any:
    def change(data: dict[str, Any]) -> None:
        *way, last = path.split("/")
        for key in way:
            data = data[key]
        if value is None:
            del data[last]
        else:
            data[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("version", "one"), "rules.version: must be a whole number"),
        (_set("version", None), "'version' is missing"),
        (_set("level", 1.0), "rules.level: must be above 0 and below 1"),
        (_set("least_seeds", 1), "rules.least_seeds: must be a whole number, 2 or more"),
        (_set("claims", []), "rules.claims: must be a mapping"),
        (_set("claims/C55", {}), "rules.claims: unknown name 'C55'; did you mean 'C5'"),
        (_set("claims/C5/marign", 1), "rules.C5: unknown name 'marign'"),
        (_set("claims/C5/title", 5), "rules.C5.title: must be text"),
        (_set("claims/C5/pairs", []), "rules.C5.pairs: must be a list"),
        (_set("claims/C5/pairs", [{"contamination": "dialogue"}]), "'skill' is missing"),
        (_set("claims/C5/dose", None), "rules.C5: must be complete: 'dose' is missing"),
        (_set("claims/C5/dose", "many"), "rules.C5.dose: must be a whole number"),
        (_set("claims/C5/dose", 0), "C5.dose: must be 1 or more"),
        (_set("claims/C9/dose", 10), "rules.C9: unknown name 'dose'"),
        (_set("claims/nowhere.Claim", {}), "rules.claims: cannot import 'nowhere.Claim'"),
        (_set("claims/C5/needs/seeds", 0), "rules.C5.needs.seeds: must be a whole number, 1 or more"),
        (_set("claims/C5/needs/fresh_students", 1), "rules.C5.needs.fresh_students: must be true or false"),
        (_set("claims/C5/parts/loss/margin", "big"), "rules.C5.parts.loss.margin: must be a finite number"),
        (_set("claims/C5/parts/loss/margin", float("inf")), "must be a finite number"),
        (_set("claims/C5/parts/loss/direction", "abov"), "unknown name 'abov'; did you mean 'above'"),
        (_set("claims/C5/parts/loss/direction", "shape"), "'shape' for shape alone"),
        (_set("claims/C5/parts/los", {}), "rules.C5.parts: unknown name 'los'; did you mean 'loss'"),
        (_set("claims/C7/parts/depth", None), "'depth' is missing"),
        (_set("claims/C7/parts/simple/margin", 2.0), "rules.C7.parts.simple.margin: must be above 0 and below 1"),
        (_set("claims/C7/simple_skills", "lookup"), "rules.C7.simple_skills: must be a list"),
        (_set("claims/C5/rivals/noise/blocks", "no way"), "rules.C5.rivals.noise.blocks: must be true or false"),
        (_set("claims/C8/least_loss", "much"), "rules.C8.least_loss: must be a number"),
    ],
)
def test_a_mistake_gets_one_line(change: Any, message: str, tmp_path: Path) -> None:
    data = copy.deepcopy(yaml.safe_load(DEFAULT.read_text()))
    change(data)
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(UsageError) as caught:
        read_rules(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "just text", "- 1", ""])
def test_a_file_that_holds_no_rules(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match="rules"):
        read_rules(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_rules(tmp_path / "none.yaml")
