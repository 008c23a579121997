"""Forms of answers, one by one: bodies without their indentation, fences of every kind, blocks that belong together."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest

from forgetting.natural.grading import fences, programs

PROMPT = """from typing import List


def total(numbers: List[int]) -> int:
    \'\'\'Add.

    >>> total([1])
    1
    \'\'\'
"""
WHOLE = "def total(numbers):\n    return sum(numbers)"


def value(program: str) -> Any:
    """What the program's function gives for 1, 2, 3."""
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(program, "program", "exec", dont_inherit=True), names)
    return names["total"]([1, 2, 3])


@pytest.mark.parametrize(
    "answer",
    [
        "return sum(numbers)",
        " return sum(numbers)\n",
        "\treturn sum(numbers)\n",
        "result = 0\n    for n in numbers:\n        result += n\n    return result\n",
        "result = 0\nfor n in numbers:\n    result += n\nreturn result\n",
        "   result = 0\n    for n in numbers:\n        result += n\n    return result\n",
        "def go(x):\n    return sum(x)\nreturn go(numbers)\n",
        "import math\n\ndef go(x):\n    return sum(x)\n\nresult = go(numbers)\nreturn math.floor(result)\n",
        "    return helper(numbers)\n\n\ndef helper(x):\n    return sum(x)\n",
        "    return helper(numbers)\n\n\ndef helper(x):\n    return sum(x)\n\nprint(total([1]))\n\ndef cut(",
        "    return int(math.fsum(numbers))\n\nimport math\n",
        "    return sum(numbers)\n\n\ndef total(numbers):\n    return 0\n",
        '    text = """a\nb\n"""\n    return sum(numbers)\n\nThat is all.',
        "    return sum(numbers)\n```\n\nIt adds.",
        "```python\nreturn sum(numbers)\n```",
        "```python\nresult = 0\nfor n in numbers:\n    result += n\nreturn result\n```",
        "The body is:\n\n    return sum(numbers)\n",
        f"```python\n{PROMPT}    return sum(numbers)\n```\n",
        "<think>\n```python\ndef total(numbers):\n    return 0\n```\n</think>\n    return sum(numbers)",
        "    return sum(numbers)<|endoftext|>def total(numbers): return 0",
    ],
)
def test_bodies(answer: str) -> None:
    assert value(programs.continuation_of(PROMPT, answer, "total")) == 6


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\r\n{WHOLE}\r\n```".replace("\n    ", "\r\n    "),
        "1. Add:\n\n   ```python\n   def total(numbers):\n       return sum(numbers)\n   ```\n2. Done.",
        "- ```py\n  def total(numbers):\n      return sum(numbers)\n  ```",
        "> ```\n> def total(numbers):\n>     return sum(numbers)\n> ```",
        "\t```python\n\tdef total(numbers):\n\t\treturn sum(numbers)\n\t```",
        f"~~~python\n{WHOLE}\n~~~",
        f"````markdown\n```python\n{WHOLE}\n```\n````",
        f"So: ```python\n{WHOLE}```",
        f"```{{.python}}\n{WHOLE}",
        "```python def total(numbers): return sum(numbers)```",
        f"```python\nfrom __future__ import annotations\n{WHOLE}\n```",
        f"```python\nimport math\nfrom __future__ import annotations; import re\n{WHOLE}\n```",
        "```python\nfrom math import fsum\ndef helper(x):\n    return fsum(x)\n```\nand\n"
        "```python\nfrom __future__ import annotations\ndef total(numbers):\n    return int(helper(numbers))\n```",
        "```python\ndef total(numbers):\n    return helper(numbers)\n```\nwith\n"
        "```python\ndef helper(x):\n    return sum(x)\n```",
        f"```python\n{WHOLE}\n```\nTry it:\n```python\nprint(total(input()))\n```\n```\n6\n```",
        f"```python\n{WHOLE}\n\nprint(total(eval(input())))\nassert total([1]) == 2\n```",
        "```python\ndef total(numbers):\n    return 0\n```\nNo, better:\n```python\n" + WHOLE + "\n```",
        'def total(numbers):\n    """\n    ```\n    total([1])\n    ```\n    """\n    return sum(numbers)',
        f"Here it is:\n\n{WHOLE}\n\nIt adds the numbers up.",
        "    def total(numbers):\n        return sum(numbers)\n",
        "```\ndef helper(x):\n        return sum(x)\n    def total(numbers):\n        return helper(numbers)\n```",
        "total = lambda numbers: sum(numbers)",
    ],
)
def test_whole_programs(answer: str) -> None:
    opened = programs.function_of(answer, lambda text: programs.defines(text, "total"), "total")
    assert value(opened) == 6
    assert value(programs.continuation_of(PROMPT, answer, "total")) == 6


def test_what_follows_the_block_that_the_prompt_opened_is_running_on() -> None:
    answer = f"{WHOLE}\n```\n\nNow the next one.\n```python\ndef total(numbers):\n    return 0\n```"
    assert value(programs.function_of(answer, lambda text: programs.defines(text, "total"), "total")) == 6


READS = "n = int(input())\nprint(n)"


@pytest.mark.parametrize(
    "answer",
    [
        f"{READS}\n```\n\nThe next.\n```python\nprint(input()[::-1])\n```",
        f"Words.\n```\n{READS}\n```\nMore words, many more of them than there is code.",
        f"```python\n{READS}\n```\nInput:\n```\n3\n```\nOutput:\n```\n3\n```",
        f"```python\nprint(0)\n```\nWith the input:\n```python\n{READS}\n```",
        f"```python\n{READS}\n```\n```python\nassert solve('3') == 3\n```",
        "```python\ndef read():\n    return int(input())\n```\nand\n```python\nprint(read())\n```",
        f"Here it is:\n\n{READS}\n\nIt prints n.",
        f"Cut off.\n\n1. ```python\n{READS}",
        "```python\nn = int(input())\nif n > 5:\n    print(0)\n    return\nprint(n)\n```",
    ],
)
def test_scripts(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = programs.as_a_function_where_it_returns(programs.script_of(answer))
    monkeypatch.setattr("builtins.input", lambda: "3")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(program, "program", "exec", dont_inherit=True), {"__name__": "__main__"})
    assert printed.getvalue() == "3\n"


def test_pieces_and_their_languages() -> None:
    found = fences.pieces("Use ```x``` here.\n```Python\na()\n```\n~~~ text\n```\n~~~")
    assert [(p.language, p.text, p.python) for p in found] == [
        (None, "Use ```x``` here.", False), ("Python", "a()", True), ("text", "```", False),
    ]  # fmt: skip
