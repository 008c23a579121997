"""Rates matched by plasticity: the search by hand and on curves, pilots that are kept, runs at the matched rate."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from forgetting.errors import UsageError
from forgetting.executors import executor_of
from forgetting.record.files import RunFolder
from forgetting.record.store import Store
from forgetting.report import tables
from forgetting.report.sweeps.read import read_sweep
from forgetting.simulate import run_study
from forgetting.spec import Doses, Evaluation, Fit, Ladder, Machine, Matching, Optimiser, Spec
from forgetting.stages import pilots, rate_matching
from forgetting.stages.contaminate import contaminate
from forgetting.stages.contaminate_stack import contaminate_stack
from forgetting.stages.rate_matching import Matched, pilot, search
from forgetting.study.arms import Arm
from forgetting.study.fingerprints import arm_form, fingerprint, machine_form, pilot_form, run_form, study_fingerprint
from forgetting.study.spec_files import spec_from
from forgetting.study.students import Student
from forgetting.study.study import Study, construct
from forgetting.sweep.sweep import run_sweep
from forgetting.sweep.sweep_spec import Search, Stop, SweepSpec, Target
from forgetting.training.module import FitModule


class Curve:
    """A learning that rises with the log rate to a peak and falls beyond, and how often it was asked for."""

    def __init__(self, middle: float, peak: float = 1e9, top: float = 1.0) -> None:
        self.middle, self.peak, self.top, self.asked = middle, peak, top, list[float]()

    def __call__(self, rate: float) -> float:
        self.asked.append(rate)
        beyond = max(math.log(rate / self.peak), 0.0)
        return self.top / (1 + math.exp(-1.5 * math.log(min(rate, self.peak) / self.middle))) - 0.3 * beyond


@pytest.mark.parametrize("middle", [1e-4, 5e-4, 1e-3, 2e-3, 3e-3, 1e-2])
def test_the_rate_is_found_wherever_it_lies(middle: float) -> None:
    curve = Curve(middle)
    found = search(curve, 0.6, 2e-3, pilots=12, tolerance=0.02)
    assert found.reached and abs(found.learning - 0.6) <= 0.02
    assert len(curve.asked) == len(set(curve.asked)) == found.pilots <= 12  # no rate is tried twice
    assert found.learning_rate == pytest.approx(middle * (0.6 / 0.4) ** (1 / 1.5), rel=0.1)


def test_a_student_that_learns_as_much_already_takes_one_pilot() -> None:
    found = search(Curve(2e-3), 0.51, 2e-3, pilots=8, tolerance=0.02)
    assert (found.learning_rate, found.pilots, found.reached) == (2e-3, 1, True)


def test_by_hand() -> None:
    known = {1.0: 0.2, 2.0: 0.4, 4.0: 0.8, 2 * 2**0.5: 0.59}
    assert search(known.__getitem__, 0.6, 1.0, pilots=8, tolerance=0.02) == Matched(2 * 2**0.5, 0.59, 0.6, True, 4)
    assert search(known.__getitem__, 0.6, 1.0, pilots=3, tolerance=0.02) == Matched(2.0, 0.4, 0.6, False, 3)


def test_what_cannot_be_reached_keeps_the_best_rate_and_says_so() -> None:
    curve = Curve(2e-3, peak=5e-3, top=0.8)
    found = search(curve, 0.9, 2e-3, pilots=12, tolerance=0.02)
    assert not found.reached
    assert found.learning == max(Curve(2e-3, 5e-3, 0.8)(rate) for rate in curve.asked)
    assert found.pilots < 12  # it stops behind the peak


def parabola(rate: float) -> float:
    """A learning that is greatest, and 1, at 1e-3."""
    return 1 - math.log2(rate / 1e-3) ** 2 / 8


def test_a_start_beyond_the_best_rate_is_halved_while_learning_rises() -> None:
    found = search(parabola, 0.9, 4e-3, pilots=8, tolerance=0.02)
    assert found.reached and found.learning_rate == pytest.approx(1e-3 * 2**0.8**0.5, rel=0.1)
    assert found.pilots == 7  # 4, 8, 2, 1, and three between the last two
    asked: list[float] = []
    best = search(lambda r: asked.append(r) or parabola(r), 1.2, 4e-3, pilots=20, tolerance=0.02)  # type: ignore[func-returns-value]
    assert (best.learning_rate, best.learning, best.reached) == (1e-3, 1.0, False)
    assert asked == [4e-3, 8e-3, 2e-3, 1e-3, 5e-4]  # it stops where both sides fall
    assert search(parabola, 1.2, 1e-3, pilots=20, tolerance=0.02).pilots == 3


def test_a_rate_at_which_the_student_diverges_is_too_high() -> None:
    def edge(rate: float) -> float | None:
        return parabola(rate) if rate < 1.2e-3 else None

    for start in (4e-3, 4e-4):  # beyond the edge and before it
        found = search(edge, 0.97, start, pilots=9, tolerance=0.02)
        assert found.reached and 0.95 <= found.learning <= 0.99
    assert search(lambda rate: None, 0.5, 4e-3, pilots=3, tolerance=0.02) == Matched(1e-3, None, 0.5, False, 3)
    assert not search(lambda rate: None, 0.0, 4e-3, pilots=3, tolerance=0.02).reached


def spec(**changes: object) -> Spec:
    """Two students of the store that ships, 40 dialogues at the reference dose."""
    plain = Spec(
        ladder=Ladder(students=("10k", "34k")),
        contaminations=("dialogue",),
        rate_policies=("matched_plasticity",),
        doses=Doses(640, first=80, ratio=8),
        fine_tuning=Optimiser(learning_rate=4e-3, warmup_steps=2),
        matching=Matching(pilots=6, tolerance=0.05),
        evaluation=Evaluation(benchmarks=({"name": "maths", "items_per_depth": 4},), perturbed="never", probe_items=20),
        keep="none",
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", name="study")
def _study() -> Study:
    return construct(spec())


def learned(study: Study, student: str, rate: float, store: Store) -> float:
    """The definition, written out, for dialogue, whose floor is 0."""
    arm = study.pilot_arm(study.arms[0])
    nll = pilot(study, next(s for s in study.students if s.name == student), arm, rate, store)
    assert nll is not None
    return -math.log(nll)


def test_each_student_learns_as_the_reference_student_does(study: Study, store: Store) -> None:
    small, large = (rate_matching.matched(study, s, study.arms[0], store) for s in study.students)
    constant = study.spec.fine_tuning.learning_rate
    assert (small.learning_rate, small.pilots, small.reached) == (constant, 1, True)  # the smallest is the reference
    assert small.learning == small.wanted == large.wanted == pytest.approx(learned(study, "10k", constant, store))
    assert large.reached and large.learning == pytest.approx(learned(study, "34k", large.learning_rate, store))
    assert large.learning is not None and abs(large.learning - large.wanted) <= 0.05
    assert large.learning_rate < constant  # a larger student learns more at the same rate
    other = construct(spec(matching=Matching(reference="34k", pilots=6, tolerance=0.05)))
    assert rate_matching.matched(other, other.students[1], other.arms[0], store).learning_rate == constant
    assert rate_matching.matched(other, other.students[0], other.arms[0], store).wanted > small.wanted


def test_fresh_students_have_their_rate_from_one_outside_the_study() -> None:
    fresh = construct(spec(ladder=Ladder(students=("10k", "34k"), fresh_students=True), seeds=3))
    form = pilot_form(fresh, fresh.students[0], fresh.pilot_arm(fresh.arms[0]), 4e-3)
    assert form["pilot"]["distillation_seed"] not in {run.distillation_seed for run in fresh.runs()}
    more = construct(spec(ladder=Ladder(students=("10k", "34k"), fresh_students=True), seeds=9, first_seed=4))
    assert pilot_form(more, more.students[0], more.pilot_arm(more.arms[0]), 4e-3) == form


@pytest.mark.slow
def test_pilots_are_kept_and_made_anew_they_are_the_same(study: Study, store: Store, tmp_path: Path) -> None:
    first = rate_matching.matched(study, study.students[1], study.arms[0], store)
    kept = {path.parent.name for path in store.root.glob("*/manifest.json")}
    assert rate_matching.matched(study, study.students[1], study.arms[0], store) == first
    assert {path.parent.name for path in store.root.glob("*/manifest.json")} == kept
    assert rate_matching.matched(study, study.students[1], study.arms[0], Store(tmp_path)) == first


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_pilot_that_diverges_is_kept(
    broken: float, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constant, own = study.spec.fine_tuning.learning_rate, Store(tmp_path)

    def measured(study: Study, student: Student, arm: Arm, rate: float, store: Store) -> float:
        if student.name == "10k":
            return 4.0
        return broken if rate > 0.4 * constant else 3.5 if rate > 0.2 * constant else 4.0

    monkeypatch.setattr(rate_matching, "piloted", measured)
    small, large = (rate_matching.matched(study, s, study.arms[0], own) for s in study.students)
    wanted = -math.log(4.0)
    assert small == Matched(constant, wanted, wanted, True, 1)
    assert large == Matched(constant / 8, wanted, wanted, True, 4)
    kept = pilot(study, study.students[1], study.pilot_arm(study.arms[0]), constant, own)
    assert kept is None
    assert rate_matching.matched(study, study.students[1], study.arms[0], own) == large  # from the store
    other = construct(spec(matching=Matching(reference="34k")))
    with pytest.raises(UsageError, match=r"^fine_tuning.learning_rate: must be a rate at which .* 34k does not"):
        rate_matching.matched(other, other.students[0], other.arms[0], own)


def test_a_student_whose_weights_are_not_finite_has_no_nll(study: Study, tmp_path: Path) -> None:
    assert pilot(study, study.students[0], study.pilot_arm(study.arms[0]), 1e30, Store(tmp_path)) is None


def test_a_pilot_is_laid_out_on_the_machine_as_a_run_is(
    study: Study, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(micro_batches=2, precision="bfloat16_mixed", activation_checkpointing=True)
    other = construct(spec(machine=machine))
    student, arm = other.students[0], other.pilot_arm(other.arms[0])
    assert pilot_form(other, student, arm, 4e-3) == {
        **pilot_form(study, student, arm, 4e-3),
        "machine": machine_form(other),
    }
    fitted: list[Machine] = []
    placed: list[Machine] = []

    def fit(module: FitModule, batches: object, *, machine: Machine) -> None:
        fitted.append(machine)

    def device(machine: Machine) -> torch.device:
        placed.append(machine)
        return torch.device("cpu")

    monkeypatch.setattr(pilots, "device", device)
    monkeypatch.setattr(pilots, "fit", fit)
    pilot(other, student, arm, 4e-3, Store(tmp_path))
    assert fitted == [machine] and placed == [machine] * 2  # base and model, before the look


def test_a_pilot_in_micro_batches_learns_the_same(study: Study, store: Store) -> None:
    other = construct(spec(machine=Machine(micro_batches=2)))
    arm = study.pilot_arm(study.arms[0])
    whole = pilot(study, study.students[0], arm, 4e-3, store)
    assert pilot(other, other.students[0], arm, 4e-3, store) == pytest.approx(whole, rel=1e-4)
    assert len({fingerprint(pilot_form(s, s.students[0], arm, 4e-3)) for s in (study, other)}) == 2


def test_a_run_is_trained_at_its_matched_rate(study: Study, store: Store, tmp_path: Path) -> None:
    """It has the rows of a run whose constant rate is the matched one, times the arm's multiple."""
    (key,) = (k for k in study.runs() if k.student.name == "34k")
    contaminate(study, key, tmp_path / "runs" / "matched", store)
    marker = json.loads(RunFolder(tmp_path / "runs" / "matched").complete.read_text())
    rate = marker["matched"]["learning_rate"]
    by_hand = construct(spec(rate_policies=(), fine_tuning=Optimiser(learning_rate=rate, warmup_steps=2)))
    (same,) = (k for k in by_hand.runs() if k.student.name == "34k")
    contaminate(by_hand, same, tmp_path / "runs" / "constant", store)
    rows = [(tmp_path / "runs" / name / "scores.jsonl").read_text() for name in ("matched", "constant")]
    assert rows[0].replace("dialogue-matched_plasticity", "dialogue") == rows[1]
    fast = construct(spec(rate_multiples=(4.0,)))
    own, found = rate_matching.optimiser(fast, fast.students[1], fast.arms[0], store)
    assert found is not None and own.learning_rate == 4 * found.learning_rate == 4 * rate
    assert own.rate_policy == "constant"


