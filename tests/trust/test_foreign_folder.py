"""Folders that were not laid out here: going on imports nothing, starts nothing and connects nowhere, but names it."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from forgetting.errors import UsageError
from forgetting.record.seals import write_sealed
from forgetting.record.signing import SIGNATURE, check_trusted, is_ours, key_file, signature
from forgetting.resume import resume
from forgetting.spec import Backend, Evaluation, Fit, Ladder, Machine, Spec, Until
from forgetting.study.needs import study_needs, sweep_needs
from forgetting.study.spec_files import to_mapping
from forgetting.sweep.resume_sweep import resume_sweep
from forgetting.sweep.sweep_spec import SweepSpec

TRAP = "sprung_module.Part"
CODE = "import pathlib\n\npathlib.Path(__file__).with_suffix('.sprung').touch()\n"
BENCHMARK = {"name": "maths", "items_per_depth": 4}
# What a spec says, and what the line must name.
STUDIES: dict[str, tuple[Spec, list[str]]] = {
    "a contamination": (Spec(contaminations=(TRAP,)), [f"import {TRAP!r}"]),
    "a contamination with settings": (Spec(contaminations=({"name": TRAP, "a": 1},)), [f"import {TRAP!r}"]),
    "a mitigation": (Spec(mitigations=(TRAP,)), [f"import {TRAP!r}"]),
    "a benchmark": (Spec(evaluation=Evaluation(benchmarks=(TRAP,))), [f"import {TRAP!r}"]),
    "one of two": (Spec(evaluation=Evaluation(benchmarks=(BENCHMARK, {"name": TRAP}))), [f"import {TRAP!r}"]),
    "an original": (Spec(ladder=Ladder(original=TRAP)), [f"import {TRAP!r}"]),
    "a distillation": (Spec(ladder=Ladder(distillation={"name": TRAP})), [f"import {TRAP!r}"]),
    "a stage": (Spec(ladder=Ladder(distillation=({"method": "gold"}, {"method": TRAP}))), [f"import {TRAP!r}"]),
    "a stage of a branch": (
        Spec(ladder=Ladder(branches=({"name": "own", "stages": [{"method": {"name": TRAP}}]},))), [f"import {TRAP!r}"]
    ),
    "a target": (Spec(ladder=Ladder(teaching=Fit(until=Until(benchmark=TRAP)))), [f"import {TRAP!r}"]),
    "the target of a stage": (
        Spec(ladder=Ladder(distillation=({"method": "gold", "until": {"benchmark": "maths", "answering": TRAP}},))),
        [f"import {TRAP!r}"],
    ),
    "a part of a mixture": (
        Spec(contaminations=({"name": "mixture", "parts": ["noise", TRAP], "shares": [0.5, 0.5]},)),
        [f"import {TRAP!r}"],
    ),
    "a part deep in a part": (
        Spec(contaminations=({"name": "mixture", "parts": [{"name": "mixture", "parts": [{"name": TRAP}]}]},)),
        [f"import {TRAP!r}"],
    ),
    "a folder of tasks": (
        Spec(evaluation=Evaluation(benchmarks=({"name": "lm_eval", "task": "t", "folder": "tasks"},))),
        ["run what the tasks in 'tasks' say"],
    ),
    "tasks of lm-eval": (Spec(evaluation=Evaluation(benchmarks=("lm_eval",))), ["lm-eval", "arc_easy"]),
    "a program": (Spec(machine=Machine(backend=Backend(command=("touch", "sprung")))), ["start 'touch sprung'"]),
    "a student on the hub": (Spec(ladder=Ladder(students=("owner/model",))), ["fetch 'owner/model'"]),
    "a student by settings": (Spec(ladder=Ladder(students=({"source": "owner/model"},))), ["fetch 'owner/model'"]),
    "a teacher on the hub": (Spec(ladder=Ladder(teacher="owner/teacher")), ["fetch 'owner/teacher'"]),
    "rows on the hub": (
        Spec(contaminations=({"name": "conversations", "source": "owner/rows"},)), ["fetch 'owner/rows'"]
    ),
    "rows at an address": (
        Spec(contaminations=({"name": "conversations", "source": "stream:https://host/rows.jsonl"},)),
        ["fetch", "https://host/rows.jsonl"],
    ),
    "rows of a benchmark's own": (Spec(evaluation=Evaluation(benchmarks=("gsm8k",))), ["fetch 'openai/gsm8k'"]),
    "several at once": (
        Spec(contaminations=(TRAP,), ladder=Ladder(students=("owner/model",))), [TRAP, "owner/model", "--trust"]
    ),
}  # fmt: skip
EXECUTORS: dict[str, tuple[Any, str, list[str]]] = {
    "slurm": ({"name": "slurm", "folder": "/tmp/elsewhere"}, "", ["executor", "slurm"]),
    "ray": ({"name": "ray", "address": "ray://attacker:10001"}, "", ["executor", "ray://attacker:10001"]),
    "unheard of": ("sprung_module.Executor", "", ["executor", "sprung_module.Executor"]),
    "storage": ("processes", "postgresql+psycopg://a@attacker/b", ["connect to the storage", "attacker"]),
    "storage in a file": ("inline", "sqlite:////tmp/victim.db", ["connect to the storage", "victim.db"]),
}


@pytest.fixture(name="state")
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own state folder, and a working folder with a module that tells when it is imported."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "sprung_module.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lay_study(folder: Path, spec: Spec, **more: Any) -> Path:
    folder.mkdir()
    write_sealed(folder / "spec.json", {"spec": dataclasses.asdict(spec), "fingerprint": "0" * 16, **more})
    return folder


def untouched(state: Path) -> bool:
    return not list(state.rglob("*sprung")) and "sprung_module" not in sys.modules


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_from_elsewhere_does_nothing_but_say_what_it_would_do(state: Path, name: str) -> None:
    spec, words = STUDIES[name]
    folder = lay_study(state / "study", spec)
    with pytest.raises(UsageError) as told:
        resume(folder, quiet=True)
    assert "not laid out on this machine" in str(told.value) and "\n" not in str(told.value)
    assert all(word in str(told.value) for word in words), str(told.value)
    assert untouched(state)
    assert [path.name for path in folder.iterdir()] == ["spec.json"]


@pytest.mark.parametrize("name", EXECUTORS)
def test_nor_does_a_sweep(state: Path, name: str) -> None:
    executor, storage, words = EXECUTORS[name]
    spec = dataclasses.replace(SweepSpec(), executor=executor, storage=storage)
    folder = state / "sweep"
    folder.mkdir()
    write_sealed(folder / "sweep.json", {"spec": to_mapping(spec), "fingerprint": "0" * 16})
    with pytest.raises(UsageError) as told:
        resume_sweep(folder, quiet=True)
    assert all(word in str(told.value) for word in words), str(told.value)
    assert untouched(state) and [path.name for path in folder.iterdir()] == ["sweep.json"]


@pytest.mark.parametrize(
    "forged", ["", "0" * 64, 3, None, ["a"], "signed by me", "\u00e9" * 64], ids=lambda value: repr(value)[:12]
)
def test_a_forged_signature_is_none(state: Path, forged: Any) -> None:
    signature("anything")  # there is a key
    folder = lay_study(state / "study", STUDIES["a contamination"][0], **{SIGNATURE: forged})
    with pytest.raises(UsageError, match="not laid out on this machine"):
        resume(folder, quiet=True)
    assert untouched(state)


def test_a_signature_is_of_one_spec_and_one_key(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.asdict(Spec())
    signed = signature([spec, "mark"])
    plain = json.loads(json.dumps(spec))
    assert is_ours([plain, "mark"], signed)
    assert not is_ours([plain, "other"], signed)
    assert not is_ours([{**plain, "contaminations": [TRAP]}, "mark"], signed)
    assert key_file().stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("XDG_STATE_HOME", str(state / "another"))
    assert not is_ours([plain, "mark"], signed)
    assert not key_file().exists()  # looking makes no key


def test_where_no_key_can_be_kept_nothing_is_known(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    assert signature("value") == "" and not is_ours("value", "")


def test_with_trust_or_as_ours_it_goes_on(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"import 'a\.B'"):
        check_trusted(tmp_path, ["import 'a.B'"], ours=False, trust=False)
    check_trusted(tmp_path, ["import 'a.B'"], ours=True, trust=False)
    check_trusted(tmp_path, ["import 'a.B'"], ours=False, trust=True)
    check_trusted(tmp_path, [], ours=False, trust=False)


def test_what_stays_here_needs_nothing() -> None:
    assert study_needs(Spec()) == []
    assert sweep_needs("processes", "") == [] and sweep_needs({"name": "inline"}, "") == []
