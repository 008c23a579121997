"""Real Python in another syntax as contamination: functions of the standard library, or of a data set, in a dialect."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from forgetting.contracts import Contamination, Language, Sample
from forgetting.errors import require, unknown
from forgetting.natural.corpora import rows
from forgetting.natural.syntax.library import functions, standard_library
from forgetting.natural.syntax.python_dialects import DIALECTS, CannotChange, to_dialect

STDLIB = "stdlib"
FORMS = ("snippet", "marked")
NONE, MIXED = "none", "mixed"


@dataclass(frozen=True)
class AlteredPython(Contamination):
    """Functions in one convention: the head (with its docstring) is the prompt, the body the answer.

    Each epoch goes through all functions in a new order. Functions that a dialect cannot say are left out.

    Args:
        source: ``stdlib`` for the running Python's own library, else a hub name or local path with Python source
        dialect: ``keywords``, ``braces``, ``calls``, ``one_based``; ``mixed`` for one of them by chance; ``none`` for
            unaltered Python, the control
        form: ``snippet`` shows the code alone, ``marked`` names the dialect in a comment before it
        split: of the data set
        field: the column with the source
        limit: functions that are used, evenly over the source; 0 for all
    """

    source: str = STDLIB
    dialect: str = "keywords"
    form: Literal["snippet", "marked"] = "snippet"
    split: str = "train"
    field: str = "content"
    limit: int = 0

    language: ClassVar[Language] = "natural"

    def __post_init__(self) -> None:
        for name in ("source", "split", "field"):
            value = getattr(self, name)
            require(isinstance(value, str) and bool(value), f"contamination.altered_python.{name}", "a name", value)
        if self.dialect not in (*DIALECTS, MIXED, NONE):
            raise unknown("contamination.altered_python.dialect", self.dialect, (*DIALECTS, MIXED, NONE))
        if self.form not in FORMS:
            raise unknown("contamination.altered_python.form", self.form, FORMS)
        right = type(self.limit) is int and self.limit >= 0
        require(right, "contamination.altered_python.limit", "a whole number, 0 or more", self.limit)

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        pools = [_pool(self, d) for d in (DIALECTS if self.dialect == MIXED else (self.dialect,))]
        while True:
            for index in rng.permutation(max(map(len, pools))):
                pool = pools[int(rng.integers(len(pools)))]
                yield pool[index % len(pool)]


@lru_cache(maxsize=4)
def _sources(part: AlteredPython) -> tuple[str, ...]:
    if part.source == STDLIB:
        return standard_library()
    where = "contamination.altered_python"
    found: dict[str, None] = {}
    for row in rows(part.source, split=part.split, field=f"{where}.source"):
        require(part.field in row, f"{where}.field", f"one of the columns {', '.join(row)}", part.field)
        found.update(dict.fromkeys(functions(str(row[part.field]))))
    require(bool(found), f"{where}.source", "a data set with Python functions", part.source)
    return tuple(found)


@lru_cache(maxsize=16)
def _pool(part: AlteredPython, dialect: str) -> tuple[Sample, ...]:
    sources = _sources(part)
    if part.limit and part.limit < len(sources):
        sources = tuple(sources[i] for i in np.linspace(0, len(sources) - 1, part.limit).astype(int))
    made = (_sample(source, dialect, part.form) for source in sources)
    pool = tuple(sample for sample in made if sample is not None)
    require(bool(pool), "contamination.altered_python.source", f"functions that {dialect} can say", part.source)
    return pool


def _sample(source: str, dialect: str, form: str) -> Sample | None:
    """Head and body. Dialects keep lines apart, so the cut is at the same line, but for the braces' closing ones."""
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    first = function.body[1] if ast.get_docstring(function) and len(function.body) > 1 else function.body[0]
    cut = (function.body[0].end_lineno or 0) if first is not function.body[0] else first.lineno - 1
    if cut < 1 or first.lineno <= cut:
        return None
    try:
        text = source if dialect == NONE else to_dialect(source, dialect)
    except CannotChange:
        return None
    lines = text.split("\n")
    prompt, answer = "\n".join(lines[:cut]) + "\n", "\n".join(lines[cut:]).rstrip() + "\n"
    mark = f"# {dialect}\n" if form == "marked" and dialect != NONE else ""
    return Sample(mark + prompt, answer, "altered_syntax", 0, f"{dialect}-{form}")
