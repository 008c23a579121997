"""Files in the working folder that are called like modules: no command and no child of one runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forgetting.executors.child_environment import child_environment, for_children
from tests.trust.conftest import ROOT, SMALL, run

pytestmark = pytest.mark.slow  # every command as a process of its own

TRAPS = ("torch", "queue", "json", "numpy", "random", "lightning", "safetensors", "typing", "pandas", "optuna")
COMMANDS = {
    "version": ["--version"],
    "help": ["simulate", "--help"],
    "list": ["list"],
    "print_config": ["simulate", "--print_config"],
    "estimate": ["simulate", "--estimate", "a100"],
    "simulate": ["simulate", *SMALL, "--workers", "1", "--quiet", "--store", "store"],
    "resume": ["resume", "runs/none"],
    "report": ["report", "runs/none"],
    "claims": ["claims", "runs/none"],
    "sweep": ["sweep", "--print_config"],
    "distil": ["distil", "--print_config"],
    "budget": ["budget", "models/none"],
}


def lay_traps(folder: Path) -> Path:
    """Modules of well-known names that leave a mark when they are imported."""
    for name in TRAPS:
        (folder / f"{name}.py").write_text("import pathlib\n\npathlib.Path(__file__).with_suffix('.sprung').touch()\n")
    return folder


def sprung(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.sprung"))


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_imports_from_the_working_folder(program: Path, tmp_path: Path, name: str) -> None:
    done = run(program, lay_traps(tmp_path), *COMMANDS[name])
    assert sprung(tmp_path) == []
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2)
    if name == "simulate":
        assert done.returncode == 0, done.stderr
        assert len(list(tmp_path.glob("runs/*/record.json"))) == 1


def test_nor_does_the_package_run_as_a_module(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    (lay_traps(tmp_path) / "typing.py").unlink()  # Python itself imports it from there before any of our lines runs
    done = subprocess.run(
        [sys.executable, "-m", "forgetting", "list", "models"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sprung(tmp_path) == []


def test_children_import_from_where_we_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lay_traps(tmp_path))
    (tmp_path / "own_parts.py").write_text("VALUE = 3\n")
    code = "import forgetting, json, queue, own_parts; print(forgetting.__file__, own_parts.VALUE)"
    monkeypatch.setattr(sys, "path", ["", *sys.path])  # as in a notebook
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env={**os.environ, **child_environment()}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(ROOT / "forgetting" / "__init__.py"), "3"]
    assert sprung(tmp_path) == []


def test_the_variables_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "before")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with for_children():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert os.environ["PYTHONPATH"] == "before"
    assert "PYTHONSAFEPATH" not in os.environ
