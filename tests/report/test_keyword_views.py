"""The section on keywords from a folder with its ledger, and from the same folder without it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from forgetting.analysis.study_folder import open_study
from forgetting.errors import UsageError
from forgetting.report import figures, keyword_views
from forgetting.report.build import build_views
from tests.report.conftest import write_study

FIGURE = "keywords-code"


@pytest.fixture
def folder(synthetic_ledger: pd.DataFrame, tmp_path: Path) -> Path:
    """One arm of the synthetic study; its programs are asked by description too, and by conflicts, with other luck."""
    own = synthetic_ledger[(synthetic_ledger["arm"] == "dialogue") & (synthetic_ledger["student"] != "100k")]
    code = own[own["benchmark"] == "code"]
    shifted = [("functional", 1), ("conflict", 7), ("conflict_turned", 11)]
    told = [code] + [code.assign(variant=v, verdict=code["verdict"].shift(n, fill_value="right")) for v, n in shifted]
    every = pd.concat(told)
    number = every["item"].str.rpartition("-")[2]
    every["item"] = "code/" + every["variant"].astype(str) + "/" + number
    every["kind"] = every["kind"].where(every["variant"] == "original", "description")
    return write_study(tmp_path / "s", pd.concat([own[own["benchmark"] != "code"], every], ignore_index=True))


def test_without_the_ledger_the_figure_is_drawn_from_the_table_that_was_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "figures", keyword_views.drawn)  # no others
    build_views(folder, ("curves", "figures"))
    table, figure = folder / "keyword_dependence.csv", folder / "figures" / f"{FIGURE}.svg"
    whole, drawn = open_study(folder), figure.read_bytes()
    (folder / "ledger.parquet").unlink()
    kept = open_study(folder)
    found = keyword_views.keyword_table(kept)
    pd.testing.assert_frame_equal(found, keyword_views.keyword_table(whole), check_dtype=False, rtol=1e-5)
    assert found["won"].notna().all() and (found["items"] == 60).all()
    figure.unlink()
    build_views(folder, ("curves", "figures", "html"))
    assert len(figure.read_bytes()) == pytest.approx(len(drawn), rel=0.01) and "Also in figures/" not in page(folder)
    older = pd.read_csv(table).drop(columns="items")  # of former versions
    older.to_csv(table, index=False)
    assert FIGURE in keyword_views.drawn(open_study(folder))
    older.assign(won="much").to_csv(table, index=False)
    with pytest.raises(UsageError, match=r"keyword_dependence\.csv: column won must be numbers"):
        keyword_views.drawn(open_study(folder))


def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("undrawn")
def test_a_figure_that_cannot_be_drawn_again_stays_and_is_named(folder: Path) -> None:
    (folder / "figures").mkdir()
    (folder / "figures" / f"{FIGURE}.png").write_bytes(b"a picture")
    build_views(folder, ("curves", "figures", "html"))
    assert "Also in figures/" not in page(folder)
    for name in ("ledger.parquet", "keyword_dependence.csv"):
        (folder / name).unlink()
    build_views(folder, ("curves", "figures", "html"))
    assert "which this folder has not: keywords-code.png." in page(folder)
    assert (folder / "figures" / f"{FIGURE}.png").read_bytes() == b"a picture"
