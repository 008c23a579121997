"""A target on its study: the points, their runs and coordinates, what is no point, and the count of operations."""

from __future__ import annotations

import dataclasses
import math
from itertools import islice
from typing import Any

import pytest

from forgetting import seeds
from forgetting.errors import UsageError
from forgetting.record.store import Store, manifest
from forgetting.spec import Doses, Ladder
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.study import construct
from forgetting.sweep.search_space import SAMPLED, run_flops, space, stream_flops
from forgetting.sweep.sweep_spec import Target
from tests.sweep.small import a_space, study_spec

SHIFTS = (1.0, 0.5, 0.1)


def test_points_are_students_times_shifts_in_ascending_order() -> None:
    own = a_space(shifts=SHIFTS)
    assert own.points == tuple((s, x) for s in ("10k", "20k", "34k") for x in (0.1, 0.5, 1.0))
    assert own.repeats == 2
    assert own.dose == 160


def test_a_target_takes_a_part_of_the_study() -> None:
    own = a_space(Target(students=("34k", "10k"), shifts=(1.0,), dose=80, levels=(0.5,)), shifts=SHIFTS)
    assert own.points == (("10k", 1.0), ("34k", 1.0))
    assert own.dose == 80


def test_a_shift_whose_stream_ends_before_the_dose_is_no_point() -> None:
    own = a_space(shifts=SHIFTS, doses=Doses(dose=160, first=40, stream_cap=400))
    assert own.shifts == (0.5, 1.0)  # at .1 the 400 samples of stream hold 40 dialogues
    low = a_space(Target(dose=40, levels=(0.5,)), shifts=SHIFTS, doses=Doses(dose=160, first=40, stream_cap=400))
    assert low.shifts == (0.1, 0.5, 1.0)


def test_a_mitigations_arms_are_searched_by_what_of_their_stream_contaminates() -> None:
    replays = ({"name": "replay", "share": 0.3}, {"name": "replay", "share": 0.5})
    written = ({"name": "self_replay", "share": 0.3}, {"name": "self_replay", "prompts": "given", "share": 0.2})
    study = {"mitigations": ("none", *replays, *written), "shifts": SHIFTS}
    own = a_space(Target(axis="shift", mitigation="replay"), **study)
    assert own.shifts == (0.5, 0.7, 1.0)
    assert [own.arms[shift].mitigation.settings().get("share") for shift in own.shifts] == [0.5, 0.3, None]
    assert a_space(Target(mitigation="self_replay"), **study).shifts == (0.7, 0.8, 1.0)
    given = a_space(Target(mitigation={"name": "self_replay", "prompts": "given"}, shifts=(0.8, 1.0)), **study)
    assert given.shifts == (0.8, 1.0) and given.run(("10k", 0.8), 0).arm.mitigation.settings()["prompts"] == "given"
    assert a_space(Target(), **study).shifts == (0.1, 0.5, 1.0)  # plain arms alone
    for asked, said in (
        ({"mitigation": "ewc"}, r"mitigation: must be one of the study's \['none', 'replay', 'self_replay'\]"),
        ({"mitigation": "replays"}, "unknown name 'replays'; did you mean 'replay'"),
        ({"mitigation": "replay", "shifts": (0.9,)}, r"shifts: must be among the study's shifts \[1.0, 0.7, 0.5\]"),
    ):
        with pytest.raises(UsageError, match=said):
            a_space(Target(**asked), **study)  # type: ignore[arg-type]


@pytest.mark.parametrize("fresh", [False, True])
def test_the_runs_of_a_point_are_the_studys(fresh: bool) -> None:
    ladder = Ladder(students=("10k", "20k", "34k"), fresh_students=fresh)
    own = a_space(shifts=SHIFTS, ladder=ladder, seeds=3, first_seed=5)
    runs = [own.run(point, repeat) for point in own.points for repeat in range(3)]
    assert len(set(runs)) == len(runs)
    assert set(runs) == set(own.study.runs())
    assert {r.seed for r in runs} == {5, 6, 7}
    assert {r.distillation_seed for r in runs} == ({5, 6, 7} if fresh else {0})


def test_coordinates_are_log10_of_all_parameters_and_the_shift() -> None:
    own = a_space(shifts=SHIFTS)
    for point in own.points:
        assert own.coordinates(point) == (math.log10(own.capacity(point[0])), point[1])
    for student in own.study.students:  # the shipped students say how many parameters they have
        home = Store().find(fingerprint(student_form(own.study, student, 0)))
        assert home
        assert own.capacity(student.name) == manifest(home)["capacity"]


