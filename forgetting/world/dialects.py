"""Programs of the mini-Python in other conventions: a standard program in, its text in a dialect out, and back.

- ``brace``: ``{ x = [ v * 2 each v of x where v > 5 ] ; give sum ( x ) }``
- ``prefix``: ``( = x ( for v x ( * v 2 ) ( > v 5 ) ) ) ( return ( sum x ) )``
- ``assign``: ``x := [ v * 2 for v in x if v above 5 ] ; answer := sum ( x ) ;``
- ``pipe``: ``x | each v : v * 2 where v > 5 -> x <nl> x | sum -> out``

A rewrite keeps the meaning and can be undone word for word; only what a rewrite gives is well-formed in a dialect.
No text is well-formed in two dialects, or in a dialect and in the standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from forgetting.errors import unknown
from forgetting.world.vocabulary import NEWLINE

_WORDS = "{ } give where := equals mod | -> out brace prefix assign pipe"
EXTRA_WORDS: tuple[str, ...] = tuple(_WORDS.split())
DIALECTS: tuple[str, ...] = ("brace", "prefix", "assign", "pipe")

_BRACE = {"for": "each", "in": "of", "if": "where", "return": "give", NEWLINE: ";"}
_ASSIGN = {">": "above", "<": "below", "==": "equals", "%": "mod", "=": ":=", NEWLINE: ";"}
_RESERVED = {*"def for in if return answer out at".split(), *_BRACE.values(), *_ASSIGN.values()}
_STRENGTH = {">": 1, "<": 1, "==": 1, "+": 2, "-": 2, "*": 3, "/": 3, "%": 3}
_PIPELINE, _COMPARISON, _UNARY, _WHOLE = 0, 1, 4, 5

_INFIX = {"atom": "{word}", "group": "( {0} )", "minus": "- {0}", "op": "{0} {word} {1}", "at": "{0} [ {1} ]"}
_PREFIX = {"atom": "{word}", "group": "( {0} )", "minus": "( - {0} )", "op": "( {word} {0} {1} )"}
_PREFIX |= {"at": "( at {0} {1} )", "call": "( {word} {0} )", "each": "( for {word} {0} {1}{2} )", "condition": " {}"}
_TEXT = {
    "standard": {**_INFIX, "call": "{word} ( {0} )", "each": "[ {1} for {word} in {0}{2} ]", "condition": " if {}"},
    "pipe": {**_INFIX, "call": "{0} | {word}", "each": "{0} | each {word} : {1}{2}", "condition": " where {}"},
    "prefix": _PREFIX,
}
_LINES = {
    "standard": ("{} = {}", "return {}", f" {NEWLINE} "),
    "prefix": ("( = {} {} )", "( return {} )", " "),
    "pipe": ("{1} -> {0}", "{} -> out", f" {NEWLINE} "),
}


@dataclass(frozen=True, slots=True)
class Node:
    """An expression: ``word`` is its name, operator or loop variable; a missing part is None.

    Parts by kind: atom (), group (inner), minus (operand), op (left, right), call (argument), at (base, index) or
    (base, from, to[, step]), each (source, element, condition or None).
    """

    kind: str
    word: str
    parts: tuple[Node | None, ...] = ()


Line = tuple[str, Node]  # the variable that is assigned, "" for the result; the expression


def _strength(node: Node, notation: str) -> int:
    if notation == "prefix":
        return _WHOLE
    if node.kind == "op":
        return _STRENGTH[node.word]
    if notation == "pipe" and node.kind in ("call", "each"):
        return _PIPELINE
    return _UNARY if node.kind == "minus" else _WHOLE


def _needs(node: Node, notation: str) -> list[int]:
    """How strongly each part must hold together to be written without parentheses."""
    loose = _PIPELINE if notation == "pipe" else _COMPARISON
    if node.kind == "op":
        own = _STRENGTH[node.word]
        return [own + 1 if own == _COMPARISON else own, own + 1]
    if node.kind == "each":
        return [loose, _COMPARISON, _COMPARISON]
    first = {"minus": _UNARY, "at": _WHOLE, "group": _COMPARISON}.get(node.kind, loose)
    return [first, *[loose] * len(node.parts)][: len(node.parts)]


def _plain(node: Node, notation: str, need: int = _PIPELINE) -> Node:
    """The tree without the groups that are only there because the notation needs parentheses."""
    while node.kind == "group" and (inner := node.parts[0]) is not None and _strength(inner, notation) < need:
        node = inner
    parts = zip(node.parts, _needs(node, notation), strict=True)
    return Node(node.kind, node.word, tuple(part and _plain(part, notation, level) for part, level in parts))


class _Reader:
    """Recursive descent over words; ``ValueError`` at the first word that does not fit."""

    def __init__(self, words: list[str], notation: str) -> None:
        self.words, self.notation, self.at = words, notation, 0

    def take(self, word: str) -> bool:
        found = self.peek() == word
        self.at += found
        return found

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise ValueError(f"{word!r} is missing at word {self.at}")

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def atom(self) -> str:
        word = self.peek()
        if not word.isalnum() or word in _RESERVED:
            raise ValueError(f"{word!r} is neither name nor number")
        self.at += 1
        return word

    def name(self) -> str:
        word = self.atom()
        if not word.isalpha():
            raise ValueError(f"{word!r} is no name")
        return word

    def subscript(self, base: Node, close: str) -> Node:
        bounds: list[Node | None] = [None]
        while not self.take(close):
            if self.take(":"):
                bounds.append(None)
            elif bounds[-1] is None:
                bounds[-1] = self.expression()
            else:
                raise ValueError("two bounds in one place")
        if len(bounds) > 3 or bounds == [None]:
            raise ValueError("a subscript has one to three places")
        return Node("at", "", (base, *bounds))

    def expression(self) -> Node:
        if self.notation == "prefix":
            return self.prefix()
        return self.pipeline() if self.notation == "pipe" else self.infix(_COMPARISON)

    def infix(self, need: int) -> Node:
        left = Node("minus", "-", (self.infix(_UNARY),)) if self.take("-") else self.whole()
        while (own := _STRENGTH.get(self.peek(), -1)) >= need:
            if own == _COMPARISON and left.kind == "op" and _STRENGTH[left.word] == _COMPARISON:
                raise ValueError("a comparison of a comparison is in no program")
            self.at += 1
            left = Node("op", self.words[self.at - 1], (left, self.infix(own + 1)))
        return left

    def whole(self) -> Node:
        if self.take("("):
            node = Node("group", "", (self.expression(),))
            self.expect(")")
        elif self.notation == "standard" and self.take("["):
            element = self.expression()
            self.expect("for")
            variable = self.name()
            self.expect("in")
            source = self.expression()
            node = Node("each", variable, (source, element, self.expression() if self.take("if") else None))
            self.expect("]")
        else:
            node = Node("atom", self.atom())
            if self.notation == "standard" and node.word.isalpha() and self.take("("):
                node = Node("call", node.word, (self.expression(),))
                self.expect(")")
        while self.take("["):
            node = self.subscript(node, "]")
        return node

    def pipeline(self) -> Node:
        left = self.infix(_COMPARISON)
        while self.take("|"):
            if self.take("each"):
                variable = self.name()
                self.expect(":")
                element = self.infix(_COMPARISON)
                condition = self.infix(_COMPARISON) if self.take("where") else None
                left = Node("each", variable, (left, element, condition))
            else:
                left = Node("call", self.name(), (left,))
        return left

    def prefix(self) -> Node:
        if not self.take("("):
            return Node("atom", self.atom())
        if (word := self.peek()) in _STRENGTH:
            self.at += 1
            left = self.prefix()
            if word == "-" and self.take(")"):
                return Node("minus", "-", (left,))
            node = Node("op", word, (left, self.prefix()))
            self.expect(")")
        elif self.take("for"):
            variable, source, element = self.name(), self.prefix(), self.prefix()
            node = Node("each", variable, (source, element, None if self.peek() == ")" else self.prefix()))
            self.expect(")")
        elif self.take("at"):
            node = self.subscript(self.prefix(), ")")
        else:
            first = self.prefix()
            if self.take(")"):
                return Node("group", "", (first,))
            if first.kind != "atom" or not first.word.isalpha():
                raise ValueError("only a name can be called")
            node = Node("call", first.word, (self.prefix(),))
            self.expect(")")
        return node

    def line(self) -> Line:
        if self.notation == "pipe":
            value = self.expression()
            self.expect("->")
            return "" if self.take("out") else self.name(), value
        prefix = self.notation == "prefix"
        if prefix:
            self.expect("(")
        if self.take("return"):
            variable = ""
        elif prefix:
            self.expect("=")
            variable = self.name()
        else:
            variable = self.name()
            self.expect("=")
        value = self.expression()
        if prefix:
            self.expect(")")
        return variable, value


def _lines(words: list[str], notation: str) -> list[Line]:
    """A program's lines; only the prefix notation has nothing between them."""
    if notation != "prefix":
        return [_line(line, notation) for line in " ".join(words).split(f" {NEWLINE} ")]
    reader, found = _Reader(words, notation), list[Line]()
    while not found or reader.at < len(words):
        found.append(reader.line())
    return found


