"""A sweep whose runs are stacked round by round: the findings of one that is not, ended early alike, and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from forgetting.contracts import Report
from forgetting.errors import UsageError
from forgetting.evaluation.recorder import Recorder
from forgetting.executors.contract import Executor, Task
from forgetting.executors.inline import Inline
from forgetting.record.files import RunFolder
from forgetting.record.run_files import read_marker
from forgetting.spec import Doses
from forgetting.sweep.resume_sweep import resume_sweep
from forgetting.sweep.sweep import run_sweep
from forgetting.sweep.sweep_spec import Pruning, Search
from tests.conftest import Outcome
from tests.sweep.small import findings, study_spec, sweep_spec, trials, write_spec

pytestmark = pytest.mark.slow  # whole sweeps, two of them; test_stacking and test_contaminate_stack are quick

PRUNING = Pruning(alpha=0.3, looks=1, never_share=0.3)
SPEC = sweep_spec(
    study_spec(doses=Doses(640, first=160), controls=("noise",)),
    search=Search(method="grid", round_size=6, startup_runs=2, pruning=PRUNING),
)  # three students of two seeds in one round; 20k is lost at 160 dialogues, 10k at 320


class Noting(Executor):
    """Carries tasks out in this process, notes how many runs each has, and can be interrupted before the n-th."""

    retries = 0

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.inline, self.runs, self.interrupt_at = Inline(), list[int](), interrupt_at

    @property
    def slots(self) -> int:
        return 1

    def submit(self, task: Task, report: Report) -> Future[None]:
        if task["make"] in ("run", "stack"):
            if self.interrupt_at == len(self.runs):
                raise KeyboardInterrupt
            self.runs.append(len(task.get("keys", [1])))
        return self.inline.submit(task, report)

    def stop(self) -> None:
        pass


def stacked(output: Path, executor: Executor) -> Path:
    return run_sweep(SPEC, executor=executor, output=output, stack=2, quiet=True).folder


@pytest.fixture(scope="module", name="whole")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stacked sweep that nobody interrupted."""
    executor = Noting()
    folder = stacked(tmp_path_factory.mktemp("stacked"), executor)
    assert executor.runs == [2] * 6  # a control of each student, and each point of the round
    return folder


def ended(folder: Path) -> dict[str, int | None]:
    return {run.name: read_marker(RunFolder(run)).get("pruned_at") for run in (folder / "runs").iterdir()}


def test_it_finds_what_the_sweep_finds_whose_runs_stand_alone(whole: Path, tmp_path: Path) -> None:
    executor = Noting()
    alone = run_sweep(SPEC, executor=executor, output=tmp_path, quiet=True).folder
    assert executor.runs == [1] * 12 and alone.name == whole.name
    assert ended(whole) == ended(alone)
    assert 0 < sum(dose is not None for dose in ended(whole).values()) < 6
    for one, other in zip(trials(whole), trials(alone), strict=True):
        same = ("number", "state", "run", "student", "shift", "flops", "status")
        assert [one[name] for name in same] == [other[name] for name in same]
        assert one["retention"] == pytest.approx(other["retention"], abs=0.1)
    sizes = {run.name: json.loads((run / "complete.json").read_text())["stack"] for run in (whole / "runs").iterdir()}
    assert set(sizes.values()) <= {1, 2} and 2 in sizes.values()


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 4])
def test_interrupted_and_resumed_as_it_was_stacked_it_is_the_same_sweep(at: int, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stacked(tmp_path, Noting(interrupt_at=at))
    (folder,) = tmp_path.iterdir()
    executor = Noting()
    resume_sweep(folder, executor=executor, quiet=True)
    assert executor.runs == [2] * (6 - at)
    assert findings(folder) == findings(whole) and ended(folder) == ended(whole)


@pytest.mark.slow
@pytest.mark.parametrize("finished", [1, 7, 9])
def test_killed_between_the_runs_of_a_stack_it_goes_on_with_the_same_stack(
    finished: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many runs are complete, the companion of the last one is not."""
    finish, count = Recorder.finish, iter(range(100))

    def killed(self: Recorder, *args: Any, **settings: Any) -> None:
        if next(count) == finished:
            raise KeyboardInterrupt
        finish(self, *args, **settings)

    monkeypatch.setattr(Recorder, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        stacked(tmp_path, Noting())
    monkeypatch.undo()
    folder = stacked(tmp_path, executor := Noting())
    assert executor.runs and set(executor.runs) == {2}
    assert findings(folder) == findings(whole) and ended(folder) == ended(whole)


def test_by_the_command_line(command: Callable[..., Outcome], here: Path, whole: Path) -> None:
    write_spec(here / "sweep.yaml", SPEC)
    outcome = command("sweep", "sweep.yaml", "--output", "out", "--stack", "2", "--quiet")
    assert outcome.status == 0, outcome.err
    (folder,) = (here / "out").iterdir()
    assert findings(folder) == findings(whole)
    assert command("resume", str(folder), "--stack", "2", "--quiet").status == 0
    wrong = command("sweep", "sweep.yaml", "--output", "out", "--stack", "many")
    assert wrong.status == 2 and "stack: must be auto, off, or a whole number, at least 1" in wrong.err


def test_a_wrong_stack_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^stack: must be auto, off"):
        run_sweep(SPEC, executor=Inline(), output=tmp_path, stack="none", quiet=True)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
