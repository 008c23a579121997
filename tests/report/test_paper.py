"""The paper re-measured: what the page takes from verdicts and orderings, and what it says where there are none."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from forgetting.cli import main
from forgetting.errors import UsageError
from forgetting.report.paper import page_of


def verdict(claim: str, status: str, value: float, **changed: Any) -> dict[str, Any]:
    """A verdict as ``forgetting claims --output`` writes it."""
    part = {
        "name": "loss", "statistic": "what is lost", "outcome": "supports", "value": value, "low": value - 0.1,
        "high": None, "note": "", "seeds": 8, "sizes": 3, "items": 510,
        "by_size": [{"student": "34k", "value": value, "low": value - 0.1, "high": value + 0.1}],
    }  # fmt: skip
    rival = {"name": "noise", "text": "any text does it", "state": "explains", "evidence": "noise costs 0.9"}
    whole = {
        "claim": claim, "verdict": status, "exploratory": False, "reason": "supports: loss", "study": "synthetic",
        "conditions": "dialogue against maths", "sizes": 3, "seeds": 8, "items": 510, "parts": [part],
        "rivals": [rival], "missing": [], "rules_version": 1, "zones": None,
    }  # fmt: skip
    return whole | changed


@pytest.fixture
def results(small_folder: Path, tmp_path: Path) -> Path:
    """A folder of results: two folders of the synthetic study, verdicts and orderings in both."""
    folder = tmp_path / "results"
    for name in ("first-1", "second-2"):
        shutil.copytree(small_folder, folder / name)
    less = verdict("C5", "contradicted", 0.2, seeds=3, missing=["seeds: 3 of 5"], exploratory=True)
    (folder / "first-1" / "claims.json").write_text(json.dumps([less]))
    (folder / "second-2" / "claims.json").write_text(json.dumps([verdict("C5", "supported", 0.87)]))
    rows = ["ordering,verdict", "S2,pass", "S2,pass", "S3,fail", "S8,pass", "S8,open", "S10,pass", "S10,fail"]
    (folder / "first-1" / "orderings.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_every_claim_and_ordering_has_a_verdict_or_says_what_it_would_take(results: Path) -> None:
    page = page_of(results, Path("../results"))
    for number in range(1, 15):
        _, own = page.split(f"### C{number}\n", 1)
        own = own.split("\n### ")[0].split("\n## ")[0]
        assert ("Verdict: **open**" in own and "It would take" in own) != (number == 5), number
        assert "- At 4B: " in own
    for number in range(1, 11):
        (line,) = re.findall(rf"^\| S{number} \|.*$", page, re.MULTILINE)
        assert "it takes" in line or f"first-1/{'orderings.csv'}" in line
    said = {n: re.search(rf"^\| S{n} \|.*\*\*(.+?)\*\*", page, re.MULTILINE)[1] for n in (1, 2, 3, 8, 10)}  # type: ignore[index]
    assert said == {1: "open", 2: "pass", 3: "fail", 8: "pass in part", 10: "open"}


def test_the_verdict_that_measured_most_is_shown_with_interval_rivals_and_students(results: Path) -> None:
    own = page_of(results, Path("../results")).split("### C5\n", 1)[1].split("\n### ")[0]
    assert "**supported** (supports: loss); 3 sizes, 8 students a size, 510 items" in own
    assert "+0.87 (+0.77 to open): supports" in own and "34k +0.87 (+0.77 to +0.97)" in own
    assert "any text does it: explains (noise costs 0.9)" in own
    assert "[second-2](../results/second-2/claims.json)" in own


def test_tables_in_the_papers_form_stand_beside_what_was_measured(results: Path) -> None:
    page = page_of(results, Path("../results"))
    assert "| Qwen3-14B | 57.8 | 41.3 | 28.5% | 51.2 | 39.8 |" in page
    assert "| student | maths (original) | maths (perturbed) | drop |" in page
    row = next(line for line in page.splitlines() if line.startswith("| 34k | "))
    assert re.match(r"\| 34k \| \d+\.\d \| \d+\.\d \| -?\d+\.\d% \|", row)
    assert "Not measured: it takes branches of one trunk" in page


def test_the_command_writes_it_beside_the_results(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--paper", str(results)]) == 0
    page = results.parent / "docs" / "paper.md"
    assert capsys.readouterr().out == f"{page}\n" and page.read_text() == page_of(results, Path("../results"))


def test_a_page_of_ones_own_is_not_written_over(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = results.parent / "docs" / "paper.md"
    page.parent.mkdir()
    page.write_text("# My paper\n")
    assert main(["report", "--paper", str(results)]) == 2 and page.read_text() == "# My paper\n"
    assert f"{page}: is a page of another kind" in capsys.readouterr().err


def test_what_cannot_be_read_is_one_line(results: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UsageError, match="folder with studies"):
        page_of(tmp_path / "nothing", Path("x"))
    (results / "first-1" / "claims.json").write_text('[{"claims": 1}]')
    with pytest.raises(UsageError, match=r"first-1/claims\.json: not readable as verdicts"):
        page_of(results, Path("x"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("claims.json", json.dumps([{"claim": "C5"}]), "not readable as verdicts"),
        ("claims.json", json.dumps([verdict("C5", "sure", 0.2)]), "no verdict is called sure"),
        ("orderings.csv", "", "not readable as a table"),
        ("orderings.csv", "a,b\n1,2\n", "must have the columns ordering and verdict, lacks ordering, verdict"),
        ("branch_table.csv", "a\n1,2\n3,4,5\n", "not readable as a table"),
    ],
)
def test_a_file_of_another_shape_is_one_line(results: Path, name: str, text: str, said: str) -> None:
    (results / "first-1" / name).write_text(text)
    with pytest.raises(UsageError, match=rf"first-1/{name.replace('.', chr(92) + '.')}: .*{said}"):
        page_of(results, Path("x"))


def test_a_study_that_names_what_it_lacked_stands_before_one_that_was_not_meant_for_the_claim(results: Path) -> None:
    untested = {"outcome": "not testable", "value": None, "low": None, "by_size": []}
    parts = [verdict("C4", "not_testable", 0.0)["parts"][0] | untested]
    for name, study, missing in (("first-1", "branches", ["equal skill: 1 of 2 trunks"]), ("second-2", "others", [])):
        own = verdict("C4", "not_testable", 0.0, parts=parts, study=study, missing=missing, seeds=0, sizes=0, items=0)
        (results / name / "claims.json").write_text(json.dumps([own]))
    own = page_of(results, Path("../results")).split("### C4\n", 1)[1].split("\n### ")[0]
    assert "- Study: branches, " in own


def test_a_part_that_was_measured_stands_below_its_claim(results: Path) -> None:
    assert "Of its parts was measured" not in page_of(results, Path("../results"))
    (results / "first-1" / "protection.csv").write_text("size,area\nwidth-32,0.13\n")
    own = page_of(results, Path("../results")).split("### C10\n", 1)[1].split("\n### ")[0]
    assert "[first-1](../results/first-1/protection.csv)" in own and "| width-32 | 0.13 |" in own
