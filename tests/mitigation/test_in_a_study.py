"""Remedies in a study from end to end, alone and in a stack: what they tell is in the record."""

from __future__ import annotations

import statistics

import pytest

from forgetting import Result, simulate
from forgetting.evaluation.probe import remembered
from forgetting.mitigation.ewc import EWC
from forgetting.models.checkpoint import load
from forgetting.record.files import RunFolder
from forgetting.record.run_files import read_marker
from forgetting.record.store import Store
from forgetting.spec import Doses, Evaluation
from forgetting.stages import distil
from forgetting.study.spec_files import spec_from
from forgetting.study.study import construct

FISHER = EWC(strength=10.0, prompts=6, draws=2)
RIGHT = {"name": "self_replay", "prompts": "given", "filter": "right", "share": 0.25, "pool": 32}


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "stacked"])
def result(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Result:
    output = tmp_path_factory.mktemp("studies")
    made = simulate(
        students=["10k"], contamination="dialogue", mitigation=["none", FISHER.settings(), RIGHT], controls=[],
        doses=Doses(dose=40, first=20), seeds=2, evaluation=Evaluation(perturbed="never", probe_items=4),
        benchmarks=[{"name": "maths", "items_per_depth": 2}], stack=request.param,
        output=output, store=output / "store", workers=0, quiet=True,
    )  # fmt: skip
    stacks = {read_marker(RunFolder(path))["stack"] for path in (made.folder / "runs").iterdir()}
    assert stacks == {request.param}
    return made


def test_the_raw_information_of_each_run_is_in_its_marker_and_in_the_record(result: Result) -> None:
    study = construct(spec_from(result.record["spec"]))
    told = [one for one in study.runs() if one.arm.mitigation == FISHER]
    assert len(told) == len(result.record["notes"]) == 2
    for run, row in zip(told, result.record["notes"], strict=True):
        student = load(distil.student(study, run.student, run.distillation_seed, Store(result.folder.parent / "store")))
        memory = FISHER.prepare(student, remembered(study, FISHER, run.seed))
        assert memory is not None
        raw = sorted(memory.raw_mean.values())
        expected = {
            "raw_fisher_lowest": raw[0], "raw_fisher": statistics.median(raw), "raw_fisher_highest": raw[-1],
        }  # fmt: skip
        assert 0 < raw[0] < raw[-1]
        assert row == {**vars(run.key), **{name: pytest.approx(value) for name, value in expected.items()}}
        assert read_marker(RunFolder(result.folder / "runs" / str(run)))["notes"].items() <= row.items()


def test_runs_whose_mitigation_tells_nothing_have_no_notes(result: Result) -> None:
    own = {str(row["arm"]) for row in result.record["notes"]}
    others = [path for path in (result.folder / "runs").iterdir() if not any(arm in path.name for arm in own)]
    assert len(others) == 4
    assert not any("notes" in read_marker(RunFolder(path)) for path in others)


def test_a_student_that_replays_its_right_answers_is_measured_at_every_dose(result: Result) -> None:
    scores = result.scores
    (name,) = (arm["name"] for arm in result.record["arms"] if arm["mitigation"].get("filter") == "right")
    rows = scores[(scores["arm"] == name) & (scores["benchmark"] == "maths") & scores["depth"].isna()]
    assert rows.groupby("seed")["dose"].apply(list).tolist() == [[0, 20, 40]] * 2
    assert set(rows.query("dose == 40")["stream_samples"]) == {54}  # 40 of dialogue and 14 of its own
