"""Number formats and who accepts them, exact values, and agreement with math-verify on real gold answers."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.natural.grading import expressions, numbers
from forgetting.natural.grading.verdicts import of_number
from tests.real import source

# Text, the gold number it stands for, whether strict grading accepts it. Lenient grading accepts every one.
FORMATS = [
    ("#### 18", 18, True),
    ("steps\n#### 18", 18, True),
    ("#### 18\nmore words", 18, True),
    ("#### 1,000", 1000, True),
    ("#### 1000000", 1000000, True),
    ("#### 1,234,567.50", Fraction("1234567.5"), True),
    ("#### $18", 18, True),
    ("#### $ 1,200.50", Fraction("1200.5"), True),
    ("#### -$5", -5, True),
    ("#### 18.00", 18, True),
    ("#### .5", Fraction(1, 2), True),
    ("#### 3/4", Fraction(3, 4), True),
    ("#### 0.75", Fraction(3, 4), True),
    ("#### 75%", 75, True),
    ("#### 75%", Fraction(3, 4), True),
    ("#### 75\\%", 75, True),
    ("#### 18.", 18, True),
    ("#### **18**", 18, True),
    ("#### \u221218", -18, True),
    ("so \\boxed{18}", 18, True),
    ("so $\\boxed{\\frac{3}{4}}$.", Fraction(3, 4), True),
    ("so \\boxed{-\\dfrac{3}{4}}", Fraction(-3, 4), True),
    ("\\boxed{1}, no: \\boxed{2}", 2, True),
    ("#### 18 dollars", 18, False),
    ("#### x = 18", 18, False),
    ("\\boxed{18\\text{ dollars}}", 18, False),
    ("The answer is 18.", 18, False),
    ("3 + 15 = 18", 18, False),
    ("It costs $1,000 in all", 1000, False),
    ("exactly 3/4", Fraction(3, 4), False),
    ("\\boxed{1{,}234}", 1234, True),
    ("\\boxed{1{,}234{,}567.5}", Fraction("1234567.5"), True),
    ("\\boxed{70,\\!000}", 70_000, True),
    ("\\boxed{1\\,234\\,567}", 1_234_567, True),
    ("\\boxed{1\\ 000}", 1000, True),
    ("#### 1\u202f234", 1234, True),
    ("#### \\$70{,}000", 70_000, True),
    ("#### $70{,}000$", 70_000, True),
    ("The answer is $70{,}000$.", 70_000, False),
    ("\\boxed{\\text{\\$}18}", 18, True),
    ("\\boxed{\\frac34}", Fraction(3, 4), True),
    ("\\boxed{\\frac 34}", Fraction(3, 4), True),
    ("\\boxed{\\frac{3}4}", Fraction(3, 4), True),
    ("\\boxed{-\\tfrac3{4}}", Fraction(-3, 4), True),
    ("\\boxed{\\frac{1{,}000}{2{,}000}}", Fraction(1, 2), True),
    ("\\boxed{5\\frac{1}{2}}", Fraction(11, 2), True),
    ("\\boxed{-5\\dfrac12}", Fraction(-11, 2), True),
    ("#### 5 1/2", Fraction(11, 2), True),
    ("It takes 5 and 1/2 hours", Fraction(11, 2), False),
    ("It takes 5\u00bd hours", Fraction(11, 2), False),
    ("\\boxed {18}", 18, True),
    ("\\boxed 18", 18, True),
    ("\\fbox{18}", 18, True),
    ("\\(\\boxed{\\mathbf{18}}\\)", 18, True),
    ("\\boxed{18^\\circ}", 18, True),
    ("\\boxed{75\\,\\%}", 75, True),
    ("#### \\(18\\)", 18, True),
    ("##### 18 #####", 18, True),
    ("####\n\n18", 18, True),
    ("#### Answer\n18", 18, False),
    ("#### 9 * 2 = 18", 18, False),
    ("#### 9 * 2\n= 18", 18, False),
    ("#### 3 eggs * 6 = $18 in all", 18, False),
    ("#### Step 1: eggs\n16 - 7 = 9\n#### Step 2: money\n9 * 2 = 18\n\nShe makes $18.", 18, False),
    ("#### Step 2: 9 * 2\n#### 18", 18, True),
    ("#### 1. Count the eggs\nThere are 9.\n#### 18", 18, True),
    ("\\boxed{x = 18}", 18, False),
    ("\\boxed{9 \\cdot 2 = 18}", 18, False),
    ("#### 18\n\nQuestion: Ben has 3.\nAnswer: 3\n#### 3", 18, True),
    ("#### 18\r\n\r\nQ: Ben has 3.\r\nA: 3", 18, True),
    ("#### 18\n\nBen has 3.\n#### 3", 18, True),
    ("The answer is 18.\n\nQuestion: Ben has 3.\nAnswer: 3", 18, False),
    ("\\boxed{18}\n\nProblem: Ben has 3.\n\\boxed{3}", 18, True),
    ("Question: Ann has 16.\nAnswer: 16 + 2 = 18\n#### 18", 18, True),
    ("Problem: Ann has 16.\nSo \\boxed{18}", 18, True),
    ("<think>\n#### 3, or \\boxed{4}\n</think>\n#### 18", 18, True),
    ("#### 18<|im_end|>\n#### 3", 18, True),
    ("#### " + "0" * 5_000 + "18." + "0" * 5_000, 18, True),
]


@pytest.mark.parametrize(("text", "value", "accepted"), FORMATS)
def test_formats(text: str, value: int | Fraction, accepted: bool) -> None:
    gold = numbers.Number(Fraction(value))
    lenient, strict = numbers.lenient(text), numbers.strict(text)
    assert lenient is not None and lenient.equals(gold)
    assert (strict is not None and strict.equals(gold)) is accepted
    off = numbers.Number(Fraction(value) + 1)
    assert not lenient.equals(off) and not (strict is not None and strict.equals(off))


def test_the_table_of_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "real.md").read_text().partition("<!-- FORMATS -->")[2]
    rows = re.findall(r"^\| `(.*)` \| ([\d.]+) \| (\w+) \| right \|$", page.partition("### pass@k")[0], re.MULTILINE)
    assert len(rows) == 17 and {row[2] for row in rows} == {"right", "right_but_format"}
    for answer, gold, strict in rows:
        grade = of_number(f"#### {gold}", answer)
        assert (grade.verdict if grade.verdict == "right" else grade.kind) == strict, answer
        assert of_number(f"#### {float(gold) + 1}", answer).kind == "wrong_answer"


@pytest.mark.parametrize("text", ["", "no number", "####", "\\boxed{}", "#### none", "\\boxed{", "1/0", "a1 b2c", "--"])
def test_no_number(text: str) -> None:
    assert numbers.strict(text) is None
    assert numbers.lenient(text) is None
    assert of_number("#### 3", text).verdict == "unparsed"


@pytest.mark.parametrize(
    ("answer", "verdict", "kind"),
    [("#### 7", "right", ""), ("7", "wrong", "right_but_format"), ("#### 8", "wrong", "wrong_answer"),
     ("#### 8 or 7", "wrong", "wrong_answer"),
     ("8, not 7 but 9", "wrong", "wrong_answer"), ("?", "unparsed", "no_answer")],
)  # fmt: skip
def test_strict_lenient_and_unparsed_are_told_apart(answer: str, verdict: str, kind: str) -> None:
    grade = of_number("#### 7", answer)
    assert (grade.verdict, grade.kind) == (verdict, kind)


@pytest.mark.parametrize(
    "form", ["#### {}", "\\boxed{{{}}}", "#### 1/{}", "#### 0.{}", "so {}", "#### \\frac{{{}}}{{3}}"]
)
def test_more_digits_than_python_converts_are_a_wrong_answer(form: str) -> None:
    grade = of_number("#### 7", form.format("1" * 5_000))
    assert (grade.verdict, grade.kind) == ("wrong", "wrong_answer")


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "{:,}", "{}.0", "{}.", "{:,}.00", "+{}", "${}"]))
def test_whole_numbers_in_every_format(value: int, form: str) -> None:
    if value < 0 and form[0] in "+$":
        value = -value
    for text in (f"#### {form.format(value)}", f"\\boxed{{{form.format(value)}}}"):
        found = numbers.strict(text)
        assert found is not None and found.value == value


@given(st.text())
def test_no_text_upsets_the_graders(text: str) -> None:
    strict, lenient = numbers.strict(text), numbers.lenient(text)
    assert strict is None or lenient is not None


def test_agreement_with_math_verify_on_gold_answers() -> None:
    if not expressions.available():
        pytest.skip("needs math-verify: pip install 'forgetting[math]'")
    from forgetting.benchmarks.gsm8k import GSM8K

    items = GSM8K(source=source("gsm8k-{split}.jsonl.gz"), limit=200).items()
    gold = [str(numbers.strict(item.answer).value) for item in items]  # type: ignore[union-attr]
    found = expressions.agree(gold, [item.answer for item in items])
    assert [a.lenient for a in found] == [True] * 200
    wrong = expressions.agree([str(int(g) + 1) for g in gold], [item.answer for item in items])
    assert sum(a.lenient for a in wrong) <= 2  # it takes any expression of the text as the answer
