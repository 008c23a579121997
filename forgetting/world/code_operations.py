"""The operations of programming tasks: for each its Python, its three descriptions and a plain function that does it.

The functions are written otherwise than the programs, so that the reference is independent of what is graded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Value = int | list[int]


@dataclass(frozen=True, slots=True)
class CodeOperation:
    """One operation: its Python expression and its descriptions (``{k}`` the constant, ``{x}`` the variable).

    ``kind``: ``integer`` (number to number), ``list`` (list to list) or ``terminal`` (list to number, last only).
    """

    kind: str
    python: str
    plain: str
    other: str
    functional: str
    run: Callable[..., Value]
    weight: int = 5

    @property
    def takes_constant(self) -> bool:
        """Whether a constant belongs to it."""
        return "{k}" in self.python


OPERATIONS: dict[str, CodeOperation] = {
    "add": CodeOperation("integer", "{x} + {k}", "add {k}", "add {k} to {x}", "{k} more", lambda x, k: x + k),
    "subtract": CodeOperation(
        "integer", "{x} - {k}", "subtract {k}", "subtract {k} from {x}", "{k} less", lambda x, k: x - k, 1
    ),
    "multiply": CodeOperation(
        "integer", "{x} * {k}", "multiply by {k}", "multiply {x} by {k}", "{k} times {x}", lambda x, k: x * k
    ),
    "square": CodeOperation("integer", "{x} * {x}", "square", "square {x}", "{x} times {x}", lambda x, k: x**2),
    "double": CodeOperation(
        "list", "[ v * 2 for v in {x} ]", "double each", "double all", "each twice", lambda x, k: [n + n for n in x]
    ),
    "raise": CodeOperation(
        "list",
        "[ v + {k} for v in {x} ]",
        "add {k} to each",
        "add {k} to all",
        "each {k} more",
        lambda x, k: [n + k for n in x],
    ),
    "above": CodeOperation(
        "list",
        "[ v for v in {x} if v > {k} ]",
        "keep above {k}",
        "keep all above {k}",
        "drop {k} and less",
        lambda x, k: list(filter(lambda n: n > k, x)),
    ),
    "below": CodeOperation(
        "list",
        "[ v for v in {x} if v < {k} ]",
        "keep below {k}",
        "keep all below {k}",
        "drop {k} and more",
        lambda x, k: list(filter(lambda n: n < k, x)),
        1,
    ),
    "evens": CodeOperation(
        "list",
        "[ v for v in {x} if v % 2 == 0 ]",
        "keep evens",
        "keep all evens",
        "drop odds",
        lambda x, k: [n for n in x if not n & 1],
    ),
    "odds": CodeOperation(
        "list",
        "[ v for v in {x} if v % 2 == 1 ]",
        "keep odds",
        "keep all odds",
        "drop evens",
        lambda x, k: [n for n in x if n & 1],
    ),
    "sort": CodeOperation("list", "sorted ( {x} )", "sort", "sort them", "from less to more", lambda x, k: sorted(x)),
    "reverse": CodeOperation(
        "list", "{x} [ : : - 1 ]", "reverse", "reverse them", "from back to front", lambda x, k: list(reversed(x)), 1
    ),
    "sum": CodeOperation("terminal", "sum ( {x} )", "sum", "the sum", "add all", lambda x, k: sum(x)),
    "largest": CodeOperation(
        "terminal", "max ( {x} )", "largest", "the largest", "the one above all", lambda x, k: sorted(x)[-1]
    ),
    "smallest": CodeOperation(
        "terminal", "min ( {x} )", "smallest", "the smallest", "the one below all", lambda x, k: sorted(x)[0], 1
    ),
    "count": CodeOperation("terminal", "len ( {x} )", "count", "the count", "how many", lambda x, k: sum(1 for _ in x)),
    "first": CodeOperation(
        "terminal", "{x} [ 0 ]", "first", "the first", "the one at front", lambda x, k: next(iter(x))
    ),
    "last": CodeOperation(
        "terminal", "{x} [ - 1 ]", "last", "the last", "the one at back", lambda x, k: next(reversed(x))
    ),
}
RARE = frozenset({"subtract", "below", "smallest", "reverse"})
