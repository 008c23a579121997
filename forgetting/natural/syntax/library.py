"""Functions of Python's own standard library, or of any text of Python: their source, dedented, in a fixed order."""

from __future__ import annotations

import ast
import os
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from forgetting.natural.grading.programs import parsed

FEWEST_LINES, MOST_LINES, WIDEST = 3, 40, 100
_LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "site-packages",
    "turtledemo",
    "ensurepip",
    "distutils",
    "__pycache__",
}


@lru_cache(maxsize=1)
def standard_library() -> tuple[str, ...]:
    """The source of every function of the running Python's library that is neither very short nor very long."""
    root = Path(os.__file__).parent
    found: dict[str, None] = {}
    for path in sorted(root.rglob("*.py")):
        if not _LEFT_OUT & set(path.relative_to(root).parts):
            found.update(dict.fromkeys(functions(path.read_text(encoding="utf-8", errors="replace"))))
    return tuple(found)


def functions(source: str) -> Iterator[str]:
    """The functions and methods of a text of Python; nothing where it does not parse."""
    tree = parsed(source)
    if tree is None:
        return
    lines = source.splitlines()
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or node.end_lineno is None:
            continue
        taken = lines[node.lineno - 1 : node.end_lineno]
        text = textwrap.dedent("\n".join(taken)) + "\n"
        fits = FEWEST_LINES <= len(taken) <= MOST_LINES and max(map(len, taken)) <= WIDEST
        if fits and "\t" not in text and "\f" not in text and parsed(text) is not None:
            yield text
