"""C10: protected modules by their table, and parts that come from studies of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetting.claims import Rules, judge, read_rules
from forgetting.claims.better_distillation import protected
from forgetting.claims.judging.decision import OPEN, OPPOSES, SUPPORTS, UNTESTABLE, ClaimPart
from forgetting.claims.judging.evidence import Measured
from forgetting.errors import UsageError
from tests.claims.synthetic import World, arm, write

HEAD = "size,skill,against,students,covered,area,low,high\n"
RULE = read_rules().claims["C10"]
BRANCHES = {"off_policy": 1.0, "process": 4.0, "shuffled": 1.0, "dpo": 0.25, "chosen": 1.0}


def few(**fields: object) -> World:
    base = {
        "arms": [arm("dialogue")],
        "capacities": (10_000,),
        "items": 20,
        "doses": (0, 400, 1600, 6400),
        "seeds": 4,
        "wobble": 0.0,
    }
    return World(lambda *about: 0.95 * 2 ** (-about[-1] / 800), **(base | fields))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(few(), tmp_path_factory.mktemp("c10") / "plain")


def part(folder: Path, *rows: str) -> ClaimPart:
    (folder / "protection.csv").write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return protected(RULE.parts["protection"], Measured(folder), "maths")


def test_every_interval_counts_and_p_is_that_of_the_t_test(folder: Path) -> None:
    both = "a,maths,x,8,.5,0.2,0.1,0.3", "b,maths,x,8,.5,0.3,0.06,0.54"
    found = part(folder, *both)
    assert found.outcome == SUPPORTS and (found.value, found.seeds, found.sizes) == (0.2, 8, 2)
    assert found.p == pytest.approx(0.0429, abs=1e-3)  # of the wider one: 2 P(T_7 > .25 / (.24 / 2.3646))
    assert part(folder, *both, "b,maths,y,8,.5,0.1,-0.1,0.3").outcome == OPEN
    assert part(folder, *both, "b,maths,y,8,.5,-0.1,-0.2,0.0").outcome == OPEN  # at one size alone
    low = part(folder, "a,maths,x,8,.5,0.0,-0.04,0.04", "b,maths,x,8,.5,0.0,-0.01,0.01")
    assert low.outcome == OPPOSES and low.p < 0.05
    assert part(folder, "a,code,x,8,.5,0.2,0.1,0.3").outcome == UNTESTABLE


def test_a_table_of_another_shape_is_one_line(folder: Path) -> None:
    (folder / "protection.csv").write_text("size,area\na,0.1\n")
    with pytest.raises(UsageError, match=r"protection\.csv: columns missing: skill"):
        protected(RULE.parts["protection"], Measured(folder), "maths")


def test_each_part_is_judged_in_the_study_that_measured_it(folder: Path, tmp_path: Path) -> None:
    part(folder, "a,maths,x,8,.5,0.2,0.1,0.3")
    one = write(few(branches={k: v for k, v in BRANCHES.items() if k in ("off_policy", "process")}), tmp_path / "steps")
    other = write(few(branches=BRANCHES, late=("process", "shuffled")), tmp_path / "pairs")
    (found,) = judge([folder, other, one], Rules(1, 0.05, 2, {"C10": RULE}))
    process, contrastive, protection = found.parts
    assert process.outcome == SUPPORTS and process.value > 0.5
    assert contrastive.outcome == OPPOSES and protection.outcome == SUPPORTS
    assert found.verdict == "contradicted" and set(found.study.split(", ")) == {"steps", "pairs", "plain"}
    assert [rival.name for rival in found.rivals] == list(RULE.rivals)
    assert any(need.startswith("pairs: equal skill: process") for need in found.missing)
    (alone,) = judge([one], Rules(1, 0.05, 2, {"C10": RULE}))
    assert alone.study == "steps" and [p.outcome for p in alone.parts[1:]] == [UNTESTABLE, UNTESTABLE]
