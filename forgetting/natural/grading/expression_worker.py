"""The process that runs ``math-verify``: frames with gold and answer in, ``[strict, lenient, parsed]`` out."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from forgetting.natural.grading import answers
from forgetting.natural.grading.boxes import last_box
from forgetting.natural.grading.spoken import first_answer
from forgetting.sandbox import confinement, wire

TAIL = 1_000  # characters at the end of a text without a box in which an expression is looked for
MEMORY_BYTES = 2 * 2**30


def confine() -> None:
    """Read the installed packages and nothing else, write nothing, start nothing; as far as the machine allows."""
    with suppress(OSError):
        confinement.new_namespaces()
    with suppress(OSError):
        confinement.Landlock([*filter(os.path.isdir, sys.path), "/lib", "/lib64", "/usr/lib", "/usr/lib64"]).enter()
    with suppress(OSError):
        confinement.refuse_system_calls(forking=True)
        confinement.refuse_system_calls(forking=False)
    with suppress(ValueError, OSError):
        confinement.limit(cpu_seconds=2**20, memory_bytes=MEMORY_BYTES, file_bytes=0)


def serve(answer: Callable[..., Any]) -> None:
    """Answer frames ``[nonce, arguments]`` until the other side closes the pipe.

    The two pipes are kept from the libraries: what they print goes nowhere, and they read nothing.
    """
    questions, replies = os.dup(0), os.dup(1)
    for standard in (0, 1):
        os.dup2(2, standard)
    wire.send(replies, b"")
    with suppress(wire.Ended):
        while True:
            nonce, arguments = json.loads(wire.receive(questions))
            wire.send(replies, json.dumps([nonce, answer(*arguments)]).encode())


def compare(gold: str, answer: str) -> tuple[bool, bool, bool]:
    """Strict, lenient, parsed: see ``expressions.Agreement``. ``gold`` is LaTeX without dollar signs."""
    text = first_answer(answer)
    _, box = last_box(text)
    if box is not None and box.strip():
        found = answers.match(gold, box, _same)
        return found is answers.Match.same, found is not answers.Match.other, True
    tail = _read(text[-TAIL:], anywhere=True)
    return False, _equal(_read(f"\\boxed{{{gold}}}"), tail), bool(tail)


def _same(gold: str, answer: str) -> bool:
    """What ``math-verify`` says of two expressions without words around them."""
    return _equal(_read(f"\\boxed{{{gold}}}"), _read(f"\\boxed{{{answer}}}"))


def _read(text: str, *, anywhere: bool = False) -> list[Any]:
    library = importlib.import_module("math_verify")
    wanted = [library.LatexExtractionConfig(try_extract_without_anchor=anywhere, boxed_match_priority=0)]
    wanted += [library.ExprExtractionConfig()] if anywhere else []
    with suppress(Exception):
        found: list[Any] = library.parse(text, wanted, extraction_mode="any_match", parsing_timeout=5)
        return found
    return []


def _equal(right: list[Any], found: list[Any]) -> bool:
    with suppress(Exception):
        return bool(importlib.import_module("math_verify").verify(right, found, timeout_seconds=5))
    return False


def main() -> None:
    """Import, confine, serve."""
    importlib.import_module("math_verify")  # before reading is narrowed
    confine()
    serve(compare)


if __name__ == "__main__":
    main()
