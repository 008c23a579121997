"""What a sweep shows while it runs: plain lines where there is no terminal, a table where there is one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from forgetting.sweep.live import Live
from forgetting.sweep.spec import Search, Stop
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
    text = " ".join(shown(False, capsys).split())
    name = wide_space().name
    assert f"{name}: 4 done, 0 failed; 0.5 at 1.0:" in text
    assert f"{name}: 8 done, 0 failed; 0.5 at 1.0:" in text
    assert f"{name}: ended, budget: 8 runs" in text
    assert "control 10k-noise-d0-s0: done" in text
    assert "control 20k-noise-d0-s0: disk on fire" in text


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(True, capsys) == ""


def test_the_table_has_a_row_a_target_and_what_is_working_now() -> None:
    own = wide_space()
    live = Live([own], quiet=True)
    driver = a_driver(own, search=Search(round_size=4, startup_runs=4), stop=Stop(0.0, runs=8))
    driver.go(made_at_once(own), nothing)
    live.told(own.name, driver.asked(), driver.thresholds())
    live.watch("34k-dialogue-d0-s9")(3, 12)
    screen = io.StringIO()
    Console(file=screen, width=200).print(live._table())
    text = screen.getvalue()
    (line,) = [line for line in text.splitlines() if own.name in line]
    assert [cell.strip() for cell in line.strip("│").split("│")][1:4] == ["8", "0", "0"]
    assert "working on: 34k-dialogue-d0-s9 25%" in text


def test_a_run_that_was_told_works_no_longer() -> None:
    own = wide_space()
    live = Live([own], quiet=True)
    driver = a_driver(own, search=Search(round_size=4, startup_runs=4), stop=Stop(0.0, runs=4))
    driver.go(made_at_once(own), nothing)
    run = str(driver.asked()[0].key)
    live.watch(run)
    live.watch("another")
    live.told(own.name, driver.asked(), driver.thresholds())
    assert set(live.working) == {"another"}
