"""Frames on a pipe: four bytes of length, then that many bytes; used on both sides of the border."""

from __future__ import annotations

import os
import select
import time


class Ended(EOFError):
    """The other side closed the pipe, or announced more bytes than are allowed (then ``too_long``)."""

    def __init__(self, *, too_long: bool = False) -> None:
        super().__init__("more bytes than allowed" if too_long else "closed")
        self.too_long = too_long


class Late(Exception):
    """The frame was not whole in time."""


def send(pipe: int, payload: bytes) -> None:
    """Write one frame. Raises ``OSError`` where nobody reads any more."""
    rest = memoryview(len(payload).to_bytes(4, "big") + payload)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def receive(pipe: int, most: int = 2**31, until: float | None = None) -> bytes:
    """Read one frame of at most ``most`` bytes, before ``time.monotonic()`` says ``until``. Raises ``Ended``, ``Late``.

    The other side may write half a frame and wait, so whoever must not wait for it gives ``until``.
    """
    size = int.from_bytes(_exactly(pipe, 4, until), "big")
    if size > most:
        raise Ended(too_long=True)
    return _exactly(pipe, size, until)


def _exactly(pipe: int, size: int, until: float | None) -> bytes:
    parts: list[bytes] = []
    while size:
        if until is not None and not select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            raise Late
        part = os.read(pipe, min(size, 1 << 20))
        if not part:
            raise Ended
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
