"""The program in a model's answer, whatever form it answers in: a continuation, whole functions, fences, words around.

A prompt of code is continued (HumanEval), or a prompt has opened a fence (MBPP, LiveCodeBench): then what comes before
the first fence of an answer is the program where it is one, as a base model answers, and what follows is running on.
Else the last block that has what is asked is the program, with what it needs of the other blocks.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterator

from forgetting.natural.grading.continuation import continued
from forgetting.natural.grading.fences import Piece, pieces
from forgetting.natural.grading.spoken import spoken
from forgetting.natural.grading.syntax_trees import (
    chunks,
    defines,
    is_program,
    joined,
    loaded,
    names_of,
    only_defines,
    parsed,
    unparsed,
    with_helpers,
    without_demonstration,
)

__all__ = [
    "as_a_function_where_it_returns",
    "continuation_of",
    "defines",
    "function_of",
    "joined",
    "parsed",
    "script_of",
]

VERSION = 2
_READS = ("input(", "stdin", "open(0", "fileinput")


def continuation_of(prompt: str, answer: str, entry: str) -> str:
    """The program that an answer to a prompt of code stands for.

    Either the answer defines ``entry`` (in the last fenced block that does, or as it stands), and is a program of its
    own; or the prompt continued by it, up to the first line that begins at the margin and defines nothing.
    """
    found = pieces(spoken(answer))
    first = found[0] if found and found[0].language is None else None
    if first and first.text[:1].isspace() and not _whole(first.text, entry):
        program = continued(prompt, first.text, entry)
        if program is not None:
            return program

    def wanted(text: str) -> bool:
        return defines(text, entry)

    whole = _all_of_it(spoken(answer), wanted) or _of_pieces(found, wanted, first_of_all=False)
    if whole is not None:
        return joined(imports(prompt), without_demonstration(whole, entry))
    for piece in reversed(found):
        program = continued(prompt, piece.text, entry)
        if program is not None:
            return program
    return prompt + (found[-1].text if found else answer)


def function_of(answer: str, wanted: Callable[[str], bool], entry: str) -> str:
    """The program in an answer to a prompt that has opened a fence; ``wanted``: whether a text has what is asked."""
    text = spoken(answer)
    found = pieces(text)
    whole = _all_of_it(text, wanted) or _of_pieces(found, wanted, first_of_all=True)
    return without_demonstration(whole, entry) if whole is not None else _nearest(found, answer)


def script_of(answer: str) -> str:
    """The same where a script is asked: the last block that is a program, best one that reads its input."""
    found = pieces(spoken(answer))
    if found and found[0].language is None and is_program(found[0].text):
        return joined(found[0].text)
    texts = [p.text if is_program(p.text) else textwrap.dedent(p.text) for p in found]
    running = [(p, text) for p, text in zip(found, texts, strict=True) if is_program(text)]
    if running:
        chosen = _acting(running)
        return with_helpers(chosen, [text for text in texts if text is not chosen])
    for piece in found:
        if kept := [text for text in chunks(piece.text) if is_program(text)]:
            return joined(*kept)
    return _nearest(found, answer)


def as_a_function_where_it_returns(script: str) -> str:
    """A script that returns at its top level, which LiveCodeBench's own runner allows, as a function and its call."""
    tree = parsed(script)
    if tree is None or not any(isinstance(n, ast.Return) for n in _outside_functions(tree)):
        return script
    head = unparsed(n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom)))
    body = unparsed(n for n in tree.body if not isinstance(n, (ast.Import, ast.ImportFrom)))
    if head is None or body is None:
        return script
    return f"{head}\ndef _script():\n{textwrap.indent(body, '    ')}\n_script()\n"


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    left = list(ast.iter_child_nodes(tree))
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            left += ast.iter_child_nodes(node)


def imports(prompt: str) -> str:
    """The top level of a prompt without its last function: imports and helpers that an answer may leave out."""
    tree = parsed(prompt)
    if tree is None or not tree.body:
        return ""
    kept = tree.body[:-1] if isinstance(tree.body[-1], ast.FunctionDef) else tree.body
    return "\n".join(ast.unparse(node) for node in kept)


def _acting(running: list[tuple[Piece, str]]) -> str:
    """Of the blocks that are programs the last one that reads its input, itself or by a function of another block."""
    doing = [(p, text, only_defines(text)) for p, text in running]
    readers = {name for _, text, defining in doing if defining and _reads(text) for name in names_of(text)}

    def rank(piece: Piece, text: str, defining: bool) -> tuple[bool, bool, bool]:
        return not defining, _reads(text) or not readers.isdisjoint(loaded(text)), piece.python

    return max(enumerate(doing), key=lambda pair: (*rank(*pair[1]), pair[0]))[1][1]


def _reads(text: str) -> bool:
    return any(word in text for word in _READS)


def _of_pieces(found: list[Piece], wanted: Callable[[str], bool], *, first_of_all: bool) -> str | None:
    """The last piece that has what is wanted (``first_of_all``: the one before all fences, if it has), with helpers."""
    texts = [piece.text for piece in found]
    having = [(place, text) for place, text in enumerate(_having(t, wanted) for t in texts) if text is not None]
    if having:
        unfenced = first_of_all and found[0].language is None and having[0][0] == 0
        place, chosen = having[0] if unfenced else having[-1]
        return with_helpers(chosen, [] if unfenced else [*texts[:place], *texts[place + 1 :]])
    for text in texts:
        parts = [part for part in chunks(text) if parsed(part) is not None]
        if chosen := next((part for part in parts if wanted(part)), ""):
            return with_helpers(chosen, [part for part in (*parts, *texts) if part is not chosen])
    return None


def _all_of_it(text: str, wanted: Callable[[str], bool]) -> str | None:
    """The whole text, where it is one program: its fences stand in docstrings (tildes are Python's too)."""
    return None if "~~~" in text else _having(text, wanted)


def _having(text: str, wanted: Callable[[str], bool]) -> str | None:
    return next((reading for reading in _readings(text) if wanted(reading)), None)


def _whole(text: str, entry: str) -> bool:
    return _having(text, lambda reading: defines(reading, entry)) is not None


def _readings(text: str) -> Iterator[str]:
    """A text as it is, without a common indentation, and where its first line has lost that of the others."""
    yield text
    if "\n " in text or "\n\t" in text or text[:1].isspace():
        yield textwrap.dedent(text)
        first, _, rest = text.lstrip("\n").partition("\n")
        yield f"{first.lstrip()}\n{textwrap.dedent(rest)}"


def _nearest(found: list[Piece], answer: str) -> str:
    """What is run where nothing is a program, so that its error is told: the last block of Python, or all."""
    named = [piece.text for piece in found if piece.python]
    return named[-1] if named else found[0].text if found else answer
