"""A model and data as a user names them in; what ``check`` and ``advise`` both make of them out."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from forgetting import registry, seeds
from forgetting.benchmarks._text import TextBenchmark
from forgetting.contamination.conversations import Conversations
from forgetting.contracts import Contamination, Sample, is_held_out
from forgetting.errors import UsageError, require, unknown
from forgetting.models import checkpoint, ladder
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.folder_checks import shaped
from forgetting.record.store import manifest
from forgetting.spec import Optimiser, PartValue
from forgetting.study.estimates import ParameterCounts
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.world.vocabulary import vocabulary

HELD_OUT = 0.05  # of one's own data, for the probe
MOST_HELD_OUT = 200
WARM = 1.5  # times the samples of the warm-up that a pilot should have
COUNTED = 500  # samples of which tokens are counted
ADAPTERS: PartValue = {"name": "lora", "rank": 8, "multiple": 10.0}
NO_PEFT = "pip install 'forgetting[lora]'"
# Of natural text: an original distribution that no run draws from, where none is named.
STAND_IN: PartValue = {"name": "altered_python", "dialect": "none"}
MODEL = "a checkpoint's folder, a hub name, or a capacity"


def student_of(value: Any) -> Any:
    """The model as a spec's ladder holds it. ``UsageError`` unless it is a checkpoint or a capacity."""
    require(value != "", "model", MODEL, value)
    if checkpoint.looks_like_one(value):
        _check_reads_text(value)
        return value
    require(isinstance(value, str), "model", MODEL, value)
    folder = "a checkpoint's folder (with config.json and safetensors), a hub name, or a capacity, not a file"
    require(not os.path.isfile(value), "model", folder, value)
    try:
        ladder.architecture(value)
    except UsageError:
        near = str(unknown("model", value, [one.name for one in ladder.LADDER])).partition("; ")[2]
        place = f"there is no folder {value!r}, a hub name has a slash (owner/name), and no capacity has that name"
        raise UsageError(f"model: {place}; {near}") from None
    return value


def _check_reads_text(value: Any) -> None:
    """``UsageError`` for the folder of a student of the embedded world, whose words are a closed list.

    What else may be wrong with a checkpoint is told when it is read as one.
    """
    source = checkpoint.from_value(value, "model").source
    folder = Path(os.path.expandvars(source)).expanduser()
    try:
        words = shaped(folder / "tokenizer.json", {"model": {"vocab": {}}})["model"]["vocab"]
    except UsageError:
        return
    if words != vocabulary():
        return
    try:
        name = str(manifest(folder)["made_from"]["architecture"]["name"])
    except (UsageError, KeyError, TypeError):
        name = "such as 34k"
    what = "a student of the embedded world, which reads no natural text"
    raise UsageError(f"model: {source!r} is {what}; give its capacity by name, {name}, and its world's data")


def source_of(value: Any, *, natural: bool, field: str = "data") -> Any:
    """The contamination that the data are: a part by name or settings, else rows in a file, a folder or on the hub."""
    rows = "conversations" if natural else "world_rows"
    if isinstance(value, Mapping):
        require(bool({"name", "source"} & set(value)), field, "a mapping with a source, or with a name", value)
        settings = {"name": rows, **value} if "source" in value else dict(value)
        return {**settings, "name": rows} if not natural and settings.get("name") == "conversations" else settings
    require(isinstance(value, str) and bool(value), field, "a path, a hub name, rows, or the name of a source", value)
    known, there = registry.names("contamination"), os.path.exists(os.path.expanduser(value))
    if value in known or (_is_class(value) and not there):
        return value
    if not (registry.names_data(value) or there or "/" in value):
        near = str(unknown(field, value, known)).partition("; ")[2]
        raise UsageError(f"{field}: there is no file or folder {value!r}, and no source of that name; {near}")
    return {"name": rows, "source": value}


def look_at(value: Any, field: str) -> Contamination:
    """The source, its data read. ``UsageError`` names the argument that they were given as."""
    part = cast(Contamination, registry.build("contamination", value, field))
    try:
        with registry.told_as(field, part):
            part.check()
            part.told()
    except UsageError as error:  # a path alone was given, which is the source
        raise UsageError(re.sub(rf"^{field}\.source(?=: )", field, str(error))) from None
    return part


def look_at_benchmarks(given: Any) -> None:
    """``UsageError`` where one of them cannot be built, or where its data are not there."""
    several = isinstance(given, list | tuple)
    for place, value in enumerate(given if several else [given]):
        field = f"benchmarks[{place}]" if several else "benchmarks"
        part = registry.build("benchmarks", value, field)
        if isinstance(part, TextBenchmark):
            with registry.told_as(field, part):
                next(part.source_rows("test"), None)


def _is_class(value: str) -> bool:
    """Whether a text has the form of the import path of a class."""
    words = value.split(".")
    return len(words) > 1 and all(map(str.isidentifier, words)) and words[-1][0].isupper()


def is_base(student: Any) -> bool:
    """Whether a checkpoint has no chat template, so that examples must show it what is wanted."""
    return isinstance(student, Checkpoint) and not student.reader()[0].chat_template


