"""A program's function as its tests call it: plain values into one pipe, plain values (or its end) out of another."""

from __future__ import annotations

from typing import Any, NoReturn

from forgetting.sandbox import codec, wire

DETAIL = 300  # bytes of an error's description


def described(error: BaseException) -> bytes:
    """Type and text of an error in at most ``DETAIL`` bytes of whole letters."""
    try:
        text = f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 (the program's own __str__)
        text = type(error).__name__
    return text[:DETAIL].encode("utf-8", "replace")[:DETAIL].decode("utf-8", "ignore").encode()


class CandidateError(Exception):
    """What the tests see where the program raised an exception."""


class Over(BaseException):
    """The candidate will not answer any more; the tests cannot swallow it."""


class Proxy:
    """The function. Answers of more than ``most`` bytes end the run; ``over`` says how it ended, if it did."""

    def __init__(self, calls: int, answers: int, most: int) -> None:
        self._calls, self._answers, self._most = calls, answers, most
        self.over: tuple[str, str] | None = None

    def answer(self) -> bytes:
        """The next raw answer of the candidate."""
        try:
            return wire.receive(self._answers, self._most)
        except wire.Ended as ended:
            self._end("output_limit" if ended.too_long else "gone", "")

    def ask(self, arguments: bytes) -> bytes:
        """One call, raw."""
        try:
            wire.send(self._calls, arguments)
        except OSError:
            self._end("gone", "")
        return self.answer()

    def encoded(self, raw: bytes) -> bytes:
        """The value in a raw answer, as the codec's bytes (or what pretends to be); or an exception."""
        kind, text = raw[:1], raw[1:]
        if kind == b"v":
            return text
        detail = text.decode("utf-8", "replace")[:DETAIL]
        if kind == b"e":
            raise CandidateError(detail)
        return self._end({b"s": "syntax_error", b"m": "memory_limit", b"o": "output_limit"}.get(kind, "wrong"), detail)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        text = self.encoded(self.ask(codec.dumps((arguments, named))))
        try:
            return codec.loads(text)
        except codec.NotPlain as error:
            self._end("wrong", str(error))

    def _end(self, outcome: str, detail: str) -> NoReturn:
        self.over = (outcome, detail)
        raise Over
