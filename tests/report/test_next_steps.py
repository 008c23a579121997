"""What a report advises to do next: what the study lacks, nothing that it has, in options that there are."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from forgetting.analysis.study_folder import open_study
from forgetting.cli.simulate import simulate_parser
from forgetting.report.next_steps import next_steps
from tests.claims.synthetic import World, arm, write

DIALOGUE, ORIGINAL = arm("dialogue"), arm("original", controls=["original"])
FRESH, CONTROL = "how much students of one size differ", "what any fine-tuning would have cost"
MORE, KEEPS = "whether more costs something", "what would keep it"


@pytest.mark.parametrize(
    ("arms", "fresh", "left", "whys"),
    [
        ([DIALOGUE], False, 0.3, [FRESH, CONTROL, KEEPS]),
        ([DIALOGUE, ORIGINAL], True, 0.3, [KEEPS]),
        ([DIALOGUE, ORIGINAL], True, 0.9, [MORE]),
        ([DIALOGUE, ORIGINAL, arm("replay", "dialogue", mitigation={"name": "replay", "share": 0.5})], True, 0.3, []),
        ([DIALOGUE, ORIGINAL, arm("dialogue-shift0.5", "dialogue", shift=0.5)], True, 0.3, []),
    ],
)
def test_what_is_lacking_is_what_comes_next(
    arms: list[dict[str, object]], fresh: bool, left: float, whys: list[str], tmp_path: Path
) -> None:
    world = World(
        lambda _, name, *look: 0.9 if look[-1] == 0 or name == "original" else left, arms, capacities=(10_000,),
        fresh=fresh, items=200,
    )  # fmt: skip
    study = open_study(write(world, tmp_path / "study"))
    study.record["seeds"]["distillation"] = list(range(5)) if fresh else [0]
    found = next_steps(study)
    assert [step.why for step in found] == whys
    for step in found:
        simulate_parser().parse_args(shlex.split(step.options))
        if step.why == MORE:
            assert step.options == "--doses.dose 40000"