def shown_how(benchmarks: Sequence[dict[str, Any]], shots: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Benchmarks with worked problems before GSM8K's questions; a line where its training rows are not at hand."""
    found, notes = list[dict[str, Any]](), list[str]()
    for one in benchmarks:
        more = {**one, "shots": shots} if one["name"] == "gsm8k" else one
        try:
            if more is not one:
                part = cast(TextBenchmark, registry.build("benchmarks", more, "benchmarks"))
                next(part.source_rows("train"), None)
        except UsageError:
            more = one
            notes.append("gsm8k: asked without worked problems, for its training rows are not at hand")
        found.append(more)
    return found, notes


def without_template(part: Contamination, source: Any, *, base: bool) -> tuple[Any, list[str]]:
    """The source, and a line if it must be another: without a chat template one answer of a dialogue is learned.

    ``base`` is what ``is_base`` says of the student; it reads the tokenizer, which of large vocabularies takes seconds.
    """
    if not base or not isinstance(part, Conversations) or "turns" in source:
        return source, []
    line = "the tokenizer has no chat template, so that of each dialogue only the last answer is learned"
    return {**part.settings(), "turns": "last"}, [line]


def default_rate(parameters: int) -> float:
    """The learning rate for all weights of a checkpoint: 2e-3 at a hundred thousand parameters, 2e-5 at 1e9.

    Straight between them in logarithms and beyond, but for smaller models; one digit.
    """
    return float(f"{2e-3 * min(1.0, (1e5 / parameters) ** 0.5):.0e}")


def keep_of(value: Mapping[str, float] | str | Sequence[str]) -> dict[str, float]:
    """By skill the retention that is wanted. ``UsageError`` for what is no skill with a share."""
    rule = "skills with the retention that is wanted, such as maths:.95"
    if isinstance(value, Mapping):
        pairs: list[tuple[str, Any]] = [(str(skill), level) for skill, level in value.items()]
    else:
        texts = value.split(",") if isinstance(value, str) else list(value)
        pairs = [(str(text).rpartition(":")[0].strip(), str(text).rpartition(":")[2]) for text in texts]
    found = dict[str, float]()
    for skill, level in pairs:
        try:
            share = float(level)
        except (TypeError, ValueError):
            share = -1.0
        require(bool(skill) and 0 < share <= 1, "keep", f"{rule}, above 0 and at most 1", value)
        require(skill not in found, "keep", "free of repeats", value)
        found[skill] = share
    require(bool(found), "keep", rule, value)
    return found


def warm_up(fine_tuning: Optimiser) -> int:
    """Samples of the stream in which the rate rises: before its end ways to train look alike."""
    return fine_tuning.warmup_steps * fine_tuning.batch_size


def parameter_counts(student: Student) -> ParameterCounts:
    """Of a checkpoint, or of a student of the embedded world, whose embedding is small."""
    whole, rest = student.parameters(len(vocabulary())), None
    if isinstance(student, Checkpoint):
        rest = student.non_embedding()
    return ParameterCounts(whole, 0 if rest is None else whole - rest)


def parameters_of(study: Study) -> int:
    """Of the one student of a study."""
    (student,) = study.students
    return student.parameters(len(vocabulary()))


@dataclass(frozen=True)
class SampleSizes:
    """Means over samples: their tokens, those that are learned; the share of tokens that stand for unknown words."""

    tokens: float
    learned: float
    unknown: float


def drawn_sizes(study: Study, contamination: Contamination, samples: int) -> tuple[SampleSizes, int]:
    """Sizes of a source's samples, and how many the probe has, none of them twice."""
    drawn = list(islice(contamination.samples(seeds.generator(0, "sizes")), samples or COUNTED))
    held_out = sum(map(is_held_out, drawn)) if samples else MOST_HELD_OUT
    return sizes_of(study, drawn), max(1, min(held_out, MOST_HELD_OUT))


def sizes_of(study: Study, samples: Sequence[Sample]) -> SampleSizes:
    """As the student's tokenizer counts, of the first ``COUNTED``."""
    from forgetting.batching import encode
    from forgetting.world.tokenizer import tokenizer

    (student,) = study.students
    words = student.reader()[0] if isinstance(student, Checkpoint) else tokenizer()
    rows = encode(samples[:COUNTED], words)
    unknown = 0
    if (mark := _unknown_token(words)) is not None:
        unknown = sum(row[:end].eq(mark).sum().item() for row, end in zip(rows.tokens_PT, rows.end_P, strict=True))
    return SampleSizes(
        float(rows.end_P.double().mean()), float(rows.learned().double().mean()), float(unknown / rows.end_P.sum())
    )


def _unknown_token(tokenizer: Any) -> int | None:
    """What stands for a word that a tokenizer does not know; None where that is a mark of something else as well."""
    word = tokenizer.unk_token or getattr(tokenizer.backend_tokenizer.model, "unk_token", None)
    mark = None if word is None else tokenizer.convert_tokens_to_ids(word)
    return None if mark in (tokenizer.eos_token_id, tokenizer.bos_token_id) else mark


def adapters_at_hand() -> bool:
    """Whether ``peft`` is installed."""
    return importlib.util.find_spec("peft") is not None
