"""Every comparison runs at its smallest setting and writes a result with its origin."""

from __future__ import annotations

import importlib.util
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

SPEED = Path(__file__).parents[2] / "speed"
MEASURED = {
    "distillation": ["students", "width-16", "to the target", 0, "seconds"],
    "checkpoint": ["rows", 0, "milliseconds_inside", "forgetting", "median"],
    "evaluation": ["looks", 0, "times_faster_with_drafts", "median"],
    "gpu": ["times_faster", "stacked", "median"],
    "memory": ["times_faster", "median"],
    "on_policy": ["times_faster_whole_step", "plain", "median"],
    "replicas": ["rows", 1, "times_faster", "stack", "median"],
    "floor": ["rows", 0, "share_of_the_machine", "median"],
    "scaling": ["axes", "dose", "seconds", "32", "median"],
    "stacked_looks": ["rows", 0, "times_faster", "median"],
    "sweep_workers": ["times_faster", "median"],
    "study": ["times_faster_than", "plain", "median"],
    "threshold": ["seconds_a_run", "forgetting", "median"],
    "variants": ["batch", "times_faster_than_generate", "median"],
    "workers": ["times_faster_whole_study", "median"],
}
WAYS = ["--ways", "to the target", "whole length"]
ARGUMENTS = {
    "distillation": WAYS,
    "scaling": ["--axes", "dose"],
    "study": ["--loops", "plain", "--workers", "0"],
    "threshold": [str(SPEED.parent / "results" / "section_4_2-e1f15cb5"), "--loops", "plain"],
}


def run(name: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The result of a script at its smallest setting, with one pair."""
    monkeypatch.syspath_prepend(str(SPEED))
    given = ["--tiny", "--pairs", "1", "--output", str(output), *ARGUMENTS.get(name, [])]
    monkeypatch.setattr(sys, "argv", [f"speed/{name}.py", *given])
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(SPEED / f"{name}.py"), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    found = json.loads(output.read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
@pytest.mark.drawn
@pytest.mark.parametrize("name", MEASURED)
def test_a_script_measures_and_says_with_what(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(name, tmp_path / "result.json", monkeypatch)
    value: object = found
    for key in MEASURED[name]:
        value = value[key]  # type: ignore[index]
    assert isinstance(value, float) and value > 0
    assert {"what", "command", "commit", "hardware", "versions", "load_average"} <= found.keys()


@pytest.mark.slow
def test_the_loops_learn_our_tokens_and_answer_as_we_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("trl"):
        monkeypatch.setitem(ARGUMENTS, "study", ["--loops", "trl", "plain", "--workers", "0"])
    found = run("study", tmp_path / "result.json", monkeypatch)
    for loop, same in found["same_tokens"].items():  # type: ignore[attr-defined]
        assert same, loop
        assert found["agreement"][loop][-1]["same_verdicts"] > 0.95  # type: ignore[index]


@pytest.mark.slow
def test_looks_as_they_were_and_as_they_are_answer_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from forgetting.evaluation import looks

    monkeypatch.setattr(looks, "same_weights", looks.same_weights)  # the script puts another in its place
    monkeypatch.syspath_prepend(str(SPEED))
    output = tmp_path / "result.json"
    monkeypatch.setattr(sys, "argv", ["speed/interval_evaluation.py", "--tiny", "--output", str(output)])
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(SPEED / "interval_evaluation.py"), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    found = json.loads(output.read_text())
    assert found["ratio"] > 0
    assert found["runs"] and all(row["answers"] and not row["answers differing"] for row in found["runs"])


def test_each_script_has_a_row_and_each_row_a_script() -> None:
    rows = [line for line in (SPEED / "README.md").read_text().splitlines() if line.startswith("| [")]
    helpers = {"apart", "measuring", "loops", "gkd", "before"}
    scripts = {file.stem for file in SPEED.glob("*.py")} - helpers
    assert {row.split("[")[1].split(".py")[0] for row in rows} == scripts


def test_every_committed_result_says_what_it_measured_and_where() -> None:
    for file in sorted((SPEED.parent / "results" / "speed").glob("*.json")):
        found = json.loads(file.read_text())
        assert {"commit", "hardware", "versions"} <= found.keys(), file.name
