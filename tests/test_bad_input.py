"""Malformed specs, arguments and folders: one line on stderr, status 2, nothing left behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import forgetting.cli
from forgetting import Doses, Evaluation, Fit, Ladder, Optimiser, Spec, load, simulate
from forgetting.errors import UsageError
from tests.conftest import Outcome

LONG = "x" * 300

# What the user gives on the command line, and what the one line must name: the field, and what is right.
ARGUMENTS = {
    "no command": ([], ["command", "simulate"]),
    "unknown command": (["simulat"], ["'simulat'", "did you mean 'simulate'"]),
    "unknown option": (["simulate", "--sedes", "3"], ["--sedes", "did you mean '--seeds'"]),
    "unknown top option": (["--versio"], ["--versio", "did you mean '--version'"]),
    "unknown nested option": (["simulate", "--doses.dos", "3"], ["--doses.dos", "did you mean '--doses.dose'"]),
    "store of no name": (["simulate", "--store", ""], ["store", "a folder", "''"]),
    "option without a value": (["simulate", "--seeds"], ["--seeds", "expected one argument"]),
    "flag with a value": (["simulate", "--quiet=3"], ["--quiet"]),
    "stray word": (["simulate", "quick"], ["quick", "unknown argument"]),
    "short option": (["simulate", "-x"], ["-x"]),
    "abbreviation": (["simulate", "--seed", "3"], ["--seed", "did you mean '--seeds'"]),
    "appending": (["simulate", "--ladder.students+", "3m"], ["--ladder.students+"]),
    "option under a leaf": (["simulate", "--seeds.a", "3"], ["seeds"]),
    "text for a number": (["simulate", "--doses.dose", "many"], ["doses.dose", "a whole number", "'many'"]),
    "fraction for a count": (["simulate", "--seeds", "1.5"], ["seeds", "a whole number", "1.5"]),
    "truth for a count": (["simulate", "--seeds", "true"], ["seeds", "a whole number"]),
    "null for a count": (["simulate", "--seeds", "null"], ["seeds", "a whole number"]),
    "number for a truth": (["simulate", "--ladder.fresh_students", "2"], ["ladder.fresh_students", "true or false"]),
    "scalar for a list": (["simulate", "--shifts", "0.5"], ["shifts", "a list", "[0.5]"]),
    "name for a list": (["simulate", "--contaminations", "dialogue"], ["contaminations", "a list", "[dialogue]"]),
    "text in a list of numbers": (["simulate", "--shifts", "[half]"], ["shifts", "a number", "'half'"]),
    "three betas": (["simulate", "--fine_tuning.betas", "[0.9, 0.9, 0.9]"], ["fine_tuning.betas", "2 values"]),
    "unclosed list": (["simulate", "--shifts", "[0.5"], ["shifts"]),
    "near-miss choice": (["simulate", "--doses.spacing", "geometrc"], ["doses.spacing", "did you mean 'geometric'"]),
    "near-miss control": (["simulate", "--controls", "[shm]"], ["controls", "did you mean 'sham'"]),
    "near-miss keep": (["simulate", "--keep", "lst"], ["keep", "did you mean 'last'"]),
    "scalar for a group": (["simulate", "--doses", "5"], ["doses", "a mapping"]),
    "class for a group": (["simulate", "--ladder", "os.system"], ["ladder"]),
    "workers": (["simulate", "--workers", "many"], ["workers", "auto or a whole number, 0 or more", "'many'"]),
    "fewer workers than none": (["simulate", "--workers", "-1"], ["workers", "0 or more", "'-1'"]),
    "negative workers": (["simulate", "--workers", "-2"], ["workers"]),
    "list of an unknown family": (["list", "benchmark"], ["family", "did you mean 'benchmarks'"]),
    "two families": (["list", "benchmarks", "models"], ["models"]),
    "empty list": (["simulate", "--contaminations", "[]"], ["contaminations: must be at least one value, got []"]),
    "resume nothing": (["resume"], ["folder", "must be given"]),
    "resume two": (["resume", "a", "b"], ["b", "unknown argument"]),
    "resume a missing folder": (["resume", "runs/none"], ["folder", "'runs/none'", "does not exist"]),
    "report nothing": (["report"], ["folder", "at least one", "none"]),
    "report a missing folder": (["report", "runs/none"], ["folder", "'runs/none'", "does not exist"]),
    "missing config": (["simulate", "--config", "none.yaml"], ["none.yaml", "no such file"]),
    "folder as config": (["simulate", "--config", "."], [".", "must be a file"]),
    "device as config": (["simulate", "--config", "/proc/self/mem"], ["/proc/self/mem"]),
    "config of distil": (["distil", "--config", "none.yaml"], ["none.yaml", "no such file"]),
    "output on a full device": (["simulate", "--output", "/dev/full"], ["output", "/dev/full"]),
    "output under a full device": (["simulate", "--output", "/dev/full/a"], ["output", "/dev/full/a"]),
    "output in /proc": (["simulate", "--output", "/proc/forgetting"], ["output", "/proc/forgetting"]),
    "output with a long name": (["simulate", "--output", LONG], [LONG, "too long"]),
    "name with a long name": (["simulate", "--name", LONG], ["output", "too long"]),
    "store on a full device": (["simulate", "--store", "/dev/full"], ["store", "/dev/full"]),
    "export in /proc": (["distil", "--export", "/proc/a/b"], ["export", "/proc/a/b"]),
}

# What a spec file holds, and what the one line must name.
FILES = {
    "invalid YAML": ("a: [1, 2", ["line", "not valid YAML"]),
    "tab in YAML": ("doses:\n\tdose: 3", ["line 2", "not valid YAML"]),
    "custom tag": ("name: !!python/object/apply:os.system [ls]", ["not valid YAML"]),
    "two documents": ("name: a\n---\nname: b\n", ["not valid YAML"]),
    "list for a spec": ("[dialogue]", ["a mapping of settings"]),
    "text for a spec": ("dialogue", ["a mapping of settings"]),
    "number for a spec": ("3", ["a mapping of settings"]),
    "bytes": (b"\xff\xfe\x00\x01", ["YAML text file"]),
    "name that YAML reads as true": (
        "ladder:\n  branches:\n    - {name: on, stages: [{method: on_policy}]}\n",
        ["line 3", "name: must be text", "YAML reads on, off, yes, no", "quote it: 'on'"],
    ),
    "setting twice": ("seeds: 1\nseeds: 2\n", ["line 2", "'seeds'", "twice"]),
    "unknown setting": ("sedes: 3", ["sedes", "did you mean 'seeds'"]),
    "unknown group": ("dosis: {dose: 3}", ["dosis", "did you mean 'doses'"]),
    "unknown nested setting": ("doses: {dos: 3}", ["doses.dos", "did you mean 'doses.dose'"]),
    "number as a key": ("3: 4", ["3", "unknown setting"]),
    "dotted key": ("doses.dose: 3", ["doses.dose", "nested"]),
    "list for a group": ("doses: [3]", ["doses", "a mapping of settings"]),
    "null for a group": ("ladder:", ["ladder", "a mapping of settings"]),
    "null for a setting": ("seeds:", ["seeds", "a whole number"]),
    "number for a name": ("name: 3", ["name", "text"]),
    "number for a part": ("contaminations: [3]", ["contaminations", "a name or a mapping"]),
    "negative dose": ("doses: {dose: -20}", ["doses.dose", "at least 1", "-20"]),
    "dose zero": ("doses: {dose: 0}", ["doses.dose", "at least 1"]),
    "first dose beyond the last": ("doses: {dose: 10, first: 20}", ["doses.first", "from 1 to the dose", "20"]),
    "ratio one": ("doses: {ratio: 1}", ["doses.ratio", "above 1"]),
    "ratio infinite": ("doses: {ratio: .inf}", ["doses.ratio", "inf"]),
    "no stream": ("doses: {stream_cap: 0}", ["doses.stream_cap", "at least 1"]),
    "shift above one": ("shifts: [1.2]", ["shifts", "at most 1", "1.2"]),
    "shift zero": ("shifts: [0]", ["shifts", "above 0"]),
    "shift not a number": ("shifts: [.nan]", ["shifts", "nan"]),
    "no shifts": ("shifts: []", ["shifts", "at least one"]),
    "shift twice": ("shifts: [1.0, 1.0]", ["shifts", "repeats"]),
    "rate negative": ("rate_multiples: [-1]", ["rate_multiples", "0 or more"]),
    "replay of all": ("mitigations: [{name: replay, share: 1.0}]", ["mitigations[0].share: must be", "below 1"]),
    "empty ladder": ("ladder: {students: []}", ["ladder.students", "at least one"]),
    "student twice": ("ladder: {students: [10k, 10k]}", ["ladder.students", "repeats"]),
    "students descending": ("ladder: {students: [34k, 10k]}", ["ladder.students", "ascending"]),
    "unknown student": ("ladder: {students: [10k, 35k]}", ["ladder.students[1]", "did you mean '34k'"]),
    "unknown teacher": ("ladder: {teacher: 1mm}", ["ladder.teacher", "did you mean '1m'"]),
    "number for a student": ("ladder: {students: [10]}", ["ladder.students", "a name"]),
    "no samples": ("ladder: {teaching: {samples: 0}}", ["ladder.teaching.samples", "at least 1"]),
    "negative seed": ("ladder: {seed: -1}", ["ladder.seed", "from 0 to"]),
    "seed of no machine": ("{seeds: 3, first_seed: 4294967294}", ["first_seed", "from 0 to 4,294,967,293"]),
    "batch of none": ("fine_tuning: {batch_size: 0}", ["fine_tuning.batch_size", "at least 1"]),
    "rate infinite": ("fine_tuning: {learning_rate: .inf}", ["fine_tuning.learning_rate", "finite"]),
    "beta one": ("fine_tuning: {betas: [0.9, 1.0]}", ["fine_tuning.betas", "below 1"]),
    "no seeds": ("seeds: 0", ["seeds", "at least 1"]),
    "slash in the name": ("name: a/b", ["name", "without slashes"]),
    "hidden name": ("name: .a", ["name", "leading dot"]),
    "no contamination": ("contaminations: []", ["contaminations", "at least one"]),
    "unknown contamination": ("contaminations: [dialoge]", ["contaminations", "did you mean 'dialogue'"]),
    "unknown benchmark": ("evaluation: {benchmarks: [math]}", ["evaluation.benchmarks[0]", "did you mean 'maths'"]),
    "benchmark twice": ("evaluation: {benchmarks: [maths, maths]}", ["evaluation.benchmarks", "repeats"]),
    "unknown mitigation": ("mitigations: [l2]", ["mitigations", "l2_sp"]),
    "unknown distillation": ("ladder: {distillation: offpolicy}", ["ladder.distillation", "did you mean 'off_policy'"]),
    "part without a name": ("contaminations: [{turns: 2}]", ["contaminations", "a mapping with a name"]),
    "unknown setting of a part": ("contaminations: [{name: dialogue, turn: 2}]", ["turn", "did you mean 'turns'"]),
    "wrong setting of a part": ("contaminations: [{name: dialogue, turns: 99}]", ["turns", "99"]),
    "wrong type in a part": ("contaminations: [{name: dialogue, turns: two}]", ["turns", "'two'"]),
    "near-miss form": ("contaminations: [{name: altered_syntax, form: snipet}]", ["form", "did you mean 'snippet'"]),
    "strength not a number": ("mitigations: [{name: l2_sp, strength: .nan}]", ["strength", "finite", "nan"]),
    "missing module": ("contaminations: [nowhere.at.All]", ["contaminations", "nowhere.at.All"]),
    "not a part": ("contaminations: [os.path]", ["contaminations", "not a Contamination"]),
    "wrong setting of a stage": (
        "ladder: {distillation: [{method: off_policy, samples: many}]}",
        ["ladder.distillation[0].samples: must be a whole number, got 'many'"],
    ),
    "near-miss setting of a stage": (
        "ladder: {branches: [{name: a, stages: [{method: gold, sampels: 3}]}]}",
        ["ladder.branches[0].stages[0]: unknown name 'sampels'; did you mean 'samples'"],
    ),
    "wrong setting of a mixture's part": (
        "contaminations: [dialogue, {name: mixture, shares: [1.0], parts: [{name: conversations, limit: -1}]}]",
        ["contaminations[1].parts[0].limit: must be", "0 or more", "-1"],
    ),
    "part of another family": ("contaminations: [maths]", ["contaminations", "'maths'"]),
}


# What a Python program gives, and what the one line must name.
TYPES: dict[str, tuple[Callable[[], object], list[str]]] = {
    "path for a spec": (lambda: simulate("file.yaml"), ["spec", "a Spec", "load_spec", "'file.yaml'"]),  # type: ignore[arg-type]
    "mapping for a spec": (lambda: simulate({"name": "a"}), ["spec", "a Spec"]),  # type: ignore[arg-type]
    "text for workers": (lambda: simulate(workers="2"), ["workers", "a whole number or None", "'2'"]),  # type: ignore[arg-type]
    "negative workers": (lambda: simulate(workers=-1), ["workers", "0 (in this process) or more", "-1"]),
    "truth for workers": (lambda: simulate(workers=True), ["workers", "True"]),
    "number for a name": (lambda: simulate(name=7), ["name", "text", "7"]),  # type: ignore[arg-type]
    "number for the output": (lambda: simulate(output=5), ["output", "a path", "5"]),  # type: ignore[arg-type]
    "number for the store": (lambda: simulate(store=5), ["store", "a path", "5"]),  # type: ignore[arg-type]
    "fraction for seeds": (lambda: simulate(seeds=1.5), ["seeds", "a whole number", "1.5"]),  # type: ignore[arg-type]
    "text for quiet": (lambda: simulate(quiet="x"), ["quiet", "true or false", "'x'"]),  # type: ignore[arg-type]
    "number for a student": (lambda: simulate(students=[5]), ["students", "a name", "5"]),  # type: ignore[list-item]
    "number for the doses": (lambda: simulate(doses=640), ["doses", "of type Doses", "640"]),  # type: ignore[arg-type]
    "list for evaluation": (lambda: simulate(evaluation=["maths"]), ["evaluation", "of type Evaluation"]),  # type: ignore[arg-type]
    "number for a benchmark": (lambda: simulate(benchmarks=3), ["benchmarks", "a name or a mapping"]),  # type: ignore[arg-type]
    "text for a dose": (lambda: Doses(dose="x"), ["dose", "a whole number", "'x'"]),  # type: ignore[arg-type]
    "truth for a dose": (lambda: Doses(dose=True), ["dose", "a whole number", "True"]),
    "text for a ratio": (lambda: Doses(ratio="2"), ["ratio", "a number", "'2'"]),  # type: ignore[arg-type]
    "ratio infinite": (lambda: Doses(ratio=float("inf")), ["ratio", "finite", "inf"]),
    "near-miss spacing": (lambda: Doses(spacing="lnear"), ["spacing", "did you mean 'linear'"]),  # type: ignore[arg-type]
    "text for a batch": (lambda: Optimiser(batch_size="8"), ["batch_size", "a whole number", "'8'"]),  # type: ignore[arg-type]
    "one beta": (lambda: Optimiser(betas=(0.9,)), ["betas", "2 values", "[0.9]"]),  # type: ignore[arg-type]
    "numbers for students": (lambda: Ladder(students=(5,)), ["students", "a name", "5"]),  # type: ignore[arg-type]
    "text for students": (lambda: Ladder(students="10k"), ["students", "a list", "'10k'"]),  # type: ignore[arg-type]
    "optimiser for a fit": (lambda: Ladder(teaching=Optimiser()), ["teaching", "of type Fit"]),  # type: ignore[arg-type]
    "text for a length": (lambda: Evaluation(max_new_tokens="a"), ["max_new_tokens", "a whole number"]),  # type: ignore[arg-type]
    "fraction for samples": (lambda: Fit(samples=1.5), ["samples", "a whole number", "1.5"]),  # type: ignore[arg-type]
    "text for shifts": (lambda: Spec(shifts=("half",)), ["shifts", "a number", "'half'"]),  # type: ignore[arg-type]
    "no contaminations": (lambda: Spec(contaminations=()), ["contaminations", "at least one value, got []"]),
    "number for a folder": (lambda: load(5), ["path", "a path", "5"]),  # type: ignore[arg-type]
}


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad input must be found before the work begins."""
    import forgetting.simulate  # noqa: F401

    def begun(*_: object, **__: object) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(sys.modules["forgetting.simulate"], "run_study", begun)


