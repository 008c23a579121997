"""A prompt that ends inside a function, and an answer that goes on with its body: the program of both.

The body ends where the answer comes back to the margin. What follows is kept where it defines something that the body
may call (not the function itself anew: then a model has run on), and dropped where it is words or cut off.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from typing import TypeGuard

from forgetting.natural.grading.syntax_trees import chunks, is_definition, lines_of, parsed

_WHOLE = ("def ", "class ", "async def ", "@", "import ", "from ")


def continued(prompt: str, answer: str, entry: str) -> str | None:
    """The program, or None where no reading of the answer as a body parses."""
    if "\n\t" not in prompt:
        answer = "\n".join(_without_tabs(line) for line in answer.split("\n"))
    first = None
    for body in _readings(answer, _margin(prompt)):
        program = _whole(prompt, body, entry) or _cut(prompt, body, entry)
        if program is not None and _returns(program, entry):
            return program
        first = first or program
    return first


def _returns(program: str, entry: str) -> bool:
    """Whether the function gives something back, by a statement of its own and not of a function inside it."""
    tree = parsed(program)
    left: list[ast.AST] = (
        [statement for node in tree.body if _is_entry(node, entry) for statement in node.body] if tree else []
    )
    while left:
        node = left.pop()
        if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            left += ast.iter_child_nodes(node)
    return False


def _margin(prompt: str) -> int:
    """The indentation of the body of the prompt's last function."""
    tree = parsed(prompt)
    last = tree.body[-1] if tree and tree.body else None
    return last.body[0].col_offset if isinstance(last, (ast.FunctionDef, ast.AsyncFunctionDef)) else 4


def _readings(answer: str, margin: int) -> Iterator[str]:
    """The answer as it is, then with the indentation that its first line or all its lines have lost put back."""
    lines = answer.split("\n")
    place = next((i for i, line in enumerate(lines) if line.strip()), None)
    if place is None or _indent(lines[place]) >= margin:
        yield answer
        return
    lost = " " * (margin - _indent(lines[place]))
    end = next((i for i in range(place + 1, len(lines)) if lines[i].startswith(_WHOLE)), len(lines))
    yield "\n".join([*(lost + line if line.strip() else line for line in lines[place:end]), *lines[end:]])
    yield "\n".join([" " * margin + lines[place].lstrip(), *lines[place + 1 :]])
    yield textwrap.indent("\n".join(lines[place:]), lost)
    inside = next((i for i in range(place + 1, len(lines)) if _indent(lines[i]) >= margin), None)
    if inside is not None and lines[inside].strip():
        yield "\n".join(lines[inside:])


def _without_tabs(line: str) -> str:
    """Tabs at the beginning as four blanks each: Python refuses both in one body."""
    rest = line.lstrip("\t")
    return "    " * (len(line) - len(rest)) + rest


def _indent(line: str) -> int:
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())


def _whole(prompt: str, body: str, entry: str) -> str | None:
    """All of it, where it parses: the prompt's functions, and of what follows them the definitions."""
    source = prompt + body
    tree, head = parsed(source), prompt.count("\n")
    if tree is None:
        return None
    place = max((i for i, n in enumerate(tree.body) if _is_entry(n, entry) and n.lineno <= head + 1), default=None)
    if place is None:
        return None
    kept = list(tree.body[: place + 1])
    for node in tree.body[place + 1 :]:
        if _is_entry(node, entry):
            break
        kept += [node] if is_definition(node) else []
    return lines_of(source, kept) + "\n"


def _cut(prompt: str, body: str, entry: str) -> str | None:
    """The body up to the margin, and the definitions after it up to the first text that is none."""
    parts = list(chunks(body))
    end, open_texts = 1, parts[0].count('"""')
    while open_texts % 2 and end < len(parts):  # a text in triple quotes comes back to the margin
        open_texts += parts[end].count('"""')
        end += 1
    first, rest = "\n".join(parts[:end]), parts[end:]
    tree = parsed(prompt + first)
    if tree is None or not first.strip():
        return None
    kept = [prompt + first]
    for text in rest:
        found = parsed(text)
        if found is None or any(_is_entry(node, entry) for node in found.body):
            break
        kept += [text] if all(map(is_definition, found.body)) else []
    return "\n".join(kept) + "\n"


def _is_entry(node: ast.stmt, entry: str) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == entry
