"""Verdicts on synthetic studies whose truth is known: each claim in each direction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from forgetting.claims import ClaimVerdict, judge
from forgetting.claims.judging.decision import combine
from forgetting.errors import UsageError
from tests.claims.synthetic import verdicts

Make = Callable[..., Path]
Arm = Callable[..., dict[str, Any]]


def verdict(claim: str, *paths: Path) -> ClaimVerdict:
    return verdicts((claim,), *paths)[claim]


def outcomes(judged: ClaimVerdict) -> dict[str, str]:
    return {part.name: part.outcome for part in judged.parts}


def flat(**after: float) -> Callable[..., float]:
    """Accuracy .95 at dose 0 and a constant by arm afterwards."""
    return lambda capacity, arm, benchmark, depth, coverage, dose: 0.95 if dose == 0 else after[arm]


# C5


def test_dialogue_that_costs_maths(study: Make, make_arm: Arm) -> None:
    path = study(flat(dialogue=0.6, original=0.95), [make_arm("dialogue"), make_arm("original")])
    found = verdict("C5", path)
    (part,) = found.parts
    assert found.verdict == "supported" and not found.exploratory and found.missing == ()
    assert part.low < 0.35 / 0.95 < part.high and part.low > 0.3
    assert (found.sizes, found.seeds, found.items, found.rules_version) == (3, 5, 500, 5)
    assert [effect.capacity for effect in part.by_size] == [10_000, 30_000, 100_000]
    assert all(effect.low < 0.35 / 0.95 < effect.high for effect in part.by_size)
    assert {rival.name: rival.state for rival in found.rivals} == {"noise": "open", "rate": "open"}


def test_dialogue_that_costs_nothing(study: Make, make_arm: Arm) -> None:
    path = study(flat(dialogue=0.94, original=0.95), [make_arm("dialogue"), make_arm("original")])
    assert verdict("C5", path).verdict == "contradicted"


def test_more_of_the_same_costs_as_much(study: Make, make_arm: Arm) -> None:
    path = study(flat(dialogue=0.6, original=0.58), [make_arm("dialogue"), make_arm("original")], seeds=8)
    assert verdict("C5", path).verdict == "contradicted"


def test_a_loss_at_the_margin_is_inconclusive(study: Make, make_arm: Arm) -> None:
    path = study(flat(dialogue=0.9, original=0.95), [make_arm("dialogue"), make_arm("original")], items=60)
    found = verdict("C5", path)
    assert found.verdict == "inconclusive" and "items per cell: 60 of 500" in found.missing


def test_rivals_of_dialogue(study: Make, make_arm: Arm) -> None:
    names = ("dialogue", "original", "noise")
    arms = [*map(make_arm, names), make_arm("slow", "dialogue", rate_multiple=0.25)]
    path = study(flat(dialogue=0.6, original=0.95, noise=0.5, slow=0.95), arms)
    found = verdict("C5", path)
    assert {rival.name: rival.state for rival in found.rivals} == {"noise": "explains", "rate": "explains"}
    assert found.verdict == "supported" and "explained as well by noise, rate" in found.reason
    arms = [*map(make_arm, names), make_arm("slow", "dialogue", rate_multiple=0.25)]
    path = study(flat(dialogue=0.6, original=0.95, noise=0.9, slow=0.7), arms, name="other")
    assert {rival.name: rival.state for rival in verdict("C5", path).rivals} == {
        "noise": "excluded",
        "rate": "excluded",
    }


def test_what_a_published_verdict_lacks_is_named(study: Make, make_arm: Arm) -> None:
    path = study(
        flat(dialogue=0.5), [make_arm("dialogue")],
        capacities=(10_000, 30_000), seeds=3, fresh=False, items=100, doses=(0, 1000, 5000),
    )  # fmt: skip
    found = verdict("C5", path)
    assert found.verdict == "supported" and found.exploratory
    assert found.missing == (
        "sizes: 2 of 3", "seeds: 3 of 5", "items per cell: 100 of 500",
        "fresh students: seeds share one student a size",
        "control: no arm 'original' at the same shift, rate and dose", "dose: 5,000 of 10,000",
    )  # fmt: skip


def test_not_testable(study: Make, make_arm: Arm) -> None:
    one_seed = study(flat(dialogue=0.5), [make_arm("dialogue")], seeds=1)
    found = verdict("C5", one_seed)
    assert found.verdict == "not_testable" and "one seed" in found.reason and found.remedy
    unlearned = study(lambda *_: 0.2, [make_arm("dialogue")], name="unlearned")
    assert "learned at no size" in verdict("C5", unlearned).reason
    other = study(flat(noise=0.5), [make_arm("noise")], name="other")
    assert {v.verdict for v in judge([other])} == {"not_testable"}


# C6


def syntax(study: Make, make_arm: Arm, **fields: Any) -> ClaimVerdict:
    arms = [make_arm("altered_syntax", form="snippet"), make_arm("original")]
    return verdict("C6", study(flat(altered_syntax=0.3, original=0.95), arms, benchmarks=("code",), **fields))


def test_syntax_that_costs_code(study: Make, make_arm: Arm) -> None:
    found = syntax(study, make_arm, doses=(0, 5000), unparsed=0.9)
    assert found.verdict == "supported" and not found.exploratory
    states = {rival.name: rival.state for rival in found.rivals}
    assert states == {"relabelling": "excluded", "format": "open", "rate": "open"}


def test_answers_in_the_dialect_are_relabelling(study: Make, make_arm: Arm) -> None:
    found = syntax(study, make_arm, doses=(0, 5000), dialect=1.0)
    assert found.verdict == "inconclusive" and "relabelling" in found.reason
    assert outcomes(found) == {"loss": "supports"}


def test_another_form_does_not_stand_for_snippets(study: Make, make_arm: Arm) -> None:
    path = study(flat(marked=0.3), [make_arm("marked", "altered_syntax", form="marked")], benchmarks=("code",))
    assert verdict("C6", path).verdict == "not_testable"


# C7


def complexity(study: Make, make_arm: Arm, curvature: float, rare: float, simple: float, **fields: Any) -> ClaimVerdict:
    """Per-step hazard .08 plus curvature x depth; ``rare``: logits lost beside; ``simple``: accuracy lost."""

    def accuracy(capacity: int, arm: str, benchmark: str, depth: int, coverage: str, dose: int) -> float:
        start = 0.98**depth
        if benchmark != "maths":
            return 0.95 - (simple if dose and arm == "dialogue" else 0)
        if dose == 0 or arm == "original":
            return start
        p = start * np.exp(-depth * (0.12 + curvature * (depth - 2.5)))
        return float(1 / (1 + np.exp(rare - np.log(p / (1 - p))))) if coverage == "rare" else float(p)

    arms = [make_arm("dialogue"), make_arm("original")]
    return verdict("C7", study(
        accuracy, arms, benchmarks=("maths", "lookup", "classification"), depths=(1, 2, 3, 4), wobble=0.003, **fields
    ))  # fmt: skip


def test_extra_loss_at_depth_and_low_coverage(study: Make, make_arm: Arm) -> None:
    found = complexity(study, make_arm, 0.04, 1.0, 0.0)
    assert outcomes(found) == {"depth": "supports", "coverage": "supports", "simple": "supports"}
    assert found.verdict == "supported" and not found.exploratory
    depth = found.parts[0]
    assert depth.low < 0.04 + 0.02 and depth.high > 0.04


def test_equal_steps_are_no_extra_loss(study: Make, make_arm: Arm) -> None:
    found = complexity(study, make_arm, 0.0, 0.0, 0.0)
    assert outcomes(found)["depth"] != "supports" and found.verdict != "supported"
    assert "-0." in found.rivals[0].evidence  # plain retention falls with depth all the same


@pytest.mark.slow
def test_hazard_that_falls_with_depth_contradicts(study: Make, make_arm: Arm) -> None:
    found = complexity(study, make_arm, -0.03, 1.0, 0.0)
    assert outcomes(found)["depth"] == "opposes" and found.verdict == "contradicted"


def test_simple_skills_that_fall_contradict(study: Make, make_arm: Arm) -> None:
    found = complexity(study, make_arm, 0.04, 1.0, 0.3)
    assert outcomes(found)["simple"] == "opposes" and found.verdict == "contradicted"


def test_coverage_takes_items(study: Make, make_arm: Arm) -> None:
    found = complexity(study, make_arm, 0.04, 1.0, 0.0, ledger=False)
    assert outcomes(found) == {"depth": "supports", "coverage": "not testable", "simple": "supports"}
    assert found.verdict == "inconclusive" and any(note.startswith("without items") for note in found.notes)


# C8


def cause(study: Make, make_arm: Arm, joint: float, replayed: float, sequence: float = 0.3) -> ClaimVerdict:
    arms = [
        make_arm("dialogue"),
        make_arm("joint", "dialogue", mitigation="joint"),
        make_arm("replay", "dialogue", mitigation={"name": "replay", "share": 0.05}),
    ]
    return verdict("C8", study(flat(dialogue=sequence, joint=joint, replay=replayed), arms))


@pytest.mark.parametrize(
    ("joint", "replayed", "expected"),
    [(0.5, 0.35, "supported"), (0.95, 0.9, "contradicted"), (0.5, 0.93, "contradicted"), (0.94, 0.35, "contradicted")],
)
def test_capacity_or_interference(study: Make, make_arm: Arm, joint: float, replayed: float, expected: str) -> None:
    found = cause(study, make_arm, joint, replayed)
    assert found.verdict == expected and not found.exploratory
    gap, replay = found.parts
    assert gap.value == pytest.approx(1 - joint / 0.95, abs=0.03)
    assert replay.value == pytest.approx((replayed - 0.3) / (0.95 - 0.3), abs=0.03)


def test_interference_is_its_rival(study: Make, make_arm: Arm) -> None:
    assert cause(study, make_arm, 0.95, 0.9).rivals[0].state == "explains"


@pytest.mark.parametrize(
    ("grown", "only_new", "state"),
    [(0.2, False, "explains"), (0.9, False, "excluded"), (0.345, False, "open"), (0.9, True, "open")],
)
def test_room_is_its_rival(study: Make, make_arm: Arm, grown: float, only_new: bool, state: str) -> None:
    arms = [
        make_arm("dialogue"),
        make_arm("joint", "dialogue", mitigation="joint"),
        make_arm("grown", "dialogue", mitigation={"name": "growth", "times": 3.0, "only_new": only_new}),
    ]
    found = verdict("C8", study(flat(dialogue=0.3, joint=0.5, grown=grown), arms))
    room = {rival.name: rival for rival in found.rivals}["room"]
    assert room.state == state
    if not only_new:
        assert f"{(grown - 0.3) / 0.95:+.1f}" in room.evidence or grown == 0.345


def test_a_cause_takes_a_loss_and_arms(study: Make, make_arm: Arm) -> None:
    assert "no loss, no cause" in cause(study, make_arm, 0.95, 0.95, 0.95).reason
    alone = verdict("C8", study(flat(dialogue=0.3), [make_arm("dialogue")], name="alone"))
    assert (
        alone.verdict == "not_testable"
        and alone.reason == "no joint arm (controls: [joint]); no replay arm (controls: [replay_5])"
    )
    arms = [make_arm("dialogue"), make_arm("joint", "dialogue", mitigation="joint")]
    part = verdict("C8", study(flat(dialogue=0.3, joint=0.5), arms, name="part"))
    assert outcomes(part) == {"capacity_gap": "supports", "replay": "not testable"} and part.verdict == "inconclusive"
    assert part.exploratory and part.missing == ("part replay: no replay arm (controls: [replay_5])",)


# C9

LADDER = (10_000, 14_000, 20_000, 34_000, 50_000, 70_000, 100_000)


def ladder(study: Make, arms: list[dict[str, Any]], high: Callable[[float], float], **fields: Any) -> ClaimVerdict:
    """``high``: retention at shift .5 by place on the ladder (0 to 1); at .05 it is that of two rungs further up."""

    def accuracy(capacity: int, arm: str, benchmark: str, depth: int, coverage: str, dose: int) -> float:
        place = np.log(capacity / LADDER[0]) / np.log(LADDER[-1] / LADDER[0])
        kept = {"high": high(place), "low": high(place + 0.2), "wide": high(0.9)}[arm]
        return 0.96 * (1.0 if dose == 0 else float(kept))

    return verdict("C9", study(accuracy, arms, capacities=LADDER, doses=(0, 500, 1000), wobble=0.02, **fields))


def shifts(make_arm: Arm) -> list[dict[str, Any]]:
    return [make_arm("high", "dialogue", shift=0.5), make_arm("low", "dialogue", shift=0.05)]


def test_a_step_between_zones(study: Make, make_arm: Arm) -> None:
    found = ladder(study, shifts(make_arm), lambda place: 0.05 if place < 0.55 else 0.98)
    assert outcomes(found) == dict.fromkeys(("order", "top", "bottom", "shape"), "supports")
    assert found.verdict == "supported" and not found.exploratory
    assert found.zones is not None
    assert found.zones["zone"].tolist() == ["erased"] * 3 + ["vulnerable"] + ["retained"] * 3
    assert (found.zones["probability"] > 0.95).all()


def test_a_trend_is_no_threshold(study: Make, make_arm: Arm) -> None:
    found = ladder(study, shifts(make_arm), lambda place: 0.1 + 0.85 * min(place, 1.0))
    assert outcomes(found)["shape"] == "opposes" and found.verdict == "contradicted"


@pytest.mark.slow
def test_larger_students_that_forget_more(study: Make, make_arm: Arm) -> None:
    found = ladder(study, shifts(make_arm), lambda place: 0.95 - 0.6 * place)
    assert outcomes(found)["order"] == "opposes" and found.verdict == "contradicted"
    assert found.rivals[1].state == "explains"


@pytest.mark.slow
def test_an_order_that_the_rate_makes(study: Make, make_arm: Arm) -> None:
    arms = [*shifts(make_arm), make_arm("wide", "dialogue", shift=0.5, rate_policy="inverse_width")]
    found = ladder(study, arms, lambda place: 0.05 if place < 0.55 else 0.98)
    assert found.rivals[0].state == "explains" and found.verdict == "inconclusive"


def test_few_seeds_leave_the_shape_untested(study: Make, make_arm: Arm) -> None:
    found = ladder(study, shifts(make_arm), lambda place: 0.05 if place < 0.55 else 0.98, seeds=3)
    assert outcomes(found)["shape"] == "not testable" and found.verdict == "inconclusive"
    assert "seeds: 3 of 5" in found.missing


def test_zones_take_their_shifts(study: Make, make_arm: Arm) -> None:
    found = verdict("C9", study(flat(dialogue=0.5), [make_arm("dialogue")]))
    assert found.verdict == "not_testable" and found.zones is None and "shift 0.5 and 0.05" in found.reason


# All of them


def test_runs_missing_from_the_grid(study: Make, make_arm: Arm) -> None:
    """A sweep lacks runs: those that both arms have are compared, and their count is what is reported."""
    import pandas as pd

    path = study(flat(dialogue=0.6, original=0.95), [make_arm("dialogue"), make_arm("original")], seeds=7)
    ledger = pd.read_parquet(path / "ledger.parquet")
    gone = (ledger["arm"] == "original") & (ledger["student"] == "30k") & (ledger["seed"] < 2)
    ledger[~gone].to_parquet(path / "ledger.parquet")
    found = verdict("C5", path)
    assert found.seeds == 5 and found.verdict == "supported"


def test_holm_over_the_claims_that_were_judged(study: Make, make_arm: Arm) -> None:
    arms = [make_arm("dialogue"), make_arm("original"), make_arm("joint", "dialogue", mitigation="joint"),
            make_arm("replay", "dialogue", mitigation={"name": "replay", "share": 0.05})]  # fmt: skip
    path = study(flat(dialogue=0.89, original=0.95, joint=0.5, replay=0.9), arms)
    judged = [v for v in judge([path]) if np.isfinite(v.p)]
    raw = [combine(v.parts)[1] for v in judged]
    assert len(judged) >= 2
    assert [v.p for v in judged] == pytest.approx(multipletests(raw, method="holm")[1])


def test_the_best_measured_study_judges(study: Make, make_arm: Arm) -> None:
    arms = [make_arm("dialogue"), make_arm("original")]
    small = study(flat(dialogue=0.3, original=0.95), arms, seeds=3, name="small")
    large = study(flat(dialogue=0.6, original=0.95), arms, name="large")
    for paths in ((small, large), (large, small)):
        found = verdict("C5", *paths)
        assert found.study == "large" and any("also in small" in note for note in found.notes)


def test_without_items_the_verdict_says_so(study: Make, make_arm: Arm) -> None:
    arms = [make_arm("dialogue"), make_arm("original")]
    with_items = verdict("C5", study(flat(dialogue=0.6, original=0.95), arms))
    counts = verdict("C5", study(flat(dialogue=0.6, original=0.95), arms, name="counts", ledger=False))
    assert not any("without items" in note for note in with_items.notes)
    assert counts.notes[0].startswith("without items") and counts.verdict == "supported"
    (ours,), (theirs,) = with_items.parts, counts.parts
    assert theirs.value == pytest.approx(ours.value, abs=1e-9)
    assert theirs.high - theirs.low == pytest.approx(ours.high - ours.low, rel=0.5)


def test_judging_twice_gives_the_same(study: Make, make_arm: Arm) -> None:
    path = study(flat(dialogue=0.6, original=0.95), [make_arm("dialogue"), make_arm("original")], ledger=False)
    assert [v.to_dict() for v in judge([path])] == [v.to_dict() for v in judge([path])]


def test_no_folder_is_bad_input() -> None:
    with pytest.raises(UsageError, match="at least one folder"):
        judge([])
