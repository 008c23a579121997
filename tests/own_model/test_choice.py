"""Which way is advised: by hand-made forecasts, each verdict, ties, what goes on, and what would change the choice."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.forecast import Forecast
from forgetting.analysis.shipped_runs import shipped_runs, whole_runs
from forgetting.errors import UsageError
from forgetting.own_model import prospects
from forgetting.own_model.advice import HALF_REPLAYED, NOTHING_TOLD, Advice
from forgetting.own_model.allowance import Allowance, Speed, expected, next_dose, scaled
from forgetting.own_model.choice import MOST_TIMES, Choice, Prospect, choose, flips, halved, ranked
from forgetting.own_model.prospects import Pilot, _against
from forgetting.spec import Spec

KEEP = {"maths": 0.95}


def way(
    arm: str, value: float, low: float, high: float, cost: float = 1.0, told: bool = True, harm: float = 1.0,
    times: float = 1.0, code: float = 1.0,
) -> Prospect:  # fmt: skip
    kept = {"maths": Forecast(value, low, high, told), "code": Forecast(code, code, code, told)}
    return Prospect(arm, kept, {"maths": harm, "code": 0.0}, times, cost)


PLAIN = way("plain", 0.3, 0.1, 0.5)


@pytest.mark.parametrize(
    ("others", "arm", "verdict"),
    [
        # surely kept by two: the cheaper, though the other keeps more
        ([way("dear", 1.0, 1.0, 1.0, 2.0), way("cheap", 0.98, 0.95, 1.0, 1.1)], "cheap", "keeps"),
        # likely: the surest, though another has the higher value
        ([way("bold", 0.99, 0.5, 1.0), way("sure", 0.96, 0.9, 1.0)], "sure", "likely"),
        # what likely keeps it is taken before what leads and is not told
        ([way("dim", 1.0, 0.0, 1.0, told=False), way("sure", 0.96, 0.9, 1.0)], "sure", "likely"),
        ([way("near", 0.9, 0.7, 1.0), way("far", 0.5, 0.3, 0.9)], "near", "may_fall_short"),
        ([way("near", 0.8, 0.7, 0.9)], "near", "falls_short"),
        # as good within .05, so what harms less; then what costs less
        ([way("a", 0.8, 0.7, 0.9, harm=0.5), way("b", 0.78, 0.7, 0.9, harm=0.1)], "b", "falls_short"),
        ([way("a", 0.8, 0.7, 0.9, 1.5), way("b", 0.78, 0.7, 0.9, 1.2)], "b", "falls_short"),
        # it might still be kept by what nothing is told of
        ([way("near", 0.8, 0.7, 0.9), way("dim", 0.1, 0.0, 1.0, told=False)], "near", "may_fall_short"),
        ([way("dim", 0.9, 0.0, 1.0, told=False)], "plain", "may_fall_short"),
        # what it harms less is known, though, and puts it in front
        ([way("dim", 0.0, 0.0, 1.0, told=False, harm=0.5)], "dim", "cannot_tell"),
        # what learns less is not taken, however much it keeps
        ([way("slow", 1.0, 1.0, 1.0, times=MOST_TIMES + 0.1)], "plain", "falls_short"),
        ([way("never", 1.0, 1.0, 1.0, times=math.inf)], "plain", "falls_short"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_choice(others: list[Prospect], arm: str, verdict: str) -> None:
    found = choose([PLAIN, *others], KEEP)
    assert (found.arm, found.verdict) == (arm, verdict)


def test_half_a_stream_of_replay_is_taken_where_nothing_likely_keeps_it_and_nothing_is_told_of_it() -> None:
    half = way("half", 0.0, 0.0, 1.0, told=False, harm=2.0)  # harms most so far, as replay does in the warm-up
    assert choose([PLAIN, half], KEEP) == Choice("plain", "may_fall_short")
    assert choose([PLAIN, half], KEEP, "half") == Choice("half", "as_usual")
    assert choose([PLAIN, way("sure", 0.96, 0.9, 1.0), half], KEEP, "half") == Choice("sure", "likely")
    assert choose([PLAIN, way("half", 0.8, 0.7, 0.9)], KEEP, "half") == Choice("half", "falls_short")
    never = dataclasses.replace(half, times=math.inf)
    assert choose([PLAIN, never], KEEP, "half") == Choice("plain", "falls_short")
    assert choose([PLAIN, half], KEEP, "another") == Choice("plain", "may_fall_short")


def test_where_nothing_is_told_the_advice_says_what_whole_runs_of_others_kept() -> None:
    dim, words = way("dim", 0.0, 0.0, 1.0, told=False, harm=0.5), {"plain": "plain tuning", "dim": "KL"}
    ways = tuple(dataclasses.replace(one, so_far={"maths": 1.0, "code": 1.0}) for one in (PLAIN, dim))
    sure = Advice(
        "m", "d", {"maths": 0.95, "code": 0.9}, {}, Choice("plain", "falls_short"), ways, words, 99, budget="2"
    )
    assert "whole runs" not in str(sure)
    slow = dataclasses.replace(ways[1], times=math.inf)
    assert "learned too little" in str(dataclasses.replace(sure, prospects=(ways[0], slow)))
    kept = {row.rule: row for row in whole_runs().itertuples()}
    for verdict in ("as_usual", "cannot_tell"):
        text = " ".join(str(dataclasses.replace(sure, choice=Choice("dim", verdict))).split())  # type: ignore[arg-type]
        assert f"whole runs of others ({kept[HALF_REPLAYED].students} students" in text
        assert f"{HALF_REPLAYED} kept {kept[HALF_REPLAYED].regret:.2f} less" in text
        assert f"{NOTHING_TOLD}, {kept[NOTHING_TOLD].regret:.2f} less" in text


def test_how_long_pilots_take_is_foretold_from_a_step_and_a_look() -> None:
    pace = Speed(0.5, 10.0)
    assert expected(Allowance(64, "samples"), pace, arms=5, looks=3, rounds=1) == 64 * 0.5 + 5 * 4 * 10
    assert expected(Allowance(64, "samples"), pace, arms=5, looks=3, rounds=3) == 64 * 0.5 + (5 + 3 + 2) * 4 * 10
    assert expected(Allowance(90, "seconds"), pace, arms=5, looks=3, rounds=3) == 90


def test_that_all_is_gone_at_the_full_rate_is_said_before_anything_else() -> None:
    lost = dataclasses.replace(way("plain", 0.0, 0.0, 0.0), so_far={"maths": -0.5, "code": 1.0}, gone={"maths": 8})
    half = way("half", 0.0, 0.0, 1.0, told=False)
    half = dataclasses.replace(half, so_far={"maths": -0.5, "code": 1.0}, gone={"maths": 16})
    slow = dataclasses.replace(way("slow", 0.5, 0.0, 1.0, told=False), so_far={"maths": 0.4, "code": 1.0})
    words = {"plain": "plain tuning", "half": "replay 50%", "slow": "rate x 0.25"}
    found = Advice(
        "m", "d", {"maths": 0.95, "code": 0.9}, {}, Choice("half", "as_usual"), (lost, half, slow), words, 999,
        spec=Spec(), budget="2", full_rate=("plain", "half"),
    )  # fmt: skip
    first, rest = " ".join(str(found).split()).split("code 0.9 ")[1].split(" Use ", 1)
    assert first.startswith("What you keep is gone within 16 samples at this rate (0.002): maths at chance or below")
    assert "rate x 0.25 has 0.40 of it so far. Ask again with a lower rate, --rate 0.0002, before" in first
    assert "cannot tell yet; 0 (gone) so far" in rest and "0.40 so far" in rest and "-0.50" not in str(found)
    none_left = dataclasses.replace(slow, gone={"maths": 32})
    said = " ".join(str(dataclasses.replace(found, prospects=(lost, half, none_left))).split())
    assert "no other rate that was tried has any of it left" in said
    alone = dataclasses.replace(found, prospects=(lost, slow), choice=Choice("plain", "falls_short"),
                                words={"plain": "plain tuning", "slow": "rate x 0.25"})  # fmt: skip
    assert "or replay (--original)" in " ".join(str(alone).split())
    kept = dataclasses.replace(half, gone={})
    assert "is gone within" not in str(dataclasses.replace(found, prospects=(lost, kept, slow)))


@pytest.mark.parametrize(
    ("retention_D", "dose"),
    [([1.0, 0.5, 0.0], 20), ([1.0, -0.5, -0.2], 10), ([1.0, 0.0, 0.1], 0), ([1.0, 0.2, 0.1], 0), ([0.0, 0.0, 0.0], 0)],
)
def test_a_skill_is_gone_from_the_dose_after_which_nothing_is_left(retention_D: list[float], dose: int) -> None:
    looks = {"retention": retention_D, "dose": [0, 10, 20], "arm": "plain", "depth": None, "variant": "original"}
    study: Any = SimpleNamespace(scores=pd.DataFrame(looks | {"benchmark": "maths"}), skill_names={"maths": "maths"})
    assert prospects._gone_from(study, "plain", "maths") == dose


def test_an_interval_that_is_worth_nothing_bounds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    study: Any = SimpleNamespace(scores=pd.DataFrame({"dose": [64]}))
    forecaster: Any = SimpleNamespace(forecast=lambda runs: [Forecast(0.4, 0.1, 0.8, told=False)])
    monkeypatch.setattr(prospects, "runs_so_far", lambda *_: pd.DataFrame({"skill": ["maths"]}))
    end = prospects._forecast(study, "arm", ["maths"], 640.0, forecaster, known=True)["maths"]
    assert (end.low, end.high, end.told) == (0.0, 1.0, False)


def test_every_skill_that_is_wanted_counts() -> None:
    both = {"maths": 0.95, "code": 0.9}
    ways = [PLAIN, way("maths alone", 1.0, 1.0, 1.0, code=0.5), way("both", 0.97, 0.96, 1.0, 2.0, code=0.95)]
    assert choose(ways, KEEP).arm == "maths alone"
    assert choose(ways, both).arm == "both"
    with pytest.raises(UsageError, match="pilots: must be at least one that learns as much"):
        choose([way("slow", 1.0, 1.0, 1.0, times=9.0)], KEEP)


def test_where_nothing_is_told_harm_counts_and_forecasts_do_not() -> None:
    harms = {"plain": (0.9, 1.0), "worse": (1.0, 1.2), "better": (0.0, 0.3), "alike": (0.0, 0.34)}
    costs = {"alike": 0.9}
    ways = [way(arm, v, 0, 1, costs.get(arm, 1.0), told=False, harm=harm) for arm, (v, harm) in harms.items()]
    assert [one.arm for one in ranked(ways, KEEP)] == ["alike", "better", "plain", "worse"]
    assert choose(ways, KEEP).verdict == "cannot_tell"


def test_a_way_of_which_nothing_is_told_stands_where_its_harm_puts_it() -> None:
    told = [way("plain", 0.3, 0.2, 0.4), way("some", 0.8, 0.7, 0.9, harm=0.2), way("most", 0.9, 0.85, 0.95, harm=0.05)]

    def order(harm: float) -> list[str]:
        return [one.arm for one in ranked([way("dim", 0.0, 0.0, 1.0, told=False, harm=harm), *told], KEEP)]

    assert order(2.0) == ["most", "some", "plain", "dim"]  # harms more than all that is told of
    assert order(0.5) == ["most", "some", "dim", "plain"]
    assert order(0.15) == ["most", "dim", "some", "plain"]
    assert order(0.01) == ["dim", "most", "some", "plain"]
    assert choose([way("dim", 0.0, 0.0, 1.0, 0.5, told=False, harm=0.01), *told], KEEP).verdict == "cannot_tell"
    assert "dim" in halved([told[0], way("dim", 0.0, 0.0, 1.0, told=False, harm=0.01), *told[1:]], KEEP)


def test_the_better_half_goes_on_with_plain_tuning_in_the_order_of_the_arms() -> None:
    ways = [PLAIN, way("a", 0.2, 0, 0.4), way("b", 0.9, 0.8, 1), way("c", 0.1, 0, 0.2), way("d", 0.95, 0.9, 1),
            way("e", 1.0, 1, 1, times=math.inf)]  # fmt: skip
    assert halved(ways, KEEP) == ["plain", "a", "b", "d"]
    assert halved(ways[:2], KEEP) == ["plain", "a"] and halved(ways[:1], KEEP) == ["plain"]


def test_what_would_change_the_choice() -> None:
    ways = [PLAIN, way("cheap", 0.9, 0.85, 0.95, 1.05), way("dear", 0.99, 0.97, 1.0, 1.5)]
    assert choose(ways, KEEP).arm == "dear"
    assert flips(ways, KEEP) == [("maths", 0.85, "cheap")]
    assert flips(ways, {"maths": 0.8}) == [("maths", 0.86, "dear")]


def test_a_pilot_that_learns_half_as_fast_takes_twice_the_samples() -> None:
    dose = np.array([0.0, 100, 200, 400])
    fast = Pilot(dose, np.log1p(dose), {"maths": dose / 100})
    slow = Pilot(dose, np.log1p(dose / 2), {"maths": dose / 800})
    times, at, harm = _against(fast, slow, ["maths"])
    assert at == pytest.approx(400) and times == pytest.approx(400 / 200)
    assert harm["maths"] == pytest.approx((0.5 + 0.01) / (2.0 + 0.01))
    times, at, _ = _against(slow, fast, ["maths"])
    assert at == pytest.approx(200) and times == pytest.approx(200 / 400)
    nothing = Pilot(dose, np.zeros(4), {"maths": dose})
    assert _against(fast, nothing, ["maths"])[0] == math.inf
    assert _against(fast, fast, ["maths"])[0] == 1.0


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [("2", 2, "runs"), (0.5, 0.5, "runs"), ("1.5h", 5400, "seconds"), ("30 m", 1800, "seconds"), ("90s", 90, "seconds"),
     ("1e17op", 1e17, "operations")],
)  # fmt: skip
def test_budgets(text: object, amount: float, unit: str) -> None:
    assert Allowance.of(text) == Allowance(amount, unit)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "two", "-1", "0", "nan", "inf", "2 days", "1h30m", True, None])
def test_no_budget(text: object) -> None:
    with pytest.raises(UsageError, match="budget: must be a multiple of the planned run"):
        Allowance.of(text)


def test_rounds_share_what_is_left() -> None:
    costs, still = [1.0, 1.25, 1.75], Speed(0.0, 0.0)
    samples = Allowance(2, "runs").in_samples(planned=1000, operations=1.0)
    assert Allowance(2e9, "operations").in_samples(1000, 1e6) == samples
    first = next_dose(samples, 0.0, costs, 2, still)
    assert first == 250  # half of 2,000, over 4 plain samples for one of each
    assert next_dose(samples, first * 4.0, costs[:2], 1, still) == int(1000 / 2.25)
    assert next_dose(samples, 3000, costs, 1, still) == 0
    clock = Allowance(130.0, "seconds").in_samples(1000, 1.0)
    assert next_dose(clock, 10.0, costs, 2, Speed(0.1, 10.0)) == int((60 - 30) / 0.1 / 4)
    assert scaled("2", 3.3) == "6.6" and scaled("30m", 4) == "120m" and scaled("1e17op", 2.34) == "2.4e+17op"


def test_of_replay_that_has_learned_too_little_as_many_steps_are_supposed(monkeypatch: pytest.MonkeyPatch) -> None:
    dose = np.array([0.0, 40, 80])
    little = Pilot(dose, dose / 1000, {"maths": dose * 0})
    arms = {"plain": "none", "half": {"name": "replay", "share": 0.5}, "kl": "kl_to_base"}
    study: Any = SimpleNamespace(
        record={"arms": [{"name": arm, "mitigation": one} for arm, one in arms.items()]}, arm_names=tuple(arms)
    )
    monkeypatch.setattr(prospects, "_pilot", lambda *_: dataclasses.replace(little))
    monkeypatch.setattr(prospects, "_gone_from", lambda *_: 0)
    monkeypatch.setattr(prospects, "_measured", lambda *_: Forecast(1.0, 0.9, 1.0, told=True))
    monkeypatch.setattr(prospects, "_forecast", lambda *given: {"maths": Forecast(1.0, 0.9, 1.0, told=given[-1])})
    known: Any = None
    costs = {"plain": 1.0, "half": 2.0, "kl": 7 / 3}
    found = prospects.prospects(study, 640, ["maths"], costs, known, frozenset({"none", "replay", "kl_to_base"}))
    assert [one.times for one in found] == [1.0, 0.5, math.inf] and found[1].cost == 1.0
    assert [one.told for one in found] == [True, False, False] and found[1].learns and not found[2].learns
    untold = [dataclasses.replace(found[0], kept={"maths": Forecast(0.5, 0, 1, told=False)}), *found[1:]]
    assert choose(untold, KEEP, "half") == Choice("half", "as_usual")
    # What it writes costs operations, and no steps; where a shift below 1 replays there is no mitigation.
    study.arm_names = (*arms, "written", "shifted")
    written = {"name": "self_replay", "share": 0.2, "prompts": "written"}
    study.record["arms"] += [{"name": "written", "mitigation": written}, {"name": "shifted", "shift": 0.4}]
    costs |= {"written": 1.5, "shifted": 2.5}
    found = prospects.prospects(study, 640, ["maths"], costs, known, frozenset({"none", "replay", "self_replay"}))
    assert [one.times for one in found[3:]] == pytest.approx([0.8, 0.4])
    assert [one.cost for one in found[3:]] == pytest.approx([1.2, 1.0])


def test_what_is_lost_comes_back_by_replay_or_by_new_text_of_the_same_task() -> None:
    """In the past runs that ship with the package: this is why what pilots have kept is no bound of what will be."""
    runs = shipped_runs()
    gained = runs["outcome"] - runs["retention_early"].clip(lower=0)
    alone = runs["method"].isin(["none", "low_rate", "wise_ft", "lora"])
    same_task = runs["source"].str.contains("other_notation|short_answers")
    assert alone.sum() > 1000 and gained[alone & ~same_task].max() < 0.03
    assert gained[alone & same_task].max() > 0.3 and gained[runs["method"] == "replay"].max() > 0.3
