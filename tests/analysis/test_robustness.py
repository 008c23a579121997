"""Table 1 on outcomes that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis import robustness as measured
from forgetting.analysis.robustness import group_shares, groups, half_doses, table_1
from forgetting.analysis.study_folder import StudyFolder, open_study
from tests.claims.synthetic import World, arm, write

COSTS = {"rephrased": 0.1, "renamed": 0.0, "reordered": 0.2, "distractor": 0.5, "renumbered": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    variants = {name: (lambda capacity, cost=cost: cost * 10_000 / capacity) for name, cost in COSTS.items()}
    world = World(
        lambda *look: 0.9 if look[-1] == 0 else 0.6, [arm("high", "dialogue")], capacities=(10_000, 20_000), seeds=4,
        items=400, wobble=0.0, variants=variants,
    )  # fmt: skip
    return write(world, tmp_path_factory.mktemp("robust") / "study")


def robustness(study: StudyFolder) -> pd.DataFrame:
    return measured.robustness(group_shares(study))


def test_drops_and_worst(folder: Path) -> None:
    table = robustness(open_study(folder)).set_index(["student", "dose", "group"])
    row = table.loc["10k", 0, "devices"]
    assert (row["candidates"], row["students"]) == (4, 4)
    assert row["original"] == pytest.approx(0.9, abs=0.02) and row["drop"] == pytest.approx(0.2, abs=0.02)
    kept = np.prod([1 - cost for cost in COSTS.values()])
    assert row["worst_drop"] == pytest.approx(1 - kept, abs=0.03)
    assert row["worst"] == pytest.approx(0.9 * kept, abs=0.03)
    assert row["both"] == pytest.approx(row["perturbed"])  # what is wrong in the original is wrong in all
    assert row["drop_low"] < row["drop"] < row["drop_high"]
    assert table.loc["20k", 0, "distractor"]["drop"] == pytest.approx(0.25, abs=0.03)
    assert table.loc["10k", 0, "renumbered"]["drop"] == 0 and table.loc["10k", 0, "renumbered"]["agreement"] == 1
    assert table.loc["10k", 10_000, "distractor"]["original"] == pytest.approx(0.6, abs=0.03)


def test_runs_of_one_student_are_one_student(folder: Path) -> None:
    whole = open_study(folder)
    assert whole.ledger is not None
    same = StudyFolder(folder, whole.record)
    runs = {name: getattr(whole, name).assign(distillation_seed=0) for name in ("scores", "ledger")}
    same.__dict__.update(every_row=None, **runs)
    one, four = (robustness(study).set_index(["student", "dose", "group"]) for study in (same, whole))
    assert set(one["students"]) == {1} and one["drop_low"].isna().all()
    assert one["drop"].to_numpy() == pytest.approx(four["drop"].to_numpy())


def test_the_papers_form(folder: Path) -> None:
    table = table_1(robustness(open_study(folder)), "high")
    assert list(table.columns) == ["student", "parameters", "dose", "maths original", "maths perturbed", "maths drop"]
    assert table["dose"].tolist() == [0, 0, 10_000, 10_000] and table["parameters"].tolist() == [10_000, 20_000] * 2
    assert table["maths drop"].iloc[0] == pytest.approx(20, abs=2)
    assert table_1(robustness(open_study(folder)), "none").empty


def test_without_a_ledger_accuracies_remain(folder: Path) -> None:
    whole = open_study(folder)
    small = StudyFolder(folder, whole.record)
    small.__dict__.update(scores=whole.scores, every_row=None, ledger=None)
    one, other = robustness(whole), robustness(small)
    assert other["worst"].isna().all() and other["agreement"].isna().all()
    assert one["drop"].to_numpy() == pytest.approx(other["drop"].to_numpy())


@pytest.mark.filterwarnings("error")
def test_problems_that_no_variant_shares_give_no_share_and_no_warning(folder: Path) -> None:
    """Of a small study a variant may leave out every problem that another has."""
    whole = open_study(folder)
    assert whole.ledger is not None
    first = whole.ledger["item"].str.endswith("0")
    apart = whole.ledger[first == (whole.ledger["variant"] == "original")]
    small = StudyFolder(folder, whole.record)
    small.__dict__.update(scores=whole.scores, every_row=apart, ledger=apart)
    found = robustness(small)
    assert found[["worst", "both", "agreement", "worst_drop"]].isna().all(axis=None)
    assert found["drop"].to_numpy() == pytest.approx(robustness(whole)["drop"].to_numpy())


def test_groups() -> None:
    names = [
        "original",
        "words_1",
        "words_2",
        "renumbered_1",
        "renumbered_2",
        "renamed",
        "distractor",
        "renamed-distractor",
        "renamed-rephrased",
    ]
    assert groups(names) == {
        "renamed": ("renamed",), "distractor": ("distractor",), "devices": ("renamed", "distractor"),
        "words": ("words_1", "words_2"),
        "renumbered": ("renumbered_1", "renumbered_2"), "2 at once": ("renamed-distractor", "renamed-rephrased"),
    }  # fmt: skip


def test_half_doses_by_hand() -> None:
    dose, later = [0, 100, 200, 400], {"devices": (0.4, 0.2, 0.1, 0.1), "renumbered": (0.8, 0.8, 0.4, 0.3)}
    rows = [
        {"arm": "a", "benchmark": "maths", "skill": "maths", "student": "s", "capacity": 10, "dose": at, "seed": seed,
         "distillation_seed": seed, "group": group, "candidates": 4, "worst": own,
         "original": 0.9 if at < 400 else 0.36}
        for seed in (0, 1) for group, worst in later.items() for at, own in zip(dose, worst, strict=True)
    ]  # fmt: skip
    table = half_doses(pd.DataFrame(rows)).set_index("group")
    row = table.loc["devices"]
    assert (row["students"], row["reached"]) == (2, 2)
    assert (row["accuracy_dose"], row["robustness_dose"]) == pytest.approx((200 * 2 ** (5 / 6), 100))
    assert row["later"] == pytest.approx(-11 / 6) and table.loc["renumbered"]["later"] == pytest.approx(-5 / 6)
    assert row["later_than_reference"] == pytest.approx(-1)
    assert row["later_than_reference_low"] == pytest.approx(-1)
    assert np.isnan(table.loc["renumbered"]["later_than_reference"])
    (one,) = half_doses(pd.DataFrame(rows).assign(distillation_seed=0)).query("group == 'devices'").to_dict("records")
    assert (one["students"], one["later"]) == (1, pytest.approx(-11 / 6)) and np.isnan(one["later_low"])
    whole = pd.DataFrame(rows).assign(original=0.9)
    assert half_doses(whole)["reached"].eq(0).all() and half_doses(whole)["later"].isna().all()
    assert half_doses(whole[whole["dose"] <= 100]).empty and half_doses(whole.assign(worst=np.nan)).empty
