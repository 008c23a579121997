"""Runs that are ended early: which they are, that they repeat and resume, and that no fit or curve forgets them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from forgetting import load
from forgetting.analysis.early_stop import Rule, Watched
from forgetting.analysis.thresholds.crossing import Crossing, crossing
from forgetting.analysis.thresholds.survival import fit_survival
from forgetting.claims.judging.evidence import Measured
from forgetting.errors import UsageError
from forgetting.evaluation.recorder import Recorder
from forgetting.record.files import RunFolder
from forgetting.record.run_files import read_marker
from forgetting.report.sweeps import sweep_tables
from forgetting.report.sweeps.read import read_sweep
from forgetting.spec import Doses, Machine
from forgetting.study.run import Run, RunKey
from forgetting.sweep.layout import Sweep, construct_sweep
from forgetting.sweep.outcomes import outcome
from forgetting.sweep.search_space import SweepSpace
from forgetting.sweep.sweep_spec import Pruning, Search, Target
from forgetting.sweep.thresholds import Placed, Seen, estimate
from tests.sweep.small import completed, findings, study_spec, sweep_spec, trials, wide_space
from tests.sweep.test_sweep import Counting, go

PRUNING = Pruning(alpha=0.3, looks=1, never_share=0.3)
SEARCH = Search(method="grid", round_size=6, startup_runs=2, pruning=PRUNING)
SPEC = sweep_spec(study_spec(doses=Doses(640, first=160)), search=SEARCH)  # 20k is lost at 160 dialogues, 10k at 320


@pytest.fixture(scope="module", name="pruned")
def _pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sweep of six runs, of which hopeless ones are ended at once."""
    return go(SPEC, tmp_path_factory.mktemp("pruned"))[0]


def test_a_sweep_ends_hopeless_runs_marks_them_and_says_so(pruned: Path) -> None:
    ended = {t["run"]: t["pruned_at"] for t in trials(pruned) if "pruned_at" in t}
    assert 0 < len(ended) < 6
    sweep = construct_sweep(SPEC)
    for key in sweep.study.runs():
        run = RunFolder(pruned / "runs" / str(key))
        assert read_marker(run).get("pruned_at") == ended.get(str(key))
        assert run.doses() == [dose for dose in (0, 160, 320, 640) if dose <= ended.get(str(key), 640)]
        assert sweep.rule(key) is not None or str(key) not in ended
    result = load(pruned)
    assert dict(zip(_names(result.pruned), result.pruned["dose"], strict=True)) == ended
    text = sweep_tables.searches(read_sweep(result))["ended early"][0]  # type: ignore[arg-type]
    assert text.startswith(f"{len(ended)} at dose ") and "ended early" in (pruned / "report.html").read_text()
    flops = {t["run"]: t["flops"] for t in trials(pruned)}
    assert all(flops[run] < max(flops.values()) for run in ended)