def assert_refused(outcome: Outcome, words: list[str]) -> None:
    """One line, status 2, and the words that help."""
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("forgetting: error: ")
    assert outcome.err.endswith("\n")
    assert len(outcome.err.splitlines()) == 1
    assert len(outcome.err) < 700
    for word in words:
        assert word.lower() in outcome.err.lower()


def test_there_are_sixty() -> None:
    assert len(ARGUMENTS) + len(FILES) >= 60


@pytest.mark.usefixtures("nothing_trains")
@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments(case: str, command: Callable[..., Outcome], here: Path) -> None:
    argv, words = ARGUMENTS[case]
    assert_refused(command(*argv), words)
    assert list(here.iterdir()) == []


@pytest.mark.usefixtures("nothing_trains")
@pytest.mark.parametrize("case", FILES)
def test_spec_files(case: str, command: Callable[..., Outcome], here: Path) -> None:
    content, words = FILES[case]
    path = here / "spec.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_refused(command("simulate", "--config", "spec.yaml"), words)
    assert list(here.iterdir()) == [path]


@pytest.mark.usefixtures("nothing_trains")
@pytest.mark.parametrize("case", TYPES)
def test_from_python(case: str, here: Path) -> None:
    call, words = TYPES[case]
    with pytest.raises(UsageError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)
    assert list(here.iterdir()) == []


