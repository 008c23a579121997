"""The page on sweeps is true: its example runs, its files, options and executors exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from forgetting.executors import MEMBERS
from forgetting.report.sweeps.views import CAPTIONS
from forgetting.study.spec_files import built_from, read_mapping
from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.locate import Located
from forgetting.sweep.sweep_spec import SweepSpec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sweeps.md").read_text()


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"<!-- EXAMPLE -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert code
    names: dict[str, object] = {}
    exec(code[1], names)
    found = names["found"]
    assert isinstance(found, Located) and 0 < found.runs <= 8
    assert (found.folder / "report.html").is_file() and found.folder.parent.name == "runs"


def test_every_executor_and_every_view_has_its_row() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| [^|]*\| [^|]*\|$", PAGE, re.MULTILINE)) >= set(MEMBERS)
    shown = {line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| ")}
    named = {"shape": "step or trend"}
    assert {named.get(kind, kind) for kind in CAPTIONS} <= shown


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sweep_can_be_laid_out_without_a_network(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    whole = construct_sweep(built_from(SweepSpec, read_mapping(path)))
    assert all(len(own.points) >= 2 for own in whole.spaces)
    assert len({own.name for own in whole.spaces}) == len(whole.spec.targets)


def test_every_sweep_has_its_row_in_the_readme() -> None:
    text = (ROOT / "sweeps" / "README.md").read_text()
    files = {path.name for path in (ROOT / "sweeps").glob("*.yaml")}
    assert set(re.findall(r"^\| \[(\S+\.yaml)\]\(\1\)", text, re.MULTILINE)) == files
    for file in re.findall(r"sweeps/\w+\.yaml", text + PAGE):
        assert (ROOT / file).is_file(), file
