"""Frames as a hostile candidate may write them: honest ones, changed at random; and every way in which one is read.

``tests/trust/test_judge.py`` reads a few thousand, ``validation/judge.py`` a hundred thousand.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

from forgetting.sandbox import codec, pool
from forgetting.sandbox.limits import Limits, Outcome
from forgetting.sandbox.proxy import CandidateError, Over, Proxy

LIMITS = Limits(output_bytes=50_000)
KINDS = b"vvvvvvesmon?=\x00\xff"
TAGS = (
    "int",
    "float",
    "complex",
    "bytes",
    "dict",
    "list",
    "tuple",
    "set",
    "frozenset",
    "type",
    "opaque",
    "Infinity",
    "",
)
PIECES = (
    b'["int"]', b'["int","zz"]', b'["int",[]]', b'["float"]', b'["float",null]', b'["complex","0x1p0"]', b'["bytes",7]',
    b'["bytes","0"]', b'["dict",1]', b'["dict",["list"]]', b'["dict",[["list"],1]]', b'["set",["list"]]',
    b"[]", b"[[]]", b"{}", b'{"int":1}', b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"[" * 300, b"]" * 300,
    b'["set",1,1]', b"\\ud800", b'["type","int"]', b'["type",7]', b'["opaque","x",true]', b'["opaque","x"]',
    b'"\\', "\u4e2d".encode(), b"\xff\xfe", b"\x00", b'["complex","nan","inf"]', b'["float","nan"]', b"-0.0", b"true",
)  # fmt: skip
Change = Callable[[random.Random, bytes], bytes]


def value(chance: random.Random, depth: int = 0, *, hashable: bool = False) -> Any:
    """A plain value of any type."""
    leaves: list[Callable[[], Any]] = [
        lambda: None, lambda: chance.random() < 0.5, lambda: chance.randint(-9, 9), lambda: chance.getrandbits(200),
        lambda: chance.gauss(0, 1e3), lambda: chance.choice([math.nan, math.inf, -math.inf, -0.0, 1e300]),
        lambda: complex(chance.random(), chance.choice([0, math.nan, 1])), lambda: chance.randbytes(4),
        lambda: "".join(chance.choices('ab"\\\x00\u00e9\u4e2d\ud800', k=4)),
    ]  # fmt: skip
    if depth > 3 or chance.random() < 0.3:
        return chance.choice(leaves)()

    def some(*, hashable: bool) -> list[Any]:
        return [value(chance, depth + 1, hashable=hashable) for _ in range(chance.randint(0, 4))]

    kind = chance.choice([tuple, frozenset] if hashable else [tuple, frozenset, list, set, dict])
    if kind is dict:
        return dict(zip(some(hashable=True), some(hashable=False), strict=False))
    return kind(some(hashable=hashable or kind in (set, frozenset)))


def _at(chance: random.Random, data: bytes) -> int:
    return chance.randint(0, max(len(data) - 1, 0))


def _flip(chance: random.Random, data: bytes) -> bytes:
    at = _at(chance, data)
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :] if data else b"\x00"


def _insert(chance: random.Random, data: bytes) -> bytes:
    at = _at(chance, data)
    return data[:at] + chance.choice(PIECES) + data[at:]


def _replace(chance: random.Random, data: bytes) -> bytes:
    at = _at(chance, data)
    return data[:at] + chance.choice(PIECES) + data[at + chance.randint(1, 8) :]


def _remove(chance: random.Random, data: bytes) -> bytes:
    at = _at(chance, data)
    return data[:at] + data[at + chance.randint(1, 8) :]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    at, length = _at(chance, data), chance.randint(1, 20)
    return data[:at] + data[at : at + length] * chance.randint(2, 30) + data[at + length :]


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: _at(chance, data)]


def _retag(chance: random.Random, data: bytes) -> bytes:
    old, new = (f'"{chance.choice(TAGS)}"'.encode() for _ in range(2))
    return data.replace(old, new, chance.randint(1, 3))


CHANGES: tuple[Change, ...] = (_flip, _insert, _replace, _remove, _repeat, _cut, _retag)


def mutated(count: int, seed: int) -> Iterator[bytes]:
    """That many frames, length and all, each changed in one to three places; some lengths are false."""
    chance = random.Random(seed)
    for _ in range(count):
        text = codec.dumps(value(chance))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            text = chance.choice(CHANGES)(chance, text)
        payload = bytes([chance.choice(KINDS)]) + text
        length = len(payload).to_bytes(4, "big")
        if chance.random() < 0.1:
            length = chance.choice([_flip(chance, length), length[:2], b"\xff" * 4, b""])
        yield length + payload[:50_000]


def reading(frame: bytes) -> str:
    """How a frame ends that a candidate wrote: every reading of it that the judge and the pool have. Never raises."""
    there, back = os.pipe()
    os.write(back, frame)
    os.close(back)
    proxy = Proxy(-1, there, LIMITS.output_bytes + 1)
    try:
        raw = proxy.answer()
        _as_a_script(raw)
        return _as_a_value(proxy.encoded(raw))
    except CandidateError:
        return "an exception of the program"
    except Over:
        assert proxy.over
        return proxy.over[0]
    finally:
        os.close(there)


def _as_a_value(text: bytes) -> str:
    refused = 0
    readings: tuple[Callable[[bytes], Any], ...] = (
        codec.loads,
        lambda text: codec.same(text, b'["list",1]'),
        lambda text: codec.same(b"null", text),
        lambda text: codec.same(text, b'["list",1]', lenient=True),
    )
    for read in readings:
        try:
            read(text)
        except codec.NotPlain:
            refused += 1
    if refused == len(readings):
        return "no plain value"
    if refused == 1:
        return "a container that cannot be"  # a list in a set, a key twice: a text, but no value
    assert refused == 0
    again = codec.dumps(codec.loads(text))
    assert codec.same(text, again) or b"nan" in again or type(codec.loads(text)) is codec.Opaque
    return "a value"


def _as_a_script(raw: bytes) -> None:
    head = {"late": False, "signal": 0, "judge_signal": 0, "status": 0, "cpu_seconds": 0.0}
    for lenient in (False, True):
        verdict = pool._of_script(head, raw, raw, pool.Script("", "", "yes", lenient=lenient), LIMITS)
        assert verdict.outcome not in (Outcome.passed, Outcome.harness_error)