def test_numbers_and_lists_take_the_form_of_their_annotation() -> None:
    assert Doses(ratio=3) == Doses(ratio=3.0)
    assert type(Doses(ratio=3).ratio) is float
    assert Spec(contaminations=["noise"], shifts=[1]) == Spec(contaminations=("noise",), shifts=(1.0,))  # type: ignore[arg-type]
    assert Spec(ladder=Ladder(students=["10k"])).ladder.students == ("10k",)  # type: ignore[arg-type]


@pytest.mark.usefixtures("nothing_trains")
def test_a_file_is_named_when_the_mistake_is_in_it(command: Callable[..., Outcome], here: Path) -> None:
    (here / "spec.yaml").write_text("seeds: 0")
    assert "spec.yaml: seeds" in command("simulate", "--config", "spec.yaml").err
    (here / "spec.yaml").write_text("seeds: 2")
    assert "spec.yaml" not in command("simulate", "--config", "spec.yaml", "--seeds", "0").err


@pytest.mark.usefixtures("nothing_trains")
@pytest.mark.parametrize("option", ["--output", "--store"])
def test_a_file_where_a_folder_should_be(option: str, command: Callable[..., Outcome], here: Path) -> None:
    (here / "taken").write_text("")
    for value in ("taken", "taken/below"):
        assert_refused(command("simulate", option, value), [option.strip("-"), value])
    assert [p.name for p in here.iterdir()] == ["taken"]


