"""Whether tables of a record have their columns, each of its kind: what counts is whole, and what is shown is text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from forgetting.analysis.curves import COLUMNS, IDENTITY
from forgetting.analysis.metrics import Status
from forgetting.analysis.well_formed import LOOK
from forgetting.errors import UsageError
from forgetting.record.checks import check_names, check_words
from forgetting.record.field_kinds import MISSING, NONE, NUMBER, TEXT, WHOLE, check_shape
from forgetting.record.schema import ScoreRow

COUNTED = ("capacity", "distillation_seed", "seed", "dose", "dose_tokens", "stream_samples", "depth", "items", "seeds",
           "well_formed", "right", "answers", "samples", "k", "students", "place", "distance", "copies")  # fmt: skip
RUN = ("student", "arm", "capacity", "dose", "distillation_seed", "seed", "benchmark")
_KINDS: dict[str, Any] = {"str": TEXT, "int": WHOLE, "float": NUMBER, "None": NONE}
SCORE_ROW = {
    name: tuple(_KINDS[kind] for kind in str(field.type).split(" | "))
    for name, field in ScoreRow.__dataclass_fields__.items()
}


def check_curves(table: pd.DataFrame, path: Path) -> None:
    """``UsageError`` unless the rows of ``curves.csv`` have their columns, each of its kind, and statuses are known."""
    check_columns(table, (*IDENTITY, *COLUMNS), path)
    for name in ("capacity", *COLUMNS):
        check_numbers(table, name, path)
    check_numbers(table[table["depth"].notna()], "depth", path)
    for name in ("skill", "variant", "status"):
        check_words(table[name].unique(), name, path)
    if strange := set(table["status"]) - set(Status.__members__):
        raise UsageError(f"{path}: column status must be names of statuses, got {sorted(strange)[0][:40]!r}")


def check_well_formed(table: pd.DataFrame, path: Path) -> None:
    """``UsageError`` unless the rows of ``well_formed.csv`` are counts, each at most the one before it."""
    check_columns(table, (*LOOK, "items", "well_formed", "right"), path)
    for name in ("distillation_seed", "seed", "capacity", "dose", "items", "well_formed", "right"):
        check_numbers(table, name, path)
    check_words(table["benchmark"].unique(), "benchmark", path)
    if not ((table["right"] <= table["well_formed"]) & (table["well_formed"] <= table["items"])).all():
        raise UsageError(f"{path}: columns right, well_formed and items must not fall in this order")


def check_failures(table: pd.DataFrame, path: Path) -> None:
    """``UsageError`` unless the rows of ``failures.csv`` are counts of classes with names that can be shown."""
    texts, counts = ("benchmark", "failure", "kind"), ("capacity", "dose", "distillation_seed", "seed", "answers")
    check_columns(table, ("student", "arm", *texts, *counts), path)
    for name in counts:
        check_numbers(table, name, path)
    check_names(table["benchmark"].unique(), "benchmark", path)
    for name in texts:
        check_words(table[name].unique(), name, path)


def check_probing(table: pd.DataFrame, path: Path) -> None:
    """``UsageError`` unless the rows of ``probing.csv`` are counts of right answers, with names that can be shown."""
    texts = ("benchmark", "intervention", "answering")
    counts = ("capacity", "dose", "distillation_seed", "seed", "depth", "items", "right")
    check_columns(table, ("student", "arm", *texts, *counts, "nll"), path)
    for name in (*counts, "nll"):
        check_numbers(table, name, path)
    for name in texts:
        check_words(table[name].unique(), name, path)
    if not (table["right"] <= table["items"]).all() or not (table["items"] > 0).all():
        raise UsageError(f"{path}: column items must be above 0 and at least right")


def check_distances(table: pd.DataFrame, path: Path) -> None:
    """``UsageError`` unless the rows of ``distances.csv`` are counts of copies, with names that can be shown."""
    texts, counts = ("source", "form"), ("depth", "place", "distance", "copies", "right")
    check_columns(table, (*RUN, *texts, *counts), path)
    for name in ("capacity", "dose", "distillation_seed", "seed", *counts):
        check_numbers(table, name, path)
    check_names(table["benchmark"].unique(), "benchmark", path)
    for name in texts:
        check_words(table[name].unique(), name, path)
    if not (table["right"] <= table["copies"]).all() or not (table["copies"] > 0).all():
        raise UsageError(f"{path}: column copies must be above 0 and at least right")


def check_quality(table: pd.DataFrame, path: Path) -> None:
    """``UsageError`` unless the rows of ``branch_quality.csv`` are readings, with names that can be shown."""
    texts = ("trunk", "branch", "measure", "of")
    numbers = ("capacity", "distillation_seed", "seed", "dose", "value")
    check_columns(table, ("student", "arm", "arrived", *texts, *numbers), path)
    for name in numbers:
        check_numbers(table, name, path)
    for name in texts:
        check_words(table[name].astype(str).unique(), name, path)
    if table["arrived"].dtype != bool:
        raise UsageError(f"{path}: column arrived must be True or False")


def check_ways(table: pd.DataFrame, path: Path) -> None:
    """``UsageError`` unless the rows of ``answering.csv`` have their columns, each of its kind."""
    shares = ("accuracy", "low", "high", "retention", "generated", "parsed")
    _check_kinds(table, ("intervention", "answering", "skill"), ("items", "samples", *shares), path)


def check_passing(table: pd.DataFrame, path: Path) -> None:
    """``UsageError`` unless the rows of ``passing.csv`` have their columns, each of its kind."""
    _check_kinds(table, ("answering", "skill"), ("k", "value", "low", "high", "items", "samples"), path)


def check_protection(table: pd.DataFrame, path: Path) -> None:
    """``UsageError`` unless the rows of ``protection.csv`` have their columns, each of its kind."""
    texts, numbers = ("size", "skill", "against"), ("students", "area", "low", "high")
    check_columns(table, (*texts, *numbers), path)
    for name in numbers:
        check_numbers(table, name, path)
    check_names(table["size"].unique(), "size", path)
    for name in texts:
        check_words(table[name].unique(), name, path)


def _check_kinds(table: pd.DataFrame, texts: Sequence[str], numbers: Sequence[str], path: Path) -> None:
    """Of a table with a row a run, look and benchmark."""
    check_columns(table, (*RUN, *texts, *numbers), path)
    for name in ("capacity", "dose", "distillation_seed", "seed", *numbers):
        check_numbers(table, name, path)
    check_names(table["benchmark"].unique(), "benchmark", path)
    for name in texts:
        check_words(table[name].unique(), name, path)


def check_scores(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """``UsageError`` unless rows are score rows: every field there, and of its kind."""
    for name, shape in SCORE_ROW.items():
        values = [row.get(name, MISSING) for row in rows]
        numbers = [value for value in values if type(value) in (int, float)]
        largest = [max(numbers, key=lambda value: math.inf if value != value else abs(value))] if numbers else []
        for value in (*{type(value): value for value in values}.values(), *largest):
            try:
                check_shape(value, shape, name)
            except UsageError as error:
                raise UsageError(f"{path}: has rows that are no scores ({error})") from None
    for name in ("student", "arm"):
        check_names({str(row[name]) for row in rows}, name, path)


def check_columns(table: pd.DataFrame, names: Iterable[str], path: Path) -> None:
    """``UsageError`` names the columns that a table lacks."""
    if missing := [name for name in names if name not in table]:
        raise UsageError(f"{path}: columns missing: {', '.join(missing)}")


def check_numbers(table: pd.DataFrame, name: str, path: Path) -> None:
    """``UsageError`` unless a column holds numbers, and whole ones from 0 on where it counts."""
    column = table[name]
    if len(table) and (not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        raise UsageError(f"{path}: column {name} must be numbers, got {column.dtype}")
    if name in COUNTED and len(table) and not ((column >= 0) & (column % 1 == 0)).all():
        raise UsageError(f"{path}: column {name} must be whole numbers from 0 on")
