"""Students distilled together: those of separate distillations within rounding, resumed bit for bit, stored alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from forgetting import simulate
from forgetting.distillation import process
from forgetting.distillation.off_policy import OffPolicy
from forgetting.losses import forward_kl
from forgetting.models.stacked import StackedModel
from forgetting.record.store import Store, manifest
from forgetting.spec import Fit, Ladder, PartValue
from forgetting.stages import distil, distil_stack
from forgetting.stages.lesson import Lesson
from forgetting.stages.teach import teacher
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.study import Study, construct
from forgetting.testing.small import differing, model, pool, words
from forgetting.training.checkpoints import Snapshots
from forgetting.training.module import FitModule
from forgetting.training.stack import stacked_batch
from tests.conftest import cases
from tests.contracts.small import spec
from tests.stages.test_contaminate import Interrupted, at_call
from tests.stages.test_distil import weights

SHORT = Fit(samples=320, pool=160, batch_size=16)  # twenty steps
SEEDS = (0, 1, 2)


def with_method(method: PartValue) -> Study:
    ladder = Ladder(
        students=("10k",), teacher="10k", teaching=SHORT, distilling=SHORT, fresh_students=True, distillation=method
    )  # fmt: skip
    return construct(spec(ladder=ladder, seeds=len(SEEDS)))


def off_policy(level: str) -> Study:
    return with_method({"name": "off_policy", "level": level, "max_new_tokens": 8})


@pytest.fixture(scope="module")
def study() -> Study:
    return off_policy("sequence")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", reference=None)


def together(study: Study, store: Store, seeds: tuple[int, ...] = SEEDS) -> list[Path]:
    """Where the students are."""
    distil_stack.distil_stack(study, study.students[0], seeds, store)
    forms = [student_form(study, study.students[0], seed) for seed in seeds]
    return [store.root / fingerprint(form) for form in forms]


def note(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The losses ``[R]`` of every step that follows."""
    losses: list[Tensor] = []
    real = OffPolicy.loss

    def loss(self: OffPolicy, *args: Any) -> Tensor:
        found = real(self, *args)
        losses.append(found.detach().clone())
        return found

    monkeypatch.setattr(OffPolicy, "loss", loss)
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("level", cases(["sequence", "word"], "word"))
def test_the_first_twenty_losses_of_every_student_are_those_of_separate_ones(
    level: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, losses = off_policy(level), note(monkeypatch)
    homes = together(study, store)
    stacked = torch.stack(losses)
    assert stacked.shape == (20, len(SEEDS))
    assert len({float(loss) for loss in stacked[0]}) == len(SEEDS)  # of weights and data of their own
    for number, (seed, home) in enumerate(zip(SEEDS, homes, strict=True)):
        losses.clear()
        alone = distil.student(study, study.students[0], seed, Store(tmp_path / "alone", reference=None))
        assert isinstance(alone, Path)
        torch.testing.assert_close(stacked[:, number], torch.cat(losses), rtol=1e-5, atol=0)
        one, other = manifest(home), manifest(alone)
        assert one["made_from"] == other["made_from"] and home.name == alone.name
        assert one.keys() - other.keys() == {"stack"} and one["stack"] == len(SEEDS)
        assert one["accuracy"].keys() == other["accuracy"].keys()
        assert one["wall_seconds"].keys() == {"training", "checkpoint", "evaluation"}
        assert sorted(p.name for p in home.iterdir()) == sorted(p.name for p in alone.iterdir())
        for name, value in weights(home).items():  # in bfloat16, whose step is a part in 256
            torch.testing.assert_close(value, weights(alone)[name], rtol=1e-2, atol=1e-3)
    assert not list((store.root / "unfinished").iterdir())  # no checkpoint and no lock is left


def test_what_steps_tell_is_kept_as_of_separate_ones(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of weighted steps the share of answers that have steps, over the last of the twenty; interrupted or not."""
    monkeypatch.setattr(process, "taught", lambda teacher, stream, limit: list(stream.samples))
    study = with_method({"name": "process", "steps": 3.0})
    with monkeypatch.context() as patched:
        patched.setattr(Lesson, "keep", at_call(0, Lesson.keep, after=False))
        with pytest.raises(Interrupted):
            together(study, store, (0, 1))
    notes = [manifest(home)["notes"] for home in together(study, store, (0, 1))]
    alone = distil.student(study, study.students[0], 0, Store(tmp_path / "alone", reference=None))
    assert isinstance(alone, Path) and manifest(alone)["notes"] == notes[0] != notes[1]
    assert notes[0].keys() == {"answers_split"} and 0 < notes[0]["answers_split"] < 1


MOMENTS: dict[str, tuple[Any, str, int, bool]] = {
    "in the first step": (FitModule, "training_step", 0, True),
    "some snapshots of step 8 taken": (Snapshots, "on_train_batch_end", 3 * 7 + 1, True),
    "a step after them": (FitModule, "training_step", 9, True),
    "before the first is stored": (Lesson, "keep", 0, False),
    "one is stored": (Lesson, "keep", 0, True),
    "two are stored": (Lesson, "keep", 1, True),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", cases(MOMENTS, "some snapshots of step 8 taken"))
def test_students_that_were_interrupted_are_those_that_were_not(
    moment: str, study: Study, whole: list[dict[str, Tensor]], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distil_stack, "CHECKPOINT_STEPS", 4)
    teacher(study, store)
    owner, name, number, after = MOMENTS[moment]
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, at_call(number, getattr(owner, name), after=after))
        with pytest.raises(Interrupted):
            together(study, store)
    for one, home in zip(whole, together(study, store), strict=True):
        assert not differing(one, weights(home))


@pytest.fixture(scope="module")
def whole(study: Study, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """The weights of students that nobody interrupted."""
    return [weights(home) for home in together(study, Store(tmp_path_factory.mktemp("whole"), reference=None))]


def test_what_the_store_has_is_left_as_it_is_and_the_last_one_is_distilled_alone(
    study: Study, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = together(study, store, (0, 2))
    before = [home.stat().st_mtime_ns for home in two]
    losses = note(monkeypatch)
    homes = together(study, store)
    assert {loss.shape for loss in losses} == {(1,)}
    assert [homes[0].stat().st_mtime_ns, homes[2].stat().st_mtime_ns] == before
    assert "stack" not in manifest(homes[1])


def test_one_teacher_tells_every_replica_what_it_tells_one() -> None:
    """The word-level loss of a stack, batches of unequal widths and lengths; no gradient reaches the teacher."""
    each, mentor = [model(seed) for seed in range(3)], model(7)
    batches = [pool(12, seed=seed).batch(torch.arange(4).numpy() + seed, 4) for seed in range(3)]
    stack = StackedModel(each)
    found = forward_kl(stack, mentor, stacked_batch(batches, words().pad_token_id))
    expected = torch.cat([forward_kl(one, mentor, batch) for one, batch in zip(each, batches, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for _, p in mentor.named_parameters())
    assert all(p.grad is not None for _, p in stack.named_parameters())


def test_a_study_of_fresh_students_distils_them_as_a_stack(study: Study, tmp_path: Path) -> None:
    shared = {"output": tmp_path, "store": tmp_path / "store", "workers": 0, "quiet": True}
    result = simulate(study.spec, stack=3, **shared)  # type: ignore[arg-type]
    made = [manifest(home) for home in (tmp_path / "store").glob("*/") if (home / "manifest.json").is_file()]
    students = [about for about in made if about["role"] == "student"]
    assert [about["stack"] for about in students] == [3] * 3
    assert result.record["seeds"]["distillation"] == list(SEEDS)
    assert len(set(result.record["students"][0]["weights"].values())) == 3