@pytest.mark.usefixtures("nothing_trains")
def test_a_file_in_the_place_of_the_study(command: Callable[..., Outcome], here: Path) -> None:
    from forgetting import Spec
    from forgetting.study.fingerprints import study_fingerprint
    from forgetting.study.study import construct

    (here / "runs").mkdir()
    taken = here / "runs" / f"quick-{study_fingerprint(construct(Spec()))[:8]}"
    taken.write_text("")
    assert_refused(command("simulate"), ["output", taken.name])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(command: Callable[..., Outcome], here: Path) -> None:
    (here / "runs").mkdir(mode=0o500)
    assert_refused(command("simulate"), ["output", "runs", "permission denied"])


@pytest.mark.parametrize("verb", ["resume", "report"])
@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"spec": 3, "fingerprint": "0", "benchmarks": {}}']
)
def test_a_folder_that_is_no_study(
    verb: str, content: bytes | None, command: Callable[..., Outcome], here: Path
) -> None:
    folder = here / "study"
    folder.mkdir()
    if content is not None:
        (folder / ("spec.json" if verb == "resume" else "record.json")).write_bytes(content)
    before = sorted(folder.rglob("*"))
    outcome = command(verb, "study")
    assert_refused(outcome, ["study"])
    assert "Errno" not in outcome.err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("verb", ["resume", "report"])
