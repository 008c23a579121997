"""The program in a model's answer: a continuation of the prompt, or the fenced block that defines the function."""

from __future__ import annotations

import ast
import re

VERSION = 1
# Possessive, so that a long run of blanks is read once.
_FENCE = re.compile(r"```[ \t]*+([\w+-]*+)[ \t]*+\n(.*?)(?:\n?```|\Z)", re.DOTALL)


def defines(source: str, name: str) -> bool:
    """Whether the source parses and defines the function at its top level."""
    tree = parsed(source)
    return tree is not None and any(isinstance(n, ast.FunctionDef) and n.name == name for n in tree.body)


def parsed(source: str) -> ast.Module | None:
    """The syntax tree, or None where there is none."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def blocks(answer: str) -> list[str]:
    """The contents of fenced blocks, of Python or of no language, in order."""
    return [body for language, body in _FENCE.findall(answer) if language.lower() in ("", "python", "python3", "py")]


def of_answer(prompt: str, answer: str, entry: str) -> str:
    """The program that an answer to a prompt of code stands for.

    The last fenced block that defines ``entry``; else the last fenced block, or the whole answer, as a program of its
    own where it defines ``entry``; else the prompt continued by it, up to the first line that begins at the margin.
    """
    fenced = blocks(answer)
    whole = [text for text in (*fenced, answer) if defines(text, entry)]
    if whole:
        chosen = next((text for text in reversed(fenced) if defines(text, entry)), whole[-1])
        return f"{imports(prompt)}\n{chosen}"
    body = fenced[-1] if fenced else answer
    return prompt + body_only(body)


def body_only(continuation: str) -> str:
    """A continuation of a function's head, up to the first line that begins at the margin and is no comment."""
    lines = continuation.split("\n")
    for index, line in enumerate(lines):
        if index and line and not line[0].isspace() and not line.startswith(("#", ")", "]", "}")):
            return "\n".join(lines[:index]) + "\n"
    return continuation


def imports(prompt: str) -> str:
    """The top level of a prompt without its last function: imports and helpers that an answer may leave out."""
    tree = parsed(prompt)
    if tree is None or not tree.body:
        return ""
    kept = tree.body[:-1] if isinstance(tree.body[-1], ast.FunctionDef) else tree.body
    return "\n".join(ast.unparse(node) for node in kept)
