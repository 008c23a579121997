"""What the terminal says of the synthetic study."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console, RenderableType

from forgetting.analysis.curves import Curves, StudentCurves
from forgetting.analysis.study_folder import ArmCurves, StudyFolder, open_study
from forgetting.report import terminal


def shown(what: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_gives_retention_with_its_interval_or_the_status(study_folder: Path) -> None:
    study = open_study(study_folder)
    arm = study.arm("dialogue")
    text = shown(terminal.retention_table(arm, ["maths", "code", "lookup"]))
    curve = arm.curves["100k"]["maths"]
    assert f"{curve.retention[-1]:.2f}" in text and f"{curve.low[-1]:.2f}–{curve.high[-1]:.2f}" in text
    assert "learned" in text and f"start {arm.curves['10k']['maths'].accuracy[0]:.2f}" in text


def test_the_plot_has_a_letter_for_each_student_that_learned(study_folder: Path) -> None:
    arm = open_study(study_folder).arm("dialogue")
    plain = terminal.plot(arm, "code", unicode=False).plain
    assert plain.isascii() is False  # the frame
    lines = plain.splitlines()
    assert lines[-1].split() == ["a", "10k", "b", "34k", "c", "100k"]
    canvas = "".join(line.split("│")[1] if "│" in line else "" for line in lines)
    assert all(letter in canvas for letter in "abc")
    assert max(len(line) for line in lines) <= 80
    ticks = next(line for line in lines if "320" in line)
    assert ticks.split() == ["0", "20", "80", "320", "1.3k"]
    assert "b 100k" in terminal.plot(arm, "maths").plain  # 10k has no line: a is 34k


def test_nothing_learned_is_a_sentence(study_folder: Path) -> None:
    arm = open_study(study_folder).arm("dialogue")
    assert "no student has learned poetry" in terminal.plot(arm, "poetry").plain.lower()


def test_the_summary_plots_what_was_learned(study_folder: Path) -> None:
    """A checkpoint may pass one benchmark only, and not maths."""
    study = open_study(study_folder)
    for skills in study.arm("dialogue").curves.values():
        for key in [key for key in skills if key.startswith("maths")]:
            skills[key] = replace(skills[key], status="not_learned")
    text = shown(terminal.summary(study))
    assert "nothing to plot" not in text and "┤" in text


def test_the_summary_says_all_that_a_reader_needs(study_folder: Path) -> None:
    text = shown(terminal.summary(open_study(study_folder)))
    for said in ("Noise floor", "2 contamination seeds", "same distilled student", "evaluation", "not_learned"):
        assert said in text
    assert "control dialogue-rate0: lowest retention" in text and "rate policy constant" in text
    assert "not_reached" in text and "0.25× rate" in text


def test_wall_seconds_and_seconds_inside_the_runs_are_apart(study_folder: Path) -> None:
    record = open_study(study_folder).record | {
        "seconds": {"contamination": 40.0, "runs: training": 45.0, "runs: evaluation": 15.0, "study": 80.0}
    }
    wall, inside = (shown(table) for table in terminal.seconds_tables(StudyFolder(study_folder, record)))
    assert _shares(wall) == {"contamination": "50%", "whole study": "100%"}
    assert _shares(inside) == {"training": "75%", "evaluation": "25%", "all runs": "100%"}


def _shares(text: str) -> dict[str, str]:
    rows = [line.split("│") for line in text.splitlines() if line.count("│") == 4]
    return {cells[1].strip(): cells[3].strip() for cells in rows}


def test_five_skills_fit_in_eighty_columns(study_folder: Path) -> None:
    arm = open_study(study_folder).arm("dialogue")
    curves = {"classification": "code", "maths": "maths", "code": "code", "traps": "maths", "lookup": "lookup"}
    students = {s: StudentCurves({name: own[of] for name, of in curves.items()}) for s, own in arm.curves.items()}
    wide = ArmCurves(arm.name, arm.settings, Curves(students))
    text = shown(terminal.retention_table(wide, list(curves)))
    assert "…" not in text and "classification" in text and "not" in text


def test_a_terminal_that_knows_no_unicode_is_not_a_reason_to_fail(study_folder: Path) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="replace")
    terminal.show(open_study(study_folder), Console(file=stream, width=80, color_system=None))
    stream.flush()
    assert b"Retention at dose 1,280" in raw.getvalue()
