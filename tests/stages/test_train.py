"""Fits of students: methods that write their own batches, resumed; stages one after another; a stop at a target."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from forgetting.answering.greedy import Greedy
from forgetting.answering.symbolic import Symbolic
from forgetting.benchmarks.maths import Maths
from forgetting.contracts import Answered, Answering, Model
from forgetting.errors import UsageError
from forgetting.models.checkpoint import load
from forgetting.record.store import Store, manifest
from forgetting.simulate import run_study
from forgetting.spec import Fit, Ladder, Until
from forgetting.stages import distil, train
from forgetting.stages.lesson import lesson
from forgetting.stages.teach import teacher
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.study import Study, construct
from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.sweep_spec import SweepSpec, Target
from forgetting.testing.small import differing, model, words
from forgetting.training.checkpoints import SnapshotWriter
from forgetting.training.stopwatch import Stopwatch
from forgetting.training.target import TargetStop, decided, latest_step
from tests.contracts.small import spec

MATHS = {"name": "maths", "items_per_depth": 2, "depths": [1]}


def study(**ladder: Any) -> Study:
    return construct(spec(ladder=dataclasses.replace(spec().ladder, **ladder)))


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the tiny teacher."""
    root = tmp_path_factory.mktemp("teachers")
    teacher(construct(spec()), Store(root, reference=None))
    return root


def store_in(folder: Path, teachers: Path) -> Store:
    folder.mkdir(exist_ok=True)
    for entry in teachers.iterdir():
        if entry.is_dir() and entry.name != "unfinished":
            (folder / entry.name).symlink_to(entry)
    return Store(folder, reference=None)


def weights(home: Any) -> dict[str, torch.Tensor]:
    return load_file(home / "model.safetensors")


def farthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max((one[name].float() - other[name].float()).abs().max().item() for name in one)


class Killed(Exception):
    """As if the process had been killed at this place."""


def killed_and_resumed(of: Study, store: Store, monkeypatch: pytest.MonkeyPatch, after: int) -> Any:
    """The student, whose maker is killed when it takes one snapshot more (there is one a step)."""
    monkeypatch.setattr(train, "CHECKPOINT_STEPS", 1)
    real, taken = SnapshotWriter.put, []

    def put(self: SnapshotWriter, *job: Any) -> None:
        if len(taken) == after:
            raise Killed
        taken.append(job)
        real(self, *job)

    monkeypatch.setattr(SnapshotWriter, "put", put)
    with pytest.raises(Killed):
        distil.student(of, of.students[0], 0, store)
    monkeypatch.setattr(SnapshotWriter, "put", real)
    return distil.student(of, of.students[0], 0, store)


