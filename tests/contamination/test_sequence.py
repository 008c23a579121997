"""A sequence of tasks: exact phases in three orders, the same samples in each, and what is refused."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, islice
from typing import Any

import pytest

from forgetting import registry
from forgetting.contamination.sequence import Sequence
from forgetting.contracts import Sample, is_held_out
from forgetting.errors import UsageError
from forgetting.seeds import generator
from forgetting.study.study import construct
from forgetting.training.plan import mixed
from tests.contracts.small import Numbered, spec

TASKS: dict[str, Any] = {"brace": {"name": "altered_syntax", "dialect": "brace"}, "noise": "noise"}


def trained(part: Sequence, count: int) -> list[Sample]:
    """The first samples that a stream would train on."""
    return list(islice((s for s in part.samples(generator(3, "stream")) if not is_held_out(s)), count))


def kinds(samples: list[Sample]) -> list[tuple[str, int]]:
    """Runs of samples of one source."""
    return [(name, len(list(own))) for name, own in groupby(s.template.split("-")[0] for s in samples)]


def test_a_phase_ends_after_its_dose_of_trained_samples_and_the_sequence_begins_again() -> None:
    part = Sequence(("brace", "noise", "brace"), TASKS, (30, 20, 10))
    assert [dose for _, dose in kinds(trained(part, 120))] == [30, 20, 40, 20, 10]
    assert part.blocks() == (("brace", 30), ("noise", 20), ("brace", 10))


def test_a_task_that_comes_again_goes_on_with_new_samples() -> None:
    samples = trained(Sequence(("brace", "noise", "brace"), TASKS, (30, 20, 10)), 60)
    alone = trained(Sequence(("brace",), {"brace": TASKS["brace"]}, (40,)), 40)
    assert [*samples[:30], *samples[50:]] == alone


def test_every_order_has_the_same_samples() -> None:
    orders = [
        Sequence(("brace", "noise"), TASKS, (32, 16)),
        Sequence(("noise", "brace"), TASKS, (16, 32)),
        Sequence(("brace", "noise"), TASKS, (32, 16), "cyclic", 4),
        Sequence(("brace", "noise"), TASKS, (32, 16), "interleaved"),
    ]
    found = [Counter(trained(part, 48)) for part in orders]
    assert all(one == found[0] for one in found)
    assert kinds(trained(orders[2], 48)) == [("brace", 8), (kinds(trained(orders[1], 1))[0][0], 4)] * 4


def test_interleaved_shares_hold_at_every_place() -> None:
    part = Sequence(("brace", "noise"), TASKS, (30, 10), "interleaved")
    samples = trained(part, 40)
    for place in range(1, 41):
        own = sum(s.skill == "altered_syntax" for s in samples[:place])
        assert abs(own - 0.75 * place) < 1
    assert part.blocks() == (("interleaved", 40),)


def test_batches_of_a_study_end_with_their_phase_and_every_end_is_measured() -> None:
    (arm,) = (study := construct(spec(contaminations=({"name": "sequence", "doses": (33, 27)},)))).arms
    doses = study.reached(arm)
    assert {33, 60} <= set(doses)
    plan = mixed(arm.contamination, Numbered("own"), share=0.5, doses=doses, batch_size=8, seed=0)
    for start, end in zip(plan.bounds[:-1], plan.bounds[1:], strict=True):
        own = {plan.samples[i].skill for i in plan.index[start:end] if plan.contaminating[i]}
        assert len(own) == 1


def test_the_name_of_an_arm_tells_the_order() -> None:
    tasks = {"pipe": {"name": "altered_syntax", "dialect": "pipe"}}
    given = {"name": "sequence", "phases": ("dialogue", "pipe"), "tasks": tasks, "doses": (30,)}
    arms = construct(spec(contaminations=(given, {**given, "order": "cyclic", "rounds": 2}))).arms
    assert [arm.name for arm in arms] == [
        "sequence.dialogue-pipe.doses30",
        "sequence.dialogue-pipe.doses30.cyclic.rounds2",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phases": ("dialog",)}, "phases: unknown name 'dialog'; did you mean 'dialogue'?"),
        ({"tasks": {"never": "noise"}}, "tasks: must be free of what no phase is"),
        ({"phases": ("a",), "tasks": {"a": {"name": "noise", "profil": "x"}}}, "unknown name 'profil'"),
        ({"doses": (5, 5, 5)}, "doses: must be 1 or 2 whole numbers"),
        ({"doses": (0,)}, "doses: must be 1 or 2 whole numbers"),
        ({"doses": (10,), "order": "cyclic", "rounds": 3}, "rounds: must be one that divides every dose (10)"),
        ({"order": "cylic"}, "did you mean 'cyclic'?"),
        ({"phases": ("dialogue", "conversations")}, "all of the embedded world, or all natural text"),
        ({"phases": ("a",), "tasks": {"a": "sequence"}}, "a source that is no sequence itself"),
        ({"phases": ("dialogue", "noise") * 101}, "phases: must be at most 200"),
    ],
)
def test_what_is_refused_is_told_in_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry.build("contamination", {"name": "sequence", **changes})
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_dose_that_leaves_phases_out_is_refused() -> None:
    with pytest.raises(UsageError, match=r"doses\.dose: must be 80 or more"):
        construct(spec(contaminations=({"name": "sequence", "doses": (40,)},)))
