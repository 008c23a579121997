"""The store: entries whole or absent, checked by hash, read from the shipped ones too, written to its root only."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from forgetting.errors import UsageError
from forgetting.record.store import MANIFEST, Store, default_root, manifest, verify

MARK = "0123456789abcdef"
ABOUT = {
    "role": "student", "accuracy": {"maths": {"all": 0.5}}, "capacity": 10, "capacity_non_embedding": 5,
    "wall_seconds": {"training": 1.0}, "made_from": {"distillation_seed": 0},
}  # fmt: skip


def filling(**files: str) -> Any:
    """A function that writes files and tells what they are."""

    def fill(folder: Path) -> dict[str, Any]:
        for name, text in files.items():
            (folder / name).write_text(text)
        return ABOUT

    return fill


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", reference=tmp_path / "shipped")


def test_an_entry_is_found_once_it_is_whole(store: Store) -> None:
    assert store.find(MARK) is None
    home = store.add(MARK, filling(weights="abc", config="{}"))
    assert store.find(MARK) == home == store.root / MARK
    found = manifest(home)
    assert (found["fingerprint"], found["role"], found["capacity"]) == (MARK, "student", 10)
    assert set(found["files"]) == {"weights", "config"}
    assert found["files"]["weights"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    verify(home)
    assert [p.name for p in store.root.iterdir()] == [MARK]


def test_an_entry_that_fails_leaves_nothing(store: Store) -> None:
    def fill(folder: Path) -> dict[str, Any]:
        (folder / "weights").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        store.add(MARK, fill)
    assert store.find(MARK) is None
    assert list(store.root.iterdir()) == []


def test_a_killed_attempt_is_not_an_entry(store: Store) -> None:
    """A folder without its manifest, which is written last, and a temporary one."""
    for name in (MARK, f".{MARK}.abc"):
        (store.root / name).mkdir(parents=True)
        (store.root / name / "weights").write_text("half")
    assert store.find(MARK) is None


def test_two_that_make_the_same_entry_agree(store: Store) -> None:
    both, homes = threading.Barrier(2), []

    def fill(folder: Path) -> dict[str, Any]:
        (folder / "weights").write_text("abc")
        both.wait(30)
        return {}

    threads = [threading.Thread(target=lambda: homes.append(store.add(MARK, fill))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert homes == [store.root / MARK] * 2
    verify(store.root / MARK)
    assert [p.name for p in store.root.iterdir()] == [MARK]


def test_an_unfinished_entry_keeps_its_checkpoint_until_it_is_finished(store: Store) -> None:
    work = store.work(MARK)
    work.mkdir(parents=True)
    (work / "last.safetensors").write_text("checkpoint")
    assert store.find(MARK) is None
    store.add(MARK, filling(weights="abc"))
    assert not work.exists()


def test_shipped_entries_are_read_and_never_written(store: Store, tmp_path: Path) -> None:
    shipped = Store(tmp_path / "shipped", reference=None)
    home = shipped.add(MARK, filling(weights="shipped"))
    assert store.find(MARK) == home
    assert Store(store.root, reference=None).find(MARK) is None
    own = store.add(MARK, filling(weights="own"))
    assert store.find(MARK) == own != home
    assert (home / "weights").read_text() == "shipped"


@pytest.mark.parametrize("damage", ["changed", "missing", "longer"])
def test_a_file_that_is_not_what_was_stored(store: Store, damage: str) -> None:
    home = store.add(MARK, filling(weights="abc", config="{}"))
    file = home / "weights"
    if damage == "missing":
        file.unlink()
    else:
        file.write_text({"changed": "abd", "longer": "abcd"}[damage])
    with pytest.raises(UsageError, match="delete the folder to make it anew") as caught:
        verify(home)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", None])
def test_an_unreadable_manifest_is_one_line(store: Store, text: str | None) -> None:
    home = store.add(MARK, filling(weights="abc"))
    (home / MANIFEST).unlink() if text is None else (home / MANIFEST).write_text(text)
    with pytest.raises(UsageError, match=r"^store: ") as caught:
        verify(home)
    assert "\n" not in str(caught.value) and str(home) in str(caught.value)


def test_the_manifest_is_plain_json(store: Store) -> None:
    text = (store.add(MARK, filling(weights="abc")) / MANIFEST).read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FORGETTING_STORE", str(tmp_path / "mine"))
    assert default_root() == Store().root == tmp_path / "mine"
    assert Store(tmp_path / "given").root == tmp_path / "given"
    monkeypatch.delenv("FORGETTING_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_root() == tmp_path / "cache" / "forgetting"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache" / "forgetting"
