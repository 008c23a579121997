"""From graders to grades: numbers and expressions, strictly, with the lenient reading as the kind; programs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from forgetting.contracts import Grade
from forgetting.natural.grading import expressions, numbers
from forgetting.sandbox import codec, pool
from forgetting.sandbox.limits import Limits, Outcome, ProgramVerdict

FORMAT, ANSWER, NOTHING = "right_but_format", "wrong_answer", "no_answer"
MOST_REMEMBERED = 100_000
_REMEMBERED = (Outcome.passed, Outcome.wrong, Outcome.syntax_error, Outcome.runtime_error)

_known: dict[tuple[Limits, bytes], ProgramVerdict] = {}  # of this process


def of_number(gold: str, answer: str, *, steps_right: int = 0, steps_total: int = 0) -> Grade:
    """Right where the strict reading is, of the kind ``right_but_format`` where only the lenient one is.

    So all three rates (strict, lenient, unparsed) can be read from the grades.
    """
    wanted = numbers.strict(gold)
    assert wanted is not None
    strict, lenient = numbers.strict(answer), numbers.lenient(answer)
    if strict is not None and strict.equals(wanted):
        return Grade("right", "", steps_right, steps_total)
    if lenient is None:
        return Grade("unparsed", NOTHING, steps_right, steps_total)
    return Grade("wrong", FORMAT if strict is None and lenient.equals(wanted) else ANSWER, steps_right, steps_total)


def of_expressions(gold: Sequence[str], answers: Sequence[str]) -> list[Grade]:
    """The same by ``math-verify``; the strict reading is that of the last box."""
    return [
        Grade("right") if a.strict else Grade("wrong", FORMAT) if a.lenient else Grade("wrong", ANSWER)
        if a.parsed else Grade("unparsed", NOTHING)
        for a in expressions.agree(gold, answers)
    ]  # fmt: skip


def of_programs(jobs: Sequence[Sequence[pool.Job]], limits: Limits, *, strict: bool) -> list[Grade]:
    """One grade for each group of jobs (the tests of one answer): right where all pass, else the first that fails.

    The tests after the first that fails are not run. Raises ``RuntimeError`` where the sandbox failed: that is no wrong
    answer.
    """
    sandbox = pool.shared(limits, strict=strict)
    last: list[ProgramVerdict | None] = [None] * len(jobs)
    running = list(range(len(jobs)))
    for place in itertools.count():
        running = [n for n in running if place < len(jobs[n])]
        if not running:
            return [Grade("right") if v is None or v.passed else _of_failure(v) for v in last]
        for n, verdict in zip(running, _verdicts(sandbox, limits, [jobs[n][place] for n in running]), strict=True):
            last[n] = verdict
        running = [n for n in running if (found := last[n]) is None or found.passed]
    raise AssertionError


def _verdicts(sandbox: pool.Sandbox, limits: Limits, jobs: Sequence[pool.Job]) -> list[ProgramVerdict]:
    """One verdict for each job. Those that depend on nothing but the program are remembered.

    So an answer that did not change since the last interval is not run again.
    """
    keys = [(limits, _written(job)) for job in jobs]
    missing = {key: job for key, job in zip(keys, jobs, strict=True) if key not in _known}
    fresh = dict(zip(missing, sandbox.run(list(missing.values())), strict=True))
    for verdict in fresh.values():
        if verdict.outcome is Outcome.harness_error:
            raise RuntimeError(f"sandbox: {verdict.detail}")
    found = [fresh[key] if key in fresh else _known[key] for key in keys]
    if len(_known) + len(fresh) > MOST_REMEMBERED:
        _known.clear()
    _known.update({key: verdict for key, verdict in fresh.items() if verdict.outcome in _REMEMBERED})
    return found


def _written(job: pool.Job) -> bytes:
    """A job as bytes that no other job has; its repr would refuse whole numbers of many digits."""
    return codec.dumps((type(job).__name__, *vars(job).values()))


def _of_failure(failed: ProgramVerdict) -> Grade:
    return Grade("unparsed" if failed.outcome is Outcome.syntax_error else "wrong", failed.outcome.name)