def test_stacked_runs_have_their_matched_rates(store: Store, tmp_path: Path) -> None:
    study = construct(spec(seeds=2))
    keys = [k for k in study.runs() if k.student.name == "34k"]
    contaminate_stack(study, keys, [tmp_path / "runs" / str(key) for key in keys], store)
    markers = [json.loads(RunFolder(tmp_path / "runs" / str(key)).complete.read_text()) for key in keys]
    wanted = rate_matching.matched(study, study.students[1], study.arms[0], store)
    assert [(m["stack"], m["matched"]) for m in markers] == [(2, dataclasses.asdict(wanted))] * 2


@pytest.mark.drawn
@pytest.mark.slow
def test_a_sweep_searches_under_it(store: Store, tmp_path: Path) -> None:
    study = spec(ladder=Ladder(students=("10k", "20k", "34k")), rate_policies=("constant", "matched_plasticity"))
    targets = tuple(Target(levels=(0.5,), rate_policy=p) for p in ("constant", "matched_plasticity"))
    sweep = SweepSpec(
        study, targets, Search("grid", round_size=3, startup_runs=2), Stop(0.0, runs=3), executor="inline"
    )
    result = run_sweep(sweep, executor=executor_of("inline"), output=tmp_path, store=store.root, quiet=True)
    rates = {arm["rate_policy"]: arm.get("rates") for arm in result.record["arms"]}
    assert rates["constant"] is None and set(rates["matched_plasticity"]) == {"10k", "20k", "34k"}
    found = read_sweep(result)
    assert found is not None and [t.rate_policy for t in found.targets] == ["constant", "matched_plasticity"]
    assert "rate policy matched plasticity" in found.targets[1].conditions
    assert list((result.folder / "figures").glob("sweep-policies-*.svg"))


