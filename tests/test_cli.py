"""The command line: help that teaches, parts with units, files and options merged, no torch before it is due."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import forgetting
from forgetting import Spec
from forgetting.contracts import FAMILIES
from forgetting.study import spec_files
from tests.conftest import Outcome

ROOT = Path(forgetting.__file__).parents[1]
COMMANDS = ("simulate", "resume", "report", "distil", "list")
HEAVY = ("torch", "lightning", "transformers", "matplotlib", "pandas")


def python(code: str, folder: Path) -> str:
    """What a fresh interpreter prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """The calls that would have trained."""
    import forgetting.resume
    import forgetting.simulate  # noqa: F401

    calls: list[tuple[Any, dict[str, Any]]] = []
    for name, home in (("run_study", "forgetting.simulate"), ("resume", "forgetting.resume")):
        monkeypatch.setattr(sys.modules[home], name, lambda what, **more: calls.append((what, more)))
    return calls


def test_help_is_quick_and_imports_nothing_heavy(here: Path) -> None:
    start = time.perf_counter()
    out = python(
        "import sys\nfrom forgetting.cli import main\nstatus = main(['--help'])\n"
        f"print(status, [name for name in {HEAVY} if name in sys.modules])",
        here,
    )
    seconds = time.perf_counter() - start
    assert out.splitlines()[-1] == "0 []"
    assert seconds < 5


def test_bad_input_is_found_before_torch_is_imported(here: Path) -> None:
    out = python(
        "import sys\nfrom forgetting.cli import main\n"
        "status = main(['simulate', '--contaminations', '[dialoge]'])\n"
        f"print(status, [name for name in {HEAVY} if name in sys.modules])",
        here,
    )
    assert out == "2 []\n"


