"""Rates matched by plasticity where students branch: one for each branch, by pilots of it on a trunk of their own."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from forgetting.analysis.branches import branch_differences, branch_runs
from forgetting.errors import UsageError
from forgetting.record.store import Store, manifest
from forgetting.report.result import Result
from forgetting.simulate import run_study
from forgetting.spec import Doses, Evaluation, Fit, Ladder, Matching, Optimiser, RatePolicy, Spec
from forgetting.stages import rate_matching
from forgetting.study.fingerprints import fingerprint, pilot_form, student_form
from forgetting.study.study import construct

ONE = {"name": "off_policy", "stages": [{"method": "off_policy", "samples": 64}]}
OTHER = {"name": "gold", "stages": [{"method": "gold", "samples": 320, "learning_rate": 1e-1}]}
POLICIES: tuple[RatePolicy, ...] = ("constant", "matched_plasticity")


def spec(**changes: Any) -> Spec:
    """Two branches of a small trunk, two trunks, 80 dialogues; skill counts as learned from the first right answer."""
    short = Fit(samples=320, pool=160)
    plain = Spec(
        name="matched",
        ladder=Ladder(
            students=("10k",), teacher="10k", teaching=short, distilling=short, branches=(ONE, OTHER),
            fresh_students=True,
        ),
        contaminations=("dialogue",),
        rate_policies=POLICIES,
        doses=Doses(80, first=20, ratio=2.0),
        fine_tuning=Optimiser(learning_rate=4e-3, warmup_steps=2),
        matching=Matching(pilots=4, tolerance=0.001),
        evaluation=Evaluation(
            benchmarks=({"name": "maths", "items_per_depth": 4, "depths": (1,)},), perturbed="never", probe_items=20
        ),
        seeds=2,
        keep="none",
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("matched")
    return run_study(spec(), output=folder / "out", store=folder / "store", workers=0, quiet=True)


def pilots(store: Store) -> list[dict[str, Any]]:
    """The manifests of the pilots in a store."""
    found = [manifest(path.parent) for path in store.root.glob("*/manifest.json")]
    return [one for one in found if one["role"] == "pilot"]


@pytest.mark.slow
def test_every_branch_has_pilots_of_its_own_on_a_trunk_outside_the_study(result: Result) -> None:
    of, store = construct(spec()), Store(result.folder.parents[1] / "store", reference=None)
    made = {fingerprint(one["made_from"]["pilot"]) for one in pilots(store)}
    assert made == {fingerprint(student_form(of, one, of.pilot_seed)) for one in of.students}
    assert of.pilot_seed not in result.record["seeds"]["distillation"]
    trunks = [student_form(of, one, of.pilot_seed, stages=1) for one in of.students]
    assert trunks[0] == trunks[1] and store.find(fingerprint(trunks[0])) is not None
    assert all(store.find(fingerprint(student_form(of, one, of.pilot_seed))) is not None for one in of.students)


@pytest.mark.slow
def test_the_record_has_a_rate_for_each_branch_and_runs_were_trained_at_it(result: Result) -> None:
    constant, matched = result.record["arms"]
    assert [constant["rate_policy"], matched["rate_policy"]] == list(POLICIES) and "rates" not in constant
    first, second = matched["rates"]["10k-off_policy"], matched["rates"]["10k-gold"]
    assert first["learning_rate"] == 4e-3 and first["pilots"] == 1 and first["reached"]  # the reference is the first
    of, store = construct(spec()), Store(result.folder.parents[1] / "store", reference=None)
    arm, student = of.arm(matched["name"]), of.students[1]
    assert second == dataclasses.asdict(rate_matching.matched(of, student, arm, store))
    assert second["learning_rate"] != 4e-3 and second["wanted"] == first["learning"]
    probes = result.scores[(result.scores["benchmark"] == "probe") & (result.scores["dose"] == 80)]
    nll = probes.groupby(["student", "arm"])["nll"].apply(list)
    assert nll["10k-off_policy"].iloc[0] == nll["10k-off_policy"].iloc[1]  # the reference's rate is the constant one
    assert nll["10k-gold"].iloc[0] != nll["10k-gold"].iloc[1]
    assert "10k-gold" in result.arm(matched["name"]).title


@pytest.mark.slow
def test_differences_of_the_two_policies_are_kept_apart(result: Result) -> None:
    """Each arm's are those of its own runs alone, as many trunks as there are."""
    runs = branch_runs(result)
    assert runs.groupby("arm").size().to_dict() == {f"dialogue-{policy}": 4 for policy in POLICIES}
    whole = branch_differences(runs, 80, 20)
    for arm in (f"dialogue-{policy}" for policy in POLICIES):
        alone = branch_differences(runs[runs["arm"] == arm], 80, 20)
        both = whole[whole["arm"] == arm].reset_index(drop=True)
        assert both.equals(alone) and set(both["trunks"]) == {2}


def test_the_reference_may_be_any_branch() -> None:
    of = construct(spec(matching=Matching(reference="10k-gold", pilots=4)))
    assert of.matching_reference is of.students[1]
    arm = of.pilot_arm(of.arms[1])
    assert pilot_form(of, of.students[0], arm, 1e-3) != pilot_form(of, of.students[1], arm, 1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matching": Matching(reference="10k")}, r"matching\.reference: unknown name '10k'.*10k-off_policy"),
        (
            {"matching": Matching(reference="gold")},
            r"matching\.reference: unknown name 'gold'; did you mean '10k-gold'",
        ),
        ({"matching": Matching(dose=30)}, r"matching\.dose: must be a dose that arm .* one of \[20, 40, 80\]"),
        ({"fine_tuning": Optimiser(learning_rate=0.0)}, r"fine_tuning\.learning_rate: must be above 0 with rate"),
    ],
)
def test_bad_input_is_a_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        construct(spec(**changes))
