"""Studies: arms, runs, doses reached, and a fingerprint that changes exactly when a result could change."""

from __future__ import annotations

import dataclasses
import random
import sys
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as running
from hypothesis import strategies as st

from forgetting import Doses, Evaluation, Ladder, Spec, registry
from forgetting.errors import UsageError
from forgetting.spec import Machine
from forgetting.study import settings, spec_files
from forgetting.study.arms import arms_of
from forgetting.study.fingerprints import study_fingerprint
from forgetting.study.study import construct

# No number depends on these; every other setting must change the fingerprint.
FREE = {"name", "keep", "machine.loggers"}

ORIGINAL = registry.build("contamination", "original").settings()

# Settings whose rules ask for a particular other value.
OTHERS: dict[str, Any] = {
    "name": "another",
    "ladder.students": ["10k", "20k"],
    "ladder.teacher": "3m",
    "ladder.original": {"name": "original", "maths": ORIGINAL["code"], "code": ORIGINAL["maths"]},
    "ladder.distillation": {"name": "off_policy", "level": "word"},
    "ladder.branches": [{"name": "word", "stages": [{"method": {"name": "off_policy", "level": "word"}}]}],
    "contaminations": ["noise"],
    "shifts": [0.5],
    "rate_multiples": [0.25],
    "rate_policies": ["inverse_width"],
    "mitigations": ["l2_sp"],
    "controls": ["sham"],
    "evaluation.benchmarks": ["maths", "code"],
    "machine.backend.command": [sys.executable],
    "machine.loggers": ["mlflow"],
    "matching.reference": "34k",
    "matching.dose": 40,
    "ladder.teaching.until.benchmark": "maths",
    "ladder.distilling.until.benchmark": "maths",
    "ladder.teaching.original": {"name": "original", "described": 0.5},
    "ladder.distilling.original": {"name": "original", "described": 0.5},
    "ladder.teaching.until.answering": "symbolic",
    "ladder.distilling.until.answering": "symbolic",
    "ladder.teaching.until.accuracy": 0.5,
    "ladder.distilling.until.accuracy": 0.5,
}


def leaves() -> list[str]:
    """Every setting that is not a group of settings."""
    return [p for p in settings.setting_paths(Spec) if not dataclasses.is_dataclass(settings.setting_type(Spec, p))]


def another(path: str, value: Any) -> Any:
    """A valid value other than the given one; a new kind of setting must be given a rule here."""
    hint = settings.setting_type(Spec, path)
    if path in OTHERS:
        return OTHERS[path]
    if typing.get_origin(hint) is typing.Literal:
        return next(v for v in typing.get_args(hint) if v != value)
    if hint is bool:
        return not value
    if path == "evaluation.answering_benchmarks":
        return ["maths"]
    if path == "evaluation.answering":
        return ["sampled"]
    if path.endswith("shared_pool"):
        return 96_000
    if path.endswith("until.benchmark"):
        return "maths"
    if path.endswith("until.accuracy"):
        return 0.5
    if path == "interventions":
        return ["average"]
    if path == "doses.stream_cap":
        return 1_000  # only a cap that leaves a dose out can change a result
    if hint is int:
        return value + 1
    if hint is float:
        return value * 2 if value else 0.5
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[0] is float:
        return [v / 2 for v in value]
    raise AssertionError(f"no rule for another value of {path}")


