"""What a student writes to the prompts of a step: several answers to each prompt, each judged, and numbers on them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from forgetting import seeds
from forgetting.contracts import Model, Sample, Sampling, Stream
from forgetting.errors import UsageError
from forgetting.judges import Judge, judge_named

TRIES = 4  # how often a step looks for answers that teach something, each time among other prompts
FIELD = "distillation.judge"


@dataclass(frozen=True)
class Rollouts:
    """The student's answers to one prompt, as tokens and as text; which of them are right. A cut answer is wrong."""

    sample: Sample
    prompt: list[int]
    answers: list[list[int]]
    said: list[str]
    right: list[bool]


def rollouts(
    student: Model, stream: Stream, *, samples: int, max_new_tokens: int, seed: int, judge: str | dict[str, Any]
) -> Iterator[Iterator[list[Rollouts]]]:
    """For each step of the stream its tries: so many prompts that their answers make a batch, ``samples`` to each.

    The prompts of a step are tried in a new order, since the stream has short ones first. A step that takes no further
    try costs none. Every draw depends on seed, step, try, prompt and place alone.
    """
    from forgetting.batching import prompt_tokens

    if stream.contaminating.any():
        raise UsageError("distillation: a method with rewards learns no contamination beside (control or mix of joint)")
    asked = prompt_tokens(stream.samples, student.tokenizer)
    is_right_all = judge_named(judge, stream.samples, FIELD)
    count = max(1, stream.batch_size // samples)

    def tries(step: int, places: list[int]) -> Iterator[list[Rollouts]]:
        for number in range(min(TRIES, -(-len(places) // count))):
            chosen = places[number * count : (number + 1) * count]
            yield write(chosen, Sampling(seed=seeds.integer(seed, "try", number), step=step, samples=samples))

    def write(chosen: list[int], sampling: Sampling) -> list[Rollouts]:
        rows = [asked[i] for i in chosen for _ in range(samples)]
        answers = student.generate([rows], max_new_tokens=max_new_tokens, sampling=sampling)[0]
        return judged([stream.samples[i] for i in chosen], [asked[i] for i in chosen], answers, student, is_right_all)

    for step, index in enumerate(stream, stream.first_step):
        yield tries(step, [int(i) for i in seeds.generator(seed, "prompts", step).permutation(index)])


def judged(
    samples: Sequence[Sample], prompts: Sequence[list[int]], answers: Sequence[list[int]], student: Model, judge: Judge
) -> list[Rollouts]:
    """Answers, as many to each sample in turn, with what the judge says of them."""
    from forgetting.batching import texts, without_end

    each = len(answers) // len(samples)
    said = texts(without_end(answers, student.ends), student.tokenizer)
    verdicts = judge([s for s in samples for _ in range(each)], said)
    right = [v and bool(a) and a[-1] in student.ends for v, a in zip(verdicts, answers, strict=True)]
    spans = [slice(start, start + each) for start in range(0, len(answers), each)]
    return [
        Rollouts(sample, prompt, list(answers[span]), said[span], right[span])
        for sample, prompt, span in zip(samples, prompts, spans, strict=True)
    ]


def told(answers: Sequence[Sequence[int]], ends: Collection[int]) -> dict[str, float]:
    """What is worth watching of written answers: shares that were cut or repeat four tokens, and their mean length."""
    count = max(1, len(answers))
    return {
        "answers_cut": sum(not answer or answer[-1] not in ends for answer in answers) / count,
        "answers_repeating": sum(map(_repeats, answers)) / count,
        "answer_tokens": sum(map(len, answers)) / count,
    }


def _repeats(answer: Sequence[int]) -> bool:
    fours = [tuple(answer[i : i + 4]) for i in range(len(answer) - 3)]
    return len(set(fours)) < len(fours)
