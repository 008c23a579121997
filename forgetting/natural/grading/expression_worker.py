"""The process that runs ``math-verify``: frames with gold and answer in, ``[strict, lenient, parsed]`` out."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from forgetting.sandbox import confinement, wire

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
    questions, answers = os.dup(0), os.dup(1)
    for standard in (0, 1):
        os.dup2(2, standard)
    wire.send(answers, b"")
    with suppress(wire.Ended):
        while True:
            nonce, arguments = json.loads(wire.receive(questions))
            wire.send(answers, json.dumps([nonce, answer(*arguments)]).encode())


def compare(gold: str, answer: str) -> tuple[bool, bool, bool]:
    """Strict, lenient, parsed: see ``expressions.Agreement``. ``gold`` is LaTeX without dollar signs."""
    library = importlib.import_module("math_verify")
    latex, expression = library.LatexExtractionConfig, library.ExprExtractionConfig

    def read(text: str, wanted: list[Any], mode: str = "any_match") -> list[Any]:
        with suppress(Exception):
            found: list[Any] = library.parse(text, wanted, extraction_mode=mode, parsing_timeout=5)
            return found
        return []

    def equal(found: list[Any]) -> bool:
        with suppress(Exception):
            return bool(library.verify(right, found, timeout_seconds=5))
        return False

    boxed = [latex(try_extract_without_anchor=False, boxed_match_priority=0)]
    anything = [latex(boxed_match_priority=0), expression()]
    right = read(f"\\boxed{{{gold}}}", anything)
    strict = read(answer, boxed, "first_match") if "\\boxed{" in answer else []
    lenient = read(answer, anything)
    return equal(strict), equal(lenient), bool(lenient)


def main() -> None:
    """Import, confine, serve."""
    importlib.import_module("math_verify")  # before reading is narrowed
    confine()
    serve(compare)


if __name__ == "__main__":
    main()
