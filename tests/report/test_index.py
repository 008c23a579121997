"""The index of results: a row a study, from its record alone."""

from __future__ import annotations

import json
from pathlib import Path

from forgetting.record.schema import RESULTS_VERSION
from forgetting.report.index import write_index


def test_each_study_with_a_record_gets_a_row(tmp_path: Path) -> None:
    for name, seeds in (("b-1", [0, 1, 2]), ("a-1", [0])):
        record = {
            "name": name[0],
            "commit": "0123456789abcdef",
            "students": [{"name": "10k"}, {"name": "34k"}],
            "arms": [{"name": "dialogue"}],
            "seeds": {"contamination": seeds, "shared_students": True},
            "hardware": {"cores": 2},
            "seconds": {"study": 61.2},
            "benchmarks": {},
            "canonical": {"results_version": RESULTS_VERSION if name == "a-1" else 1},
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(json.dumps(record))
        (tmp_path / name / "curves.csv").write_text("student\n")
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "a-1" / "report.html").write_text("")
    text = write_index(tmp_path).read_text()
    assert "docs/paper.md" not in text  # a folder of one's own has no such page beside it
    rows = text.splitlines()[-2:]
    assert rows[0] == "| [a](a-1/report.html) | `0123456789ab` | 10k, 34k | 1 | 1, one student each | 2, 61 |"
    assert rows[1].startswith("| [b](b-1/record.json)")
    assert "3, one student each" in rows[1]
    assert f"| `0123456789ab` (former code: results version 1, now {RESULTS_VERSION}) |" in rows[1]
