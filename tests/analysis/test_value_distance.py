"""Copies by distance: where values stand, against the text itself; counts and slopes, by hand and by regression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.value_distance import (
    CELL,
    COUNTS,
    Copy,
    copies_of,
    counts_of,
    distance_counts,
    distance_slopes,
    value_distances,
    write_counts,
)
from forgetting.benchmarks.maths import Maths
from forgetting.benchmarks.traps import Traps
from forgetting.contracts import Item
from forgetting.errors import UsageError
from forgetting.report.distance_views import TOPIC, distance_figure
from forgetting.world.vocabulary import vocabulary

PARTS = (Maths(items_per_depth=40, depths=(1, 2, 3, 5)), Traps(items_per_form=20))
WORDS = vocabulary()


def item(prompt: str, answer: str, template: str, skill: str = "maths", depth: int = 2) -> Item:
    return Item("i", prompt, answer, skill, depth, template, "original", "p")


def test_copies_by_hand() -> None:
    found = copies_of(item("ann has 12 apples , has twice as many , loses 3 . how many apples ?",
                           "12 * 2 = 24 ; 24 - 3 = 21 ; answer 21", "double-sub"))  # fmt: skip
    # 17 words of prompt: 12 is the third, 3 the twelfth; the factor of "twice" is no copy.
    assert found == [Copy("prompt", 0, 15), Copy("answer", 6, 2), Copy("prompt", 8, 14), Copy("answer", 13, 3)]


@pytest.mark.parametrize("part", PARTS, ids=["maths", "traps"])
def test_every_copy_is_of_a_word_that_stands_there(part: Any) -> None:
    sources = set()
    for one in part.items():
        text, start = [*one.prompt.split(), *one.answer.split()], len(one.prompt.split())
        for copy in copies_of(one):
            use = start + copy.place
            assert text[use] == text[use - copy.distance] and text[use].isdigit()
            assert (use - copy.distance < start) == (copy.source == "prompt")
            sources.add(copy.source)
        assert one.answer.split()[copies_of(one)[-1].place :] == [one.answer.split()[-1]]
    assert sources == {"prompt", "answer"}


def ledger(dose: int, wrong: dict[int, str], seeds: int = 3) -> pd.DataFrame:
    """Gold answers of which a place is another word, where the item's index is even."""
    rows = []
    for seed in range(seeds):
        for number, one in enumerate(PARTS[0].items()):
            words = one.answer.split()
            for place, word in wrong.items():
                if number % 2 == 0 and place < len(words):
                    words[place] = word
            rows.append({
                "student": "w", "capacity": 10, "arm": "dialogue", "benchmark": "maths", "dose": dose,
                "distillation_seed": seed, "seed": seed, "variant": "original", "item": one.id, "problem": one.problem,
                "answer": np.array([WORDS[word] for word in words], np.int32), "verdict": "right",
            })  # fmt: skip
    return pd.DataFrame(rows)


def test_a_copy_counts_where_all_before_it_is_gold() -> None:
    whole = distance_counts(ledger(0, {}), PARTS[:1])
    assert list(whole.columns) == COUNTS and (whole["copies"] == whole["right"]).all()
    every = sum(len(copies_of(one)) for one in PARTS[0].items())
    assert (whole.groupby("seed")["copies"].sum() == every).all()
    spoilt = distance_counts(ledger(80, {2: "tea"}), PARTS[:1])  # the first operand of every other item
    first, second, later = (spoilt[spoilt["place"].isin(at)] for at in ([0], [2], range(3, 99)))
    assert (first["copies"] == first["right"]).all() and (later["copies"] == later["right"]).all()
    named = [one for one in PARTS[0].items() if any(copy.place == 2 for copy in copies_of(one))]
    spoilt_items = [one for number, one in enumerate(PARTS[0].items()) if number % 2 == 0]
    assert second["copies"].sum() == 3 * len(named)
    assert second["right"].sum() == 3 * len([one for one in named if one not in spoilt_items])
    kept = [one for one in PARTS[0].items() if one not in spoilt_items]
    assert later["copies"].sum() == 3 * sum(copy.place > 2 for one in kept for copy in copies_of(one))
    short = ledger(80, {})
    short["answer"] = [answer[:6] for answer in short["answer"]]  # the end comes after the first step
    cut = distance_counts(short, PARTS[:1])
    assert (cut[cut["place"] == 6]["right"] == 0).all() and not (cut["place"] > 6).any()


