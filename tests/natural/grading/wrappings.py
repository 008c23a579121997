"""The forms in which chat and base models answer, drawn by chance: a program or a number in, a whole answer out."""

from __future__ import annotations

import random
import textwrap

BEFORE = (
    "",
    "Here is the code:",
    "Sure! I'd be happy to help.\n\n## Solution",
    "To solve this, I loop over `values`, then:",
    "<think>\nIs it `x = 3`?\n```python\nprint('no')\n```\n</think>",
    "First install what is needed:\n\n```bash\npip install x\n```\nThen:",
    "**Approach**: keep a total.\n\n- one pass\n- no copy",
    "Explanation:\nThe result is 3 for (1, 2).",
)
AFTER = (
    "", "It takes linear time.", "### Explanation\n\n1. The loop runs once.\n2. The result is returned.",
    "Example:\n\n```\n>>> f([1, 2])\n3\n```", "Output:\n```text\n3\n```\nDone.", "```python\nprint('tested')\n```",
    "You can run it with:\n```bash\npython solution.py < input.txt\n```", "Note: `values` may be empty; then it is 0.",
)  # fmt: skip
STEPS = (
    "",
    "Half of 16 is 8.\n",
    "#### Step 1: 3 * 4 = 12\n",
    "<think>\n\\boxed{3}\n#### 4\n</think>\n",
    "He has $5 and 1/2 of it.\n\n",
    "### Solution\n1. Add 3.\n2. Take 1.\n\n",
    "x_2 = 3{,}5; ",
)
RUNS_ON = ("", "", "\n\nQuestion: Ben has 3.\nAnswer: 3\n#### 3", "\nQ: 2 + 2?\nA: 4", "<|im_end|>\n#### 3")
LANGUAGES = ("", "python", "Python", "py", "python3", " python", "{.python}", "python title=x.py")
CONTAINERS = ("", "", "", "  ", "   ", "1. ", "- ", "    ", "> ")


def program(code: str, rng: random.Random, *, opened: bool = False, script: bool = False) -> str:
    """An answer that holds the program. ``opened``: the prompt ends with an open fence."""
    if rng.random() < 0.25 and not script:
        code = f"from __future__ import annotations\n{code}"
    if opened and rng.random() < 0.2:
        end = rng.choice(
            ("", "\n```", "\n```\n\nIt is done.", "\n```\n\nNow the next one.\n```python\ndef other():\n    pass")
        )
        return _lines(code + end, rng)
    if rng.random() < 0.15 and not script:
        words = rng.choice(("Here is the function:\n\n", "Answer:\n", ""))
        return _lines(
            words + code + rng.choice(("\n\nThis works in linear time.", "\n\ndef unfinished(x):\n    return (", "")),
            rng,
        )
    mark = rng.choice(("```", "```", "~~~", "````"))
    block, after = f"{mark}{rng.choice(LANGUAGES)}\n{code}\n{mark}", rng.choice(AFTER)
    if rng.random() < 0.15:
        block, after = block.removesuffix("\n" + mark), ""  # cut off
    elif rng.random() < 0.1 and mark[0] == "`":
        block = f"{mark}python\n{code}{mark}"
    container = rng.choice(CONTAINERS)
    if container == "> ":
        block = textwrap.indent(block, "> ", lambda line: True)
    elif container.strip():
        block = container + textwrap.indent(block, " " * len(container)).lstrip()
    else:
        block = textwrap.indent(block, container)
    before = rng.choice(BEFORE)
    return _lines("\n\n".join(part for part in (before, block, after) if part), rng)


def body(code: str, rng: random.Random) -> str:
    """An answer that goes on with the body of a function, which is indented, in the forms of a base model."""
    form = rng.randrange(5)
    if form == 1:
        code = code.lstrip()
    elif form == 2:
        code = textwrap.dedent(code)
    elif form == 3:
        code = code[1:]
    elif form == 4:
        code = code.replace("    ", "\t")
    after = ("", "\n\n", "\n\nprint(f(3))", "\n\n\nif __name__ == '__main__':\n    print(1)", "\n```\n\nIt is done.",
             "\n\n\ndef other(x):\n    return (", "\n\nassert 1 == 2", "\n\n\n# another task")  # fmt: skip
    return _lines(code + rng.choice(after), rng)


def number(value: int, rng: random.Random) -> tuple[str, bool]:
    """An answer that ends with the number, and whether it is in the place that strict grading asks for."""
    digits = rng.choice(_forms(value))
    right, text = rng.choice(_places(digits, value))
    return _lines(rng.choice(STEPS) + text + rng.choice(RUNS_ON), rng), right


def _forms(value: int) -> list[str]:
    plain, commas = str(value), f"{value:,}"
    found = [commas.replace(",", separator) for separator in ("", ",", "{,}", ",\\!", "\\,", "\u202f")]
    found += [f"\\${commas}", f"${commas}", f"{plain}.00", f"{commas}.", f"\\frac{{{2 * value}}}{{2}}"]
    found += [f"\\text{{{plain}}}", f"\\mathbf{{{plain}}}"]
    return [*found, f"{value - 1}\\frac{{2}}{{2}}", f"{value - 1}\\frac22"] if value > 1 else found


def _places(digits: str, value: int) -> list[tuple[bool, str]]:
    marked = [f"#### {digits}", f"####{digits}", f"#### **{digits}**", f"####\n{digits}"]
    boxed = [f"so \\boxed{{{digits}}}", f"$\\boxed {{{digits}}}$", f"\\[\\boxed{{{digits}}}\\]"]
    loose = [f"#### 3 + 4 = {digits}", f"#### Answer: {digits} eggs", f"#### Final answer\n\n{digits}"]
    loose += [f"The answer is {digits}", f"\\boxed{{x = {digits}}}", f"\\boxed{{{value}\\text{{ eggs}}}}"]
    return [*((True, text) for text in (*marked, *boxed)), *((False, text) for text in loose)]


def _lines(text: str, rng: random.Random) -> str:
    return text.replace("\n", "\r\n") if rng.random() < 0.15 else text
