r"""An answer in Markdown as a list of pieces between its fences, in one pass over its lines (which end in ``\n``).

A fence is a line of three or more backticks or tildes with at most a word after them, or such marks at the end of a
line of words or code. Whether a fence opens or closes cannot be known where a prompt has opened one already, or an
answer was cut; so every piece between two fences is given, and who reads them says which is a program.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

MARKS = ("```", "~~~")
# Possessive, so that a long run of blanks is read once.
_CONTAINER = re.compile(r"[ \t>]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t]++)?[ \t>]*+")
_PYTHON = re.compile(r"i?py(?:thon)?[\d.]*|python[23]?-?(?:code|repl)?", re.IGNORECASE)
_LONGEST_WORD = 40


@dataclass(frozen=True)
class Piece:
    """What stands between two fences; ``language`` is the word of the fence before it, None before the first fence."""

    language: str | None
    text: str

    @property
    def python(self) -> bool:
        """Whether the fence before it names Python."""
        return self.language is not None and bool(_PYTHON.fullmatch(self.language))


@dataclass(frozen=True)
class _Fence:
    before: str  # what the line holds before the marks
    mark: str
    language: str
    inside: str | None = None  # of a block that opens and closes in this line


def pieces(answer: str) -> list[Piece]:
    """The pieces of an answer in order, without the marks of lists and quotations that its fences stand in."""
    found: list[Piece] = []
    lines: list[str] = []
    opener: _Fence | None = None
    language: str | None = None

    def close(following: str | None) -> None:
        nonlocal lines, language
        found.append(Piece(language, _outside(lines, opener.before if opener else "")))
        lines, language = [], following

    for line in answer.split("\n"):
        fence = _fence(line)
        if fence is None or (opener and _is_content(fence, opener)):
            lines.append(line)
            continue
        if fence.before and not _container(fence.before):
            lines.append(fence.before)
            fence = _Fence("", fence.mark, fence.language)
        if fence.inside is not None:
            close(fence.language)
            lines = [fence.inside]
            opener = None
            close("")
            continue
        close(fence.language)
        opener = None if opener and not fence.language else fence
    close(None)
    return [piece for piece in found if piece.text.strip()]


def _is_content(fence: _Fence, opener: _Fence) -> bool:
    """Whether a fence inside a block is text of the block: other marks without a word, or a fence in a docstring."""
    if fence.language or fence.inside is not None:
        return fence.mark != opener.mark and not fence.language
    deeper = _container(fence.before) and len(fence.before.expandtabs(4)) > len(opener.before.expandtabs(4)) + 3
    return fence.mark != opener.mark or deeper


def _fence(line: str) -> _Fence | None:
    """The fence that a line is or ends with."""
    if "```" not in line and "~~~" not in line:
        return None
    text = line.rstrip()
    place, mark = max((text.rfind(m), m) for m in MARKS)
    word = text[place + 3 :].strip()
    before = text[:place].rstrip(mark[0])
    if place == len(text) - 3 and mark in before and _container(before.split(mark)[0]) and before.count(mark) == 1:
        prefix, inside = before.split(mark)
        first, _, rest = inside.strip(mark[0]).partition(" ")
        named = bool(_PYTHON.fullmatch(first))
        return _Fence(prefix, mark, first if named else "", rest if named else inside)
    if len(word) > _LONGEST_WORD or (word and not _container(before) and not _PYTHON.fullmatch(word)):
        return None
    language = (word.strip("{}.").split() or [""])[0].strip("{}.,:")
    return _Fence(before, mark, language) if _is_word(language) else None


def _is_word(language: str) -> bool:
    return all(c.isalnum() or c in "+#-_.=" for c in language)


def _container(prefix: str) -> bool:
    return bool(_CONTAINER.fullmatch(prefix))


def _outside(lines: list[str], prefix: str) -> str:
    """The lines of a block without what its fence stands in: quotation marks, a list's indentation."""
    if not prefix:
        return "\n".join(lines)
    if ">" in prefix:
        return "\n".join(re.sub(r"^[ \t]*>[ \t]?", "", line) for line in lines)
    width = len(prefix.expandtabs(4))
    shifted = [line.expandtabs(4) if line.startswith((" ", "\t")) else line for line in lines]
    if any(line.strip() and line[:width].strip() for line in shifted):
        return textwrap.dedent("\n".join(shifted))
    return "\n".join(line[width:] for line in shifted)
