"""Aids to answering, by students whose every word is known: what is inserted, checked, cut, gone on with, counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from forgetting.answering._shared import final_answer, winner
from forgetting.answering.adaptive import Adaptive
from forgetting.answering.best_of_n import BestOfN
from forgetting.answering.majority import Majority
from forgetting.answering.symbolic import EQUATION, Symbolic
from forgetting.answering.thinking_budget import ThinkingBudget
from forgetting.answering.verified import Verified
from forgetting.benchmarks.maths import Maths
from forgetting.contracts import Answered, Answering, Sampling
from forgetting.errors import UsageError
from forgetting.testing.small import model, words
from forgetting.world.coherence import coherent, faults, share_coherent
from forgetting.world.vocabulary import NUMBERS

PROMPT = "eva has 12 pens , gets 5 , loses 3 . how many pens ?"
Script = Callable[[str, int, int], str]  # of what stands, the row and the step of its draws: what is written, ">" ends


class Scripted:
    """A student that goes on by a script; only ``generate`` is asked of it."""

    def __init__(self, script: Script) -> None:
        self.script, self.tokenizer = script, words()
        self.ends = frozenset([int(self.tokenizer.eos_token_id)])

    def generate(
        self, prompts: Sequence[Sequence[Sequence[int]]], *, max_new_tokens: int, batch_items: int,
        sampling: Sampling | None = None,
    ) -> list[list[list[int]]]:  # fmt: skip
        found = []
        for row, tokens in enumerate(prompts[0]):
            stands = self.tokenizer.decode(tokens).removeprefix(PROMPT).strip()
            text = self.script(stands, row, sampling.step if sampling else -1)
            own = self.tokenizer.encode(text.removesuffix(">"), add_special_tokens=False)
            found.append([*own, *([min(self.ends)] if text.endswith(">") else [])][:max_new_tokens])
        return [found]


def answer(way: Answering, script: Script, limit: int = 48, rows: int = 1) -> tuple[str, Answered]:
    student: Any = Scripted(script)
    asked = [student.tokenizer.encode(PROMPT, add_special_tokens=False)] * rows
    ((one,), *_) = way.answers(student, asked, max_new_tokens=limit, batch_items=8)
    return student.tokenizer.decode(one.tokens), one


def slips(stands: str, row: int, step: int) -> str:
    """Writes 12 + 5 = 18 wherever it may, and goes on rightly from whatever stands."""
    if not stands:
        return "12 + 5 = 18 ; 18 - 3 = 15 ; answer 15 >"
    if stands == "12 + 5 = 17":
        return "; 17 - 3 = 15 ; answer 15 >"
    return "; answer " + stands.rsplit(maxsplit=1)[-1] + " >"


def test_a_calculator_gives_every_result_and_counts_it() -> None:
    text, one = answer(Symbolic(), slips)
    assert text == "12 + 5 = 17 ; 17 - 3 = 14 ; answer 14"
    assert one.generated == 15 and not one.cut  # fourteen words and the end


def test_a_calculator_of_random_results_is_wrong_in_the_same_places() -> None:
    texts = {answer(Symbolic(results="random", seed=seed), slips)[0] for seed in range(8)}
    assert len(texts) > 1 and all(text.startswith("12 + 5 = ") for text in texts)
    assert any(text.split()[4] not in ("17", "18") for text in texts)


@pytest.mark.parametrize("first", ["3 - 12 = 9", "7 / 2 = 3", "30 + 30 = 40", "7 / 0 = 0"])
def test_a_calculator_says_nothing_where_no_word_holds_the_result(first: str) -> None:
    assert answer(Symbolic(), lambda stands, row, step: f"{first} ; answer 9 >")[0] == f"{first} ; answer 9"


@pytest.mark.parametrize(
    ("text", "sums"),
    [
        ("so <<12+5=17>> apples", [("12", "+", "5")]),
        ("3 + 4 + 5 = 12", []),
        ("1.5+2=3.5", []),
        ("12 + 5 = 17 - 3 = 14", [("12", "+", "5"), ("17", "-", "3")]),
    ],
)
def test_which_equations_a_calculator_sees(text: str, sums: list[tuple[str, str, str]]) -> None:
    assert [(m[1], m[2], m[3]) for m in EQUATION.finditer(text)] == sums


def test_a_step_that_does_not_hold_is_drawn_anew_until_one_does() -> None:
    def script(stands: str, row: int, step: int) -> str:
        if step == 1:
            return "12 + 5 = 16 ;"
        if step == 2:
            return "12 + 5 = 17 ;"
        return slips(stands, row, step) if stands != "12 + 5 = 17 ;" else "17 - 3 = 14 ; answer 14 >"

    text, one = answer(Verified(), script)
    assert text == "12 + 5 = 17 ; 17 - 3 = 14 ; answer 14"
    assert one.generated == 15 + 6 + 6  # the greedy step and one draw were dropped


def test_the_greedy_step_stands_where_no_draw_holds() -> None:
    text, one = answer(Verified(attempts=3), lambda stands, row, step: "5 = 5 ; answer 5 >" if step < 0 else "eva ;")
    assert text == "5 = 5 ; answer 5"
    assert one.generated == 7 + 3 * 2 + 3 * 2  # of the step, then of the final answer, which no step leads to


def test_a_step_is_no_end() -> None:
    text, _ = answer(Verified(attempts=1), lambda stands, row, step: "12 + 5 = 17 >" if step < 0 else "answer 17 >")
    assert text == "12 + 5 = 17 ; answer 17"
    text, _ = answer(Verified(attempts=1), lambda stands, row, step: "12 + 5 = 17 >" if step < 0 else "17 + 1 = 18 >")
    assert text == "12 + 5 = 17"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12 + 5 = 17 ; 17 - 3 = 14 ; answer 14", ["", "", ""]),
        ("12 + 5 = 18 ; 18 - 3 = 15 ; answer 15", ["arithmetic", "", ""]),
        ("12 + 5 = 17 ; 12 - 3 = 9 ; answer 9", ["", "broken_chain", ""]),
        ("12 + 5 = 17 ; answer 16", ["", "other_end"]),
        ("answer 16", ["other_end"]),
        ("12 + 5 = 17", ["", "no_end"]),
        ("hello ; 12 + 5 = 17 ; answer 17", ["malformed", "", ""]),
        ("", ["malformed", "no_end"]),
    ],
)
def test_what_holds(text: str, expected: list[str]) -> None:
    assert faults(text) == expected
    assert coherent(text) == (not any(expected))
    assert share_coherent(text) == pytest.approx(expected.count("") / len(expected))


def thinker(stands: str, row: int, step: int) -> str:
    """Two steps, then an answer; asked for the answer, the number that stands last; opened again, adds 1."""
    if stands.endswith("answer"):
        numbers = [word for word in stands.split() if word.isdigit()]
        return f"{numbers[-1] if numbers else 0} >"
    if not stands:
        return "12 + 5 = 17 ; 17 - 3 = 14 ; answer 14 >"
    last = int(stands.rsplit(maxsplit=1)[-1])
    return f"+ 1 = {last + 1} ; answer {last + 1} >"


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (0, "answer 0"),
        (1, "12 + 5 = 17 ; answer 17"),
        (2, "12 + 5 = 17 ; 17 - 3 = 14 ; answer 14"),
        (4, "12 + 5 = 17 ; 17 - 3 = 14 ; 14 + 1 = 15 ; 15 + 1 = 16 ; answer 16"),
    ],
)
def test_so_many_steps_are_thought(budget: int, expected: str) -> None:
    text, one = answer(ThinkingBudget(budget, "steps"), thinker)
    assert text == expected and one.generated == len(expected.split()) + 1


def test_a_thought_is_closed_where_the_limit_ends_it() -> None:
    text, one = answer(
        ThinkingBudget(5, "steps"), lambda s, row, step: "7 >" if s.endswith("answer") else "eva " * 50, 12
    )
    assert text == "eva " * 9 + "; answer 7" and one.generated == 12 and one.cut
    text, _ = answer(ThinkingBudget(5, "steps"), lambda s, row, step: "7 >" if s.endswith("answer") else "eva >", 12)
    assert text == "eva ; answer 7"


def test_filler_takes_the_place_of_thoughts() -> None:
    assert answer(ThinkingBudget(2, "steps", filler=True), thinker)[0] == "; " * 12 + "answer 0"


def votes(*texts: str) -> Script:
    """The n-th draw is the n-th text."""
    return lambda stands, row, step: texts[(row if step <= 0 else step - 1) % len(texts)]


def speaks(stands: str, row: int, step: int) -> str:
    """Answers directly wherever it may; after a number it adds 5, and after a step it ends."""
    last = stands.rsplit(maxsplit=1)[-1] if stands else ""
    if not last or " = " in f" {stands}":
        return f"answer {last or 9} >" if last != "answer" else "17 >"
    return f"+ 5 = {int(last) + 5} ; answer 9 >" if last.isdigit() else "9 >"


def test_a_thought_may_be_opened_with_the_first_number_of_the_prompt() -> None:
    """A student that answers directly has nothing to go on from, until it is given a number."""
    assert answer(ThinkingBudget(1, unit="steps"), speaks)[0] == "answer 9"
    assert answer(ThinkingBudget(1, unit="steps", opened="first"), speaks)[0] == "12 + 5 = 17 ; answer 17"


def test_the_likeliest_number_opens_a_thought() -> None:
    """Of the numbers the one with the highest logit, whatever the student would write."""
    student, way = model(0), ThinkingBudget(1, unit="steps", opened="likeliest")
    prompts = [item.prompt for item in Maths(items_per_depth=8).items()]
    asked = [student.tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
    numbers = [student.tokenizer.get_vocab()[word] for word in NUMBERS]
    own = []
    for tokens, (one,) in zip(asked, way.answers(student, asked, max_new_tokens=48, batch_items=5), strict=True):
        with torch.no_grad():
            logits_V = student.logits(torch.tensor([[tokens]]))[0, 0, -1]
        assert one.tokens[0] == numbers[int(logits_V[numbers].argmax())]
        own.append(int(logits_V.argmax()))
    assert not set(own) <= set(numbers)


def test_the_majority_wins_by_ends_and_all_draws_count() -> None:
    drawn = votes("1 + 1 = 2 ; answer 2 >", "answer 3 >", "2 + 1 = 3 ; answer 3 >", "hello hello hello >")
    text, one = answer(Majority(samples=4), drawn)
    assert text == "answer 3" and one.generated == 9 + 3 + 9 + 4


def test_drawing_stops_once_enough_agree() -> None:
    text, one = answer(Adaptive(agree=2, most=4), votes("answer 1 >", "answer 3 >", "answer 3 >", "answer 1 >"))
    assert text == "answer 3" and one.generated == 9
    _, one = answer(Adaptive(agree=3, most=4), votes("answer 1 >", "answer 3 >", "answer 3 >", "answer 1 >"))
    assert one.generated == 12


def test_the_chance_judge_takes_the_first() -> None:
    assert answer(BestOfN(samples=2, judge="random"), votes("answer 1 >", "answer 3 >"))[0] == "answer 1"


@pytest.mark.parametrize(
    ("texts", "place"),
    [(["a", "answer 3", "b", "b"], 1), (["a", "b", "b"], 1), (["answer 1", "answer 2"], 0)],
)
def test_the_winner(texts: list[str], place: int) -> None:
    assert winner(texts)[0] == place


@pytest.mark.parametrize(
    ("text", "end"), [("6 ; answer 3", "3"), (r"so \boxed{x+1}", "x+1"), ("thus\n#### 1,200", "1200"), ("hello", None)]
)
def test_ends(text: str, end: str | None) -> None:
    assert final_answer(text) == end


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Majority(samples=1), "majority.samples: must be 2 or more"),
        (lambda: Adaptive(agree=9), "adaptive.agree: must be from 2 to the 8"),
        (lambda: Verified(attempts=0), "verified.attempts: must be 1 or more"),
        (lambda: ThinkingBudget(2, filler=True), "thinking_budget.filler: must be false unless the unit is steps"),
        (lambda: ThinkingBudget(2, opened="first"), "thinking_budget.opened: must be empty where the unit is tokens"),
        (lambda: ThinkingBudget(0, unit="steps", opened="first"), "thinking_budget.opened: .*, the budget 0, or"),
        (
            lambda: ThinkingBudget(2, unit="steps", filler=True, opened="first"),
            "thinking_budget.opened: must be empty where the unit is tokens, the budget 0, or filler true",
        ),
        (lambda: ThinkingBudget(2, unit="steps", opened="frist"), ".*did you mean 'first'"),  # type: ignore[arg-type]
        (lambda: BestOfN(samples=0), "sampling.samples: must be 1 or more"),
        (lambda: Symbolic(seed=-1), "symbolic.seed: must be 0 or more"),
    ],
)
def test_mistakes(make: Callable[[], Answering], message: str) -> None:
    with pytest.raises(UsageError, match="^" + message):
        make()
