"""How a program of the world failed: prompt, gold program and answer in, a class and its kind out, as far as decidable.

``docs/failures.md`` has the tree. A program that passes its tests is right, however it is written.
"""

from __future__ import annotations

import re
from functools import cache

from forgetting.contracts import Failure, Grade
from forgetting.world.alignment import align
from forgetting.world.code import MAX_DEPTH
from forgetting.world.code_operations import OPERATIONS
from forgetting.world.failures import of_text
from forgetting.world.vocabulary import NEWLINE, NUMBERS, VARIABLES

_SYMBOLS = frozenset("+ - * / % < > ==".split())
_LINE = re.compile(r"(?:return|\w+ =) (.+)")


@cache
def program_words() -> frozenset[str]:
    """The words that a gold program can hold."""
    written = " ".join(operation.python for operation in OPERATIONS.values())
    plain = re.sub(r"\{\w\}", "", written).split()
    return frozenset({*plain, *NUMBERS, *VARIABLES, NEWLINE, "return", "="})


def of_program(prompt: str, gold: str, answer: str, grade: Grade, *, ended: bool = True) -> Failure:
    """The failure of one program; none where it passes its tests.

    Args:
        prompt: of the item
        gold: its gold program
        answer: what the model wrote, without an end
        grade: the grader's word on it
        ended: whether the model ended the answer itself
    """
    if grade.verdict == "right":
        return Failure()
    if grade.verdict == "right_in_dialect":
        return Failure("intrusion", grade.kind, place=0)
    parses = grade.verdict != "unparsed"
    often = MAX_DEPTH + 1  # every line of a right program may go through a list
    found = of_text(answer.split(), gold.split(), program_words(), formed=parses, ended=ended, often=often)
    if found or not parses:
        return found or Failure("malformed")
    own, wanted = _expressions(answer), _expressions(gold)
    moves = align(len(own), len(wanted), lambda w, g: own[w] == wanted[g])
    wrong = [(k, move) for k, move in enumerate(moves) if move.name != "same"]
    if not wrong:
        return Failure("undecided")
    replaced = [
        _replaced(own[move.written], wanted[move.gold]) if move.name == "substituted" else None for _, move in wrong
    ]
    right, first = wrong[0]
    pairs = [pair for found in replaced if found for pair in found]
    if None not in replaced:
        return Failure("symbol_error", _kind(pairs[0], prompt), first.written)
    return Failure("inconsistent_path" if right else "wrong_start", first.name, first.written)


def _expressions(program: str) -> list[list[str]]:
    """What each line computes, as words; a line that is neither an assignment nor a return as it is."""
    lines = [" ".join(line.split()) for line in program.split(NEWLINE)]
    return [(found[1] if (found := _LINE.fullmatch(line)) else line).split() for line in lines]


def _replaced(own: list[str], gold: list[str]) -> list[tuple[str, str]] | None:
    """The words that differ, where numbers stand for numbers and symbols for symbols; None where more differs."""
    if len(own) != len(gold):
        return None
    differing = [(a, b) for a, b in zip(own, gold, strict=True) if a != b]
    alike = all((a.isdigit() and b.isdigit()) or (a in _SYMBOLS and b in _SYMBOLS) for a, b in differing)
    return differing if alike else None


def _kind(pair: tuple[str, str], prompt: str) -> str:
    """The kind of a symbol error by its first wrong word."""
    own, _ = pair
    if own in _SYMBOLS:
        return "symbol"
    return "miscopied" if own in prompt.split() else "invented"