def counts(slope: float, dose: int, students: int = 4, seed: int = 0) -> pd.DataFrame:
    """Shares that fall by ``slope`` a word within cells, whose own levels rise with distance."""
    rows, rng = [], np.random.default_rng(seed)
    for student in range(students):
        for place, level in ((0, 0.6), (2, 0.7), (8, 0.9)):
            for distance in range(10 + place, 16 + place):
                share = level + slope * (distance - 12 - place) + rng.normal(0, 0.002)
                rows.append(("w", 10, "dialogue", "maths", dose, student, student, "prompt", "", 2, place, distance,
                             10_000, round(10_000 * share)))  # fmt: skip
    return pd.DataFrame(rows, columns=COUNTS)


def test_slopes_are_within_cells_and_changes_are_of_the_same_students() -> None:
    table = pd.concat([counts(-0.002, 0), counts(-0.02, 80, seed=1)])
    found = distance_slopes(table).set_index("dose")
    assert found["slope"].to_numpy() == pytest.approx([-0.02, -0.2], abs=0.01)
    assert found.loc[80, "change"] == pytest.approx(-0.18, abs=0.01) and found.loc[0, "change"] == 0
    assert found.loc[80, "low"] < -0.19 < found.loc[80, "high"] + 0.02 and found["students"].eq(4).all()
    one = table[(table["dose"] == 80) & (table["seed"] == 0)]
    dummies = pd.get_dummies(one[CELL].astype(str).agg(" ".join, axis=1)).to_numpy(float)
    design = (
        np.column_stack([one["distance"].to_numpy(float), dummies]) * np.sqrt(one["copies"].to_numpy(float))[:, None]
    )
    target = (one["right"] / one["copies"] * np.sqrt(one["copies"])).to_numpy(float)
    best = np.linalg.lstsq(design, target, rcond=None)[0][0]
    assert distance_slopes(one)["slope"][0] == pytest.approx(10 * best)
    flat = one[one["distance"] == 12]
    assert distance_slopes(flat).empty or np.isnan(distance_slopes(flat)["slope"]).all()


def test_shares_by_stretch_of_distance() -> None:
    table = value_distances(counts(0.0, 80))
    assert table["farthest"].tolist() == [12, 16, 20, 24] and (table["students"] == 4).all()
    near = table.set_index("farthest").loc[12]
    assert (
        near["right"] == pytest.approx((3 * 0.6 + 0.7) / 4, abs=0.01) and near["low"] <= near["right"] <= near["high"]
    )


def test_counts_are_kept_beside_a_record_and_shown(tmp_path: Path) -> None:
    record = {
        "benchmarks": {"maths": {"version": PARTS[0].version, "chance": 0.0}}, "arms": [{"name": "dialogue"}],
        "spec": {"evaluation": {"benchmarks": [{"name": "maths", "items_per_depth": 40, "depths": [1, 2, 3, 5]}]}},
    }  # fmt: skip
    rows = pd.concat([ledger(0, {}), ledger(80, {2: "tea"})])
    measured = StudyFolder(tmp_path, record, rows)
    assert not TOPIC.tables(measured) and not TOPIC.drawn(measured)  # other studies are not read for it
    write_counts(measured, tmp_path)
    kept = StudyFolder(tmp_path, record)
    kept.__dict__["ledger"] = None
    pd.testing.assert_frame_equal(
        value_distances(counts_of(kept)), value_distances(counts_of(measured)), check_dtype=False
    )
    (name,) = TOPIC.drawn(kept)
    assert name == "distance-dialogue-maths" and len(TOPIC.tables(kept)) == 2
    figure = distance_figure(value_distances(counts_of(kept)))
    drawn = [line for ax in figure.axes for line in ax.lines]
    assert any(np.asarray(line.get_ydata(), float).size for line in drawn)
    broken = pd.read_csv(tmp_path / "distances.csv").assign(right=-1)
    broken.to_csv(tmp_path / "distances.csv", index=False)
    with pytest.raises(UsageError, match=r"distances.csv: column right"):
        counts_of(StudyFolder(tmp_path, record))
