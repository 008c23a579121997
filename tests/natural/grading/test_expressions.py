"""Expressions by math-verify: right and wrong forms, a hanging answer, and the message where it is missing."""

from __future__ import annotations

import importlib.util

import pytest

from forgetting.errors import UsageError
from forgetting.natural.grading import expressions
from forgetting.natural.grading.expressions import Agreement

needed = pytest.mark.skipif(not expressions.available(), reason="needs math-verify: pip install 'forgetting[math]'")


@needed
@pytest.mark.parametrize(
    ("gold", "answer", "strict", "lenient"),
    [
        ("\\frac{3}{4}", "\\boxed{0.75}", True, True),
        ("x^2+1", "\\boxed{1+x^2}", True, True),
        ("(-2,2)", "so $x\\in\\boxed{(-2,2)}$", True, True),
        ("18", "it is 18", False, True),
        ("\\sqrt{2}", "\\boxed{1.4}", False, False),
        ("18", "\\boxed{19}", False, False),
        ("2", "nothing", False, False),
    ],
)
def test_forms(gold: str, answer: str, strict: bool, lenient: bool) -> None:
    (found,) = expressions.agree([gold], [answer])
    assert (found.strict, found.lenient) == (strict, lenient)


@needed
@pytest.mark.parametrize(
    "answer", ["\\boxed{9^{9^{9^{9}}}}", "\\boxed{" + "(" * 3000, "\\boxed{__import__('os').getpid()}"]
)
def test_an_answer_that_means_harm_is_not_right_and_the_next_one_is_graded(answer: str) -> None:
    assert not expressions.agree(["7"], [answer])[0].strict
    assert expressions.agree(["7"], ["\\boxed{7}"]) == [Agreement(strict=True, lenient=True, parsed=True)]


@needed
def test_a_worker_that_dies_is_replaced() -> None:
    expressions._worker().process.kill()
    expressions._worker().process.wait()
    assert expressions.agree(
        ["11"],
        [
            "\\boxed{11}",
        ][:1],
    ) == [Agreement(strict=False, lenient=False, parsed=False)]
    assert expressions.agree(["12"], ["\\boxed{12}"])[0].strict


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^math-verify: is not installed; pip install 'forgetting\[math\]'$"):
        expressions.agree(["1"], ["1"])
