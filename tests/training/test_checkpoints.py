"""Snapshots: whole or absent on disk, never more than one behind, errors that surface, and generators put back."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from forgetting import losses
from forgetting.errors import UsageError
from forgetting.spec import Optimiser
from forgetting.testing.small import batch, differing, model, weights
from forgetting.training import checkpoints as module
from forgetting.training.checkpoints import (
    DTYPES,
    LARGE,
    Snapshots,
    SnapshotWriter,
    _write,
    generator_states,
    last,
    read,
    restore_generators,
    tidy,
)
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.stopwatch import Stopwatch

STOPS = {2: 20, 5: 50, 6: 60}


def leave(folder: Path, *, keep_all: bool = False, steps: int = 6, watch: Stopwatch | None = None) -> dict[int, Any]:
    """A short fit with snapshots; gives the weights as they were after each step."""
    student, seen = model(0), {}
    snapshots = Snapshots(folder, student, STOPS, "mark", watch or Stopwatch(), keep_all=keep_all)

    class Keep(FitModule):
        def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            super().optimizer_step(*args, **kwargs)
            seen[self.step + 1] = weights(student)  # the step is counted after it

    made = batch(4)
    try:
        fit(
            Keep(student, lambda b: losses.cross_entropy(student, b), Optimiser(), total_steps=steps),
            lambda: iter([made] * steps),
            [snapshots],
        )
    finally:
        snapshots.close()
    return seen


def test_a_snapshot_holds_the_weights_of_its_step_and_all_that_a_fit_needs(tmp_path: Path) -> None:
    seen = leave(tmp_path, keep_all=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "dose-00000020.safetensors", "dose-00000050.safetensors", "dose-00000060.safetensors", "last.safetensors",
    ]  # fmt: skip
    names = {n for n, _ in model(0).named_parameters()}
    for step, dose in STOPS.items():
        found = read(tmp_path / f"dose-{dose:08d}.safetensors")
        assert (found.step, found.fingerprint) == (step, "mark")
        assert not differing(found.weights, seen[step])
        assert found.optimiser.keys() == {f"{n}:{k}" for n in names for k in ("step", "exp_avg", "exp_avg_sq")}
        assert all(int(t) == step for n, t in found.optimiser.items() if n.endswith(":step"))
    assert not differing(load_file(last(tmp_path)), load_file(tmp_path / "dose-00000060.safetensors"))


def test_only_the_last_one_stays_where_not_all_are_asked_for(tmp_path: Path) -> None:
    leave(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]
    assert read(last(tmp_path)).step == 6


def test_no_stop_no_file(tmp_path: Path) -> None:
    leave(tmp_path / "folder", steps=1)
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(("keep", "left"), [("all", 4), ("last", 1), ("none", 0)])
def test_what_stays_after_completion(tmp_path: Path, keep: str, left: int) -> None:
    folder = tmp_path / "checkpoint"
    leave(folder, keep_all=keep == "all")
    tidy(folder, keep)
    assert (len(list(folder.iterdir())) if folder.exists() else 0) == left
    tidy(folder, keep)


def test_taking_snapshots_is_counted_as_checkpoint_time(tmp_path: Path) -> None:
    watch = Stopwatch()
    leave(tmp_path, watch=watch)
    assert set(watch.wall_seconds) == {"checkpoint"}
    assert watch.wall_seconds["checkpoint"] > 0


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that writes nothing until the gate is opened."""
    opened, real = threading.Event(), module.write_atomically

    def slow(path: Path, data: bytes) -> None:
        assert opened.wait(30)
        real(path, data)

    monkeypatch.setattr(module, "write_atomically", slow)
    yield opened
    opened.set()


def test_never_more_than_one_snapshot_waits(tmp_path: Path, gate: threading.Event) -> None:
    """One is being written, one is queued; the third waits for the disk, so memory is bounded."""
    writer, put = SnapshotWriter(), []
    meta = {"step": "1", "fingerprint": "m", "generators": "{}"}

    def work() -> None:
        for number in range(4):
            writer.put([tmp_path / f"{number}.safetensors"], {"a": torch.full((3,), float(number))}, meta)
            put.append(number)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(0.5)
    assert put in ([0], [0, 1])  # the writer may not yet have taken the first one
    assert not list(tmp_path.iterdir())
    gate.set()
    thread.join(30)
    writer.close()
    assert put == [0, 1, 2, 3]
    assert [load_file(tmp_path / f"{n}.safetensors")["a"][0].item() for n in range(4)] == [0, 1, 2, 3]


