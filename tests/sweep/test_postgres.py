"""A sweep on PostgreSQL: the same trials as on a journal file, also where drivers are killed or the server restarts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from forgetting.errors import UsageError
from forgetting.sweep.storage import open_storage, open_study, patiently
from forgetting.sweep.sweep_spec import Search, Stop
from tests.sweep import postgres
from tests.sweep.driving import disturbed_spec, driver, essence, finish, folder_of, in_storage
from tests.sweep.small import a_driver, made_at_once, nothing, sequence, wide_space
from tests.sweep.test_kills import kill_drivers, undisturbed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing() or "-"),
]


@pytest.fixture(name="server")
def _server() -> Iterator[postgres.Server]:
    """A server with an empty database."""
    server = postgres.Server()
    yield server
    server.remove()


def test_a_search_is_the_same_as_in_memory(server: postgres.Server, tmp_path: Path) -> None:
    own, search, stop = wide_space(), Search(round_size=4, startup_runs=4), Stop(0.0, runs=12)
    expected = a_driver(own, search=search, stop=stop)
    expected.go(made_at_once(own), nothing)
    stored = a_driver(own, open_storage(server.address, tmp_path), search, stop)
    stored.go(made_at_once(own), nothing)
    assert sequence(stored) == sequence(expected)
    again = a_driver(own, open_storage(server.address, tmp_path), search, stop)  # another process sees the same
    assert sequence(again) == sequence(expected)


def test_a_study_of_another_sweep_is_refused(server: postgres.Server, tmp_path: Path) -> None:
    storage = open_storage(server.address, tmp_path)
    sampler = optuna.samplers.RandomSampler()
    open_study(storage, "one", "mark", sampler)
    with pytest.raises(UsageError, match="made by another sweep"):
        open_study(storage, "one", "other", sampler)


def test_every_step_of_a_driver_survives_a_restart_of_the_server(server: postgres.Server, tmp_path: Path) -> None:
    """The server crashes and comes back after every round; what is cut off is done again, and nothing twice."""
    own, search, stop = wide_space(), Search(round_size=2, startup_runs=4), Stop(0.0, runs=8)
    expected = a_driver(own, search=search, stop=stop)
    expected.go(made_at_once(own), nothing)
    disturbed, said = a_driver(own, open_storage(server.address, tmp_path), search, stop), list[str]()

    def restarting(text: str) -> None:
        said.append(text)
        if len(said) % 2 == 0:  # only after the second attempt is it back
            server.start()

    disturbed.patient = lambda step: patiently(step, restarting)
    disturbed.go(made_at_once(own), server.stop)
    assert len(said) >= 8
    assert sequence(disturbed) == sequence(expected)


def test_the_driver_killed_at_its_work(server: postgres.Server, tmp_path: Path) -> None:
    plain = disturbed_spec(executor={"name": "processes", "workers": 1})
    undisturbed(plain, tmp_path / "whole")
    expected = essence(plain, tmp_path / "whole")
    through = kill_drivers(
        lambda number: disturbed_spec(server.create(f"sweep{number}"), plain.executor), tmp_path, expected
    )
    last, spec = tmp_path / f"killed{through}", disturbed_spec(server.database(f"sweep{through}"), plain.executor)
    assert essence(spec, last) == expected
    assert in_storage(spec, last) == in_storage(plain, tmp_path / "whole")


def test_the_server_restarts_in_the_middle_of_a_sweep(server: postgres.Server, tmp_path: Path) -> None:
    plain = disturbed_spec(executor={"name": "processes", "workers": 1})
    undisturbed(plain, tmp_path / "whole")
    spec = disturbed_spec(server.address, plain.executor)
    process = driver(spec, tmp_path / "restarted")
    runs = folder_of(spec, tmp_path / "restarted") / "runs"
    until = time.monotonic() + 300
    while len(list(runs.glob("*/complete.json"))) < 3 and time.monotonic() < until:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    server.stop()
    time.sleep(6)
    assert process.poll() is None  # it waits
    server.start()
    said = finish(process)
    assert "storage: the server is away, trying again for " in said
    assert essence(spec, tmp_path / "restarted") == essence(plain, tmp_path / "whole")
    assert in_storage(spec, tmp_path / "restarted") == in_storage(plain, tmp_path / "whole")