def test_a_file_that_is_no_study(verb: str, command: Callable[..., Outcome], here: Path) -> None:
    (here / "study").write_text("")
    assert_refused(command(verb, "study"), ["folder", "'study'", "file"])


def test_a_damaged_ledger(command: Callable[..., Outcome], here: Path) -> None:
    (here / "study").mkdir()
    (here / "study" / "record.json").write_text(json.dumps({"benchmarks": {}, "arms": [], "students": []}))
    (here / "study" / "ledger.parquet").write_bytes(b"PAR1 this is no table PAR1")
    assert_refused(command("report", "study"), ["study"])


@pytest.mark.parametrize("damage", ["another hash", "no tensors"])
def test_an_unreadable_student(damage: str, command: Callable[..., Outcome], here: Path) -> None:
    from forgetting import Ladder, Spec
    from forgetting.study.fingerprints import fingerprint, student_form, teacher_form
    from forgetting.study.study import construct

    study = construct(Spec(ladder=Ladder(students=("10k",))))
    form = student_form(study, study.students[0], 0)
    content = b"this is no checkpoint"
    mark = hashlib.sha256(content).hexdigest() if damage == "no tensors" else "0" * 64
    for entry in (here / "store" / fingerprint(form), here / "store" / fingerprint(teacher_form(study))):
        entry.mkdir(parents=True)
        (entry / "model.safetensors").write_bytes(content)
        (entry / "manifest.json").write_text(json.dumps({"files": {"model.safetensors": mark}}))
    outcome = command("simulate", "--ladder.students", "[10k]", "--store", "store", "--workers", "0", "--quiet")
    assert_refused(outcome, [fingerprint(form)])
    assert not list((here / "runs").rglob("*.parquet"))


