"""What can be known to fail before anything is made: data that are of no use, checkpoints that do not take them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from forgetting import seeds
from forgetting.contracts import Contamination, Sample
from forgetting.errors import UsageError
from forgetting.evaluation.probe import probe
from forgetting.models.checkpoint import Checkpoint
from forgetting.natural.chat import check_template
from forgetting.registry import told_as
from forgetting.study.study import Study, sources

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SHOWN = 3  # bad rows that a line names
LOOKED_AT = 64  # samples of each source that are put into the chat template beforehand


def check_own(study: Study) -> None:
    """Read the study's own data, and put some of it into the words of each checkpoint. ``UsageError`` in one line."""
    contaminating, fields = [arm.contamination for arm in study.arms], dict[Contamination, str]()
    for field, part in sources(study):
        fields.setdefault(part, field)
    looked_at = list[Sample]()
    own = [part for part in fields if type(part).check is not Contamination.check]
    for part in own:
        with told_as(fields[part], part):
            part.check()
            if part in contaminating and part != study.original:
                probe(study, part)
            if study.language == "natural":
                looked_at += islice(part.samples(seeds.generator(0, "first look")), LOOKED_AT)
    if study.language != "natural":
        return
    for student in {one.name: one for one in (*study.students, study.teacher) if isinstance(one, Checkpoint)}.values():
        tokenizer, positions = student.reader()
        _check_words(looked_at, tokenizer, positions, student.name)


def _check_words(samples: Sequence[Sample], tokenizer: PreTrainedTokenizerFast, positions: int, name: str) -> None:
    from forgetting.batching import encode

    if not samples:
        return
    check_template(samples, tokenizer, name)
    ends = encode(samples, tokenizer).end_P
    longest = int(ends.max())
    if positions and longest > positions:
        place = int(ends.argmax())
        raise UsageError(
            f"{samples[place].origin or 'a text'}: has {longest} tokens, and the checkpoint {name!r} has {positions} "
            "positions; give the source a smaller most_characters, or leave such rows out"
        )


def left_out(study: Study) -> list[str]:
    """A line for each of the study's own sources of which rows were left out or could not be used: how many and why."""
    sources = dict.fromkeys(arm.contamination for arm in study.arms)
    found = [one for part in sources for one in _told(_named(part), part.told())]
    return [f"{name}: {line}" for name, told in found if (line := _left_out(told))]


def _named(part: Contamination) -> str:
    source = part.settings().get("source", "")
    return f"{part.short_name()} {source!r}" if source else part.short_name()


def _told(name: str, told: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What a source tells, or each part of a mixture, by name."""
    if "rows" in told or not told:
        return [(name, told)] if told else []
    return [one for part, own in told.items() for one in _told(f"{name}, {part}", own)]


def _left_out(told: dict[str, Any]) -> str:
    reasons = [f"{count} {why}" for why, count in told["left_out"].items()]
    if bad := told["bad_rows"]:
        reasons.append(f"{len(bad)} of no use ({'; '.join(bad[:SHOWN])}{'; ...' if len(bad) > SHOWN else ''})")
    return f"{told['samples']} samples of {told['rows']} rows; {', '.join(reasons)}" if reasons else ""
