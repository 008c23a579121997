"""What a sweep shows while it runs: plain lines where there is no terminal, a table where there is one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from forgetting.analysis.thresholds.threshold import Threshold, place_text, told
from forgetting.sweep.live import Live
from forgetting.sweep.sweep_spec import Search, Stop
from forgetting.sweep.thresholds import Placed
from tests.sweep.small import a_driver, made_at_once, nothing, wide_space


def shown(quiet: bool, capsys: pytest.CaptureFixture[str]) -> str:
    """What is on stderr after a search of eight runs."""
    own = wide_space()
    with Live([own], quiet) as live:
        driver = a_driver(own, search=Search(round_size=4, startup_runs=4), stop=Stop(0.0, runs=8))
        driver.go(made_at_once(own), lambda: live.told(own.name, driver.asked(), driver.thresholds()))
        live.control("10k-noise-d0-s0", "")
        live.control("20k-noise-d0-s0", "disk on fire")
        live.ended(own.name, "budget: 8 runs")
    captured = capsys.readouterr()
    assert captured.out == ""  # results alone go to standard output
    return captured.err


def test_each_round_is_a_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text, name = shown(False, capsys), wide_space().name
    assert len(text.splitlines()) == 5  # however long they are
    assert "at most" in text and " left" in text
    assert f"{name}: 4 done, 0 failed; level 0.5 at shift 1:" in text
    assert f"{name}: 8 done, 0 failed; level 0.5 at shift 1:" in text
    assert f"{name}: ended, budget: 8 runs" in text
    assert "control 10k-noise-d0-s0: done" in text
    assert "control 20k-noise-d0-s0: disk on fire" in text


def test_an_open_interval_and_brackets_are_said_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    own = wide_space()
    found = Placed(0.5, Threshold("capacity", 0.9, "located", 15_852.0, 0.0, 34_240.0))
    with Live([own], False) as live:
        live.told(own.name, [], [found])
        live.say("sweep: runs/[old]/x")
    said = capsys.readouterr().err
    assert "level 0.9 at shift 0.5: about 15,852, no lower end (open to 34,240)" in said
    assert "sweep: runs/[old]/x" in said


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(True, capsys) == ""


def test_what_is_waited_for_is_said_from_the_first_second(capsys: pytest.CaptureFixture[str]) -> None:
    live = Live([wide_space()], quiet=True)
    live.waiting("starting workers, and distilling the students that are not stored yet")
    screen = io.StringIO()
    Console(file=screen, width=80).print(live._table())
    assert "starting workers" in screen.getvalue()
    with Live([wide_space()], False) as plain:
        plain.waiting("starting workers")
    assert "starting workers" in capsys.readouterr().err


def test_the_table_has_a_row_a_place_and_level_in_eighty_columns() -> None:
    own = wide_space()
    live = Live([own], quiet=True)
    driver = a_driver(own, search=Search(round_size=4, startup_runs=4), stop=Stop(0.0, runs=8))
    driver.go(made_at_once(own), nothing)
    live.told(own.name, driver.asked(), driver.thresholds())
    live.watch("34k-dialogue-d0-s9")(3, 12)
    screen = io.StringIO()
    Console(file=screen, width=80).print(live._table())
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    found = driver.thresholds()
    assert rows == [[place_text(p.place), f"{p.threshold.level:g}", told(p.threshold)] for p in found]
    text = screen.getvalue()
    assert f"search 1 of 1: {own.name}" in text and "8 runs done of at most" in text and "1 under way, 0 failed" in text
    assert "time left not known yet" in text
    assert "waiting for: 34k-dialogue-d0-s9 25%" in text


def test_a_run_that_was_told_works_no_longer() -> None:
    own = wide_space()
    live = Live([own], quiet=True)
    driver = a_driver(own, search=Search(round_size=4, startup_runs=4), stop=Stop(0.0, runs=4))
    driver.go(made_at_once(own), nothing)
    run = str(driver.asked()[0].run)
    live.watch(run)
    live.watch("another")
    live.told(own.name, driver.asked(), driver.thresholds())
    assert set(live.working) == {"another"}


def test_the_time_left_is_that_of_the_runs_that_may_still_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    own = wide_space()
    live = Live([own], quiet=True, most_runs=12)
    driver = a_driver(own, search=Search(round_size=4, startup_runs=4), stop=Stop(0.0, runs=8))
    clock = [100.0]
    monkeypatch.setattr("forgetting.sweep.live.time.monotonic", lambda: clock[0])
    live.told(own.name, driver.asked(), driver.thresholds())  # at 100 s, nothing done
    driver.go(made_at_once(own), nothing)
    clock[0] = 180.0
    live.told(own.name, driver.asked(), driver.thresholds())  # 8 runs later
    screen = io.StringIO()
    Console(file=screen, width=200).print(live._table())  # at 180 s: 10 s a run, 4 of 12 left
    assert "at most 40 s left" in screen.getvalue()
    live.ended(own.name, "budget: 12 runs")
    screen = io.StringIO()
    Console(file=screen, width=200).print(live._table())
    assert "budget: 12 runs" in screen.getvalue() and "left" not in screen.getvalue()
