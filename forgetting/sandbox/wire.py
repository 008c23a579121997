"""Frames on a pipe: four bytes of length, then that many bytes; used on both sides of the border."""

from __future__ import annotations

import os


class Ended(EOFError):
    """The other side closed the pipe, or announced more bytes than are allowed (then ``too_long``)."""

    def __init__(self, *, too_long: bool = False) -> None:
        super().__init__("more bytes than allowed" if too_long else "closed")
        self.too_long = too_long


def send(pipe: int, payload: bytes) -> None:
    """Write one frame. Raises ``OSError`` where nobody reads any more."""
    rest = memoryview(len(payload).to_bytes(4, "big") + payload)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def receive(pipe: int, most: int = 2**31) -> bytes:
    """Read one frame of at most ``most`` bytes. Raises ``Ended``."""
    size = int.from_bytes(_exactly(pipe, 4), "big")
    if size > most:
        raise Ended(too_long=True)
    return _exactly(pipe, size)


def _exactly(pipe: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = os.read(pipe, min(size, 1 << 20))
        if not part:
            raise Ended
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
