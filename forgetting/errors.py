"""What may go wrong by the user's hand: one exception whose text is the one line that the user reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """Bad input: one line with field, rule, value and nearest right word. The command line then exits with status 2."""


def require(condition: bool, field: str, rule: str, value: object) -> None:
    """Raise ``UsageError`` unless ``condition`` holds; for the constructors of specs and parts."""
    if not condition:
        raise UsageError(f"{field}: must be {rule}, got {value!r}")


def unknown(field: str, value: object, known: Iterable[str]) -> UsageError:
    """The error for a name outside a list: gives the nearest name in the list, and the list."""
    names = list(known)
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UsageError(f"{field}: unknown name {value!r}; {hint}known: {', '.join(names)}")
