"""The main job end to end, by plain arguments and by the command: a small study of a shipped student."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forgetting import Result, load, simulate
from forgetting.errors import UsageError
from forgetting.resume import resume
from forgetting.spec import Doses, Evaluation, Spec

SMALL = Evaluation(
    benchmarks=({"name": "maths", "items_per_depth": 8}, {"name": "lookup", "item_count": 12}), probe_items=10
)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def result(output: Path) -> Result:
    return simulate(
        students=["34k"], contamination="dialogue", dose=100, doses=Doses(dose=400, first=40), seeds=2,
        evaluation=Evaluation(probe_items=10), benchmarks=SMALL.benchmarks, output=output,
        store=output / "store", workers=0, quiet=True,
    )  # fmt: skip


def test_a_curve_is_what_the_scores_say(result: Result) -> None:
    curve = result.curves["34k"]["maths"]
    assert list(curve.dose) == [0, 40, 80, 100]
    scores = result.to_frame()
    own = scores[(scores["skill"] == "maths") & scores["depth"].isna() & (scores["variant"] == "original")]
    assert set(own["seed"]) == {0, 1}
    pooled = own.groupby("dose")["accuracy"].mean()
    assert list(curve.accuracy) == pytest.approx(list(pooled))
    assert list(curve.retention) == pytest.approx(list(pooled / pooled[0]))
    assert all(curve.low <= curve.retention)
    assert all(curve.retention <= curve.high)


def test_the_stream_is_exact(result: Result) -> None:
    frame = result.to_frame()
    assert (frame["stream_samples"] == frame["dose"]).all()
    assert (frame.groupby("dose")["dose_tokens"].nunique() <= 2).all()  # one count a seed
    assert (frame[frame["dose"] == 0]["dose_tokens"] == 0).all()


def test_dose_0_is_the_base_itself(result: Result) -> None:
    start = result.to_frame().query("dose == 0")
    assert start["kl"].abs().max() < 1e-6
    assert (start["delta_nll"] == 0).all()
    assert start[start["benchmark"] != "probe"]["lost"].max() == 0


def test_the_same_call_gives_the_study_back_and_load_the_same_object(result: Result, output: Path) -> None:
    record = (result.folder / "record.json").read_bytes()
    again = simulate(
        Spec(evaluation=SMALL), students=["34k"], contamination="dialogue", dose=100, seeds=2, output=output,
        store=output / "store", workers=0, quiet=True,
    )  # fmt: skip
    assert again.folder == result.folder
    assert (result.folder / "record.json").read_bytes() == record
    pd.testing.assert_frame_equal(load(result.folder).to_frame(), result.to_frame())


def test_failures_add_up_to_wrong_answers_and_are_the_same_from_the_ledger(result: Result, tmp_path: Path) -> None:
    table = result.failures()
    assert set(table["benchmark"]) == {"maths"}
    assert list(table.groupby("dose")["per_item"].sum()) == pytest.approx([1, 1, 1, 1])
    right = table[table["failure"].isin(["none", "right_by_wrong_steps"])].groupby("dose")["per_item"].sum()
    assert list(right) == pytest.approx(list(result.curves["34k"]["maths"].accuracy))
    shutil.copytree(result.folder, tmp_path / "older")
    (tmp_path / "older" / "failures.csv").unlink()
    older = load(tmp_path / "older")
    pd.testing.assert_frame_equal(older.failures(), table)


def test_a_report_is_one_file(result: Result, tmp_path: Path) -> None:
    result.report(tmp_path / "report.html")
    assert "34k" in (tmp_path / "report.html").read_text()


def test_a_plot_has_a_panel_a_skill_with_the_curve_in_it(result: Result) -> None:
    panels = {ax.get_title(): ax for ax in result.plot().axes if ax.get_visible()}
    assert list(panels) == ["lookup", "maths"] or list(panels) == ["maths", "lookup"]
    (line,) = [line for line in panels["maths"].lines if line.get_label() == "34k"]
    assert list(line.get_ydata()) == list(result.curves["34k"]["maths"].retention)
    with pytest.raises(UsageError, match="did you mean 'dialogue'"):
        result.plot("dialog")


def test_every_commit_that_worked_on_a_study_is_in_its_record(
    output: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def at(commit: str) -> Result:
        monkeypatch.setattr("forgetting.stages.folder.commit", lambda: commit)
        return simulate(Spec(evaluation=SMALL), students=["10k"], contamination="noise", dose=20, output=tmp_path,
                        store=output / "store", workers=0, quiet=True)  # fmt: skip

    monkeypatch.setattr(sys.modules["forgetting.simulate"], "assemble", _interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        at("first")
    (folder,) = tmp_path.iterdir()
    assert f"forgetting resume {folder}" in caught.value.__notes__[0]
    monkeypatch.undo()
    assert at("second").record["commit"] == "first, second"
    assert at("third").record["commit"] == "first, second"  # it was complete


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_quiet_is_quiet(output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    simulate(Spec(evaluation=SMALL), students=["10k"], contamination="noise", dose=20, output=output,
             store=output / "store", workers=0, quiet=True)  # fmt: skip
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"students": ["35k"]}, ["35k", "did you mean '34k'"]),
        ({"students": []}, ["students", "at least one"]),
        ({"dose": 2.5}, ["dose", "2.5"]),
        ({"dose": -1}, ["dose", "-1"]),
        ({"shift": 1.2}, ["shift", "1.2"]),
        ({"contamination": "dialog"}, ["dialog", "did you mean 'dialogue'"]),
        ({"mitigation": {"name": "l2_sp", "strength": -1.0}}, ["strength", "-1.0"]),
        ({"controls": ["shame"]}, ["shame", "did you mean 'sham'"]),
        ({"seeds": 0}, ["seeds", "0"]),
        ({"benchmarks": ["math"]}, ["benchmarks[0]", "did you mean 'maths'"]),
    ],
)
def test_a_wrong_argument_is_one_line_and_leaves_nothing(
    arguments: dict[str, object], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        simulate(output=tmp_path, workers=0, quiet=True, **arguments)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_the_command_leaves_everything_that_it_promises(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "forgetting", "simulate", "--output", str(tmp_path / "runs"),
        "--store", str(tmp_path / "store"), "--ladder.students", "[34k]", "--contaminations", "[dialogue]",
        "--doses.dose", "40", "--evaluation.probe_items", "10",
        "--evaluation.benchmarks", "[{name: maths, items_per_depth: 5}, {name: lookup, item_count: 10}]",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    for name in ("record.json", "scores.jsonl", "ledger.parquet", "curves.csv", "report.html"):
        assert (folder / name).stat().st_size > 0
    assert list(folder.glob("figures/*.svg"))
    assert list(folder.glob("tensorboard/*/*tfevents*"))
    record = json.loads((folder / "record.json").read_text())
    assert record["fingerprint"].startswith(folder.name.rsplit("-", 1)[1])
    assert {"runs: training", "runs: evaluation", "runs: checkpoint", "runs: logging"} <= record["seconds"].keys()
    for word in ("34k", "maths", "lookup", "Noise floor", "Seconds inside the runs", "evaluation"):
        assert word in done.stdout
    lines = [re.sub(r"^\[\d+:\d\d\] ", "", line) for line in done.stderr.splitlines()]
    assert lines == [
        f"study: {folder}, 1 run", "dose 40 lies in the warm-up of 20 steps of 32 samples",
        "contamination: 1 to do", "contamination 1/1 done: 34k dialogue seed 0",
        "views: figures, TensorBoard, report.html",
    ]  # fmt: skip
    again = subprocess.run(
        [sys.executable, "-m", "forgetting", "resume", str(folder)], capture_output=True, text=True, cwd=tmp_path
    )
    assert again.returncode == 0
    assert json.loads((folder / "record.json").read_text()) == record


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"commits": ["abc", "def"]}, "was made by an earlier version (commit abc, def), and this one can report"),
        ({"version": "0.0.9"}, "was made by version 0.0.9, and this one can report and load it only"),
    ],
)
@pytest.mark.parametrize("old", [{}, {"replays": [0.0]}])
def test_to_resume_a_folder_of_another_version_says_which(
    plan: dict[str, Any], words: str, old: dict[str, Any], tmp_path: Path
) -> None:
    spec = {**dataclasses.asdict(Spec()), **old}
    (tmp_path / "spec.json").write_text(json.dumps({**plan, "fingerprint": "0123456789abcdef", "spec": spec}))
    with pytest.raises(UsageError) as caught:
        resume(tmp_path)
    assert words in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert ("replays" in str(caught.value)) == bool(old)


def test_an_argument_that_does_not_exist_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="argument: unknown name 'sheeds'; did you mean 'seeds'"):
        simulate(sheeds=3)  # type: ignore[call-arg]
