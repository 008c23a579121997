"""Malformed sweeps: one line on stderr, status 2, nothing run, nothing left behind."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from forgetting.sweep.layout import construct_sweep
from tests.conftest import Outcome
from tests.sweep.small import sweep_spec, write_spec

BASE = {
    "study": {
        "name": "small",
        "ladder": {"students": ["10k", "20k", "34k"]},
        "contaminations": ["dialogue"],
        "doses": {"dose": 160, "first": 40},
        "evaluation": {"benchmarks": [{"name": "maths", "items_per_depth": 8}], "perturbed": "never"},
        "seeds": 2,
    },
    "search": {"startup_runs": 2, "round_size": 2},
    "stop": {"runs": 6},
}

# Changes to a good sweep by dotted name, and what the one line must name: the field, and what is right.
FILES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "empty ladder": ({"study.ladder.students": []}, ["ladder.students", "at least one"]),
    "ladder of one": ({"study.ladder.students": ["10k"]}, ["targets[0].axis", "at least two points"]),
    "ladder descending": ({"study.ladder.students": ["34k", "10k"]}, ["study.ladder.students", "ascending"]),
    "unknown student": ({"study.ladder.students": ["10k", "35k"]}, ["study.ladder.students[1]", "unknown name '35k'"]),
    "unknown axis": ({"targets": [{"axis": "capcity"}]}, ["targets", "axis", "did you mean 'capacity'"]),
    "dose as an axis": ({"targets": [{"axis": "dose"}]}, ["targets", "axis", "'dose'"]),
    "shift axis of one": ({"targets": [{"axis": "shift"}]}, ["targets[0].axis", "at least two points"]),
    "level zero": ({"targets": [{"levels": [0.0]}]}, ["levels", "above 0 and below 1", "0.0"]),
    "level one": ({"targets": [{"levels": [1.0]}]}, ["levels", "above 0 and below 1", "1.0"]),
    "level not a number": ({"targets": [{"levels": ["half"]}]}, ["levels", "a number", "'half'"]),
    "level twice": ({"targets": [{"levels": [0.5, 0.5]}]}, ["levels", "repeats"]),
    "no levels": ({"targets": [{"levels": []}]}, ["levels", "at least one"]),
    "no targets": ({"targets": []}, ["targets", "at least one"]),
    "target twice": ({"targets": [{}, {}]}, ["targets", "repeats"]),
    "unknown skill": ({"targets": [{"skill": "math"}]}, ["targets[0].skill", "did you mean 'maths'"]),
    "skill not measured": ({"targets": [{"skill": "code"}]}, ["targets[0].skill", "'code'"]),
    "depth not measured": ({"targets": [{"skill": "maths:9"}]}, ["targets[0].skill", "maths:9"]),
    "dose not measured": ({"targets": [{"dose": 100}]}, ["targets[0].dose", "[40, 80, 160]"]),
    "dose never reached": ({"study.doses.stream_cap": 100, "targets": [{"dose": 160}]}, ["dose", "stream_cap"]),
    "negative dose": ({"targets": [{"dose": -40}]}, ["dose", "0 (the last dose) or more"]),
    "student not in the ladder": ({"targets": [{"students": ["10k", "100k"]}]}, ["targets[0].students", "'100k'"]),
    "shift not in the study": ({"targets": [{"shifts": [0.5]}]}, ["targets[0].shifts", "study's shifts"]),
    "rate not in the study": ({"targets": [{"rate_multiple": 3}]}, ["targets[0].rate_multiple", "rate_multiples"]),
    "policy not in the study": ({"targets": [{"rate_policy": "inverse_width"}]}, ["targets[0].rate_policy"]),
    "unknown policy": ({"targets": [{"rate_policy": "invers_width"}]}, ["rate_policy", "invers_width"]),
    "contamination not in the study": ({"targets": [{"contamination": "noise"}]}, ["targets[0].contamination"]),
    "unknown contamination": ({"study.contaminations": ["dialoge"]}, ["study.contaminations", "did you mean"]),
    "no seeds": ({"study.seeds": 0}, ["seeds", "at least 1"]),
    "half a seed": ({"study.seeds": 1.5}, ["seeds", "a whole number", "1.5"]),
    "unknown method": ({"search.method": "levelset"}, ["method", "did you mean 'level_set'"]),
    "rounds of none": ({"search.round_size": 0}, ["round_size", "at least 1"]),
    "one run to start": ({"search.startup_runs": 1}, ["startup_runs", "at least 2"]),
    "all held out": ({"search.holdout_share": 1.0}, ["holdout_share", "below 1"]),
    "negative seed of the search": ({"search.seed": -1}, ["seed", "0 or more"]),
    "fewer runs than to start": ({"search.startup_runs": 8}, ["stop.runs", "search.startup_runs (8)", "6"]),
    "no end": ({"stop": {"width_decades": 0}}, ["stop", "a width or a budget"]),
    "negative budget": ({"stop": {"hours": -1}}, ["hours", "0 or more", "-1"]),
    "infinite budget": ({"stop": {"petaflops": float("inf")}}, ["petaflops", "finite"]),
    "negative width": ({"stop": {"width_decades": -0.1}}, ["width_decades", "0 or more"]),
    "unknown budget": ({"stop": {"flops": 3}}, ["stop.flops", "petaflops"]),
    "unknown setting": ({"serch": {}}, ["serch", "did you mean 'search'"]),
    "settings of a study at the top": ({"seeds": 3}, ["seeds"]),
    "a target for a list": ({"targets": {"axis": "capacity"}}, ["targets", "a list"]),
    "unknown setting of a target": ({"targets": [{"level": 0.5}]}, ["level", "did you mean 'levels'"]),
    "unknown executor": ({"executor": "proceses"}, ["executor", "did you mean 'processes'"]),
    "unknown setting of an executor": ({"executor": {"name": "processes", "worker": 2}}, ["executor.worker"]),
    "negative workers": ({"executor": {"name": "processes", "workers": -1}}, ["workers", "0 or more"]),
    "no storage": ({"storage": "nonsense"}, ["storage", "nonsense"]),
    "storage in no folder": ({"storage": "sqlite:////nowhere/at/all.db"}, ["storage", "cannot be opened"]),
    "storage without its driver": ({"storage": "mysql://me:secret@host/db"}, ["storage", "not installed"]),
    "number for a storage": ({"storage": 3}, ["storage", "text"]),
}

ARGUMENTS = {
    "missing file": (["none.yaml"], ["none.yaml", "no such file"]),
    "folder for a file": (["."], [".", "must be a file"]),
    "two files": (["sweep.yaml", "again.yaml"], ["again.yaml"]),
    "unknown option": (["sweep.yaml", "--dryrun"], ["--dryrun", "did you mean '--dry-run'"]),
    "option without a value": (["sweep.yaml", "--search.method"], ["--search.method", "expected one argument"]),
    "option that is none": (["sweep.yaml", "--search.methd", "grid"], ["did you mean '--search.method'"]),
    "unknown setting of a target": (
        ["sweep.yaml", "--targets", "[{skil: maths}]"],
        ["targets: skil", "did you mean 'skill'"],
    ),
    "target's setting alone": (
        ["sweep.yaml", "--targets.skil", "maths"],
        ["targets", "list of mappings", "axis, skill"],
    ),
    "bad value in a target": (["sweep.yaml", "--targets", "[{skill: 5}]"], ["targets: skill", "text", "'5'"]),
    "workers of another executor": (
        ["sweep.yaml", "--executor", "inline", "--workers", "2"],
        ["workers", "left out with executor"],
    ),
    "output that is a file": (["sweep.yaml", "--output", "sweep.yaml"], ["output", "sweep.yaml"]),
    "a server that is not there": (
        ["sweep.yaml", "--storage", "postgresql+psycopg://me:secret@127.0.0.1:1/db"],
        ["storage"],
    ),
}


def changed(changes: dict[str, Any]) -> str:
    """The good sweep with changes, as YAML."""
    whole = copy.deepcopy(BASE)
    for dotted, value in changes.items():
        *groups, last = dotted.split(".")
        place: dict[str, Any] = whole
        for group in groups:
            place = place[group]
        place[last] = value
    return yaml.safe_dump(whole)


def assert_refused(outcome: Outcome, words: list[str], here: Path) -> None:
    """One line, status 2, the words that help, no password, and no run."""
    assert outcome.status == 2, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("forgetting: error: ")
    assert len(outcome.err.splitlines()) == 1, outcome.err
    assert len(outcome.err) < 700
    for word in words:
        assert word.lower() in outcome.err.lower(), outcome.err
    assert "secret" not in outcome.err
    assert [p.name for p in here.iterdir()] == ["sweep.yaml"]


@pytest.mark.parametrize("name", FILES)
def test_a_malformed_file(name: str, command: Callable[..., Outcome], here: Path) -> None:
    changes, words = FILES[name]
    (here / "sweep.yaml").write_text(changed(changes))
    assert_refused(command("sweep", "sweep.yaml", "--quiet"), words, here)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_malformed_arguments(name: str, command: Callable[..., Outcome], here: Path) -> None:
    argv, words = ARGUMENTS[name]
    (here / "sweep.yaml").write_text(changed({}))
    assert_refused(command("sweep", *argv), words, here)


@pytest.mark.parametrize(
    ("executor", "words"),
    [
        ({"name": "slurm", "jobs": 2}, ["workers", "left out with executor", "slurm"]),
        ("inline", ["workers", "left out with executor", "inline"]),
        ("rai", ["executor: unknown name 'rai'", "did you mean 'ray'"]),
        ({"name": "slurm", "jbos": 2}, ["executor.jbos", "did you mean 'jobs'"]),
    ],
)
def test_workers_do_not_hide_the_executor_of_the_file(
    executor: Any, words: list[str], command: Callable[..., Outcome], here: Path
) -> None:
    (here / "sweep.yaml").write_text(changed({"executor": executor}))
    assert_refused(command("sweep", "sweep.yaml", "--workers", "1"), words, here)


def test_targets_can_be_given_as_an_option(command: Callable[..., Outcome], here: Path) -> None:
    (here / "sweep.yaml").write_text(changed({}))
    given = "[{axis: capacity, skill: maths, dose: 160, levels: [0.7]}, {skill: maths, dose: 80}]"
    outcome = command("sweep", "sweep.yaml", "--targets", given, "--print_config")
    assert (outcome.status, outcome.err) == (0, "")
    targets = yaml.safe_load(outcome.out)["targets"]
    assert [(t["dose"], t["levels"]) for t in targets] == [(160, [0.7]), (80, [0.9, 0.5])]


def test_there_are_thirty() -> None:
    assert len(FILES) + len(ARGUMENTS) >= 30


def test_the_sweep_they_are_made_from_is_a_good_one(command: Callable[..., Outcome], here: Path) -> None:
    (here / "sweep.yaml").write_text(changed({}))
    outcome = command("sweep", "sweep.yaml", "--print_config")
    assert (outcome.status, outcome.err) == (0, "")
    assert yaml.safe_load(outcome.out)["stop"]["runs"] == 6


def test_a_study_of_another_spec(command: Callable[..., Outcome], here: Path) -> None:
    """Somebody's trials lie in the storage under the name of this sweep's study."""
    spec = sweep_spec(storage=f"sqlite:///{here}/shared.db")
    write_spec(here / "sweep.yaml", spec)
    whole = construct_sweep(spec)
    name = f"{whole.folder_name}/{whole.spaces[0].name}"
    optuna.create_study(storage=spec.storage, study_name=name).ask()
    outcome = command("sweep", "sweep.yaml", "--quiet")
    assert outcome.status == 2
    assert outcome.err.startswith(f"forgetting: error: storage: study {name!r} was made by another sweep")
    assert len(outcome.err.splitlines()) == 1
    assert not list(here.rglob("scores.jsonl"))


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"spec": {"stop": {"runs": -1}}}', '{"spec": 3}'])
def test_a_folder_that_is_no_sweep(content: str | None, command: Callable[..., Outcome], here: Path) -> None:
    (here / "sweep").mkdir()
    if content is not None:
        (here / "sweep" / "sweep.json").write_text(content)
    outcome = command("resume", "sweep")
    assert outcome.status == 2
    assert outcome.err.startswith("forgetting: error: ")
    assert len(outcome.err.splitlines()) == 1
    assert "sweep" in outcome.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(command: Callable[..., Outcome], here: Path) -> None:
    (here / "sweep.yaml").write_text(changed({}))
    (here / "runs").mkdir(mode=0o500)
    outcome = command("sweep", "sweep.yaml", "--quiet")
    assert outcome.status == 2
    assert "permission denied" in outcome.err