@lru_cache(maxsize=4096)  # programs share most of their lines
def _line(text: str, notation: str) -> Line:
    reader = _Reader(text.split(" "), notation)
    found = reader.line()
    if reader.at < len(reader.words):
        raise ValueError(f"{NEWLINE!r} is missing at word {reader.at}")
    return found


def _written(node: Node, notation: str, need: int = _PIPELINE) -> str:
    """The expression's text, in parentheses where it holds together less strongly than ``need``."""
    needs, form = _needs(node, notation), _TEXT[notation]
    part = [_written(p, notation, level) if p else "" for p, level in zip(node.parts, needs, strict=True)]
    if node.kind == "at":
        part[1:] = [" ".join(" : ".join(part[1:]).split())]
    elif node.kind == "each" and part[2]:
        part[2] = form["condition"].format(part[2])
    text = form[node.kind].format(*part, word=node.word)
    return f"( {text} )" if _strength(node, notation) < need else text


def _rewritten(words: list[str], notation: str, other: str) -> str:
    """A program from one notation in another."""
    assign, result, between = _LINES[other]
    lines = _lines(words, notation)
    texts = [(name, _written(_plain(value, notation), other)) for name, value in lines]
    return between.join([assign.format(name, text) if name else result.format(text) for name, text in texts])


