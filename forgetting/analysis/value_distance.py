"""Are values copied less surely the farther back they stand? A ledger in, copies by distance out.

A written-out answer copies values: numbers of the prompt into its steps, results into later steps, the last result
behind ``answer``. Looked at are copies in word problems and average speeds of the embedded world whose answer is gold
up to there, so that each is decided by itself: it is right where the number is. The distance is how many words the
value stands before the place that it is copied to.

Distance comes with other things: the first copy begins the answer, later ones follow steps that went well, deep
problems have longer prompts. So the slope of a student is taken within cells: copies to the same place of answers of
the same form and depth differ in distance only by how the steps in between are worded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.failures import made_again
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.study_folder import StudyFolder
from forgetting.benchmarks.traps import Traps
from forgetting.contracts import Benchmark, Item
from forgetting.world.maths import OPERATIONS
from forgetting.world.vocabulary import vocabulary

DISTANCES_FILE = "distances.csv"
STEP_WORDS = 6  # ``12 + 5 = 17 ;``
BINS = (4, 8, 12, 16, 20, 24, 28, 64)  # the largest distance of each
FEWEST_COPIES = 20  # of a student, from which a share or a slope is taken
PER = 10  # words that a slope is told for
FROM_PROMPT, FROM_ANSWER = "prompt", "answer"

STUDENT = "distillation_seed"
RUN = [STUDENT, "seed"]
HEAD = ["student", "capacity", "arm", "benchmark", "dose"]
CELL = ["source", "form", "depth", "place"]
COUNTS = [*HEAD, *RUN, *CELL, "distance", "copies", "right"]
SHARES = [*HEAD, "source", "farthest", "distance", "students", "copies", "right", "low", "high"]
SLOPES = [*HEAD, "source", "students", "copies", "slope", "low", "high", "change", "change_low", "change_high"]


@dataclass(frozen=True)
class Copy:
    """A place of an answer, in words, to which a value is copied that stands ``distance`` words before it."""

    source: str
    place: int
    distance: int


def copies_of(item: Item) -> list[Copy]:
    """The copies that the gold answer of a word problem or of an average speed makes, in their order."""
    found = _of_speeds(item) if item.skill == Traps.skill else _of_steps(item)
    return sorted(found, key=lambda copy: copy.place)


def _of_steps(item: Item) -> list[Copy]:
    """The start and each operand that the prompt names, the result before each step, and the last one."""
    prompt, answer, operations = item.prompt.split(), item.answer.split(), item.template.split("-")
    story = _parts(prompt)
    found = [Copy(FROM_PROMPT, 0, len(prompt) - _last(prompt, *story[0], answer[0]))]
    for step, (name, part) in enumerate(zip(operations, story[1:], strict=True)):
        place = STEP_WORDS * step + 2
        named = _last(prompt, *part, answer[place]) if OPERATIONS[name].factor is None else -1
        if named >= 0:
            found.append(Copy(FROM_PROMPT, place, len(prompt) - named + place))
        if step:
            found.append(Copy(FROM_ANSWER, STEP_WORDS * step, 2))
    return [*found, Copy(FROM_ANSWER, len(answer) - 1, 3)]


def _parts(prompt: Sequence[str]) -> list[tuple[int, int]]:
    """Where the start and each operation of the original form are told: from a word, up to another."""
    commas = [-1, *(place for place, word in enumerate(prompt) if word == ","), prompt.index(".")]
    return [(start + 1, end) for start, end in pairwise(commas)]


def _last(prompt: Sequence[str], start: int, end: int, value: str) -> int:
    return max((place for place in range(start, end) if prompt[place] == value), default=-1)


def _of_speeds(item: Item) -> list[Copy]:
    """``ann goes a miles at s and b miles at t``: by the form of the answer, which numbers it copies and from where."""
    words = len(item.prompt.split())
    a, s, b, t = 2, 5, 7, 10
    from_prompt: tuple[tuple[int, int], ...]
    from_answer: tuple[tuple[int, int], ...]
    if item.template == "control":
        from_prompt, from_answer = ((s, 0), (t, 2)), ((4, 6), (10, 13))
    else:
        from_prompt = ((a, 0), (s, 2), (b, 6), (t, 8), (a, 18), (b, 20))
        from_answer = ((4, 12), (10, 14), (22, 24), (16, 26), (28, 31))
    found = [Copy(FROM_PROMPT, place, words - named + place) for named, place in from_prompt]
    return [*found, *(Copy(FROM_ANSWER, place, place - named) for named, place in from_answer)]


def distance_counts(ledger: pd.DataFrame, benchmarks: Sequence[Benchmark]) -> pd.DataFrame:
    """Copies of each run at each dose by cell and distance, and how many were right; columns ``COUNTS``.

    Args:
        ledger: greedy rows of one run or many; original items are counted
        benchmarks: ``maths`` or ``traps``, with the settings that the items were made with
    """
    frames = [pd.DataFrame(columns=COUNTS)]
    for benchmark in benchmarks:
        made = {item.id: (item, copies_of(item), _ids(item.answer)) for item in benchmark.items("test", ORIGINAL)}
        rows = ledger[(ledger["benchmark"] == benchmark.short_name()) & (ledger["variant"] == ORIGINAL)]
        found = []
        for head, name, answer in zip(rows[[*HEAD, *RUN]].itertuples(index=False), rows["item"], rows["answer"],
                                      strict=True):  # fmt: skip
            item, copies, gold = made[name]
            apart = _first_difference(np.asarray(answer), gold)
            form = "" if item.skill != Traps.skill else item.template
            found += [(*head, c.source, form, item.depth, c.place, c.distance, 1, int(c.place < apart))
                      for c in copies if c.place <= apart]  # fmt: skip
        frames.append(pd.DataFrame(found, columns=COUNTS))
    whole = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
    return whole.groupby(COUNTS[:-2], sort=False, observed=True)[["copies", "right"]].sum().reset_index()


def _first_difference(answer: np.ndarray, gold: np.ndarray) -> int:
    """The place of the first word that is not gold; behind the end where all are."""
    both = min(len(answer), len(gold))
    other = np.flatnonzero(answer[:both] != gold[:both])
    return int(other[0]) if len(other) else both


@cache
def _ids(text: str) -> np.ndarray:
    known = vocabulary()
    return np.array([known[word] for word in text.split()])


def counts_of(study: StudyFolder) -> pd.DataFrame:
    """The counts of a study: from ``distances.csv`` where its folder has one, else from the ledger; else empty."""
    if "distances" not in study.kept:
        counts = study.distances
        if counts.empty and study.ledger is not None:
            asked = study.record.get("spec", {}).get("evaluation", {}).get("benchmarks", [])
            made = [made_again(value, study) for value in asked]
            wanted = [one for one in made if one is not None and one.skill in ("maths", "traps")]
            counts = study.common(distance_counts(study.ledger, wanted))
        study.kept["distances"] = counts
    return study.kept["distances"]


def write_counts(study: StudyFolder, folder: Path) -> Path:
    """Keep the counts beside a record whose ledger will not be kept."""
    path = folder / DISTANCES_FILE
    counts_of(study).to_csv(path, index=False)
    return path


def value_distances(counts: pd.DataFrame) -> pd.DataFrame:
    """Copies by size, arm, benchmark, dose, source and stretch of distance: the share that is right, by students.

    ``farthest`` is the largest distance of the stretch, ``distance`` the mean of those that occurred; ``low`` and
    ``high`` bound ``right`` at 95% (Student's t over students with at least ``FEWEST_COPIES``).
    """
    edges = np.array(BINS)
    counts = counts.assign(farthest=edges[np.searchsorted(edges, counts["distance"].to_numpy(float))])
    rows = []
    for key, own in counts.groupby([*HEAD, "source", "farthest"], sort=False, observed=True):
        each = own.groupby(STUDENT)[["copies", "right"]].sum()
        each = each[each["copies"] >= FEWEST_COPIES]
        if each.empty:
            continue
        share, low, high = mean_interval((each["right"] / each["copies"]).to_numpy(float))
        distance = float(np.average(own["distance"], weights=own["copies"]))
        rows.append((*key, distance, len(each), int(each["copies"].sum()), share, low, high))
    found = pd.DataFrame(rows, columns=SHARES)
    return found.sort_values([*HEAD[:1], *HEAD[2:], "source", "farthest"], kind="stable", ignore_index=True)


def distance_slopes(counts: pd.DataFrame) -> pd.DataFrame:
    """How much surer a copy is for ten words less of distance: slopes within cells, by size, arm, benchmark and dose.

    ``slope`` is the change of the share of right copies with ten words more, within ``CELL``, mean over students;
    ``change`` the same minus that of the same students at dose 0. 95%, Student's t over students. Only of copies from
    the prompt, whose distance varies within cells.
    """
    own = counts[counts["source"] == FROM_PROMPT]
    found = []
    for key, rows in own.groupby([*HEAD, STUDENT], sort=False, observed=True):
        about = dict(zip([*HEAD, STUDENT], key, strict=True))
        found.append(about | {"slope": _slope(rows), "copies": int(rows["copies"].sum())})
    if not found:
        return pd.DataFrame(columns=SLOPES)
    each, of_student = pd.DataFrame(found), [name for name in HEAD if name != "dose"] + [STUDENT]
    start = each[each["dose"] == 0].set_index(of_student)["slope"]
    each["change"] = each["slope"] - start.reindex(pd.MultiIndex.from_frame(each[of_student])).to_numpy(float)
    table = []
    for key, looks in each.groupby(HEAD, sort=False, observed=True):
        slopes, changes = (looks[name].to_numpy(float) for name in ("slope", "change"))
        if known := int(np.isfinite(slopes).sum()):
            ends = (*mean_interval(slopes), *mean_interval(changes))
            table.append((*key, FROM_PROMPT, known, int(looks["copies"].sum()), *ends))
    return pd.DataFrame(table, columns=SLOPES)


def _slope(rows: pd.DataFrame) -> float:
    """Least squares of right on distance within cells, each copy once; NaN where distance does not vary."""
    cells = rows.groupby(CELL, sort=False, observed=True)
    number = cells.ngroup().to_numpy()
    n, right, distance = (rows[name].to_numpy(float) for name in ("copies", "right", "distance"))
    if n.sum() < FEWEST_COPIES:
        return float("nan")
    size = np.bincount(number, n)
    off_x = distance - (np.bincount(number, n * distance) / size)[number]
    off_y = right / n - (np.bincount(number, right) / size)[number]
    spread = float((n * off_x**2).sum())
    return PER * float((n * off_x * off_y).sum()) / spread if spread else float("nan")
