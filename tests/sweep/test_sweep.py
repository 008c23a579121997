"""A whole sweep by the command line: what it leaves, that it goes on where it stopped, and that it repeats itself."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from forgetting import load
from forgetting.contracts import Report
from forgetting.errors import UsageError
from forgetting.executors.contract import Executor, Task
from forgetting.executors.inline import Inline
from forgetting.record.seals import write_sealed
from forgetting.spec import Ladder
from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.resume_sweep import resume_sweep
from forgetting.sweep.sweep import run_sweep
from forgetting.sweep.sweep_spec import Search, Stop, SweepSpec, Target
from tests.conftest import Outcome
from tests.sweep.small import findings, study_spec, sweep_spec, trials, write_spec


class Counting(Executor):
    """Carries tasks out in this process, counts them, and can be interrupted before the n-th."""

    retries = 0

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.inline, self.done, self.interrupt_at = Inline(), list[str](), interrupt_at

    @property
    def slots(self) -> int:
        return 1

    def submit(self, task: Task, report: Report) -> Future[None]:
        if self.interrupt_at == len(self.done):
            raise KeyboardInterrupt
        self.done.append(Path(task["folder"]).name)
        return self.inline.submit(task, report)

    def stop(self) -> None:
        pass


def go(spec: SweepSpec, output: Path, executor: Executor | None = None) -> tuple[Path, Executor]:
    """Run a sweep quietly; its folder, and who carried it out."""
    executor = executor or Counting()
    return run_sweep(spec, executor=executor, output=output, quiet=True).folder, executor


@pytest.fixture(scope="module", name="whole")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed small sweep."""
    return go(sweep_spec(), tmp_path_factory.mktemp("whole"))[0]


@pytest.mark.slow
def test_views_that_a_kill_cut_short_are_made_again(whole: Path, tmp_path: Path) -> None:
    """Killed after the page, before the events and what views add to the record; a lock and half a file are left."""
    folder = tmp_path / whole.name
    shutil.copytree(whole, folder)
    complete = json.loads((folder / "record.json").read_text())
    added = ("noise_floor", "statuses", "differences")
    write_sealed(folder / "record.json", {name: value for name, value in complete.items() if name not in added})
    shutil.rmtree(folder / "tensorboard")
    for name in (".lock", ".record.json.4194304000.tmp", "optuna.journal.lock1f0e.rename"):
        (folder / name).symlink_to("optuna.journal") if "rename" in name else (folder / name).touch()
    _, executor = go(sweep_spec(), tmp_path)
    assert isinstance(executor, Counting) and not executor.done
    again = json.loads((folder / "record.json").read_text())
    assert {name: again[name] for name in added} == {name: complete[name] for name in added}
    assert len(list(folder.rglob("*tfevents*"))) == len(list(whole.rglob("*tfevents*"))) > 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in whole.iterdir())


