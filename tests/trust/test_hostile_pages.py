"""Pages in Markdown of folders that others wrote, and names too long for a disk: what they say stays words."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from forgetting import registry
from forgetting.callbacks.watching import Watching
from forgetting.errors import UsageError
from forgetting.models.checkpoint import looks_like_one
from forgetting.own_model import given
from forgetting.record.seals import write_sealed
from forgetting.report import drawing, inline_svg
from forgetting.report.index import write_index
from forgetting.report.paper import page_of
from tests.report.conftest import synthetic_record, write_study
from tests.report.test_paper import verdict

SAYS = "<script>alert(1)</script>\n# Owned\n[a](javascript:alert(1)) | b <img src=x>"
LONG = "a" * 5000


@pytest.fixture(scope="module", name="results")
def _results(tmp_path_factory: pytest.TempPathFactory, ledger: pd.DataFrame) -> Path:
    folder = tmp_path_factory.mktemp("place") / "results"
    write_study(folder / "study-1", ledger)
    return folder


def harmless(page: str) -> None:
    """Nothing of ``SAYS`` is a tag, a heading, a link or a column, and it is still there."""
    assert "alert(1)" in page and "<script" not in page and "<img" not in page
    assert "](javascript" not in page and "\n# Owned" not in page


def test_verdicts_and_tables_of_others_are_words_in_the_page_of_the_paper(results: Path) -> None:
    study, texts = results / "study-1", ("reason", "study", "conditions")
    (study / "claims.json").write_text(json.dumps([verdict("C5", "supported", 0.9, **dict.fromkeys(texts, SAYS))]))
    pd.DataFrame({"branch": [SAYS], SAYS: [1.0]}).to_csv(study / "branch_table.csv", index=False)
    pd.DataFrame({"ordering": ["S2"], "verdict": [SAYS]}).to_csv(study / "orderings.csv", index=False)
    page = page_of(results, Path("../results"))
    harmless(page)
    rows = [line for line in page.splitlines() if "alert(1)" in line and line.startswith("|")]
    assert rows and all(row.count("|") in (3, 6) for row in rows)  # the columns of the two tables
    (study / "claims.json").write_text(json.dumps([verdict("C5", "supported", 0.9, reason="\x1b[31m")]))
    with pytest.raises(UsageError, match=r"claims\.json: not readable as verdicts \(control characters"):
        page_of(results, Path("../results"))
    (study / "claims.json").unlink()


@pytest.mark.drawn
@pytest.mark.parametrize("rule", ["}body{background:url(http://elsewhere/)}", "}*{display:none"])
def test_a_name_in_a_figure_is_no_style_of_the_page(rule: str) -> None:
    name = f'a style="{rule}" d="M 1.11" x="2.22" href="#m0" id="3"'
    figure = Figure()
    ax = figure.add_subplot(title=name)
    ax.plot([1, 2], [1, 2], marker="o", label=name)
    ax.legend()
    drawn, (style, shapes) = inline_svg.inline({"figure": drawing.svg(figure)})
    assert rule not in style and rule not in shapes
    assert html.unescape(drawn["figure"]).count(name) == 4  # title, legend, and two tooltips


@pytest.mark.parametrize("name", ["orderings.csv", "branch_table.csv"])
def test_a_table_that_is_a_pipe_is_not_waited_for(results: Path, name: str) -> None:
    path = results / "study-1" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    page = page_of(results, Path("../results"))
    path.unlink()
    assert page == page_of(results, Path("../results"))  # nothing is there that could be read


def test_names_of_others_are_words_in_the_index(results: Path) -> None:
    students = [{"name": "a|b<script>alert(1)"}, {"name": "[x](javascript:alert(1))"}]
    record = synthetic_record() | {"name": SAYS, "students": students}
    write_sealed(results / "study-1" / "record.json", record)
    page = write_index(results).read_text()
    harmless(page)
    assert page.splitlines()[-1].count("|") == 7


def test_names_that_are_too_long_for_a_disk_name_nothing() -> None:
    assert not looks_like_one(LONG)
    with pytest.raises(UsageError, match="model"):
        given.student_of(LONG)
    with pytest.raises(UsageError, match="data"):
        given.source_of(LONG, natural=True)
    with pytest.raises(UsageError, match="source"):
        next(registry.build("contamination", {"name": "conversations", "source": f"./{LONG}"}).samples(None))  # type: ignore[attr-defined]


@pytest.mark.parametrize("ratio", [float("inf"), float("nan"), 1.0, True, "2"])
def test_looks_of_a_callback_that_would_end_a_training(tmp_path: Path, ratio: float) -> None:
    with pytest.raises(UsageError, match="ratio: must be a number above 1"):
        Watching.of(tmp_path / "new", "gsm8k", ratio=ratio)