def test_a_full_disk_during_the_work(
    command: Callable[..., Outcome], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys.modules["forgetting.simulate"], "run_study", full)
    assert_refused(command("simulate"), ["runs/quick-", "no space left on device"])


def test_an_interruption_says_how_to_go_on(
    command: Callable[..., Outcome], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["forgetting.simulate"], "run_study", interrupted)
    outcome = command("simulate")
    assert outcome.status == 130
    assert outcome.err.startswith("forgetting: interrupted; continue with: forgetting resume runs/quick-")
    assert len(outcome.err.splitlines()) == 1
    again = command("simulate", "--store", "my students", "--workers", "3").err
    assert "continue with: forgetting resume --store 'my students' --workers 3 runs/quick-" in again


def test_a_termination_says_how_to_go_on(command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    def terminated(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("forgetting.executors.distilling.distil_ladder", terminated)
    outcome = command("distil")
    assert (outcome.status, outcome.err) == (130, "forgetting: interrupted; continue with: the same command\n")


@pytest.mark.parametrize(
    ("argv", "target", "words"),
    [
        (["simulate", "--seeds", "x"], os.devnull, "seeds: must be a whole number"),
        (["list", "models"], "/dev/full", "standard output: cannot be read or written: no space left on device"),
        (["simulate", "--print_config"], "/dev/full", "no space left on device"),
    ],
)
def test_in_a_process_of_its_own(argv: list[str], target: str, words: str, here: Path) -> None:
    root = Path(forgetting.cli.__file__).parents[2]
    with open(target, "w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "forgetting", *argv],
            stdout=out, stderr=subprocess.PIPE, text=True, check=False, cwd=here,
            env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("forgetting: error: ")
    assert list(here.iterdir()) == []