def test_help_teaches(command: Callable[..., Outcome]) -> None:
    out = command("--help").out
    for name in COMMANDS:
        assert f"    {name} " in out
    assert "examples:" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example(name: str, command: Callable[..., Outcome]) -> None:
    outcome = command(name, "--help")
    assert outcome.status == 0
    assert outcome.err == ""
    assert f"examples:\n  forgetting {name}" in outcome.out
    assert "null" not in outcome.out


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ["claims", "simulate"])
def test_help_is_as_wide_as_the_terminal(
    name: str, width: int, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    head = command(name, "--help").out.split("options:")[0]
    usage, prose = head.split("\n\n", 1)
    assert usage.startswith(f"usage: forgetting {name} ") and usage.count("[") == usage.count("]") > 1
    assert width - 40 < max(map(len, prose.splitlines())) <= width and max(map(len, usage.splitlines())) <= width
    assert all(line.count("[") == line.count("]") for line in usage.splitlines())  # no option is broken


def test_help_says_meaning_unit_type_and_default(command: Callable[..., Outcome]) -> None:
    text = " ".join(command("simulate", "--help").out.split())
    assert "the last dose, in contaminating samples (type: a whole number, default:" in text
    assert f"default: [{', '.join(Spec().ladder.students)}])" in text


def test_version(command: Callable[..., Outcome]) -> None:
    assert command("--version").out == f"forgetting {forgetting.__version__}\n"


@pytest.mark.parametrize("family", FAMILIES)
def test_list_shows_every_part_with_its_settings(family: str, command: Callable[..., Outcome]) -> None:
    from forgetting import registry

    members = json.loads(command("list", family, "--json").out)[family]
    assert [m["name"] for m in members] == registry.names(family)
    table = command("list", family).out
    for member in members:
        assert member["what"], member["name"]
        assert member["name"] in table
        part = registry.build(family, member["name"])
        for setting in member["settings"]:
            assert setting["meaning"], f"{member['name']}.{setting['name']} has no meaning in its docstring"
            assert setting["type"]
            assert setting["name"] in table
            again = registry.build(family, {"name": member["name"], setting["name"]: setting["default"]})
            assert again == part, f"{member['name']}.{setting['name']} has another default than is shown"


def test_list_of_everything(command: Callable[..., Outcome]) -> None:
    outcome = command("list")
    assert outcome.status == 0
    for family in ("models", *FAMILIES):
        assert f"\n{family}\n" in outcome.out


def test_list_models_gives_the_counts(command: Callable[..., Outcome]) -> None:
    from forgetting.models.ladder import GPU_RUNGS, LADDER

    rungs = {m["name"]: m for m in json.loads(command("list", "models", "--json").out)["models"]}
    assert {a.name for a in (*LADDER, *GPU_RUNGS)} <= set(rungs)
    assert all(rungs[a.name]["strand"] == "defined, not trained here" for a in GPU_RUNGS)
    for rung in rungs.values():
        assert 0 < rung["non_embedding"] < rung["parameters"]
    assert {name for name, rung in rungs.items() if rung["shipped"] == "student"} >= {"10k", "34k", "100k", "175k"}
    assert rungs["1m"]["shipped"] == "teacher"
    assert rungs["3m"]["shipped"] == rungs["100m"]["shipped"] == ""
    table = command("list", "models").out
    assert "…" not in table
    assert f"{rungs['34k']['parameters']:,}" in table
    assert "defined, not trained here" in table


def test_options_override_the_file(command: Callable[..., Outcome], here: Path, begun: list[Any]) -> None:
    (here / "spec.yaml").write_text("seeds: 2\ndoses: {dose: 40, first: 10}\nladder: {students: [10k], seed: 7}\n")
    argv = ("--config", "spec.yaml", "--doses.dose", "80", "--ladder.students", "[20k, 34k]", "--shifts", "[1, 0.5]")
    assert command("simulate", *argv).status == 0
    ((spec, more),) = begun
    assert spec == spec_files.spec_from(
        {
            "seeds": 2,
            "doses": {"dose": 80, "first": 10},
            "ladder": {"students": ["20k", "34k"], "seed": 7},
            "shifts": [1.0, 0.5],
        }
    )
    assert more == {"output": Path("runs"), "store": None, "workers": None, "stack": "auto", "quiet": False}


def test_an_option_mends_what_is_wrong_in_the_file(
    command: Callable[..., Outcome], here: Path, begun: list[Any]
) -> None:
    (here / "spec.yaml").write_text("doses: {dose: 10}\n")
    assert command("simulate", "--config", "spec.yaml").status == 2
    assert command("simulate", "--config", "spec.yaml", "--doses.first", "2").status == 0
    assert begun[0][0].doses.values()[:2] == (0, 2)


def test_without_arguments_the_defaults_run(command: Callable[..., Outcome], here: Path, begun: list[Any]) -> None:
    assert command("simulate").status == 0
    assert begun[0][0] == Spec()
    assert list(here.iterdir()) == []


def test_where_and_how_to_run(command: Callable[..., Outcome], here: Path, begun: list[Any]) -> None:
    argv = ("--output", "out", "--store", "students", "--workers", "3", "--quiet")
    assert command("simulate", *argv).status == 0
    assert begun[0][1] == {
        "output": Path("out"),
        "store": Path("students"),
        "workers": 3,
        "stack": "auto",
        "quiet": True,
    }
    assert list(here.iterdir()) == []


def test_resume(command: Callable[..., Outcome], here: Path, begun: list[Any]) -> None:
    (here / "study").mkdir()
    assert command("resume", "study", "--workers", "0").status == 0
    assert begun == [(Path("study"), {"store": None, "workers": 0, "stack": None, "quiet": False, "trust": False})]


@pytest.mark.parametrize("name", ["simulate", "distil"])
def test_print_config_prints_a_spec(name: str, command: Callable[..., Outcome], here: Path) -> None:
    outcome = command(name, "--print_config", "--seeds", "4")
    assert outcome.status == 0
    (here / "printed.yaml").write_text(outcome.out)
    assert spec_files.load_spec("printed.yaml") == spec_files.spec_from({"seeds": 4})


def test_a_closed_pipe_is_no_error(here: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = f"{sys.executable} -m forgetting simulate --print_config | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=environment)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    "code",
    [
        "from forgetting import simulate",
        "import forgetting.simulate\nfrom forgetting import simulate",
        "from forgetting.simulate import run_study\nimport forgetting\nsimulate = forgetting.simulate",
        "import importlib\nimportlib.import_module('forgetting.simulate')\nfrom forgetting import simulate",
    ],
)
def test_the_function_is_handed_on_and_not_the_module_of_its_name(code: str, here: Path) -> None:
    code += "\nimport sys\nprint(type(simulate).__name__, 'torch' in sys.modules)"
    assert python(code, here) == "function False\n"


def test_names_are_handed_on_lazily(here: Path) -> None:
    out = python("import sys, forgetting\nprint(sorted(n for n in sys.modules if n.startswith('forgetting')))", here)
    assert out == "['forgetting']\n"
    for name in forgetting.__all__:
        assert getattr(forgetting, name) is not None
    assert set(forgetting.__all__) <= set(dir(forgetting))
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        forgetting.simulat  # noqa: B018
