"""What every executor promises, and how one is chosen."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forgetting.errors import UsageError
from forgetting.executors import MEMBERS, executor_of
from forgetting.executors.contract import Executor
from tests.executors.tasks import bad, home, run, teacher

EXTRAS = {"ray": "ray", "slurm": "submitit"}


@pytest.fixture(
    params=[
        "inline",
        "processes",
        pytest.param("slurm", marks=pytest.mark.slow),
        pytest.param("ray", marks=pytest.mark.slow),
    ],
    scope="module",
)
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """Every member, small."""
    name = str(request.param)
    if name in EXTRAS and importlib.util.find_spec(EXTRAS[name]) is None:
        pytest.skip(f"{EXTRAS[name]} is not installed (an extra)")
    settings: dict[str, dict[str, Any]] = {
        "processes": {"workers": 1},
        "slurm": {"cluster": "local", "folder": str(tmp_path_factory.mktemp("jobs")), "poll_seconds": 0.2},
    }
    with executor_of({"name": name, **settings.get(name, {})}) as made:
        yield made


def test_every_task_is_done_and_told(executor: Executor, tmp_path: Path) -> None:
    heard = run(executor, [teacher(tmp_path, 0), teacher(tmp_path, 1)])
    assert sorted(h for h in heard if h[2] == 1) == [(0, 1, 1), (1, 1, 1)]
    assert home(tmp_path, 0) and home(tmp_path, 1)
    assert executor.slots >= 1


def test_no_tasks(executor: Executor) -> None:
    assert run(executor, []) == []


def test_a_task_done_before_is_free(executor: Executor, tmp_path: Path) -> None:
    run(executor, [teacher(tmp_path, 0)])
    found = home(tmp_path, 0)
    assert found
    before = (found / "manifest.json").stat().st_mtime_ns
    run(executor, [teacher(tmp_path, 0)])
    assert (found / "manifest.json").stat().st_mtime_ns == before


def test_a_mistake_of_the_user_is_told_as_one(executor: Executor, tmp_path: Path) -> None:
    future = executor.submit(bad(tmp_path, contaminations=["dialoge"]), lambda done, total: None)
    with pytest.raises(UsageError, match="did you mean 'dialogue'"):
        future.result()
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_the_users_to_mend(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((UsageError, OSError), match="file"):
        executor.submit(teacher(tmp_path / "file"), lambda done, total: None).result()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_mistake_of_ours_says_what_it_was(executor: Executor, tmp_path: Path) -> None:
    task = {**teacher(tmp_path), "make": "student", "student": "nobody", "distillation_seed": 0}
    with pytest.raises(RuntimeError, match="StopIteration"):
        executor.submit(task, lambda done, total: None).result()


def test_the_first_error_ends_a_batch(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dialoge"):
        run(executor, [bad(tmp_path, contaminations=["dialoge"]), *[teacher(tmp_path, seed) for seed in range(5)]])
    run(executor, [teacher(tmp_path / "after", 0)])  # and the executor can be used again
    assert home(tmp_path / "after", 0)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("proceses", "executor: unknown name 'proceses'; did you mean 'processes'"),
        ({"workers": 2}, "executor: must be a name or a mapping with a name"),
        ({"name": "processes", "worker": 2}, "executor.worker: unknown name 'worker'; did you mean 'workers'"),
        ({"name": "processes", "workers": -1}, "workers: must be 0 or more"),
        ({"name": "processes", "workers": "2"}, "workers: must be 0 or more"),
        ({"name": "processes", "retries": -1}, "retries: must be 0 or more"),
        ({"name": "slurm", "cluster": "pbs"}, "cluster: must be slurm or local"),
        ({"name": "slurm", "jobs": 0}, "jobs: must be a whole number, at least 1"),
        ({"name": "ray", "cpus": 0}, "cpus: must be above 0"),
        (5, "executor: must be a name or a mapping with a name"),
    ],
)
def test_what_cannot_be(value: Any, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        executor_of(value)
    assert words in str(raised.value)


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_extra_says_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(UsageError, match=rf"pip install 'forgetting\[{name}\]'"):
        executor_of(name)


def test_the_names_are_the_files() -> None:
    files = (Path(__file__).parents[2] / "forgetting" / "executors").glob("*.py")
    assert set(MEMBERS) == {p.stem for p in files if "(Executor):" in p.read_text()}