@pytest.mark.parametrize(
    "method",
    [
        {"name": "on_policy", "student_share": 0.5, "beta": 0.5, "max_new_tokens": 8, "seed": 1},
        {"name": "contrastive", "samples": 8, "max_new_tokens": 8},
        {"name": "reward_guided", "judge": "tests.distillation.parity.Parity", "max_new_tokens": 40},
    ],
    ids=lambda m: m["name"],
)
def test_killed_and_resumed_is_as_if_never_stopped(
    method: dict[str, Any], teachers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, the notes of every step included."""
    of = study(distillation=method)
    whole = distil.student(of, of.students[0], 0, store_in(tmp_path / "whole", teachers))
    resumed = killed_and_resumed(of, store_in(tmp_path / "resumed", teachers), monkeypatch, 2)
    assert not differing(weights(whole), weights(resumed))
    assert manifest(whole)["notes"] == manifest(resumed)["notes"] != {}


def test_stages_follow_one_another_and_share_what_they_begin_with(teachers: Path, tmp_path: Path) -> None:
    """The first stage is the student of a study with that stage alone; the second goes on from it."""
    store = store_in(tmp_path, teachers)
    first = {"method": "off_policy"}
    second = {"method": {"name": "on_policy", "max_new_tokens": 6}, "samples": 128, "learning_rate": 1e-3}
    plain, both = study(), study(distillation=(first, second))
    trunk = distil.student(plain, plain.students[0], 0, store)
    home = distil.student(both, both.students[0], 0, store)
    assert isinstance(home, Path) and isinstance(trunk, Path)
    assert {e.name for e in tmp_path.iterdir() if (e / "manifest.json").is_file() and not e.is_symlink()} == {
        trunk.name, home.name
    }  # fmt: skip
    form = manifest(home)["made_from"]
    assert form["then"] == [
        {
            "distillation": {"name": "on_policy", "max_new_tokens": 6},
            "distilling": {"samples": 128, "learning_rate": 1e-3, "pool": 160},
        }
    ]
    assert fingerprint({k: v for k, v in form.items() if k != "then"}) == trunk.name
    untaught = lesson(plain, plain.students[0], 0).untaught(load(trunk)).state()  # type: ignore[arg-type]
    learned = farthest(load(trunk).state(), untaught)
    assert 0 < farthest(weights(home), weights(trunk)) < learned / 2  # two steps at a small rate, not from new weights
    other = study(distillation=({"method": "off_policy"}, {**second, "samples": 192}))
    assert student_form(other, other.students[0], 0, None, 1) == student_form(plain, plain.students[0], 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "distillation: must be a method, or at least one stage"),
        (({"samples": 5},), r"distillation\[0\]: must be a mapping with its method"),
        (({"method": "off_policy", "sample": 5},), r"distillation\[0\]: unknown name 'sample'; did you mean 'samples'"),
        (({"method": "off_policy", "until": {"acuracy": 1}},), r"distillation\[0\].until: unknown name 'acuracy'"),
        (({"method": "of_policy"},), r"ladder\.distillation\[0\]\.method: unknown name 'of_policy'"),
        (({"method": "off_policy", "until": {"benchmark": "math"}},), "unknown name 'math'; did you mean 'maths'"),
    ],
)
def test_bad_stages(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        construct(spec(ladder=Ladder(distillation=given)))


def test_several_stages_learn_no_contamination_beside() -> None:
    two = ({"method": "off_policy"}, {"method": "on_policy"})
    with pytest.raises(UsageError, match=r"^controls: must be free of joint where distillation has several stages"):
        construct(spec(ladder=Ladder(distillation=two), controls=("joint",)))


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ([(10, 0.5), (20, 0.96)], None),  # once is luck
        ([(10, 0.5), (20, 0.96), (30, 0.94), (40, 0.95)], None),
        ([(10, 0.5), (20, 0.96), (30, 0.95)], (30, "reached")),
        ([(10, 0.5), (20, 0.96), (30, 0.95), (33, 0.2)], (30, "reached")),  # what comes later changes nothing
        ([(100, 0.5), (200, 0.7), (300, 0.705)], None),
        ([(100, 0.5), (200, 0.7), (300, 0.705), (420, 0.709)], (420, "plateau")),
        ([(100, 0.5), (300, 0.6), (500, 0.7), (700, 0.8), (900, 0.9), (1000, 0.9)], (1000, "cap")),
        ([(900, 0.96), (1000, 0.96)], (1000, "reached")),  # just early enough to slow down before the last sample
        ([(900, 0.96), (1010, 0.96)], (1000, "cap")),
    ],
)
def test_when_a_fit_slows_down(checks: list[tuple[int, float]], expected: Any) -> None:
    """At the second check running, at a plateau of a fifth of 1,100 steps, or where the cap leaves room for a decay."""
    assert decided(checks, Until("maths", 0.95), 1100) == expected


def test_the_rate_is_constant_and_then_falls_to_0_over_a_tenth(tmp_path: Path) -> None:
    target = TargetStop(Until("maths", 0.9), 1100, tmp_path / "checks.json", 0)
    assert [target.factor(s) for s in (0, 999, 1000, 1050, 1100)] == [1, 1, 1, 0.5, 0]
    target.add(100, 0.95)
    target.add(200, 0.95)
    assert (target.slows_at, target.ends_at, target.why) == (200, 220, "reached")
    assert [target.factor(s) for s in (199, 200, 210, 220)] == [1, 1, 0.5, 0]
    again = TargetStop(target.until, 1100, tmp_path / "checks.json", 200)
    assert again.checks == target.checks
    assert TargetStop(target.until, 1100, tmp_path / "checks.json", 150).why is None  # the second is made again


def test_without_a_decay_the_fit_ends_at_the_check(tmp_path: Path) -> None:
    """Or at its last sample, which no check needs to reach."""
    target = TargetStop(Until("maths", 0.9, decay=0.0), 1100, tmp_path / "checks.json", 0)
    assert (target.ends_at, target.factor(1099), target.why) == (1100, 1, None)
    target.add(100, 0.95)
    target.add(200, 0.95)
    assert (target.slows_at, target.ends_at, target.why, target.factor(199)) == (200, 200, "reached", 1)


@pytest.mark.parametrize("decay", [0.0, 0.1, 0.25, 1.0])
def test_the_latest_decay_ends_with_the_last_sample(decay: float) -> None:
    for steps in (1, 11, 1100, 3000, 2999):
        latest = latest_step(Until("maths", decay=decay), steps)
        assert latest + -(-round(latest * decay * 100) // 100) <= steps < (latest + 1) * (1 + decay) + 1e-6


def test_a_fit_without_a_decay_is_stored_as_it_was_checked(
    teachers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.2, 0.6, 0.7])
    monkeypatch.setattr(train, "_accuracy", lambda *_: lambda: next(accuracies))
    of = study(distilling=Fit(samples=30 * 64, pool=160, until=Until(MATHS, 0.5, every=2, decay=0.0)))
    home = distil.student(of, of.students[0], 0, store_in(tmp_path, teachers))
    assert manifest(home)["until"] == {"steps": 6, "why": "reached", "checks": [[2, 0.2], [4, 0.6], [6, 0.7]]}


def test_a_check_is_answered_in_the_way_that_is_named(monkeypatch: pytest.MonkeyPatch, teachers: Path) -> None:
    """With a calculator in the student's hands a target asks what it can with it; without one, greedily, as ever."""
    asked = list[str]()

    def writes(self: Answering, model: Model, prompts: Any, *, max_new_tokens: int, batch_items: int) -> Any:
        asked.append(type(self).__name__)
        right = isinstance(self, Symbolic)
        gold = [item.answer if right else "answer 0" for item in Maths(2, (1,)).items("validation")]
        return [[Answered(words().encode(text, add_special_tokens=False), 1)] for text in gold]

    for way in (Greedy, Symbolic):
        monkeypatch.setattr(way, "answers", writes)
    for way, accuracy in (("", 0.0), ("symbolic", 1.0)):
        of = study(distilling=Fit(until=Until(MATHS, answering=way)))
        training: Any = SimpleNamespace(fit=of.stages[0].fit)
        assert train._accuracy(model(1), training, Stopwatch())() == accuracy
    assert asked == ["Greedy", "Symbolic"]


def test_the_way_of_a_check_is_one_setting_however_it_is_written() -> None:
    plain, short, long, random = (
        construct(spec(ladder=Ladder(distilling=Fit(until=Until(MATHS, answering=way)))))
        for way in ("", "symbolic", {"name": "symbolic", "results": "exact"}, {"name": "symbolic", "results": "random"})
    )
    marks = [fingerprint(student_form(one, one.students[0], 0)) for one in (plain, short, long, random)]
    assert marks[1] == marks[2] and len(set(marks)) == 3


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ({"answering": "symbolic"}, "answering: must be empty without a benchmark, got 'symbolic'"),
        ({"benchmark": "maths", "answering": "symbolc"}, "unknown name 'symbolc'; did you mean 'symbolic'"),
        ({"benchmark": "maths", "answering": "sampled"}, "ladder.distilling.until.answering: must be a way"),
        ({"benchmark": "maths", "answering": "forced_opening"}, "without gold answers and without learning"),
        ({"benchmark": "maths", "answering": "learned_verifier"}, "without gold answers and without learning"),
    ],
)
def test_bad_ways_of_a_check(until: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        construct(spec(ladder=Ladder(distilling=Fit(until=Until(**until)))))


def branched(*branches: dict[str, Any], **ladder: Any) -> Study:
    return study(branches=branches, **ladder)


BY_WORD = {"name": "off_policy", "level": "word"}
WORD = {"name": "word", "stages": [{"method": BY_WORD, "samples": 1280, "warmup_steps": 1}]}
LONGER = {"name": "longer", "stages": [{"method": "off_policy", "samples": 128}, {"method": "gold", "samples": 64}]}


def test_branches_go_on_from_one_trunk(teachers: Path, tmp_path: Path) -> None:
    """Which is made once; a branch is what a student of all its stages in a row would be, whatever its name."""
    of = branched(WORD, LONGER)
    assert [s.name for s in of.students] == ["10k-word", "10k-longer"] == list(of.branches)
    store = store_in(tmp_path, teachers)
    homes = [distil.student(of, one, 0, store) for one in of.students]
    trunk = fingerprint(student_form(study(), study().students[0], 0))
    made = {e.name for e in tmp_path.iterdir() if (e / "manifest.json").is_file() and not e.is_symlink()}
    between = fingerprint(student_form(of, of.students[1], 0, stages=2))
    assert made == {trunk, between, *(home.name for home in homes)}  # type: ignore[union-attr]
    row = study(distillation=({"method": "off_policy"}, *LONGER["stages"]))
    assert student_form(row, row.students[0], 0) == student_form(of, of.students[1], 0)
    begin, end = weights(tmp_path / trunk), weights(homes[0])
    apart = sum((end[n].double() - begin[n].double()).square().sum() for n in begin).sqrt()
    length = sum(w.double().square().sum() for w in begin.values()).sqrt()
    assert manifest(homes[0])["moved"] == pytest.approx(float(apart / length), rel=0.05)  # stored in bfloat16


def test_a_study_of_branches_is_measured_and_says_how_each_was_taught(teachers: Path, tmp_path: Path) -> None:
    """Each student is a row of its own in the record, with its branch, its trunk and its stages."""
    until = Until(MATHS, 0.01, every=1, decay=0.0)
    of = branched(WORD, LONGER, distilling=Fit(samples=320, pool=160, until=until))
    found = run_study(
        dataclasses.replace(of.spec, first_seed=1, ladder=dataclasses.replace(of.spec.ladder, fresh_students=True)),
        output=tmp_path / "out", store=store_in(tmp_path / "store", teachers).root, workers=0, quiet=True,
    )  # fmt: skip
    word, longer = found.record["students"]
    assert (word["name"], word["branch"], word["trunk"]) == ("10k-word", "word", "10k")
    assert [one["method"] for one in longer["taught"]["1"]] == ["off_policy", "off_policy", "gold"]
    first, own = word["taught"]["1"]
    assert first == longer["taught"]["1"][0]  # one trunk
    assert own["moved"] > 0 and own["why"] in ("reached", "plateau", "cap") and 0 <= own["accuracy"] <= 1
    assert set(found.scores["student"]) == {"10k-word", "10k-longer"}
    assert set(found.scores["distillation_seed"]) == {1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (({"stages": []},), r"branches\[0\]\.stages: must be a list of at least one stage"),
        (({"stages": [{"method": "off_policy"}]},), r"branches\[0\]\.name: must be a file name"),
        (({"name": "a", "stage": []},), r"branches\[0\]: unknown name 'stage'; did you mean 'stages'"),
        (({"name": "a", "stages": [{"samples": 1}]},), r"stages\[0\]: must be a mapping with its method"),
        (({"name": "a", "stages": [{"method": "of_policy"}]},), r"stages\[0\]\.method: unknown name 'of_policy'"),
        ((WORD, WORD), "branches: must be of different names"),
    ],
)
def test_bad_branches(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        construct(spec(ladder=Ladder(branches=given)))


def test_no_sweep_is_of_branches() -> None:
    of = SweepSpec(study=branched(WORD, LONGER).spec, targets=(Target(skill="maths"),))
    with pytest.raises(UsageError, match=r"^study\.ladder\.branches: must be empty in a sweep"):
        construct_sweep(of)


def test_a_fit_stops_at_its_target_by_validation_items(
    teachers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30 steps at most: the second check running is after 4, a decay of one step follows, and one last check."""
    asked: list[str] = []
    from forgetting.benchmarks.maths import Maths

    items = Maths.items
    monkeypatch.setattr(Maths, "items", lambda self, split="test", *v: asked.append(split) or items(self, split, *v))
    fit = Fit(samples=30 * 64, pool=160, until=Until(MATHS, 0.5, every=2))
    accuracies = iter([0.2, 0.6, 0.7, 0.8])
    monkeypatch.setattr(train, "_accuracy", lambda *_: lambda: next(accuracies))
    of = study(distilling=fit)
    home = distil.student(of, of.students[0], 0, store_in(tmp_path, teachers))
    assert manifest(home)["until"] == {"steps": 7, "why": "reached", "checks": [[2, 0.2], [4, 0.6], [6, 0.7], [7, 0.8]]}
    assert not of.distils_in_stacks and study().distils_in_stacks


def test_a_fit_with_a_target_resumes_bit_for_bit_and_asks_validation_items(
    teachers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = study(distilling=Fit(samples=11 * 64, pool=160, until=Until(MATHS, 1.0, every=2)))
    whole = distil.student(of, of.students[0], 0, store_in(tmp_path / "whole", teachers))
    resumed = killed_and_resumed(of, store_in(tmp_path / "resumed", teachers), monkeypatch, 5)
    assert not differing(weights(whole), weights(resumed))
    told = manifest(whole)["until"]
    assert told == manifest(resumed)["until"] and told["why"] in ("plateau", "cap")
    assert told["steps"] == told["checks"][-1][0] <= 11


def test_the_measured_accuracy_is_that_of_the_split_validation(teachers: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    class Watched(Maths):
        def items(self, split: Any = "test", variant: str = "original") -> Any:
            asked.append(split)
            return Maths.items(self, split, variant)

    of = study(distilling=Fit(samples=320, pool=160, until=Until(MATHS)))
    taught = load(next(e for e in teachers.iterdir() if (e / "manifest.json").is_file()))
    training = train.Training(
        of.stages[0].fit, None, None, None, Store(tmp_path, reference=None), "mark", 0  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        own = {"benchmarks": Watched(items_per_depth=2, depths=(1,)), "answering": Greedy()}
        patch.setattr(train.registry, "build", lambda family, *_: own[family])
        found = train._accuracy(taught, training, train.Stopwatch())()
    assert asked == ["validation"] and 0 <= found <= 1
