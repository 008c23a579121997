r"""Arithmetic in LaTeX by residues: whether two expressions of whole numbers are equal, however large they are.

``2^{1000}``, ``100!``, ``\binom{60}{30}`` or ``\frac{9^{99}}{7}`` are evaluated modulo primes of 61 bits and more,
which takes no time and no memory to speak of; where all residues agree the values do (but for a chance of about
10^-50). An exponent is reduced modulo the prime less one (Fermat), so towers of four storeys can be told apart too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

PRIMES = (2**61 - 1, 2**89 - 1, 2**107 - 1)
MOST_FACTORS, MOST_DEPTH, MOST_BITS = 200_000, 40, 4_000
_TOKEN = re.compile(r"\\(?:cdot|times|div|frac|binom)(?![A-Za-z])|\d+|[-+*/^!(){}\u2212\u00d7\u00b7]")
_SAME = {"\\cdot": "*", "\\times": "*", "\u00d7": "*", "\u00b7": "*", "\\div": "/", "\u2212": "-"}
_CHUNK = 4_000


class NoArithmetic(ValueError):
    """The text is no arithmetic of whole numbers."""


class TooLarge(ValueError):
    """It is, but nobody can compute it."""


def equal(one: str, other: str) -> bool | None:
    """Whether two texts without blanks have the same value; None where one of them is no arithmetic.

    Two different texts of which one is too large for anybody to compute are not equal.
    """
    try:
        mine, yours = (_tree(text) for text in (one, other))
    except NoArithmetic:
        return None
    if one == other:
        return True
    try:
        return all(_residue(mine, prime) == _residue(yours, prime) for prime in PRIMES)
    except (NoArithmetic, RecursionError):
        return None
    except (TooLarge, ZeroDivisionError):
        return False


Tree = tuple[Any, ...]  # of an operation and its operands, or of "n" and digits


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens = [_SAME.get(token, token) for token in _TOKEN.findall(text)]
        if sum(map(len, _TOKEN.findall(text))) != len(text) or not text:
            raise NoArithmetic(text[:60])
        self.place = self.depth = 0

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise NoArithmetic(token)
        self.place += 1
        return token

    def deeper(self, read: Callable[[], Tree]) -> Tree:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise NoArithmetic("nested")
        found = read()
        self.depth -= 1
        return found

    def sum(self) -> Tree:
        found = self.product()
        while self.peek() in ("+", "-"):
            sign = self.take()
            found = (sign, found, self.product())
        return found

    def product(self) -> Tree:
        found = self.signed()
        while self.peek() in ("*", "/"):
            sign = self.take()
            found = (sign, found, self.signed())
        return found

    def signed(self) -> Tree:
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.take() == "-"
        found = self.power()
        return ("-", ("n", "0"), found) if negative else found

    def power(self) -> Tree:
        base = self.atom()
        if self.peek() == "!":
            self.take()
            base = ("!", base)
        if self.peek() == "^":
            self.take()
            base = ("^", base, self.deeper(self.exponent))
        return base

    def exponent(self) -> Tree:
        if self.peek() == "{":
            return self.group("{", "}")
        return ("n", self.digit())

    def digit(self) -> str:
        """What TeX takes where there are no braces: one digit of a number."""
        token = self.take()
        if not token.isdigit():
            raise NoArithmetic(token)
        if len(token) > 1:
            self.place -= 1
            self.tokens[self.place] = token[1:]
        return token[0]

    def argument(self) -> Tree:
        return self.group("{", "}") if self.peek() == "{" else ("n", self.digit())

    def group(self, opening: str, closing: str) -> Tree:
        self.take(opening)
        found = self.deeper(self.sum)
        self.take(closing)
        return found

    def atom(self) -> Tree:
        token = self.peek()
        if token == "(":
            return self.group("(", ")")
        if token == "{":
            return self.group("{", "}")
        if token in ("\\frac", "\\binom"):
            self.take()
            return ("/" if token == "\\frac" else "choose", self.argument(), self.argument())
        if not token.isdigit():
            raise NoArithmetic(token)
        return ("n", self.take())


def _tree(text: str) -> Tree:
    reader = _Reader(text)
    found = reader.sum()
    if reader.peek():
        raise NoArithmetic(reader.peek())
    return found


def _residue(tree: Tree, prime: int) -> int:
    """The value modulo a prime. Long sums and products are trees that lean left, so they are walked in a loop."""
    kind, *rest = tree
    if kind == "n":
        return _number(rest[0], prime)
    if kind in "+-*/":
        held = [tree]
        while held[-1][1][0] in "+-*/":
            held.append(held[-1][1])
        value = _residue(held[-1][1], prime)
        for sign, _, right in reversed(held):
            value = _joined(sign, value, _residue(right, prime), prime)
        return value
    if kind == "^":
        base = _residue(rest[0], prime)
        exponent = _exact(rest[1])
        if exponent is None:
            exponent = _whole_residue(rest[1], prime - 1)
        return pow(base, exponent, prime) if base or exponent >= 0 else _zero()
    if kind == "!":
        return _factorial(_small(rest[0]), prime)
    upper, lower = map(_small, rest)
    if not 0 <= lower <= upper:
        return 0
    below = _factorial(lower, prime) * _factorial(upper - lower, prime)
    return _factorial(upper, prime) * pow(below, -1, prime) % prime


def _joined(sign: str, left: int, right: int, prime: int) -> int:
    if sign == "/":
        return left * pow(right, -1, prime) % prime if right else _zero()
    return (left * right if sign == "*" else left + right if sign == "+" else left - right) % prime


def _zero() -> int:
    raise ZeroDivisionError


def _whole_residue(tree: Tree, modulus: int) -> int:
    """The residue of a large exponent, of what is whole by its form."""
    kind, *rest = tree
    if kind == "n":
        return _number(rest[0], modulus)
    if kind in "+-*":
        return _joined(kind, _whole_residue(rest[0], modulus), _whole_residue(rest[1], modulus), modulus)
    if kind == "!":
        return _factorial(_small(rest[0]), modulus)
    if kind == "^" and (exponent := _exact(rest[1])) is not None and exponent >= 0:
        return pow(_whole_residue(rest[0], modulus), exponent, modulus)
    raise TooLarge(kind) if kind == "^" and _is_whole(rest[1]) else NoArithmetic(kind)


def _is_whole(tree: Tree) -> bool:
    return tree[0] == "n" or (tree[0] in "+*!^" and all(map(_is_whole, tree[1:])))


def _exact(tree: Tree) -> int | None:
    """The whole number itself, where it has at most ``MOST_BITS`` bits."""
    kind, *rest = tree
    if kind == "n":
        return int(rest[0]) if len(rest[0]) < MOST_BITS // 4 else None
    parts = [_exact(part) for part in rest]
    if kind == "!" and parts[0] is not None and 0 <= parts[0] <= MOST_BITS // 12:
        return _factorial(parts[0], 0)
    if None in parts or kind not in "+-*^" or len(parts) < 2:
        return None
    left, right = parts[0] or 0, parts[1] or 0
    if kind == "^":
        return left**right if right >= 0 and left.bit_length() * right <= MOST_BITS else None
    found = left + right if kind == "+" else left - right if kind == "-" else left * right
    return found if found.bit_length() <= MOST_BITS else None


def _small(tree: Tree) -> int:
    found = _exact(tree)
    if found is None or not 0 <= found <= MOST_FACTORS:
        raise TooLarge("factorial")
    return found


def _factorial(number: int, modulus: int) -> int:
    value = 1
    for factor in range(2, number + 1):
        value = value * factor % modulus if modulus else value * factor
    return value


def _number(digits: str, modulus: int) -> int:
    """Digits modulo a number, in pieces: Python converts 4,300 of them at most."""
    value = 0
    for start in range(0, len(digits), _CHUNK):
        piece = digits[start : start + _CHUNK]
        value = (value * pow(10, len(piece), modulus) + int(piece)) % modulus
    return value