def test_names_differ_where_targets_differ() -> None:
    targets = [
        Target(),
        Target(skill="maths:1"),
        Target(dose=80),
        Target(axis="shift"),
        Target(shifts=(1.0,)),
        Target(students=("10k", "20k")),
        Target(rate_multiple=4.0),
        Target(rate_policy="inverse_width"),
        Target(contamination="noise"),
        Target(mitigation="replay"),
        Target(mitigation={"name": "replay", "pool": 9}),
    ]
    study = construct(
        study_spec(
            shifts=SHIFTS,
            rate_multiples=(1.0, 4.0),
            rate_policies=("constant", "inverse_width"),
            contaminations=("dialogue", "noise"),
            mitigations=("none", {"name": "replay", "share": 0.3}, {"name": "replay", "share": 0.4, "pool": 9}),
        )
    )
    filled = [dataclasses.replace(t, rate_policy=t.rate_policy or "constant") for t in targets]
    names = [space(study, target).name for target in filled]
    assert len(set(names)) == len(names)
    assert not any(set(name) & set("/\\: ") for name in names)


def test_a_targets_arms_have_its_rate_and_no_mitigation() -> None:
    study = construct(
        study_spec(rate_multiples=(1.0, 4.0), mitigations=("none", "replay", "l2_sp"), controls=("noise",))
    )
    (arm,) = space(study, Target(rate_multiple=4.0)).arms.values()
    assert (arm.rate_multiple, arm.mitigation.short_name()) == (4.0, "none")
    assert arm.mitigation.short_name() == "none"
    assert arm.contamination.short_name() == "dialogue"


@pytest.mark.parametrize(
    ("target", "study", "words"),
    [
        ({"students": ("11k",)}, {}, "targets[3].students: unknown name '11k'"),
        ({"shifts": (0.7,)}, {}, "targets[3].shifts: must be among the study's shifts"),
        ({"rate_multiple": 2.0}, {}, "targets[3].rate_multiple: must be among the study's rate_multiples"),
        ({"rate_policy": "constant"}, {}, "targets[3].rate_policy: must be among the study's rate_policies"),
        ({}, {"rate_policies": ("constant",)}, "targets[3].rate_policy"),
        ({"contamination": "noise"}, {}, "targets[3].contamination: must be among the study's contaminations"),
        ({"contamination": "dialoge"}, {}, "did you mean 'dialogue'"),
        ({}, {"mitigations": ("replay",)}, "with no mitigation"),
        ({"dose": 100}, {}, "targets[3].dose: must be one of the study's doses [40, 80, 160]"),
        ({"dose": 160}, {"doses": Doses(dose=160, first=40, stream_cap=100)}, "reached by some shift within"),
        ({"students": ("10k",)}, {}, "an axis with at least two points"),
        ({"axis": "shift"}, {}, "an axis with at least two points"),
        ({"skill": "math"}, {}, "targets[3].skill: unknown name 'math'; did you mean 'maths'"),
        ({"skill": "maths:9"}, {}, "targets[3].skill: unknown name 'maths:9'"),
        ({"skill": "code"}, {}, "targets[3].skill: unknown name 'code'"),
    ],
)
def test_what_the_study_does_not_hold_is_named(target: dict[str, Any], study: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        space(construct(study_spec(**study)), Target(**target), 3)
    assert words in str(raised.value)


def test_a_skill_at_one_depth() -> None:
    own = a_space(Target(skill="maths:2"))
    assert (own.benchmark, own.depth) == ("maths", 2)
    assert a_space().depth is None


def test_operations_of_training_are_six_a_parameter_and_token() -> None:
    own = a_space()
    student, arm = own.study.students[0], own.arms[1.0]
    drawn = list(islice(arm.contamination.samples(seeds.generator(0, "lengths")), SAMPLED))
    words = sum(len(f"{s.prompt} {s.answer}".split()) for s in drawn) / SAMPLED
    assert stream_flops(student, arm.contamination, 160) == pytest.approx(6 * own.capacity("10k") * 160 * words)


def test_operations_of_a_run_grow_as_they_must() -> None:
    own = a_space(shifts=(1.0, 0.5))
    small, large = own.flops(("10k", 1.0)), own.flops(("34k", 1.0))
    assert large / small == pytest.approx(own.capacity("34k") / own.capacity("10k"))
    assert own.flops(("10k", 0.5)) > small  # as many dialogues, and as much again of the original
    longer = construct(study_spec(shifts=(1.0, 0.5), doses=Doses(dose=320, first=40)))
    assert run_flops(longer, longer.runs()[0]) > small
