"""Every view of a study rebuilt from its record: ``curves.csv``, ``figures/``, ``tensorboard/`` and ``report.html``."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from forgetting.analysis.record_reading import (
    BRANCH_FILES,
    CURVES_FILE,
    KEYWORDS_FILE,
    QUALITY_FILE,
    is_branched,
    shown,
)
from forgetting.analysis.study_folder import StudyFolder, open_study
from forgetting.analysis.well_formed import WELL_FORMED_FILE
from forgetting.errors import UsageError, unknown
from forgetting.record.files import write_atomically
from forgetting.record.places import check_plain, clear
from forgetting.record.seals import SEAL, file_hash, write_sealed

VIEWS = ("curves", "figures", "tensorboard", "html")
PICTURES = "png"  # every figure as PNG too
TABLES = (CURVES_FILE, WELL_FORMED_FILE)
PLACES = (*TABLES, *BRANCH_FILES, QUALITY_FILE, KEYWORDS_FILE, "figures", "tensorboard", "report.html")


def build_views(folder: Path | str, what: Iterable[str] = VIEWS) -> list[Path]:
    """Rebuild the views of the study in ``folder``; returns the files written."""
    return write_views(open_study(folder), what)


def write_views(study: StudyFolder, what: Iterable[str] = VIEWS, into: Path | None = None) -> list[Path]:
    """Write views of a study into its own folder, or another one. Figures and report are drawn once for both.

    Raises:
        UsageError: an unknown view, or a place that cannot be written
    """
    wanted, target = tuple(what), into or study.folder
    for name in wanted:
        if name not in (*VIEWS, PICTURES):
            raise unknown("view", name, (*VIEWS, PICTURES))
    check_plain(*(target / name for name in PLACES))
    if into is None:
        clear(target)
    with shown(study.folder), _writing(target), _collecting_later():
        paths = _write(study, wanted, target)
        if into is None:
            _seal_tables(study)
        return paths


def write_html(study: StudyFolder, path: Path) -> Path:
    """Write the report of a study as one file at ``path``."""
    from forgetting.report import drawing, figures, html

    with shown(study.folder), _writing(path), _collecting_later():
        write_atomically(path, html.page(study, drawing.vectors(figures.figures(study))))
    return path


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn a place that cannot be written into a line for the user."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{error.filename or target}: cannot be written ({error.strerror or error})") from None


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Without collections of garbage: figures are hundreds of thousands of objects, and nearly all are needed."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _seal_tables(study: StudyFolder) -> None:
    """The record has the hashes of the tables beside it, since a folder without its ledger is read from them."""
    places = [study.folder / name for name in (*TABLES, QUALITY_FILE, KEYWORDS_FILE)]
    record, written = study.record, [path for path in places if path.is_file()]
    if SEAL in record and study.ledger is not None and written:
        files = {**record.get("files", {}), **{path.name: file_hash(path) for path in written}}
        if files != record.get("files"):
            record["files"] = files
            write_sealed(study.folder / "record.json", record)


def _write(study: StudyFolder, wanted: tuple[str, ...], target: Path) -> list[Path]:
    paths: list[Path] = []
    if "curves" in wanted:
        for name, table in _tables(study).items():
            write_atomically(target / name, table.to_csv(index=False, float_format="%.6g"))
            paths.append(target / name)
    if {"figures", "html", PICTURES} & {*wanted}:
        from forgetting.report import drawing, figures

        drawn = figures.figures(study)
        vector = drawing.vectors(drawn)
        if {"figures", PICTURES} & {*wanted}:
            paths += drawing.save(drawn, vector, target / "figures", PICTURES in wanted)
        if "html" in wanted:
            from forgetting.report import html

            write_atomically(target / "report.html", html.page(study, vector))
            paths.append(target / "report.html")
    if "tensorboard" in wanted:
        from forgetting.report import tensorboard

        paths += tensorboard.write_events(study, target / "tensorboard")
    return paths


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    """By file name; those that take the ledger only where there is one."""
    found, branched = dict[str, pd.DataFrame](), is_branched(study.record)
    if study.ledger is not None:
        from forgetting.analysis.keyword_dependence import keyword_table

        found |= zip(TABLES, (study.curve_frame(), study.well_formed), strict=True)
        found |= {KEYWORDS_FILE: keywords} if len(keywords := keyword_table(study)) else {}
    if branched:
        from forgetting.report.branch_views import branch_tables

        found |= branch_tables(study)
    if branched and study.ledger is not None:
        from forgetting.analysis.branch_quality import readings

        found |= {QUALITY_FILE: quality} if len(quality := readings(study)) else {}
    return found