def test_a_large_snapshot_waits_for_the_one_before(tmp_path: Path, gate: threading.Event) -> None:
    writer, meta = SnapshotWriter(), {"step": "1", "fingerprint": "m", "generators": "{}"}
    writer.put([tmp_path / "a.safetensors"], {"a": torch.zeros(3)}, meta)
    writer.make_room(LARGE)  # returns at once
    room = threading.Thread(target=writer.make_room, args=[LARGE + 1], daemon=True)
    room.start()
    room.join(0.3)
    assert room.is_alive() and not (tmp_path / "a.safetensors").exists()
    gate.set()
    room.join(30)
    assert not room.is_alive() and (tmp_path / "a.safetensors").is_file()
    writer.close()


def test_files_are_those_of_safetensors_whatever_is_in_them(tmp_path: Path) -> None:
    tensors = {f"{n}{kind}": torch.arange(n).to(kind) for n in (0, 1, 3, 8) for kind in DTYPES}
    tensors |= {"matrix": torch.randn(3, 5).T.contiguous(), "number": torch.tensor(2.5), '\u00e9 "': torch.ones(1)}
    with open(tmp_path / "a.safetensors", "wb") as file:
        _write(tensors, {"told": "a \u00e9"}, file)
    found = load_file(tmp_path / "a.safetensors")
    assert set(found) == set(tensors)
    assert all(torch.equal(found[n], t) and found[n].dtype == t.dtype for n, t in tensors.items())
    with safe_open(tmp_path / "a.safetensors", framework="pt") as opened:
        assert opened.metadata() == {"told": "a \u00e9"}


def test_training_goes_on_while_a_snapshot_is_written(tmp_path: Path, gate: threading.Event) -> None:
    """The tensors are copies: what is trained afterwards is not in the file."""
    student = model(0)
    snapshots = Snapshots(tmp_path, student, {1: 10}, "mark", Stopwatch())
    made = batch(4)
    steps = FitModule(student, lambda b: losses.cross_entropy(student, b), Optimiser(warmup_steps=0), total_steps=3)
    seen: list[Any] = []

    def batches() -> Iterator[Any]:
        for _ in range(3):
            yield made
            seen.append(weights(student))

    fit(steps, batches, [snapshots])
    assert not list(tmp_path.iterdir())
    gate.set()
    snapshots.close()
    assert not differing(read(last(tmp_path)).weights, seen[0])
    assert differing(seen[0], student.state())


class NoSpace:
    """A disk on which nothing can be written any more."""

    def __call__(self, path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))


def test_an_error_of_the_writer_surfaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_atomically", NoSpace())
    with pytest.raises(OSError, match="No space left"):
        leave(tmp_path)
    writer = SnapshotWriter()
    writer.put([tmp_path / "a"], {"a": torch.zeros(1)}, {})
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    assert not [t for t in threading.enumerate() if t.name == "snapshots"]


def test_a_write_that_breaks_off_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path)
    before = load_file(last(tmp_path))

    def cut(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.replace", cut)
    with pytest.raises(OSError, match="Input/output"):
        leave(tmp_path)
    assert not differing(before, load_file(last(tmp_path)))
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "garbage", "folder", "foreign", "no step"])
def test_an_unreadable_checkpoint_is_one_line(tmp_path: Path, damage: str) -> None:
    leave(tmp_path)
    path = last(tmp_path)
    whole = path.read_bytes()
    if damage == "absent":
        path.unlink()
    elif damage == "folder":
        path.unlink(), path.mkdir()
    elif damage == "foreign":
        save_file({"a": torch.zeros(3)}, path)
    elif damage == "no step":
        save_file({"generator:torch": torch.zeros(3)}, path, metadata={"fingerprint": "mark", "generators": "{}"})
    else:
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "garbage": b"\x80\x04 pickle" * 99}[damage])
    with pytest.raises(UsageError, match=r"^checkpoint: cannot be read, ") as caught:
        read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_generators_go_on_where_they_were() -> None:
    random.gauss(0, 1), np.random.normal(), torch.rand(3)
    plain, state = generator_states()

    def draws() -> list[float]:
        return [random.random(), random.gauss(0, 1), float(np.random.normal()), torch.rand(()).item()]

    expected = draws()
    draws()
    restore_generators({**plain, "torch": state})
    assert draws() == expected
