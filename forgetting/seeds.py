"""Independent random streams from one root seed, each named by its role; never ``seed + 1``."""

from __future__ import annotations

import hashlib

import numpy as np


def _words(role: str) -> list[int]:
    digest = hashlib.sha256(role.encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]


def generator(seed: int, *roles: str | int) -> np.random.Generator:
    """A numpy generator that depends on the seed and on every role, and on nothing else."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *_words("/".join(map(str, roles)))])))


def integer(seed: int, *roles: str | int) -> int:
    """A 63-bit seed for a library that wants an integer (torch's generator, say)."""
    return int(generator(seed, *roles).integers(0, 2**63 - 1))
