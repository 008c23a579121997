"""Final answers in LaTeX: what is decided before math-verify is asked, and both on pairs that it gets wrong alone."""

from __future__ import annotations

import pytest

from forgetting.natural.grading import answers, exact, expressions
from forgetting.natural.grading.answers import Match
from forgetting.natural.grading.boxes import last_box
from forgetting.natural.grading.expressions import Agreement

needed = pytest.mark.skipif(not expressions.available(), reason="needs math-verify: pip install 'forgetting[math]'")

SAME = [
    ("[-2,7]", "-2\\le x\\le 7"),
    ("-2 \\leq x < 7", "[-2,7)"),
    ("(-2,2)", "2 > t > -2"),
    ("(-\\infty,3)", "x<3"),
    ("(3,\\infty)", "3 < x"),
    ("[\\frac12,3]", "\\tfrac{1}{2}\\leqslant x\\leqslant 3"),
    ("(-\\infty,1)\\cup(2,\\infty)", "x>2\\text{ or }x<1"),
    ("x\\in[-2,7]", "-2 ≤ x ≤ 7"),
    ("2516_8", "2516_{8}"),
    ("1A_{16}", "1a_{\\text{16}}"),
    ("2^{1000}", "4^{500}"),
    ("100!", "100\\cdot 99!"),
    ("2^{100}", "1267650600228229401496703205376"),
    ("\\binom{100}{50}", "\\frac{100!}{50!\\cdot 50!}"),
    ("\\frac34", "\\dfrac{3}{4}"),
    ("1,234", "1{,}234"),
]
OTHER = [
    ("\\{1,2\\}", "(1,2)"),
    ("(1,2)", "\\{1,2\\}"),
    ("1,2", "(1,2)"),
    ("\\left\\{1,2,3\\right\\}", "\\left(1,2,3\\right)"),
    ("2516_8", "2516_7"),
    ("11011_2", "11011_{10}"),
    ("52_8", "42"),
    ("2^{1000}", "2^{1001}"),
    ("10^{400}", "10^{401}"),
    ("2^{10000}", "2^{10000}+1"),
    ("1000!", "1001!"),
    ("100!", "100!+1"),
    ("(10^9)!", "(10^9+1)!"),
    ("9^{9^{9^9}}", "9^{9^{9^8}}"),
    ("[-2,7]", "-2 < x \\le 7"),
    ("(3,\\infty)", "x < 3"),
    ("x>3", "x\\ge 3"),
    ("7", "1" * 5_000),
    ("7", "1+" * 5_000 + "1"),
]


def never(gold: str, answer: str) -> bool:
    raise AssertionError(f"math-verify is asked about {gold[:50]} and {answer[:50]}")


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_the_same_without_asking(gold: str, answer: str) -> None:
    assert answers.match(gold, answer, never) is Match.same
    assert answers.match(answer, gold, never) is Match.same


@pytest.mark.parametrize(("gold", "answer"), OTHER)
def test_another_without_asking(gold: str, answer: str) -> None:
    assert answers.match(gold, answer, never) is Match.other


def test_a_base_that_is_missing_is_a_form() -> None:
    assert answers.match("2516_8", "2516", never) is Match.form
    assert answers.match("2516", "2516_8", never) is Match.form


@needed
@pytest.mark.parametrize(("gold", "answer"), [*SAME, ("(1,2)", "1,2"), ("1,2", "2,1"), ("1,2", "\\{2,1\\}"),
    ("(1,2),(3,4)", "(3,4),(1,2)"), ("5\\frac12", "5.5"), ("[\\frac12,3]", "0.5\\le x\\le 3"), ("x=5", "5"),
    ("90^\\circ", "90"), ("\\text{(C)}", "C"), ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\pi/2)"), ("4^{1/2}", "2"),
    ("3\\sqrt{13}", "\\sqrt{117}"), ("\\$18", "18")])  # fmt: skip
def test_right_answers_are_right(gold: str, answer: str) -> None:
    (found,) = expressions.agree([gold], [f"It follows that $\\boxed{{{answer}}}$."])
    assert found == Agreement(strict=True, lenient=True, parsed=True)


@needed
@pytest.mark.parametrize(("gold", "answer"), [*OTHER, ("(1,2)", "(2,1)"), ("(1,2)", "2,1"), ("[-2,7]", "(-2,7)")])
def test_wrong_answers_are_wrong(gold: str, answer: str) -> None:
    (found,) = expressions.agree([gold], [f"It follows that $\\boxed{{{answer}}}$."])
    assert found == Agreement(strict=False, lenient=False, parsed=True)


@needed
@pytest.mark.parametrize(
    ("gold", "answer", "strict"),
    [
        ("2", "\\boxed{1}, \\boxed{2}", True),
        ("1", "\\boxed{1}, \\boxed{2}", False),
        ("1,2", "\\boxed{1} and \\boxed{2}", False),
        ("\\{1,2\\}", "\\boxed{1} or \\boxed{2}", False),
        ("3", "\\boxed{3}\n\nProblem: another one.\nSolution: \\boxed{4}", True),
        ("18", "\\boxed {18}", True),
        ("\\frac34", "<think>\\boxed{1}</think> \\fbox{\\frac{3}{4}}", True),
    ],
)
def test_the_last_box_alone_counts(gold: str, answer: str, strict: bool) -> None:
    assert expressions.agree([gold], [answer])[0].strict is strict


@pytest.mark.parametrize(
    ("text", "content"),
    [("\\boxed{a{b}c}", "a{b}c"), ("\\boxed {1} \\boxed\n{2}", "2"), ("\\boxed{\\{1\\}}", "\\{1\\}"),
     ("\\boxed 1,234", "1,234"), ("\\boxed x", "x"), ("\\boxed{cut", "cut"), ("\\boxedness{3}", None), ("", None)],
)  # fmt: skip
def test_boxes(text: str, content: str | None) -> None:
    assert last_box(text)[1] == content


@pytest.mark.parametrize(
    "text", ["x", "0.5", "1,2", "5\\frac12", "2(3)", "(", "(" * 500, "2^10", "3!!", "\\sqrt{4}", "", "1/"]
)
def test_no_arithmetic(text: str) -> None:
    assert exact.equal(text, "7") is None


@pytest.mark.parametrize(
    "text",
    [
        "2+3*4-5",
        "-2^{2}",
        "(1+2)*(3-4)",
        "7!",
        "2^{-3}*8",
        "\\frac{6}{4}*2",
        "\\binom{6}{2}-1",
        "3^{2^{2}}",
        "10-2-3",
        "8/2/2",
    ],
)
def test_values_are_those_of_python(text: str) -> None:
    import math
    from fractions import Fraction

    names = {"binom": math.comb, "frac": Fraction, "n": Fraction, "f": math.factorial}
    python = text.replace("\\binom{6}{2}", "binom(6,2)").replace("\\frac{6}{4}", "frac(6,4)").replace("7!", "f(7)")
    python = python.replace("2^{-3}", "n(2)**-3").replace("^", "**").replace("{", "(").replace("}", ")")
    value = Fraction(eval(python.replace("8/", "n(8)/"), names))
    assert value.denominator == 1 and exact.equal(text, str(value)) is True
    assert exact.equal(text, str(value + 1)) is False
