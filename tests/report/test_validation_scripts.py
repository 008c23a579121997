"""Scripts that read folders of studies: a wrong one is one line and status 2, as on the command line."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from forgetting.errors import run_script

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "validation/advice.py": ["{}"],
    "validation/agreement.py": ["{}", "{}"],
    "validation/scatter.py": ["{}"],
    "validation/student_sets.py": ["{}", "{}"],
    "experiments/headline.py": ["{}"],
    "experiments/protection.py": ["judge", "{}"],
}


def refused(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a script says of a folder that it cannot use, in one line after its own name."""
    monkeypatch.setattr(sys, "argv", [script, *(word.format(folder) for word in SCRIPTS[script])])
    monkeypatch.syspath_prepend(str((ROOT / script).parent))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert ended.value.code == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith(f"{Path(script).name}: ") and str(folder) in said
    return said


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_folder_that_is_no_study_is_refused(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(script, tmp_path / "nowhere", monkeypatch, capsys)


@pytest.mark.parametrize(
    ("script", "needs"),
    [
        ("validation/advice.py", "three ways"), ("validation/agreement.py", "a sweep that has ended"),
        ("validation/scatter.py", "its arms: "), ("validation/student_sets.py", "the arm dialogue"),
    ],
)  # fmt: skip
def test_a_study_of_another_kind_is_refused(
    script: str, needs: str, study_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert needs in refused(script, study_folder, monkeypatch, capsys)


def test_the_agreement_of_the_committed_sweeps_is_what_the_script_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptive, grid = (str(*(ROOT / "results").glob(f"quick_{name}-*")) for name in ("sweep", "grid"))
    monkeypatch.setattr(sys, "argv", ["agreement.py", adaptive, grid, "--output", str(tmp_path)])
    runpy.run_path(str(ROOT / "validation" / "agreement.py"), run_name="__main__")
    made, kept = ((place / "agreement.md").read_text() for place in (tmp_path, ROOT / "results" / "validation"))
    assert made.split("| target")[1] == kept.split("| target")[1]
    assert (tmp_path / "agreement.png").is_file()


def test_a_fault_of_the_script_itself_is_not_hidden() -> None:
    def mistaken() -> None:
        raise KeyError("a fault")

    with pytest.raises(KeyError, match="a fault"):
        run_script(mistaken)
