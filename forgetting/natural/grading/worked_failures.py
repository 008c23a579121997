"""How a worked answer in real text failed, as far as that can be decided: question, answer and grade in, a class out.

Every ``a op b = c`` of the text is checked, annotated (``<<7*5=35>>``) or plain; with words, brackets or per
cents in between only where it is annotated. Whether a path of true equations is the right one is not
decided. The classes are those of docs/failures.md.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from fractions import Fraction

from forgetting.contracts import Failure, Grade
from forgetting.natural.grading.spoken import first_answer
from forgetting.natural.grading.verdicts import FORMAT
from forgetting.natural.twins.renumber import ANNOTATION, OPERATIONS

LOOP_WORDS, LOOP_TIMES = 4, 3
MOST_CHARACTERS = 200  # of an expression
_NUMBER = r"\$?\d[\d,]*(?:\.\d+)?"
_PLAIN = re.compile(
    rf"(?<![\w.,)*/+=×÷%$-])(?<![\d)*/+=×÷%-] )({_NUMBER}(?: ?[-+*/x×÷] ?{_NUMBER})+) ?= ?({_NUMBER})"
    r"(?![\d.]*(?: ?\d| ?[*/×÷%]| ?[-+x] ?\$?\d))"
)
_READABLE = re.compile(r"[-+*/(). \d]+")
_SIGNS = str.maketrans({"$": None, ",": None, "x": "*", "×": "*", "÷": "/"})


def of_worked(prompt: str, answer: str, grade: Grade, *, ended: bool) -> Failure:
    """The failure of one worked answer; a right one fails where an equation of it is false.

    A loop is told of answers that the model did not end, since an argument may well repeat its words. The kind of a
    false equation is ``slip`` where its numbers are the question's or earlier results, and open where one is not.

    Args:
        prompt: of the item
        answer: what the model wrote, without an end
        grade: the grader's word on it
        ended: whether the model ended the answer itself
    """
    text = first_answer(answer)
    false = _first_false(prompt, text)
    if grade.verdict == "right":
        return Failure("right_by_wrong_steps", "symbol_error", false[0]) if false else Failure()
    words = answer.split()
    if not words:
        return Failure("empty")
    if not ended:
        runs = Counter(tuple(words[i : i + LOOP_WORDS]) for i in range(len(words) - LOOP_WORDS + 1))
        return Failure("loop" if max(runs.values(), default=0) >= LOOP_TIMES else "truncated")
    if grade.verdict == "unparsed" or grade.kind == FORMAT:
        return Failure("malformed", grade.kind)
    return Failure("symbol_error", false[1], false[0]) if false else Failure("undecided")


def _first_false(prompt: str, text: str) -> tuple[int, str] | None:
    """The place and kind of the first false equation, among those that can be read."""
    known = {_value(number) for number in re.findall(_NUMBER, prompt)}
    for place, (expression, stated) in enumerate(_equations(text)):
        tree = _tree(expression)
        result = _value(stated) if re.fullmatch(_NUMBER, stated.strip()) else None
        if tree is None or result is None:
            continue
        if not _is(_computed(tree), stated.strip(), result):
            return place, "slip" if _operands(tree) <= known else ""
        known.add(result)
    return None


def _equations(text: str) -> list[tuple[str, str]]:
    """Expressions and what they are said to be, in the order of the text; an annotated one is not read twice."""
    found = [(match.start(), match[1], match[2]) for match in ANNOTATION.finditer(text)]
    blank = ANNOTATION.sub(lambda match: " " * len(match[0]), text)
    found += [(match.start(), match[1], match[2]) for match in _PLAIN.finditer(blank)]
    return [(expression, stated) for _, expression, stated in sorted(found)]


def _tree(expression: str) -> ast.expr | None:
    plain = expression.translate(_SIGNS).strip()
    if len(plain) > MOST_CHARACTERS or not _READABLE.fullmatch(plain):
        return None
    try:
        tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    allowed = (ast.BinOp, ast.UnaryOp, ast.USub, ast.Constant, *OPERATIONS)
    return tree if all(isinstance(node, allowed) for node in ast.walk(tree)) else None


def _computed(tree: ast.expr) -> Fraction | None:
    """The exact value; None where it divides by nothing."""
    if isinstance(tree, ast.BinOp):
        left, right = _computed(tree.left), _computed(tree.right)
        if left is None or right is None or (isinstance(tree.op, ast.Div) and not right):
            return None
        return OPERATIONS[type(tree.op)](left, right)
    if isinstance(tree, ast.UnaryOp):
        inner = _computed(tree.operand)
        return None if inner is None else -inner
    assert isinstance(tree, ast.Constant)
    return Fraction(str(tree.value))


def _operands(tree: ast.expr) -> set[Fraction]:
    return {Fraction(str(node.value)) for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def _is(value: Fraction | None, stated: str, result: Fraction) -> bool:
    """Whether a value is the stated one, rounded to as many decimals where that has any."""
    if value is None:
        return False
    decimals = len(stated.partition(".")[2])
    return abs(value - result) <= (Fraction(1, 2 * 10**decimals) if decimals else 0)


def _value(number: str) -> Fraction:
    return Fraction(number.translate(_SIGNS))