@pytest.mark.slow
def test_a_sweep_that_was_killed_at_its_first_step_is_no_study(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("forgetting.sweep.sweep.prepare", killed)
        with pytest.raises(KeyboardInterrupt):
            go(sweep_spec(), tmp_path)
    (folder,) = tmp_path.iterdir()
    assert [path.name for path in folder.iterdir()] == ["sweep.json"]
    assert findings(resume_sweep(folder, executor=Counting(), quiet=True).folder) == findings(whole)


@pytest.mark.drawn
def test_by_the_command_line(command: Callable[..., Outcome], here: Path, whole: Path) -> None:
    write_spec(here / "sweep.yaml", sweep_spec())
    outcome = command("sweep", "sweep.yaml", "--output", "out")
    assert outcome.status == 0, outcome.err
    (folder,) = (here / "out").iterdir()
    assert folder.name == construct_sweep(sweep_spec()).folder_name
    names = {p.name for p in folder.iterdir()}
    assert {"sweep.json", "spec.json", "record.json", "ledger.parquet", "scores.jsonl", "report.html"} <= names
    assert {"optuna.journal", "tensorboard", "figures", "runs"} <= names
    assert ".lock" not in names
    assert "Thresholds · dialogue · maths at dose 160" in outcome.out
    assert "ended, " in outcome.err
    assert f"sweep: out/{folder.name}" in outcome.err
    assert list(folder.glob("figures/sweep-*.svg"))
    page = (folder / "report.html").read_text()
    assert f"Fingerprint of the sweep {construct_sweep(sweep_spec()).fingerprint}" in page
    assert "Spec of the sweep" in page and "startup_runs" in page
    assert findings(folder) == findings(whole)
    again = command("resume", str(folder))
    assert again.status == 0 and "Thresholds · dialogue · maths at dose 160" in again.out
    quiet = command("resume", str(folder), "--quiet")
    assert (quiet.status, quiet.out) == (0, "")
    assert findings(folder) == findings(whole)


def test_every_trial_is_one_run_and_its_figures_are_the_records(whole: Path) -> None:
    asked = trials(whole)
    assert [t["number"] for t in asked] == list(range(len(asked)))
    assert len({t["run"] for t in asked}) == len(asked) <= 6
    assert {t["run"] for t in asked} == {p.name for p in (whole / "runs").iterdir()}
    result = load(whole)
    scores = result.scores[(result.scores.dose == 160) & (result.scores.benchmark == "maths")]
    scores = scores[scores.depth.isna() & (scores.variant == "original")]
    for trial in asked:
        student, _, _, seed = trial["run"].split("-")
        (now,) = scores[(scores.student == student) & (scores.seed == int(seed[1:]))].retention
        assert trial["retention"] == now
        assert trial["state"] == "complete"


def test_made_again_it_costs_nothing(whole: Path) -> None:
    before, report = findings(whole), (whole / "report.html").stat().st_mtime_ns
    folder, again = go(sweep_spec(), whole.parent)
    assert isinstance(again, Counting)
    assert again.done == []
    assert folder == whole
    assert findings(whole) == before
    assert (whole / "report.html").stat().st_mtime_ns == report


def test_interrupted_and_continued_it_is_the_same_sweep(tmp_path: Path, whole: Path) -> None:
    at = 3
    with pytest.raises(KeyboardInterrupt):
        go(sweep_spec(), tmp_path, Counting(interrupt_at=at))
    (folder,) = tmp_path.iterdir()
    assert not (folder / "record.json").exists()
    executor = Counting()
    resume_sweep(folder, executor=executor, quiet=True)
    assert len(executor.done) == len(trials(whole)) - at
    assert findings(folder) == findings(whole)


def test_runs_that_were_deleted_are_made_again(tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path / whole.name)
    lost = trials(whole)[1]["run"]
    for name in (f"runs/{lost}", "record.json", "ledger.parquet", "scores.jsonl", "report.html"):
        path = tmp_path / whole.name / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    folder, executor = go(sweep_spec(), tmp_path)
    assert isinstance(executor, Counting)
    assert executor.done == [lost]
    assert findings(folder) == findings(whole)


@pytest.mark.slow
def test_a_larger_budget_goes_on_with_the_smaller_ones_runs(tmp_path: Path) -> None:
    small = sweep_spec(stop=Stop(0.0, runs=2))
    folder, _ = go(small, tmp_path)
    before = trials(folder)
    assert len(before) == 2
    larger, executor = go(dataclasses.replace(small, stop=Stop(0.0, runs=4)), tmp_path)
    assert larger == folder
    assert isinstance(executor, Counting)
    assert len(executor.done) == 2
    assert trials(folder)[:2] == before
    assert len(trials(folder)) == 4


@pytest.mark.slow
def test_two_targets_share_the_runs_they_have_in_common(tmp_path: Path) -> None:
    targets = (Target(levels=(0.5,)), Target(skill="maths:1", levels=(0.5,)))
    folder, executor = go(sweep_spec(targets=targets, stop=Stop(0.0, runs=6)), tmp_path)
    assert isinstance(executor, Counting)
    assert max(Counter(executor.done).values()) == 1
    assert len(trials(folder)) == 12
    assert set(executor.done) == {t["run"] for t in trials(folder)}


@pytest.mark.slow
def test_controls_are_run_for_every_student_and_seed_but_never_searched(tmp_path: Path) -> None:
    study = study_spec(controls=("noise",), ladder=Ladder(students=("10k", "20k")))
    spec = sweep_spec(study, search=Search(method="grid", round_size=2), stop=Stop(0.0, runs=8))
    assert {str(key) for key in construct_sweep(spec).controls()} == {
        f"{student}-noise-d0-s{seed}" for student in ("10k", "20k") for seed in (0, 1)
    }
    folder, _ = go(spec, tmp_path)
    ran = {p.name for p in (folder / "runs").iterdir()}
    searched = {t["run"] for t in trials(folder)}
    assert len(searched) == 4
    assert ran == searched | {str(key) for key in construct_sweep(spec).controls()}


def test_a_budget_of_operations_is_kept(tmp_path: Path) -> None:
    own = construct_sweep(sweep_spec()).spaces[0]
    limit = 1.5 * own.flops(("34k", 1.0)) / 1e15
    folder, _ = go(sweep_spec(stop=Stop(0.0, petaflops=limit)), tmp_path)
    asked = trials(folder)
    spent = [t["flops"] for t in asked]
    assert sum(spent) >= limit * 1e15 > sum(spent[:-2])  # looked at between rounds of two
    (target,) = json.loads((folder / "sweep.json").read_text())["targets"]
    assert target["ended"] == f"budget: {limit:g} petaflops"


def test_hours_are_counted_over_interruptions(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(sweep_spec(), tmp_path, Counting(interrupt_at=2))
    (folder,) = tmp_path.iterdir()
    kept = json.loads((folder / "sweep.json").read_text())["hours"]
    assert kept > 0
    with pytest.raises(KeyboardInterrupt):
        go(sweep_spec(), tmp_path, Counting(interrupt_at=0))
    assert json.loads((folder / "sweep.json").read_text())["hours"] > kept
    done, executor = go(sweep_spec(stop=Stop(0.0, hours=kept)), tmp_path)  # spent already
    assert isinstance(executor, Counting)
    assert len(executor.done) <= 2  # what the interrupted round had asked for
    (target,) = json.loads((done / "sweep.json").read_text())["targets"]
    assert target["ended"] == f"budget: {kept:g} hours"


@pytest.mark.slow
def test_hours_are_kept_after_each_round_for_a_driver_that_is_killed_outright(tmp_path: Path) -> None:
    kept: list[float] = []

    class Looking(Counting):
        def submit(self, task: Task, report: Report) -> Future[None]:
            held = json.loads((Path(task["folder"]).parents[1] / "sweep.json").read_text())
            kept.append(float(held.get("hours", 0.0)))
            return super().submit(task, report)

    go(sweep_spec(), tmp_path, Looking())
    assert kept[:2] == [0.0, 0.0] and kept[2] > 0
    assert kept == sorted(kept)


@pytest.mark.slow
def test_another_level_is_another_search_of_the_same_runs(tmp_path: Path) -> None:
    folder, first = go(sweep_spec(), tmp_path)
    other, second = go(sweep_spec(targets=(Target(levels=(0.6,)),)), tmp_path)
    assert other == folder
    assert isinstance(first, Counting) and isinstance(second, Counting)
    assert not set(first.done) & set(second.done)  # what was there was not made again
    (target,) = json.loads((folder / "sweep.json").read_text())["targets"]
    assert target["target"]["levels"] == [0.6] and len(target["trials"]) == 6


def spec_with_seed(spec: SweepSpec, seed: int) -> SweepSpec:
    """The same sweep with another seed of the search."""
    return dataclasses.replace(spec, search=dataclasses.replace(spec.search, seed=seed))


def test_the_fingerprint_changes_with_what_is_asked_for_and_not_with_budgets() -> None:
    plain = construct_sweep(sweep_spec()).fingerprint
    for other in (sweep_spec(stop=Stop(runs=3, hours=1.0)), sweep_spec(executor="processes")):
        assert construct_sweep(other).fingerprint == plain
    for other in (
        spec_with_seed(sweep_spec(), 1),
        sweep_spec(search=Search(round_size=3, startup_runs=2)),
        sweep_spec(study_spec(seeds=3)),
        sweep_spec(search=Search(method="grid", round_size=2, startup_runs=2)),
    ):
        assert construct_sweep(other).fingerprint != plain


def test_a_sweep_of_other_code_is_not_continued(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / whole.name
    folder.mkdir()
    plan = json.loads((whole / "sweep.json").read_text())
    write_sealed(folder / "sweep.json", {**plan, "fingerprint": "0123456789abcdef"})
    with pytest.raises(UsageError, match=r"resume: .* was made by an? .*version.*, and this one can"):
        resume_sweep(folder, executor=Inline())
    moved = tmp_path / "renamed"
    moved.mkdir()
    (moved / "sweep.json").write_text(json.dumps(plan))
    with pytest.raises(UsageError, match=f"a folder that is called {whole.name}"):
        resume_sweep(moved, executor=Inline())


def test_a_broken_run_is_told_and_the_others_go_on(tmp_path: Path, whole: Path) -> None:
    """A folder stands where one run's scores should be written."""
    name = construct_sweep(sweep_spec()).folder_name
    (tmp_path / name / "runs" / "20k-dialogue-d0-s0" / "scores.jsonl").mkdir(parents=True)
    with pytest.raises((UsageError, OSError), match=r"scores\.jsonl"):
        go(sweep_spec(), tmp_path)
    assert not (tmp_path / name / "record.json").exists()
    (tmp_path / name / "runs" / "20k-dialogue-d0-s0" / "scores.jsonl").rmdir()
    folder, _ = go(sweep_spec(), tmp_path)  # mended, it goes on
    assert findings(folder) == findings(whole)