def _swapped(text: str, words: dict[str, str]) -> str:
    return " ".join([words.get(word, word) for word in text.split()])


def _checked(dialect: str) -> None:
    if dialect not in DIALECTS:
        raise unknown("dialect", dialect, DIALECTS)


@lru_cache(maxsize=16384)  # a stream has most programs more than once
def to_dialect(program: str, dialect: str) -> str:
    """A standard program in a dialect; ``ValueError`` where it is not in the mini-Python."""
    _checked(dialect)
    if dialect not in ("brace", "assign"):
        return _rewritten(program.split(), "standard", dialect)
    _lines(program.split(), "standard")  # raises where they are none
    if dialect == "brace":
        return f"{{ {_swapped(program, _BRACE)} }}"
    return f"{_swapped(program.replace('return', 'answer ='), _ASSIGN)} ;"


def from_dialect(text: str, dialect: str) -> str | None:
    """The standard program that is written so in the dialect, or None where there is none."""
    _checked(dialect)
    words = text.split()
    try:
        if dialect == "brace":
            program = _swapped(" ".join(words[1:-1]), {new: old for old, new in _BRACE.items()})
        elif dialect == "assign":
            program = _swapped(" ".join(words[:-1]), {new: old for old, new in _ASSIGN.items()})
            program = program.replace("answer =", "return")
        else:
            program = _rewritten(words, dialect, "standard")
        return program if to_dialect(program, dialect) == " ".join(words) else None
    except (ValueError, RecursionError):
        return None


def readings(text: str) -> dict[str, str]:
    """The standard program behind the text in each dialect in which it is well-formed (one at most)."""
    return {d: program for d in DIALECTS if (program := from_dialect(text, d)) is not None}


def to_standard(text: str) -> list[str]:
    """The standard programs that the text may be meant as; none where it is standard already or in no dialect."""
    return list(readings(text).values())
