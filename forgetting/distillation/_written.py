"""What a teacher writes to a stream's prompts: a stream in, its samples with the teacher's greedy answers out."""

from __future__ import annotations

import dataclasses

from forgetting.contracts import Model, Sample, Stream


def taught(teacher: Model, stream: Stream, max_new_tokens: int) -> list[Sample]:
    """The pool with the teacher's answers; contaminating samples keep their own. Of a dialogue it is the last turn."""
    from forgetting.batching import prompt_tokens, texts, without_end

    own = [i for i, foreign in enumerate(stream.contaminating) if not foreign]
    asked = prompt_tokens([stream.samples[i] for i in own], teacher.tokenizer)
    answers = teacher.generate([asked], max_new_tokens=max_new_tokens)[0]
    written = list(stream.samples)
    whole = [bool(answer) and answer[-1] in teacher.ends for answer in answers]
    said = texts(without_end(answers, teacher.ends), teacher.tokenizer)
    for i, answer, ended in zip(own, said, whole, strict=True):
        written[i] = _answered(written[i], answer, ended)
    return written


def _answered(sample: Sample, answer: str, ended: bool) -> Sample:
    """The sample with another answer; of a dialogue another last turn, the only one to be learned.

    An answer that was cut at the limit is no whole one: a student that learned an end there would learn to stop short.
    """
    before = sample.turns[:-1]
    turns = (*before, ("assistant", answer)) if sample.turns else ()
    return dataclasses.replace(sample, answer=answer, turns=turns, given_turns=len(before), ended=ended)
