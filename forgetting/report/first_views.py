"""The folder of a study whose record was just written in; its first views out, and what they tell in the record."""

from __future__ import annotations

import time
from pathlib import Path

from forgetting.analysis.differences import differences
from forgetting.analysis.record_reading import read_record
from forgetting.analysis.study_folder import open_study
from forgetting.record.seals import write_sealed
from forgetting.report.build import write_views
from forgetting.report.tables import statuses
from forgetting.report.tensorboard import plain


def has_first_views(folder: Path) -> bool:
    """Whether all of them were written: what they add to the record is written last."""
    if not all((folder / name).is_file() for name in ("record.json", "report.html")):
        return False
    return "noise_floor" in read_record(folder)


def write_first_views(folder: Path, begin: float) -> None:
    """All views; what only the ledger tells, and the views' own time, are added to the record afterwards."""
    start, study = time.perf_counter(), open_study(folder)
    write_views(study)
    about = study.record
    kept = {"noise_floor": study.noise_floor, "statuses": statuses(study), "differences": differences(study)}
    for name, table in kept.items():
        about[name] = plain(table.astype(object).where(table.notna(), None))
    about["seconds"] |= {
        "views": round(time.perf_counter() - start, 2),
        "study": round(time.perf_counter() - begin, 2),
    }
    write_sealed(folder / "record.json", about)
