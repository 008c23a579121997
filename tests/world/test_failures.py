"""The tree of failures: cases by hand, injected faults that come back, and answers that were read by hand."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from forgetting.benchmarks.code import Code
from forgetting.benchmarks.maths import Maths
from forgetting.benchmarks.traps import Traps
from forgetting.contracts import Failure, Grade
from forgetting.world.failures import CLASSES, of_steps
from forgetting.world.program_failures import of_program, program_words
from forgetting.world.traps import CONTROL_DEPTH
from tests.world.injected import FAULTS, inject, items, shortcuts

EACH = 200
HAND_READ = Path(__file__).parents[1] / "golden" / "failures.jsonl"
PROMPT = "ann has 12 apples , finds 5 , loses 3 , doubles them . how many apples ?"
GOLD = "12 + 5 = 17 ; 17 - 3 = 14 ; 14 * 2 = 28 ; answer 28"
TRAP = "ann goes 12 miles at 4 and 12 miles at 12 . what average speed ?"
TRAP_GOLD = "12 / 4 = 3 ; 12 / 12 = 1 ; 3 + 1 = 4 ; 12 + 12 = 24 ; 24 / 4 = 6 ; answer 6"


@pytest.mark.parametrize(
    ("answer", "name", "kind", "place"),
    [
        (GOLD, "", "", -1),
        ("12 + 5 = 17 ; 17 - 3 = 14 ; 14 + 14 = 28 ; answer 28", "", "", -1),
        ("5 + 12 = 17 ; 17 - 3 = 14 ; 2 * 14 = 28 ; answer 28", "", "", -1),
        ("12 - 3 = 9 ; 9 + 5 = 14 ; 14 * 2 = 28 ; answer 28", "", "", -1),
        ("12 + 5 = 17 ; 17 - 2 = 15 ; 15 * 2 = 30 ; answer 28", "right_by_wrong_steps", "inconsistent_path", 1),
        ("12 + 5 = 18 ; 17 - 3 = 14 ; 14 * 2 = 28 ; answer 28", "right_by_wrong_steps", "symbol_error", 0),
        ("here you are ; answer 28", "right_by_wrong_steps", "intrusion", 0),
        ("", "empty", "", -1),
        ("12 + 5 = 17 ; tea tea tea tea tea tea", "loop", "", -1),
        ("12 + 5 = 17 ; yes ann , tea for you", "intrusion", "", 6),
        ("12 + 5 = 17 ; 17 3 = 14 ; answer 20", "malformed", "step", 1),
        ("12 + 5 = 17 ; 17 - 3 = 14", "malformed", "no_answer", -1),
        ("12 + 5 = 17 ; ; answer 20", "malformed", "no_answer", -1),
        ("answer 20", "malformed", "no_steps", -1),
        ("12 + 5 = 16 ; 16 - 3 = 13 ; 13 * 2 = 26 ; answer 26", "symbol_error", "slip", 0),
        ("12 + 5 = 17 ; 17 + 3 = 19 ; 19 * 2 = 38 ; answer 38", "symbol_error", "symbol", 1),
        ("12 + 9 = 20 ; 20 - 3 = 17 ; 17 * 2 = 34 ; answer 34", "symbol_error", "invented", 0),
        ("12 + 3 = 16 ; 16 - 3 = 13 ; 13 * 2 = 26 ; answer 26", "symbol_error", "miscopied", 0),
        ("12 + 5 = 17 ; 17 - 5 = 12 ; 12 * 2 = 24 ; answer 24", "inconsistent_path", "substituted", 1),
        ("12 + 5 = 17 ; 17 * 2 = 34 ; answer 34", "inconsistent_path", "omitted", 1),
        ("12 + 5 = 17 ; 17 - 3 = 14 ; 14 - 3 = 11 ; 11 * 2 = 22 ; answer 22", "inconsistent_path", "inserted", 2),
        ("12 + 5 = 17 ; 17 * 2 = 34 ; 34 - 3 = 31 ; answer 31", "inconsistent_path", "swapped", 1),
        ("12 + 5 = 17 ; 16 - 3 = 13 ; 13 * 2 = 26 ; answer 26", "inconsistent_path", "broken_chain", 1),
        ("13 + 5 = 18 ; 18 - 3 = 15 ; 15 * 2 = 30 ; answer 30", "camouflage", "broken_chain", 0),
        ("12 - 5 = 7 ; 7 - 3 = 4 ; 4 * 2 = 8 ; answer 8", "camouflage", "substituted", 0),
        ("12 - 5 = 7 ; 7 - 3 = 4 ; 4 * 2 = 8 ; answer 9", "wrong_start", "substituted", 0),
        ("12 - 5 = 7 ; 9 - 3 = 6 ; 6 * 2 = 12 ; answer 12", "wrong_start", "substituted", 0),
        ("12 + 5 = 17 ; 17 - 3 = 14 ; 14 * 2 = 28 ; answer 27", "unfaithful", "", -1),
    ],
)
def test_a_chain_of_steps(answer: str, name: str, kind: str, place: int) -> None:
    found = of_steps(PROMPT, GOLD, answer, chain=True)
    assert (found.name, found.kind, found.place) == (name, kind, place)


def test_a_slip_has_a_size_and_a_cut_answer_is_truncated() -> None:
    off = "12 + 5 = 17 ; 17 - 3 = 11 ; 11 * 2 = 22 ; answer 22"
    assert of_steps(PROMPT, GOLD, off, chain=True) == Failure("symbol_error", "slip", 1, -3)
    assert of_steps(PROMPT, GOLD, off, chain=True, ended=False).name == "truncated"


@pytest.mark.parametrize(
    ("answer", "name", "kind"),
    [
        (TRAP_GOLD, "", ""),
        ("12 + 12 = 24 ; 12 / 12 = 1 ; 12 / 4 = 3 ; 1 + 3 = 4 ; 24 / 4 = 6 ; answer 6", "", ""),
        ("4 + 12 = 16 ; 16 / 2 = 8 ; answer 8", "shortcut", ""),
        ("12 + 4 = 16 ; 16 / 2 = 8 ; answer 8", "shortcut", ""),
        ("4 + 12 = 17 ; 17 / 2 = 8 ; answer 8", "symbol_error", "symbol"),
        ("12 - 4 = 8 ; answer 8", "camouflage", "substituted"),
        ("9 - 1 = 8 ; answer 8", "wrong_start", "substituted"),
        (
            "12 / 4 = 3 ; 12 / 12 = 1 ; 3 + 1 = 4 ; 12 + 12 = 24 ; 24 / 3 = 8 ; answer 8",
            "inconsistent_path",
            "substituted",
        ),
    ],
)
def test_steps_that_are_no_chain(answer: str, name: str, kind: str) -> None:
    found = of_steps(TRAP, TRAP_GOLD, answer, chain=False, tempting=(8,))
    assert (found.name, found.kind) == (name, kind)


@pytest.mark.parametrize("name", FAULTS)
def test_injected_faults_come_back(name: str) -> None:
    rng, problems, (_, wanted) = random.Random(name), items(), FAULTS[name]
    for _ in range(EACH):
        one = inject(problems, rng, name)
        found = of_steps(one.item.prompt, one.item.answer, one.answer, chain=True, ended=one.ended)
        assert found.name == wanted[0], one
        assert wanted[1] in (None, found.kind), one


def test_injected_shortcuts_come_back() -> None:
    for one in shortcuts(random.Random(0), EACH):
        item = one.item
        assert of_steps(item.prompt, item.answer, one.answer, chain=False, tempting=item.check).name == "shortcut"


@pytest.mark.parametrize("benchmark", [Maths(20, (1, 2, 3, 4, 5, 6)), Traps(), Code(20)], ids=str)
def test_gold_answers_do_not_fail(benchmark: Maths | Traps | Code) -> None:
    for item in benchmark.items():
        assert benchmark.failure(item, item.answer, Grade("right"), ended=True) == Failure()
        if isinstance(benchmark, Code):
            assert program_words().issuperset(item.answer.split())


CODE = "write : double each , keep above 5 , sum . def f ( x ) :"
PROGRAM = "x = [ v * 2 for v in x ] <nl> x = [ v for v in x if v > 5 ] <nl> return sum ( x )"


@pytest.mark.parametrize(
    ("answer", "verdict", "name", "kind"),
    [
        ("return sum ( [ v * 2 for v in x if v * 2 > 5 ] )", "right", "", ""),
        ("{ give sum ( x ) }", "right_in_dialect", "intrusion", "brace"),
        ("x = [ v * 2 each v of x ] <nl> return x", "unparsed", "intrusion", ""),
        ("x = [ v * 2 for v in x <nl> return x", "unparsed", "malformed", ""),
        ("x x x x x x x x", "unparsed", "loop", ""),
        (PROGRAM.replace("5", "6"), "wrong", "symbol_error", "invented"),
        (PROGRAM.replace("* 2", "* 5"), "wrong", "symbol_error", "miscopied"),
        (PROGRAM.replace("v >", "v <"), "wrong", "symbol_error", "symbol"),
        (PROGRAM.replace("sum", "max"), "wrong", "inconsistent_path", "substituted"),
        ("x = [ v * 2 for v in x ] <nl> return sum ( x )", "wrong", "inconsistent_path", "omitted"),
        ("x = sorted ( x ) <nl> return sum ( x )", "wrong", "wrong_start", "substituted"),
        (PROGRAM.replace("x = [ v *", "y = [ v *"), "wrong", "undecided", ""),
    ],
)
def test_a_program(answer: str, verdict: str, name: str, kind: str) -> None:
    found = of_program(CODE, PROGRAM, answer, Grade(verdict, "brace" if name == "intrusion" else ""))  # type: ignore[arg-type]
    assert (found.name, found.kind) == (name, kind)


def test_what_was_read_by_hand() -> None:
    """Each label was given by reading the answer beside its problem; ``by_hand`` is [class, kind]."""
    rows = [json.loads(line) for line in HAND_READ.read_text().splitlines()]
    assert len(rows) == 100
    for row in rows:
        if row["benchmark"] == "code":
            grade = Grade(row["verdict"], row["kind"])
            found = of_program(row["prompt"], row["gold"], row["answer"], grade, ended=row["ended"])
        else:
            chain = row["benchmark"] == "maths" or row["depth"] == CONTROL_DEPTH
            found = of_steps(
                row["prompt"], row["gold"], row["answer"], chain=chain, ended=row["ended"], tempting=row["tempting"]
            )
        assert found.name in CLASSES
        assert [found.name, found.kind] == row["by_hand"], row
