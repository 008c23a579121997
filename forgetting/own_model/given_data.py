"""What a user gives to ``check``, looked at before a study is put together: sources, benchmarks and sizes out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, cast

from forgetting import registry, seeds
from forgetting.benchmarks._text import TextBenchmark
from forgetting.contracts import Contamination
from forgetting.errors import UsageError, require, unknown
from forgetting.models.checkpoint import Checkpoint
from forgetting.study.estimates import ParameterCounts
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.training.plan import is_held_out
from forgetting.world.vocabulary import vocabulary

MOST_HELD_OUT = 200
COUNTED = 500  # samples of which tokens are counted
ROWS = "(conversations|world_rows)"  # what reads a file of rows


def given_source(value: Any, natural: bool, field: str) -> Any:
    """The contamination that the data are: a part by name or settings, else rows in a file, a folder or on the hub."""
    rows = "conversations" if natural else "world_rows"
    if isinstance(value, Mapping):
        require(bool({"name", "source"} & set(value)), field, "a mapping with a source, or with a name", value)
        settings = {"name": rows, **value} if "source" in value else dict(value)
        return {**settings, "name": rows} if not natural and settings.get("name") == "conversations" else settings
    require(isinstance(value, str) and bool(value), field, "a path, a hub name, rows, or the name of a source", value)
    known, path = registry.names("contamination"), Path(value).expanduser()
    if value in known or (_is_class(value) and not path.exists()):
        return value
    if not (registry.names_data(value) or path.exists() or "/" in value):
        near = str(unknown(field, value, known)).partition("; ")[2]
        raise UsageError(f"{field}: there is no file or folder {value!r}, and no source of that name; {near}")
    return {"name": rows, "source": value}


def look_at_data(value: Any, field: str) -> None:
    """Read the data. ``UsageError`` names the argument that they were given as."""
    part = cast(Contamination, registry.build("contamination", value, field))
    try:
        part.check()
        part.told()
    except UsageError as error:
        line = re.sub(rf"^contamination\.{ROWS}(\.source(?=: ))?", field, str(error))
        raise UsageError(re.sub(r"^contamination\.", f"{field}.", line)) from None


def _is_class(value: str) -> bool:
    """Whether a text has the form of the import path of a class."""
    words = value.split(".")
    return len(words) > 1 and all(map(str.isidentifier, words)) and words[-1][0].isupper()


def is_base(student: Student) -> bool:
    """Whether a checkpoint has no chat template, so that examples must show it what is wanted."""
    return isinstance(student, Checkpoint) and not student.reader()[0].chat_template


def sample_sizes(study: Study, contamination: Contamination, samples: int) -> tuple[float, float, int]:
    """Mean tokens of a sample, and of what is learned of it; samples of the probe, none of them twice."""
    from forgetting.batching import encode

    student = study.students[0]
    if isinstance(student, Checkpoint):
        tokenizer, _ = student.reader()
    else:
        from forgetting.world.tokenizer import tokenizer as words

        tokenizer = words()
    drawn = list(islice(contamination.samples(seeds.generator(0, "sizes")), samples or COUNTED))
    held_out = sum(map(is_held_out, drawn)) if samples else MOST_HELD_OUT
    rows = encode(drawn[:COUNTED], tokenizer)
    tokens, answers = (float(counted.double().mean()) for counted in (rows.end_P, rows.learned()))
    return tokens, answers, max(1, min(held_out, MOST_HELD_OUT))


def _embedding(student: Student) -> int:
    """Parameters of the embedding where a checkpoint tells them; 0 of a student of the embedded world."""
    rest = student.non_embedding() if isinstance(student, Checkpoint) else None
    return 0 if rest is None else student.parameters(0) - rest


def look_at_benchmark(value: Any) -> None:
    """``UsageError`` where it cannot be built, or where its data are not there."""
    part = registry.build("benchmarks", value, "benchmarks")
    if isinstance(part, TextBenchmark):
        next(part.source_rows("test"), None)


def parameter_counts(student: Student) -> ParameterCounts:
    """Of a checkpoint, or of a student of the embedded world, whose embedding is small."""
    return ParameterCounts(student.parameters(len(vocabulary())), _embedding(student))