def nested(path: str, value: Any) -> dict[str, Any]:
    """``a.b`` and a value as ``{"a": {"b": value}}``."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def fingerprint(values: dict[str, Any]) -> str:
    return study_fingerprint(construct(spec_files.spec_from(values)))


def shuffled(values: Any, order: random.Random) -> Any:
    """The mapping with its keys in another order, at every level."""
    if not isinstance(values, dict):
        return values
    names = list(values)
    order.shuffle(names)
    return {name: shuffled(values[name], order) for name in names}


@pytest.mark.parametrize("path", leaves())
def test_the_fingerprint_changes_with_every_setting_but_two(path: str) -> None:
    value = spec_files.to_mapping(Spec())
    for name in path.split("."):
        value = value[name]
    given = {"rate_policies": ["matched_plasticity"]} if path.startswith("matching.") else {}
    changes = nested(path, another(path, value))
    if path.endswith("until.answering"):  # which takes a benchmark
        given, other = (nested(path.removesuffix(".answering"), {"benchmark": "maths"}) for _ in range(2))
        group = path.split(".")[1]
        other["ladder"][group]["until"] |= changes["ladder"][group]["until"]
        changes = other
    changed = fingerprint(given | changes)
    assert (changed == fingerprint(given)) == (path in FREE)


def test_how_rates_are_matched_counts_only_where_they_are() -> None:
    assert fingerprint({"matching": {"reference": "34k", "dose": 40, "pilots": 3}}) == fingerprint({})


@running(max_examples=25)
@given(st.sets(st.sampled_from(leaves())), st.randoms(use_true_random=False))
def test_the_fingerprint_ignores_explicit_defaults_and_order(given_paths: set[str], order: random.Random) -> None:
    full = spec_files.to_mapping(Spec())
    values: dict[str, Any] = {}
    for path in given_paths:
        *groups, leaf = path.split(".")
        here, source = values, full
        for group in groups:
            here, source = here.setdefault(group, {}), source[group]
        here[leaf] = source[leaf]
    assert fingerprint(shuffled(values, order)) == study_fingerprint(construct(Spec()))


def test_the_fingerprint_ignores_how_a_part_is_written() -> None:
    forms: list[Any] = [
        "dialogue",
        {"name": "dialogue"},
        {"name": "dialogue", "turns": 1},
        {"turns": 1, "name": "dialogue"},
    ]
    assert len({study_fingerprint(construct(Spec(contaminations=(form,)))) for form in forms}) == 1
    assert study_fingerprint(construct(Spec(contaminations=({"name": "dialogue", "turns": 2},)))) != fingerprint(
        {"contaminations": ["dialogue"]}
    )


def test_whole_numbers_are_numbers() -> None:
    assert fingerprint({"shifts": [1], "mitigations": [{"name": "l2_sp", "strength": 1}]}) == fingerprint(
        {"shifts": [1.0], "mitigations": [{"name": "l2_sp", "strength": 1.0}]}
    )


def test_arms_are_all_combinations_then_controls() -> None:
    spec = Spec(contaminations=("dialogue", "noise"), shifts=(1.0, 0.5), controls=("sham", "replay_5", "joint"))
    names = [a.name for a in construct(spec).arms]
    assert names[:4] == ["dialogue", "dialogue-shift0.5", "noise", "noise-shift0.5"]
    assert names[4:] == [
        "dialogue-rate0", "noise-rate0", "dialogue-replay", "noise-replay", "dialogue-joint", "noise-joint",
    ]  # fmt: skip


def test_arm_names_are_unique_and_are_file_names() -> None:
    spec = Spec(
        contaminations=("dialogue", {"name": "altered_syntax", "form": "marked"}, {"name": "altered_syntax"}),
        mitigations=("none", {"name": "l2_sp", "strength": 0.5}),
        rate_multiples=(1.0, 0.25),
        controls=("original", "noise"),
    )
    names = [a.name for a in construct(spec).arms]
    assert len(set(names)) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") for name in names)


@pytest.mark.parametrize("controls", [(), ("sham",), ("joint",), ("original",)])
def test_arms_of_one_name_are_one_condition_with_controls_and_without(controls: tuple[str, ...]) -> None:
    two = tuple({"name": "conversations", "source": f"{folder}/x.jsonl"} for folder in ("a", "b"))
    for contaminations in (two, two[:1] * 2, ("dialogue", "dialogue")):
        with pytest.raises(UsageError, match=r"^contaminations, shifts, \.\.\.: must be free of repeats, got arms"):
            arms_of(Spec(contaminations=contaminations, controls=controls), natural=True)  # type: ignore[arg-type]


def test_a_control_of_an_arms_name_is_that_arm() -> None:
    original = {"name": "conversations", "source": "b/x.jsonl"}
    spec = Spec(contaminations=({"name": "conversations", "source": "a/x.jsonl"},), controls=("original",))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="must be free of repeats"):
        arms_of(dataclasses.replace(spec, ladder=Ladder(original=original)), natural=True)  # type: ignore[arg-type]
    same = dataclasses.replace(spec, ladder=Ladder(original=spec.contaminations[0]))
    assert len(arms_of(same, natural=True)) == 1


def test_controls_equal_the_arms_that_they_repeat() -> None:
    with_control = construct(Spec(rate_multiples=(1.0, 0.25), controls=("rate_quarter",)))
    assert [a.name for a in with_control.arms] == [a.name for a in construct(Spec(rate_multiples=(1.0, 0.25))).arms]


def test_runs_share_a_student_or_distil_fresh_ones() -> None:
    shared = construct(Spec(seeds=2, first_seed=5)).runs()
    assert {(k.distillation_seed, k.seed) for k in shared} == {(0, 5), (0, 6)}
    fresh = construct(Spec(seeds=2, first_seed=5, ladder=Ladder(fresh_students=True))).runs()
    assert {(k.distillation_seed, k.seed) for k in fresh} == {(5, 5), (6, 6)}
    assert len(set(shared)) == len(shared) == 4 * 2 * 2
    assert str(shared[0]) == "10k-dialogue-d0-s5"


def test_a_dose_beyond_the_cap_is_not_reached() -> None:
    spec = Spec(shifts=(0.1, 1.0), doses=Doses(dose=1280, first=20, ratio=4.0, stream_cap=3_200))
    rare, full = construct(spec).arms[:2]
    assert construct(spec).reached(rare) == (0, 20, 80, 320)
    assert construct(spec).reached(full) == (0, 20, 80, 320, 1280)


def test_a_cap_that_leaves_no_dose_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"stream_cap: must be high enough for the first dose of arm"):
        construct(Spec(shifts=(0.0005,)))


def test_a_cap_that_leaves_nothing_out_changes_nothing() -> None:
    wide = Spec(doses=Doses(stream_cap=60_000))
    assert study_fingerprint(construct(wide)) == study_fingerprint(construct(Spec()))


def test_numbers_may_be_whole_and_the_order_of_arms_counts() -> None:
    assert study_fingerprint(construct(Spec(shifts=(1,), rate_multiples=(1,)))) == study_fingerprint(construct(Spec()))
    turned = Spec(contaminations=("altered_syntax", "dialogue"))
    assert study_fingerprint(construct(turned)) != study_fingerprint(construct(Spec()))


def test_replay_lowers_the_share() -> None:
    (arm,) = construct(
        Spec(contaminations=("dialogue",), shifts=(0.5,), mitigations=({"name": "replay", "share": 0.2},))
    ).arms
    assert arm.share() == pytest.approx(0.4)


def test_the_rate_is_the_arms() -> None:
    study, plain = construct(Spec(rate_multiples=(0.0, 4.0), rate_policies=("inverse_width",))), Spec().fine_tuning
    sham, fast = (arm.optimiser(plain) for arm in study.arms[:2])
    assert sham.learning_rate == 0.0
    assert fast == dataclasses.replace(plain, learning_rate=4 * plain.learning_rate, rate_policy="inverse_width")
    assert study.arms[1].name == "dialogue-rate4-inverse_width"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (Spec(ladder=Ladder(students=("10k", "nine"))), "ladder.students[1]"),
        (Spec(ladder=Ladder(students=("34k", "10k"))), "ladder.students: must be in ascending order"),
        (Spec(ladder=Ladder(teacher="1mm")), "ladder.teacher: unknown name '1mm'; did you mean '1m'"),
        (Spec(evaluation=Evaluation(benchmarks=("maths", "maths"))), "evaluation.benchmarks: must be free of repeats"),
        (Spec(contaminations=("dialogue", "dialogue")), "repeats"),
        (
            Spec(machine=Machine(devices=2, strategy="fsdp"), keep="all"),
            "keep: must be last or none with strategy fsdp",
        ),
        (
            Spec(machine=Machine(devices=2, strategy="fsdp"), mitigations=("l2_sp",)),
            "mitigations: must be none, or of the stream alone, with",
        ),
    ],
)
def test_mistakes_are_found_when_a_study_is_constructed(spec: Spec, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        construct(spec)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("warmup", "shift", "said"),
    [
        (20, 1.0, "doses 40 to 320 lie in the warm-up of 20 steps of 32 samples"),
        (2, 1.0, "dose 40 lies in the warm-up of 2 steps of 32 samples"),
        (20, 0.05, ""),
        (0, 1.0, ""),
    ],
)
def test_doses_inside_the_warm_up_are_said(warmup: int, shift: float, said: str) -> None:
    optimiser = dataclasses.replace(Spec().fine_tuning, warmup_steps=warmup)
    study = construct(dataclasses.replace(Spec(), fine_tuning=optimiser, shifts=(shift,)))
    assert study.warm_up_note() == said


def test_names_of_arms_with_many_settings_are_cut_and_stay_apart() -> None:
    """A folder is named after them."""
    many = [f"layers.{number}.self_attn.q_proj" for number in range(40)]
    parts = [{"name": "freezing", "modules": many[:count]} for count in (1, 39, 40)]
    short, *long = (arm.name for arm in arms_of(Spec(contaminations=("dialogue",), mitigations=parts), natural=False))  # type: ignore[arg-type]
    assert short == "dialogue-freezing.modules__layers.0.self_attn.q_proj___"
    assert len(set(long)) == 2 and all(len(name) < 110 for name in long)
