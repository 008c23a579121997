"""What can be known to fail before anything is made: data that are of no use, checkpoints that do not take them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from forgetting import seeds
from forgetting.contracts import Contamination, Sample
from forgetting.errors import UsageError
from forgetting.evaluation.probe import probe
from forgetting.models.checkpoint import Checkpoint
from forgetting.study.study import Study

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LOOKED_AT = 64  # samples of each source that are put into the chat template beforehand


def check_natural(study: Study) -> None:
    """Read the study's own data, and put some of it into the words of each checkpoint. ``UsageError`` in one line."""
    if study.language != "natural":
        return
    sources = list(dict.fromkeys([*(arm.contamination for arm in study.arms), study.original]))
    own = [part for part in sources if type(part).check is not Contamination.check]
    for part in own:
        part.check()
        if part != study.original:
            probe(study, part)
    looked_at = [s for part in own for s in islice(part.samples(seeds.generator(0, "first look")), LOOKED_AT)]
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


def check_template(samples: Sequence[Sample], tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Dialogues of which several turns are to be learned are written by a chat template, which must then be there."""
    if tokenizer.chat_template:
        return
    if any(sum(role == "assistant" for role, _ in s.turns[s.given_turns :]) > 1 for s in samples):
        raise UsageError(
            f"checkpoint: the tokenizer of {name!r} has no chat template, and dialogues need one; give the student "
            "chat_template (a file), or the dialogue source the setting turns: last"
        )
