"""All views rebuilt from a record: the files, the page, and what becomes of folders that are not as they should be."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import Markup

from forgetting.analysis.study_folder import open_study
from forgetting.analysis.tuning_cost import skill_cost
from forgetting.errors import UsageError
from forgetting.report import html
from forgetting.report.build import build_views
from forgetting.report.first_screen import first_screen
from forgetting.report.result import Result, load


@pytest.fixture(scope="module")
def built(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "synthetic"
    shutil.copytree(small_folder, folder)
    paths = build_views(folder)
    assert all(path.is_file() and path.stat().st_size for path in paths)
    return folder


@pytest.mark.slow
def test_a_study_that_is_no_sweep_does_not_wait_for_what_thresholds_need(small_folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from forgetting.report.result import load; "
        f"r = load(Path({str(small_folder)!r})); at = Path({str(tmp_path)!r}) / 'views'; "
        "r.report(at, ('tensorboard',)); "
        "assert not {'tensorflow', 'matplotlib'} & {*sys.modules}; "
        "import matplotlib; before = dict(matplotlib.rcParams); r.report(at, ('figures', 'html')); r.summary(); "
        "assert dict(matplotlib.rcParams) == before; "
        "print([m for m in ('scipy.stats', 'torch', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert (tmp_path / "views" / "report.html").is_file()


class Reader(HTMLParser):
    """Collects tags, attributes and ids, and checks that tags close in order but for those that HTML closes itself."""

    VOID = ("meta", "link", "br", "img", "input", "hr", "col")
    BY_ITSELF = ("li", "td", "th", "tr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [] if tag in self.VOID else [tag]
        for name, value in attrs:
            self.ids += [str(value)] if name == "id" else []
            self.references += [str(value)] if name in ("href", "src", "xlink:href") else []

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1] != tag and self.open[-1] in self.BY_ITSELF:
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells.append(data.strip())


def test_the_page_is_whole_and_refers_to_nothing_outside_itself(built: Path) -> None:
    text = (built / "report.html").read_text()
    page = Reader(text)
    assert page.open == [] and text.count("<script") == 1  # which sorts tables
    assert "http://" not in text and "https://" not in text
    assert page.references and all(ref.startswith("#") for ref in page.references)
    assert {ref.removeprefix("#") for ref in page.references} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_the_page_has_every_number_that_is_drawn(built: Path) -> None:
    study = open_study(built)
    cells = set(Reader((built / "report.html").read_text()).cells)
    for arm in study.arms.values():
        for curve in (c for own in arm.curves.values() for c in own.values()):
            for value in (*curve.retention, *curve.low, *curve.high, *curve.accuracy):
                assert value != value or f"{value:.3f}" in cells


def test_the_page_says_how_far_to_trust_it(built: Path) -> None:
    text = (built / "report.html").read_text()
    for said in (
        "did not run", "Noise floor", "same distilled student", "an easier benchmark", "0123456789abcdef",
        "rate policy",
        "non-embedding", "&#34;seeds&#34;: 2", "none: synthetic", "evaluation", "plasticity", "0.25× rate",
    ):  # fmt: skip
        assert said in text, said
    assert text.count("<svg view") == len(list((built / "figures").glob("*.svg")))
    assert "Left out of this page" not in text


def test_the_page_opens_with_what_was_lost_by_whom_and_how_far_that_goes(built: Path) -> None:
    study = open_study(built)
    text = (built / "report.html").read_text()
    first = text[: text.index("<h2")]
    code = {name: own["code"] for name, own in study.arm("dialogue").curves.items()}
    assert first.index("students lost") < first.index("<svg view") < first.index("<b>Exploratory</b>")
    kept, low, high = ([float(getattr(c, name)[-1]) for c in code.values()] for name in ("retention", "low", "high"))
    said = f"all keep {min(kept):.2f} to {max(kept):.2f} of it (95% intervals {min(low):.2f} to {max(high):.2f})"
    assert said in first and max(kept) - min(kept) < 0.05
    from_dose = {name: skill_cost(curve).below_from for name, curve in code.items()}
    assert all(f"{name} from {dose:,}" in first for name, dose in from_dose.items())
    assert "seeds share one student a size" in first and "60 items of 500" in first and "noise text" in first
    answer = first_screen(study)
    assert answer.answer in first and answer.answer in " ".join(str(load(built).summary()).split())


def test_what_does_not_fit_is_named_and_not_cut(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(html.LIMITS, "study", 150_000)
    text = load(built).report(built.parent / "short.html").read_text()
    assert len(text.encode()) <= 150_000 < len((built / "report.html").read_bytes())
    left_out = text.count("Left out of this page")
    assert left_out and text.count("<svg view") + text.count("its size: figures/") == len(
        list((built / "figures").glob("*.svg"))
    )
    assert 'class="first"><svg' in text  # the answer's own figure is the last to go


def test_no_name_of_an_arm_ends_the_comment_that_stands_for_a_figure() -> None:
    names = ["figures/x.svg", "figures/x--><img src=y onerror=z()>.svg"]
    text = " ".join(map(html._token, names))
    assert html._filled(text, dict(zip(names, map(Markup, ("one", "two")), strict=True)), 1000) == "one two"


def test_every_point_of_a_curve_has_a_tooltip_with_its_interval(built: Path) -> None:
    curve = open_study(built).arm("dialogue").curves["34k"]["code"]
    text = (built / "report.html").read_text()
    for dose, value, low, high in zip(curve.dose, curve.retention, curve.low, curve.high, strict=True):
        assert f"34k, dose {dose:,}: {value:.3f} ({low:.3f} to {high:.3f})" in text


@pytest.mark.slow
def test_rebuilding_gives_the_same_files(built: Path) -> None:
    before = {p: p.read_bytes() for p in built.rglob("*") if p.is_file() and "tfevents" not in p.name}
    events = {p.parent for p in built.rglob("*tfevents*")}
    build_views(built)
    assert {p: p.read_bytes() for p in before} == before
    files = list(built.rglob("*tfevents*"))
    assert {p.parent for p in files} == events and len(files) == len(events)
    assert not [p for p in built.rglob("*") if p.name.endswith(".tmp")]


@pytest.mark.usefixtures("undrawn")
def test_a_folder_without_its_ledger_still_has_curves_and_views(built: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    for name in ("record.json", "scores.jsonl", "curves.csv"):
        shutil.copy(built / name, small / name)
    whole, kept = load(built), load(small)
    assert kept.ledger is None and kept.arm_names == whole.arm_names
    for one, other in ((whole.curves, kept.curves), (whole.arm("noise").curves, kept.arm("noise").curves)):
        pd.testing.assert_frame_equal(one.to_frame(), other.to_frame(), check_dtype=False, rtol=1e-4)
    assert [path.name for path in build_views(small, ("html",))] == ["report.html"]
    assert "ledger is not in this folder" in (small / "report.html").read_text()


def test_what_is_built_can_be_chosen(small_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(small_folder, tmp_path / "s")
    assert [p.name for p in build_views(tmp_path / "s", ("curves",))] == ["curves.csv", "well_formed.csv"]
    with pytest.raises(UsageError, match="did you mean 'figures'"):
        build_views(tmp_path / "s", ("figure",))


def test_a_result_is_what_the_folder_holds(built: Path) -> None:
    result = load(built)
    assert isinstance(result, Result) and result.name == "synthetic"
    assert result.curves["34k"]["maths"].arm == "dialogue"
    assert result.arm("noise").curves["34k"]["code:2"].depth == 2
    assert list(result.arms) == ["dialogue", "dialogue-rate0.25", "noise"]
    lines = (built / "scores.jsonl").read_text().splitlines()
    assert len(result.to_frame()) == len(lines)
    first = json.loads(lines[0])
    assert {k: v for k, v in result.to_frame().iloc[0].items() if v == v} == {
        k: v for k, v in first.items() if v is not None
    }
    assert "3 arm(s)" in repr(result) and "10k, 34k" in repr(result)
    assert "<table" in result._repr_html_()


@pytest.mark.usefixtures("undrawn")
def test_a_report_can_be_put_elsewhere(built: Path, tmp_path: Path) -> None:
    result = load(built)
    assert result.report(tmp_path / "for a colleague.html").read_text().startswith("<!doctype html>")
    with pytest.raises(UsageError, match="cannot be written"):
        result.report(built / "record.json", ("curves",))
    assert (built / "record.json").read_text().startswith("{")


def _break(folder: Path, what: str) -> None:
    record = folder / "record.json"
    if what == "no record":
        record.unlink()
    elif what == "unfinished":
        record.unlink()
        (folder / "runs").mkdir()
    elif what == "cut record":
        record.write_text(record.read_text()[:100])
    elif what == "another record":
        record.write_text("[1, 2]")
    elif what == "cut ledger":
        (folder / "ledger.parquet").write_bytes((folder / "ledger.parquet").read_bytes()[:500])
    elif what == "no ledger":
        (folder / "ledger.parquet").unlink()
    elif what == "another ledger":
        pd.DataFrame({"a": [1]}).to_parquet(folder / "ledger.parquet")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no record", "not the folder of a study"),
        ("unfinished", "forgetting resume"),
        ("cut record", "not readable as JSON"),
        ("another record", "no mapping"),
        ("cut ledger", "not a readable parquet file"),
        ("no ledger", "neither ledger.parquet nor curves.csv"),
        ("another ledger", "columns missing"),
    ],
)
def test_a_broken_folder_is_one_line(small_folder: Path, tmp_path: Path, what: str, said: str) -> None:
    shutil.copytree(small_folder, tmp_path / "s")
    _break(tmp_path / "s", what)
    with pytest.raises(UsageError, match=said) as error:
        load(tmp_path / "s")
    assert "\n" not in str(error.value)


def test_a_missing_folder_and_a_file_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="got a file"):
        load(tmp_path / "file")


def test_an_unknown_arm_gives_the_nearest(small_folder: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'dialogue'"):
        load(small_folder).arm("dialog")


@pytest.mark.usefixtures("undrawn")
def test_optional_keys_may_be_missing_and_text_from_the_record_is_escaped(small_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(small_folder, tmp_path / "s")
    benchmarks = json.loads((tmp_path / "s" / "record.json").read_text())["benchmarks"]
    (tmp_path / "s" / "record.json").write_text(json.dumps({"benchmarks": benchmarks, "name": "<b>bold</b>"}))
    page = load(tmp_path / "s").report(tmp_path / "page.html").read_text()
    assert "dialogue" in page and "<b>bold" not in page and "&lt;b&gt;bold" in page
    assert len(build_views(tmp_path / "s", ("curves", "tensorboard"))) == 2 + 12 + 1
