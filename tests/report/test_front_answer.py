"""What a report says first of remedies, on simulated fronts whose order is known by formula, and on a study's page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.fronts import fronts
from forgetting.analysis.study_folder import StudyFolder, open_study
from forgetting.report import answer_figures
from forgetting.report.first_screen import first_screen
from forgetting.report.front_answer import front_answer, front_lines, sizes_named
from forgetting.report.result import load
from tests.analysis.test_fronts import replay, study
from tests.report.conftest import write_remedied

PLAIN: tuple[Any, float, float] = ("none", 1.0, 0.3)
EWC = {"name": "ewc", "strength": 30.0}
FLATTERS = "The best was chosen on the students that it is shown on, which flatters it"


def said(found: StudyFolder) -> str:
    answer = front_answer(found, "dialogue", "maths")
    assert answer is not None
    return " ".join(front_lines(answer, "dialogue"))


def test_the_best_is_told_with_its_interval_among_how_many_and_at_what_cost() -> None:
    """Half of replay's stream is replay: twice the operations, whatever the level."""
    arms = {"dialogue": PLAIN, "replay": (replay(0.5), 1.0, 0.1), "ewc": (EWC, 1.0, 0.2)}
    found = study(arms, 6, noise=0.01)
    areas = fronts(found).areas.set_index("method")
    area, low, high = areas.loc["replay", ["area", "low", "high"]]
    assert area == areas["area"].max() and low > 0
    last = fronts(found).levels.query("nll == 2.5").set_index("method")["retention"]
    assert said(found) == (
        "Retention of maths beside plain tuning, at equal learning of dialogue (mean over NLL 6 to 2.5): at 34k replay "
        f"is the best of 2 remedies, {area:+.2f} (95% {low:+.2f} to {high:+.2f}, 6 students, 100% of that range), "
        f"at the last level {last['replay']:.2f} where plain tuning keeps {last['plain']:.2f}, for "
        f"2.0 times plain tuning's operations. {FLATTERS}."
    )


@pytest.mark.parametrize(
    ("students", "strengths"),
    [(6, " (its strengths were chosen on the other half of them)."), (3, ", and so were its strengths.")],
)
def test_on_whom_strengths_were_chosen(students: int, strengths: str) -> None:
    arms = {
        "dialogue": PLAIN,
        "few": (replay(0.2), 1.0, 0.12),
        "replay": (replay(0.5), 1.0, 0.1),
        "ewc": (EWC, 1.0, 0.2),
    }
    assert FLATTERS + strengths in said(study(arms, students, noise=0.01))


def test_of_one_student_it_cannot_be_told() -> None:
    text = said(study({"dialogue": PLAIN, "replay": (replay(0.5), 1.0, 0.1), "ewc": (EWC, 1.0, 0.2)}, 1))
    assert text.endswith(
        ": which remedy is the best cannot be told at 34k (fewer than two students learn as much under both)."
    )


def test_the_best_of_several_may_keep_less_or_not_be_told_apart_from_plain_tuning() -> None:
    worse = {"dialogue": PLAIN, "replay": (replay(0.5), 1.0, 0.4), "ewc": (EWC, 1.0, 0.5)}
    assert "at 34k none of 2 remedies keeps as much; the best, replay, -0." in said(study(worse, 6, noise=0.005))
    same = {"dialogue": PLAIN, "replay": (replay(0.5), 1.0, 0.3), "ewc": (EWC, 1.0, 0.5)}
    assert "at 34k none of 2 remedies is shown to keep more; the best, replay, " in said(study(same, 6, noise=0.1))


def test_one_remedy_is_chosen_among_no_others() -> None:
    text = said(study({"dialogue": PLAIN, "replay": (replay(0.5), 1.0, 0.1)}, 6, noise=0.01))
    assert "at 34k replay keeps more, +" in text and "best" not in text


def test_who_is_as_good_and_who_never_learned_as_much() -> None:
    arms = {"dialogue": PLAIN, "replay": (replay(0.5), 1.0, 0.1), "ewc": (EWC, 1.0, 0.1)}
    text = said(study(arms | {"lora": ({"name": "lora"}, 0.5, 0.2)}, 6, noise=0.1, seed=1))
    best, other = ("replay", "ewc") if "replay is the best of 3" in text else ("ewc", "replay")
    assert f"{best} is the best of 3 remedies" in text
    assert text.endswith(f"Not told apart from the best: {other}. Never learned as much as plain tuning: lora.")


def test_parts_of_plain_tuning_and_joint_training_are_no_remedies() -> None:
    arms = {
        "dialogue": PLAIN, "lower": ({"name": "low_rate", "multiple": 0.25}, 0.9, 0.2),
        "averaged": ({"name": "wise_ft", "alpha": 0.5}, 0.9, 0.0), "all": ({"name": "joint"}, 1.0, 0.0),
    }  # fmt: skip
    assert front_answer(study(arms, 6), "dialogue", "maths") is None
    assert front_answer(study({"dialogue": PLAIN}, 6), "dialogue", "maths") is None
    text = said(study(arms | {"ewc": (EWC, 1.0, 0.4)}, 6, noise=0.001))
    assert "ewc keeps less, -" in text and "joint" not in text


def test_sizes_are_named_where_it_is_not_of_all() -> None:
    assert sizes_named({"10k": ["ewc", "lora"], "34k": ["lora"]}) == "ewc (10k), lora"


@pytest.fixture(scope="module")
def two_students(remedied_ledger: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    ledger = remedied_ledger.assign(distillation_seed=remedied_ledger["seed"])
    return write_remedied(tmp_path_factory.mktemp("two") / "synthetic", ledger)


@pytest.mark.usefixtures("undrawn")
def test_the_first_lines_of_page_and_terminal_have_it(two_students: Path) -> None:
    found = first_screen(open_study(two_students))
    assert found.more[0].startswith("Retention of code beside plain tuning, at equal learning of dialogue")
    assert "replay" in found.more[0] and "Never learned as much as plain tuning: ewc." in found.more[1]
    page = load(two_students).report(two_students / "page.html").read_text()
    first = page[: page.index("<h2")]
    assert first.index(found.answer) < first.index("at equal learning of dialogue") < first.index("<b>Exploratory")
    assert "at equal learning of dialogue" in " ".join(str(load(two_students).summary()).split())


def test_the_first_figures_have_the_best_remedy_beside_plain_tuning(two_students: Path) -> None:
    figure = answer_figures.drawn(open_study(two_students))["answer-remedies"]
    assert figure is not None
    plain, remedy = figure.axes[0].lines[:2]
    lines = fronts(open_study(two_students)).lines.set_index("method")
    for line, method in ((plain, "plain"), (remedy, "replay")):
        assert np.asarray(line.get_ydata(), float).tolist() == lines.loc[method, "retention"].tolist()
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == ["dashed: replay", "34k"]


def test_a_study_without_remedies_says_and_draws_nothing_of_them(small_folder: Path) -> None:
    plain = open_study(small_folder)
    assert "remed" not in str(first_screen(plain)) and "answer-remedies" not in answer_figures.drawn(plain)