def test_a_study_says_its_rates_and_which_were_not_reached(store: Store, tmp_path: Path) -> None:
    short = spec(matching=Matching(reference="34k", pilots=2, tolerance=0.001))
    result = run_study(short, output=tmp_path, store=store.root, workers=0, quiet=True)
    (arm,) = result.record["arms"]
    assert arm["rate_policy"] == "matched_plasticity"
    assert arm["rates"]["34k"]["reached"] and not arm["rates"]["10k"]["reached"]
    (line,) = tables.rate_lines(result)
    assert line.startswith("10k in dialogue-matched_plasticity: learning is ") and "2 pilots" in line
    assert line in (result.folder / "report.html").read_text()
    title = result.arm("dialogue-matched_plasticity").title
    assert f"rate policy matched plasticity (10k {arm['rates']['10k']['learning_rate']:.2g}, 34k 0.004)" in title


def test_what_a_matched_rate_depends_on_names_the_runs() -> None:
    base = construct(spec())
    key = next(k for k in base.runs() if k.student.name == "34k")
    marks = {fingerprint(run_form(base, key))}
    for changes in ({"reference": "34k"}, {"dose": 80}, {"pilots": 7}, {"tolerance": 0.01}):
        other = construct(spec(matching=dataclasses.replace(Matching(pilots=6, tolerance=0.05), **changes)))
        marks.add(fingerprint(run_form(other, key)))
        assert study_fingerprint(other) != study_fingerprint(base)
    assert len(marks) == 5
    wider = construct(spec(ladder=Ladder(students=("10k", "20k", "34k"))))
    assert fingerprint(run_form(wider, key)) in marks  # no student's rate depends on another one but the reference
    plain, changed = spec(rate_policies=()), spec(rate_policies=(), matching=Matching(pilots=3))
    assert study_fingerprint(construct(plain)) == study_fingerprint(construct(changed))


