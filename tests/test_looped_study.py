"""A study of looped students from end to end: taught, stored, contaminated, answered by passes, read, reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetting import load, simulate
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.store import Store
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.spec_files import spec_from
from forgetting.study.study import construct

SPEC = spec_from(
    {
        "name": "looped", "contaminations": ["dialogue"], "shifts": [0.5], "doses": {"dose": 40, "first": 20},
        "ladder": {
            "students": ["width-16", "looped-16", "deeper-16"], "distillation": "gold",
            "distilling": {"samples": 640, "pool": 640},
        },
        "evaluation": {
            "benchmarks": [{"name": "maths", "items_per_depth": 4}], "perturbed": "never", "probe_items": 8,
            "max_new_tokens": 12,
            "answering": [
                {"name": "looped", "loops": 1}, {"name": "looped", "written": 1},
                {"name": "looped", "halt": "entropy", "threshold": 0.5},
            ],
        },
    }
)  # fmt: skip


@pytest.mark.slow
def test_a_study_of_looped_students(tmp_path: Path) -> None:
    result = simulate(SPEC, output=tmp_path, store=tmp_path / "store", workers=0, quiet=True)
    study = construct(SPEC)
    marks = {of.name: fingerprint(student_form(study, of, 0)) for of in study.students}
    assert len(set(marks.values())) == 3
    store = Store(tmp_path / "store")
    models = {name: HuggingFaceModel.load(store.find(mark)) for name, mark in marks.items()}  # type: ignore[arg-type]
    assert {name: model.loops for name, model in models.items()} == {"width-16": 1, "looped-16": 3, "deeper-16": 1}
    assert models["looped-16"].capacity == models["width-16"].capacity < models["deeper-16"].capacity
    table = result.looped_passes()
    assert set(table["student"]) == {"looped-16"} and set(table["dose"]) == {0, 40}
    whole = table[table["depth"] == 0].set_index(["answering", "dose"])["passes"]
    assert whole["greedy", 0] == 3 and whole["looped loops=1", 40] == 1
    assert 1 < whole["looped written=1", 0] < whole["looped halt=entropy threshold=0.5", 0] <= 3
    assert {"equal parameters", "equal operations"} == set(result.looped_twins()["against"])
    ways = load(result.folder).other_ways
    assert set(ways["student"]) == {"looped-16"}  # the others are not asked
    assert 'id="looped"' in (result.folder / "report.html").read_text()