@pytest.mark.slow
def test_it_repeats_itself_and_goes_on_where_it_was_interrupted(pruned: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(SPEC, tmp_path, Counting(interrupt_at=2))
    assert findings(go(SPEC, tmp_path)[0]) == findings(pruned)


@pytest.mark.slow
def test_a_run_that_was_killed_after_its_last_look_is_not_trained_on(
    pruned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Recorder.finish

    def killed(self: Recorder, *_: object, pruned_at: int | None = None, **__: object) -> None:
        if pruned_at is None:
            finish(self, *_, **__)  # type: ignore[arg-type]
            return
        raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        go(SPEC, tmp_path)
    monkeypatch.undo()
    assert findings(go(SPEC, tmp_path)[0]) == findings(pruned)


def test_curves_end_where_the_first_of_their_runs_did_and_no_survivor_speaks_for_it(pruned: Path) -> None:
    result = load(pruned)
    first = result.pruned.groupby("student")["dose"].min()
    for student, curves in result.curves.items():
        assert curves["maths"].dose[-1] == first.get(student, 640)
        assert set(curves["maths"].seeds) == {2}
    kept = [t for t in trials(pruned) if t["state"] == "complete"]
    sweep = read_sweep(result)
    assert sweep is not None
    seen = sweep.observations(sweep.targets[0])
    assert len(seen) == len(kept)  # every run counts at the target's dose, as the search counted it
    assert sorted(seen["variance"]) == pytest.approx(sorted(t["variance"] for t in kept))
    measured = Measured(pruned)
    cells = measured.cells(measured.arms[0], "maths")
    assert {s: max(max(doses) for doses in cells[s].reached.values()) for s in first.index} == first.to_dict()
    looks = sweep.every_dose(sweep.targets[0])
    assert all(looks[looks["student"] == s]["dose"].max() == dose for s, dose in first.items())


def _names(rows: object) -> list[str]:
    records = rows.to_dict("records")  # type: ignore[attr-defined]
    return [str(RunKey(r["student"], r["arm"], r["distillation_seed"], r["seed"])) for r in records]


def _sweep(pruning: Pruning, *targets: Target, seeds: int = 2) -> Sweep:
    search = Search(startup_runs=2, pruning=pruning)
    return construct_sweep(sweep_spec(study_spec(seeds=seeds), targets=targets or (Target(),), search=search))


def test_pruning_and_its_targets_name_the_sweep_only_where_it_is_on() -> None:
    off, other = _sweep(Pruning()), _sweep(Pruning(looks=5, never_share=0.0))
    assert off.fingerprint == other.fingerprint == _sweep(Pruning(), Target(dose=80)).fingerprint
    on = [_sweep(p) for p in (Pruning(0.05), Pruning(0.1), Pruning(0.05, looks=2), Pruning(0.05, never_share=0.5))]
    on += [_sweep(Pruning(0.05), Target(dose=80)), off]
    assert len({one.fingerprint for one in on}) == len(on)
    assert all(off.rule(key) is None for key in off.study.runs())


def test_a_run_is_watched_for_all_its_targets_at_the_lowest_level() -> None:
    targets = Target(levels=(0.9, 0.5)), Target(skill="maths:2", levels=(0.7,), students=("10k", "20k"))
    sweep = _sweep(Pruning(0.05, never_share=0.0), *targets)
    for key in sweep.study.runs():
        watched = (Watched("maths", None, 0.5),)
        watched += (Watched("maths", 2, 0.7),) if key.student.name != "34k" else ()
        assert sweep.rule(key) == Rule(0.05, 3, watched)


def test_the_share_that_is_never_ended_is_drawn_by_run() -> None:
    sweep = _sweep(Pruning(0.05, never_share=0.25), seeds=200)
    never = {key for key in sweep.study.runs() if sweep.rule(key) is None}
    assert 0.2 < len(never) / 600 < 0.3
    again = _sweep(Pruning(0.05, never_share=0.25), seeds=300)
    assert never == {key for key in sweep.study.runs() if again.rule(key) is None}  # more seeds change no draw


def test_controls_are_never_ended() -> None:
    study = study_spec(controls=("noise",))
    sweep = construct_sweep(sweep_spec(study, search=Search(startup_runs=2, pruning=Pruning(0.05, never_share=0.0))))
    assert all(sweep.rule(key) is None for key in sweep.controls())


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"alpha": 0.5}, "alpha"), ({"alpha": -0.1}, "alpha"), ({"looks": 0}, "looks"), ({"never_share": 1.0}, "never")],
)
def test_bad_settings_are_one_line(changes: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Pruning(**changes)  # type: ignore[arg-type]


def test_runs_on_several_devices_cannot_be_ended() -> None:
    study = study_spec(machine=Machine(devices=2))
    with pytest.raises(UsageError, match=r"search\.pruning\.alpha: must be 0 where a run takes several devices"):
        construct_sweep(sweep_spec(study, search=Search(startup_runs=2, pruning=Pruning(0.05))))


# A synthetic surface: retention falls with log dose, later for larger students; looks of 500 items, baseline .95.

LOOKS = (20, 40, 80, 160, 320, 640, 1280, 2560)


def _synthetic(own: SweepSpace, key: Run, folder: Path) -> Path:
    """The score rows of one run, drawn with a generator of its own."""
    x, _ = own.coordinates((key.student.name, 1.0))
    rng = np.random.default_rng([key.seed, round(1000 * x)])
    middle = math.log10(640) + 1.5 * (x - 4.55) + 0.1 * rng.standard_normal()  # where half is left
    lines, base = [], rng.binomial(500, 0.95) / 500
    for dose in (0, *LOOKS):
        true = 1 / (1 + math.exp(4 * (math.log10(dose) - middle))) if dose else 1.0
        accuracy = rng.binomial(500, 0.95 * true) / 500 if dose else base
        head = {"benchmark": "maths", "variant": "original", "depth": None, "dose": dose, "status": "ok"}
        row = {**head, "accuracy": accuracy, "retention": accuracy / base, "items": 500, "chance": 0.0}
        lines.append(json.dumps(row) + "\n")
    file = folder / str(key) / "scores.jsonl"
    file.parent.mkdir()
    file.write_text("".join(lines))
    completed(file.parent)
    return file


def _carried_out(whole: Path, rule: Rule) -> Path:
    """The rows of a run that stops as soon as the rule says so."""
    file, lines = whole.parent / "pruned" / whole.name, whole.read_text().splitlines(keepends=True)
    file.parent.mkdir()
    for count in range(2, len(lines) + 1):
        file.write_text("".join(lines[:count]))
        if rule.ended(file, len(LOOKS)) is not None:
            break
    completed(file.parent)
    return file


@pytest.fixture(scope="module", name="both")
def _both(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepSpace, dict[Run, Path], dict[Run, Path]]:
    """35 runs of seven capacities, whole and as the rule ends them (alpha .05, three looks, level .5)."""
    own = wide_space(doses=Doses(2560, first=20))
    own = dataclasses.replace(own, target=Target(dose=640, levels=(0.5,)))
    folder, rule = tmp_path_factory.mktemp("runs"), Rule(0.05, 3, (Watched("maths", None, 0.5),))
    whole = {key: _synthetic(own, key, folder) for key in sorted(own.runs, key=str)}
    return own, whole, {key: _carried_out(file, rule) for key, file in whole.items()}


def _looks(file: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_thresholds_with_pruning_agree_with_those_without_at_fewer_looks(
    both: tuple[SweepSpace, dict[Run, Path], dict[Run, Path]],
) -> None:
    own, whole, pruned = both
    points = {own.run(point, n): point for point in own.points for n in range(own.repeats)}

    def located(files: dict[Run, Path], dose: int) -> Placed:
        at = dataclasses.replace(own, target=Target(dose=dose, levels=(0.5,)))
        shown = [(points[key], outcome(at, RunFolder(file.parent))) for key, file in files.items()]
        (found,) = estimate(at, [Seen(point, one.retention, one.variance) for point, one in shown])
        return found

    for dose in (640, 2560):
        a, b = located(whole, dose).threshold, located(pruned, dose).threshold
        true = 10 ** (4.55 + (math.log10(dose) - math.log10(640)) / 1.5)
        assert a.located and b.located
        assert a.low <= b.value <= a.high and b.low <= a.value <= b.high
        covered = [found.low <= true <= found.high for found in (a, b)]  # a 90% interval may miss, but both alike
        assert covered[0] == covered[1]
        assert b.low / 1.1 <= true <= b.high * 1.1
    late = {
        key: outcome(dataclasses.replace(own, target=Target(dose=2560)), RunFolder(file.parent))
        for key, file in pruned.items()
    }
    assert sum(one.censored for one in late.values()) >= 5
    looks, samples = [], []
    for files in (whole, pruned):
        looks.append(sum(len(_looks(file)) - 1 for file in files.values()))
        samples.append(sum(_looks(file)[-1]["dose"] for file in files.values()))
    saved = [f"{1 - after / before:.0%}" for before, after in (looks, samples)]
    print(f"saved: {saved[0]} of the looks, {saved[1]} of the samples trained on")
    assert looks[1] < looks[0] and samples[1] < 0.8 * samples[0]


def test_the_crossing_dose_of_a_run_that_was_ended_is_the_whole_runs_and_reaches_the_regression(
    both: tuple[SweepSpace, dict[Run, Path], dict[Run, Path]],
) -> None:
    """Below the level for three looks, it has crossed: interval-censored. A lower level it has not: right-censored."""
    own, whole, pruned = both

    def crossings(files: dict[Run, Path], level: float) -> list[Crossing]:
        read = [_looks(file)[1:] for file in files.values()]
        return [crossing([r["dose"] for r in rows], [r["retention"] for r in rows], level) for rows in read]

    assert crossings(pruned, 0.5) == crossings(whole, 0.5)
    early, late = crossings(pruned, 0.02), crossings(whole, 0.02)
    assert any(a.status == "right" and b.status == "interval" for a, b in zip(early, late, strict=True))
    assert all(a == b or (a.status == "right" and a.low <= b.low) for a, b in zip(early, late, strict=True))
    capacities = np.array([own.capacity(key.student.name) for key in pruned], float)
    naive = crossings({key: whole[key] for key in pruned if len(_looks(pruned[key])) == len(_looks(whole[key]))}, 0.5)
    assert len(naive) < len(pruned)  # what would be left if runs that were ended were dropped
    fits = [fit_survival(crossings(files, 0.5), capacities, level=0.5) for files in (pruned, whole)]
    assert fits[0].dose_threshold(34_000).located
    assert fits[0].dose_threshold(34_000) == fits[1].dose_threshold(34_000)