def test_a_control_on_the_original_distribution_takes_the_new_tasks_rate() -> None:
    study = construct(spec(controls=("original",), fine_tuning=Optimiser(rate_policy="matched_plasticity")))
    control, treated = (study.pilot_arm(study.arm(name)) for name in ("original", "dialogue-matched_plasticity"))
    assert arm_form(control) == arm_form(treated)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"matching": {"reference": "35k"}}, "matching.reference: unknown .*'35k'.*34k"),
        (
            {"matching": {"dose": 100}},
            r"matching.dose: must be a dose that arm .* reaches, one of \[80, 160\], got 100",
        ),
        ({"matching": {"pilots": 1}}, "matching.pilots: must be at least 2, got 1"),
        ({"matching": {"tolerance": 0}}, "matching.tolerance: must be above 0"),
        ({"machine": {"devices": 2}}, "machine.devices: must be 1 with rate policy matched_plasticity"),
        ({"contaminations": ["original"]}, "contaminations: must be one that is not the original distribution"),
        ({"fine_tuning": {"learning_rate": 0}}, "fine_tuning.learning_rate: must be above 0"),
        ({"ladder": {"distilling": {"rate_policy": "matched_plasticity"}}}, "ladder.distilling.rate_policy: must be"),
    ],
)
def test_mistakes_are_one_line(changes: dict[str, object], says: str) -> None:
    values = {"rate_policies": ["matched_plasticity"], "doses": {"dose": 160, "first": 80}, **changes}
    with pytest.raises(UsageError, match=says):
        construct(spec_from(values))


def test_students_are_not_distilled_at_a_matched_rate() -> None:
    with pytest.raises(UsageError, match="constant or inverse_width"):
        Fit(rate_policy="matched_plasticity")
