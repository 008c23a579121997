"""A program's function as its tests call it: plain values into one pipe, plain values (or its end) out of another."""

from __future__ import annotations

from typing import Any, NoReturn

from forgetting.sandbox import codec, wire

DETAIL = 300  # bytes of an error's description


def described(error: BaseException) -> bytes:
    """Type and text of an error, cut to ``DETAIL`` bytes."""
    try:
        text = f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 (the program's own __str__)
        text = type(error).__name__
    return text.encode("utf-8", "replace")[:DETAIL]


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

    def value(self, raw: bytes) -> Any:
        """A raw answer as a value or as an exception."""
        kind, text = raw[:1], raw[1:]
        if kind == b"v":
            try:
                return codec.loads(text)
            except codec.NotPlain as error:
                return self._end("wrong", str(error))
        detail = text.decode("utf-8", "replace")[:DETAIL]
        if kind == b"e":
            raise CandidateError(detail)
        return self._end({b"s": "syntax_error", b"m": "memory_limit", b"o": "output_limit"}.get(kind, "wrong"), detail)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.value(self.ask(codec.dumps((arguments, named))))

    def _end(self, outcome: str, detail: str) -> NoReturn:
        self.over = (outcome, detail)
        raise Over
