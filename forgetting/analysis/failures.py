"""How wrong answers failed, counted and composed: ledger rows and benchmarks in, counts and shares of classes out.

The classes are those of ``docs/failures.md``. A right answer without a failure has the class ``""``, so that counts
add up to answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from forgetting import registry
from forgetting.analysis import metrics
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.metrics import Floats
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.study_folder import StudyFolder
from forgetting.benchmarks.code import Code
from forgetting.benchmarks.maths import Maths
from forgetting.benchmarks.traps import Traps
from forgetting.contracts import Benchmark, Failure, Grade, Item
from forgetting.errors import UsageError
from forgetting.world.failures import CLASSES, RIGHT_ANYWAY
from forgetting.world.vocabulary import words

CELL = ["student", "capacity", "arm", "benchmark", "dose"]
COUNTS = [*CELL, "distillation_seed", "seed", "failure", "kind", "answers"]
OF_THE_WORLD: dict[str, type[Benchmark]] = {"maths": Maths, "code": Code, "traps": Traps}
SHARES = ("per_item", "given_wrong")
NONE = "none"  # the class of right answers without a failure, in shares

Texts = Callable[[Sequence[NDArray[np.int32]]], list[str]]  # of answers


def decides(benchmark: Benchmark) -> bool:
    """Whether a benchmark decides how answers to it failed."""
    return type(benchmark).failure is not Benchmark.failure


def failure_counts(ledger: pd.DataFrame, benchmarks: Sequence[Benchmark], limit: int, texts: Texts) -> pd.DataFrame:
    """How many answers of each run failed in which way at each dose; columns ``COUNTS``.

    Args:
        ledger: greedy rows of one run or many; original items are counted
        benchmarks: those whose answers are to be classed, with the settings that the items were made with
        limit: the longest answer allowed, in tokens: one as long was not ended by the model
        texts: the texts of answers, as the grader saw them
    """
    frames = []
    for benchmark in benchmarks:
        rows = _rows(ledger, benchmark.short_name())
        found = _failures(rows, {i.id: i for i in benchmark.items("test", ORIGINAL)}, benchmark, limit, texts)
        rows = rows.assign(failure=[f.name for f in found], kind=[f.kind for f in found])
        frames.append(rows.groupby(COUNTS[:-1], sort=False, observed=True).size().rename("answers").reset_index())
    whole = pd.concat(frames)[COUNTS] if frames else pd.DataFrame(columns=COUNTS)
    return whole.sort_values(["capacity", *COUNTS[:-1]], ignore_index=True)


def _rows(ledger: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    return ledger[(ledger["benchmark"] == benchmark) & (ledger["variant"] == ORIGINAL)]


def _failures(
    rows: pd.DataFrame, items: Mapping[str, Item], benchmark: Benchmark, limit: int, texts: Texts
) -> list[Failure]:
    """The failure of each row; equal answers to an item are classed once."""
    answers = [np.asarray(answer, np.int32) for answer in rows["answer"]]
    names = list(zip(rows["item"], (a.tobytes() for a in answers), rows["verdict"], rows["kind"], strict=True))
    new = dict(zip(names, answers, strict=True))
    known = {
        name: _classed(benchmark, items[name[0]], text, Grade(name[2], name[3]), len(answer) < limit)
        for (name, answer), text in zip(new.items(), texts(list(new.values())), strict=True)
    }
    return [known[name] for name in names]


def _classed(benchmark: Benchmark, item: Item, text: str, grade: Grade, ended: bool) -> Failure:
    if grade.verdict == "right" and text == item.answer:
        return Failure()
    return benchmark.failure(item, text, grade, ended=ended)


@cache
def _vocabulary() -> tuple[str, ...]:
    return ("", "", *words(), "")  # padding, end and the unknown word are no text


def world_texts(answers: Sequence[NDArray[np.int32]]) -> list[str]:
    """The texts of answers in the embedded world, without its tokenizer."""
    known = _vocabulary()
    return [" ".join(filter(None, (known[t] for t in answer if 0 <= t < len(known)))) for answer in answers]


def counts_of(study: StudyFolder) -> pd.DataFrame:
    """The counts of a study, as they were made when it was joined; of older ones, which have none, from the ledger.

    Afterwards only answers to benchmarks of the embedded world can be classed, where this version would ask the same
    items. Empty where nothing can be.
    """
    if "failures" not in study.kept:
        counts = study.failure_counts
        study.kept["failures"] = study.common(_afterwards(study) if counts is None else counts[COUNTS])
    return study.kept["failures"]


def _afterwards(study: StudyFolder) -> pd.DataFrame:
    evaluation = study.record.get("spec", {}).get("evaluation", {})
    if study.ledger is None:
        return pd.DataFrame(columns=COUNTS)
    made = [made_again(value, study) for value in evaluation.get("benchmarks", [])]
    benchmarks = [benchmark for benchmark in made if benchmark is not None]
    return failure_counts(study.ledger, benchmarks, int(evaluation.get("max_new_tokens", 0)), world_texts)


def made_again(value: Any, study: StudyFolder) -> Benchmark | None:
    """A benchmark of the world as a spec in a record names it; nothing that the record names is imported.

    None where it is another benchmark, or this version would ask other items.
    """
    name, known = part_name(value), study.record.get("benchmarks", {})
    kind = OF_THE_WORLD.get(name)
    if kind is None or study.ledger is None or known.get(name, {}).get("version") != kind.version:
        return None
    asked = {str(i): str(p) for i, p in _rows(study.ledger, name)[["item", "problem"]].drop_duplicates().to_numpy()}
    settings = {k: v for k, v in value.items() if k != "name"} if isinstance(value, dict) else {}
    if any(k != "seed" and type(v) is int and v > len(asked) for k, v in settings.items()):
        return None  # so that making the items takes no longer than the ledger is long
    try:
        benchmark = cast(Benchmark, registry.build("benchmarks", {**settings, "name": name}))
        made = {item.id: item.problem for item in benchmark.items("test", ORIGINAL)}
    except UsageError:  # settings that this version has not, or of another kind
        return None
    return benchmark if asked == made else None


def composition(counts: pd.DataFrame, *, kinds: bool = False, accuracy: float | None = None) -> pd.DataFrame:
    """Shares of the classes of failure: a row a student, arm, benchmark, dose and class that occurred (and kind).

    The class ``none`` is of right answers that did not fail, so that ``per_item`` adds up to 1.

    ``per_item`` is the share of all answers (does it become commoner?), ``given_wrong`` of the wrong ones (does the mix
    change?; undefined for classes of right answers). ``..._low`` and ``..._high`` bound them at 95%: over students
    where there are several (Student's t), else over items (Wilson; what several streams make of one student counts as
    one). ``..._rise`` is the share minus that of the same students at dose 0. ``students`` were asked ``items`` each,
    of which they had the share ``accuracy`` right.

    Args:
        counts: of ``failure_counts``
        kinds: a row for each kind instead of each class
        accuracy: only the dose of each student, arm and benchmark at which accuracy is nearest to it
    """
    what = ["failure", "kind"] if kinds else ["failure"]
    counts = counts.assign(wrong=counts["answers"].where(~counts["failure"].isin(["", RIGHT_ANYWAY]), 0))
    of_student = counts.groupby([*CELL, "distillation_seed"], sort=False, observed=True)
    asked = of_student.agg(all=("answers", "sum"), wrong=("wrong", "sum"), streams=("seed", "nunique"))
    counts = counts.assign(failure=counts["failure"].replace("", NONE))
    by_class = counts.groupby([*CELL, *what, "distillation_seed"], sort=False, observed=True)
    found = by_class["answers"].sum().rename("found").reset_index().join(asked, on=[*CELL, "distillation_seed"])
    asked["students"], asked["items"] = 1, asked["all"] / asked["streams"]
    cell = asked.groupby(CELL, sort=False, observed=True).sum()
    table = found.groupby([*CELL, *what], sort=False, observed=True)[["found"]].sum().reset_index().join(cell, on=CELL)
    table["accuracy"], table["items"] = 1 - table["wrong"] / table["all"], (table["items"] / table["students"]).round()
    table.loc[table["failure"].isin([NONE, RIGHT_ANYWAY]), "wrong"] = 0
    for share, of in zip(SHARES, ("all", "wrong"), strict=True):
        squares = {"ff": found["found"] ** 2, "fd": found["found"] * found[of]}
        sums = found.assign(**squares).groupby([*CELL, *what], sort=False, observed=True)[["ff", "fd"]].sum()
        dd = (asked[of] ** 2).groupby(level=CELL, sort=False, observed=True).sum().rename("dd")
        about = table.join(sums, on=[*CELL, *what]).join(dd, on=CELL)
        table[share], table[f"{share}_low"], table[f"{share}_high"] = _interval(about, of)
    ends = [f"{share}{end}" for share in SHARES for end in ("", "_low", "_high")]
    table = table[[*CELL, *what, "students", "items", "accuracy", *ends]].astype({"items": int})
    return _sorted(_nearest(_with_rises(table, counts, what), accuracy), what)


def _interval(rows: pd.DataFrame, of: str) -> tuple[Floats, Floats, Floats]:
    """Pooled shares with their 95% intervals: by the scatter of students (of a ratio, linearised), or Wilson's of one.

    Of the students' counts f of d answers, ``ff``, ``fd`` and ``dd`` are the sums of products.
    """
    whole, students = rows[of].to_numpy(float), rows["students"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = rows["found"].to_numpy(float) / np.where(whole > 0, whole, np.nan)
        size = whole / rows["streams"].to_numpy(float)
        low, high = metrics.wilson(share * size, size)
        squares = (rows["ff"] - 2 * share * rows["fd"] + share**2 * rows["dd"]).to_numpy(float).clip(0)
        half = stdtrit(students - 1, 0.975) * np.sqrt(squares * students / (students - 1)) / whole
    several = students > 1
    return share, np.where(several, (share - half).clip(0), low), np.where(several, (share + half).clip(max=1), high)


def _with_rises(table: pd.DataFrame, counts: pd.DataFrame, what: list[str]) -> pd.DataFrame:
    """With the shares minus those at dose 0, where a class that did not occur had the share 0."""
    key = [name for name in CELL if name != "dose"]
    first = counts[counts["dose"] == 0].groupby(key, observed=True)[["answers", "wrong"]].sum()
    asked = first.reindex(pd.MultiIndex.from_frame(table[key])).to_numpy(float).T
    before = table[table["dose"] == 0].set_index([*key, *what])[list(SHARES)]
    before = before.reindex(pd.MultiIndex.from_frame(table[[*key, *what]]))
    for share, count in zip(SHARES, asked, strict=True):
        start = before[share].fillna(0.0).to_numpy(float)
        table[f"{share}_rise"] = table[share] - np.where(count > 0, start, np.nan)
    return table


def _nearest(table: pd.DataFrame, accuracy: float | None) -> pd.DataFrame:
    if accuracy is None or table.empty:
        return table
    key = [name for name in CELL if name != "dose"]
    looks = table[[*CELL, "accuracy"]].drop_duplicates()
    looks = looks.assign(distance=(looks["accuracy"] - accuracy).abs()).sort_values(["distance", "dose"])
    return table.merge(looks.drop_duplicates(key)[CELL])


def _sorted(table: pd.DataFrame, what: list[str]) -> pd.DataFrame:
    """By capacity, arm, benchmark and dose; classes in the order of the tree."""
    place = table["failure"].map({name: place for place, name in enumerate((NONE, *CLASSES))})
    order = ["capacity", "student", "arm", "benchmark", "dose", "place", *what]
    return table.assign(place=place).sort_values(order, ignore_index=True).drop(columns="place")
