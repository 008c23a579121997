"""The page of a check, in 80 columns: before it starts what will be done, afterwards what the fine-tuning cost."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import Any

from forgetting.analysis.study_folder import ArmCurves, StudyFolder
from forgetting.analysis.tuning_cost import SkillCost, costs, new_task
from forgetting.models.checkpoint import Checkpoint
from forgetting.own_model.check_plan import CheckPlan
from forgetting.own_model.extent import count_of
from forgetting.report import tables
from forgetting.report.terminal import WIDTH

MARGIN = 11
LEARNED = 0.05  # fall of the new task's NLL, as a share of it, below which it was hardly learned
COARSE = 0.1  # a loss above this that is not excluded is worth more items


def before(plan: CheckPlan) -> str:
    """The plan."""
    spec, study = plan.study.spec, plan.study
    doses = ", ".join(f"{dose:,}" for dose in spec.doses.values())
    asked = [_asked(value) for value in spec.evaluation.benchmarks]
    minutes = max(1, round(plan.seconds / 60))
    time = f"about {minutes:,} minute{'' if minutes == 1 else 's'}{_memory(plan)}"
    lines = [
        *_entry("model", _model(plan)),
        *_entry("data", _data(plan, study.arms[0].contamination.told())),
        *_entry("doses", f"{doses} samples; {spec.fine_tuning.batch_size} a step"),
        *_entry("asked", f"at each dose: {', '.join(asked)}; answers up to {spec.evaluation.max_new_tokens} tokens"),
        *_entry("control", _control(plan)),
        *_entry("takes", f"{time}, by formula for {plan.machine}"),
    ]
    return "\n".join([*lines, *(line for note in plan.notes for line in _entry("note", note))])


def page(plan: CheckPlan, study: StudyFolder) -> str:
    """What it cost. ``study`` is the finished one."""
    arm = study.arm(study.arm_names[0])
    rows, gained = costs(arm, plan.student), new_task(study, arm, plan.student)
    lines = [
        f"What fine-tuning costs {plan.student}",
        "",
        *_entry("model", _model(plan)),
        *_entry("data", _data(plan, dict(arm.settings.get("data", {})))),
        *_entry("new task", _new_task(*gained)),
        "",
        *_table(rows, max((row.dose for row in rows), default=0)),
        "",
        *_noise(rows),
        *(line for row in rows if not row.learned for line in _unlearned(row)),
        *(line for other in study.arm_names[1:] for line in _control_lines(study.arm(other), plan.student)),
        *_entry("intervals", _intervals(study)),
        *_entry("not seen", _not_seen(plan, study)),
        *(line for text in tables.diverged_lines(study) for line in _entry("diverged", text)),
        *(line for text in filter(None, [study.unverified]) for line in _entry("note", text)),
        "",
        *_entry("next", _next(rows, gained, study)),
        *_entry("report", f"{study.folder / 'report.html'} (forgetting report {study.folder} rebuilds it)"),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _entry(head: str, text: str) -> list[str]:
    """A text under its head, broken into lines."""
    indent = " " * MARGIN
    broken = textwrap.wrap(text, WIDTH - MARGIN, break_on_hyphens=False) or [""]
    return [f"{head:<{MARGIN}}{broken[0]}", *(indent + line for line in broken[1:])]


def _model(plan: CheckPlan) -> str:
    spec, arm = plan.study.spec, plan.study.arms[0]
    student = plan.study.students[0]
    how = "all weights" if arm.mitigation.short_name() == "none" else arm.mitigation.short_name()
    rate = spec.fine_tuning.learning_rate * arm.mitigation.rate()
    where = "" if isinstance(student, Checkpoint) else " of the embedded world"
    return f"{plan.student}{where}, {plan.parameters:,} parameters; {how} trained at rate {rate:.0e}"


def _data(plan: CheckPlan, told: dict[str, Any]) -> str:
    contamination = plan.study.arms[0].contamination
    name = contamination.settings().get("source") or contamination.short_name()
    if "rows" not in told:
        return f"{name}, without end; about {plan.tokens:,.0f} tokens a sample"
    total = plan.tokens * told["samples"]
    text = f"{name}: {told['samples']:,} samples of {told['rows']:,} rows, about {total:,.0f} tokens"
    reasons = [f"{count:,} {why}" for why, count in told["left_out"].items()]
    if bad := told["bad_rows"]:
        reasons.append(f"{len(bad)} of no use ({'; '.join(bad[:3])}{'; ...' if len(bad) > 3 else ''})")
    ignored = f"; ignored in messages: {', '.join(told['keys_ignored'])}" if told.get("keys_ignored") else ""
    return f"{text}; left out: {'; '.join(reasons) or 'nothing'}{ignored}"


def _asked(value: Any) -> str:
    settings = dict(value) if isinstance(value, dict) else {"name": value}
    count = count_of(value)
    return f"{count:,} {settings['name']}" if count > 0 else str(settings["name"])


def _memory(plan: CheckPlan) -> str:
    """What is worth telling of the memory: from a gigabyte on."""
    return f" and {plan.memory_gb:,.0f} GB of memory" if plan.memory_gb >= 1 else ""


def _control(plan: CheckPlan) -> str:
    if len(plan.study.arms) > 1:
        return "as many steps on the original distribution"
    if "control" in " ".join(plan.notes):
        return "none"
    return "none; --original names data like those that the model had learned, to train on instead"


def _new_task(items: int, before_nll: float, after_nll: float) -> str:
    if not items:
        return "not measured: there was no probe"
    text = f"NLL {before_nll:.3f} before, {after_nll:.3f} after, nats a token on {items:,} held-out samples"
    if after_nll > (1 + tables.RISEN) * before_nll:
        return f"{text}: worse than before"
    return text + (": hardly learned" if _hardly(before_nll, after_nll) else "")


def _hardly(before_nll: float, after_nll: float) -> bool:
    return not before_nll - after_nll > LEARNED * before_nll


def _table(rows: list[SkillCost], dose: int) -> list[str]:
    """A line a skill; the last column is the dose from which less is kept, beyond noise."""
    head = (
        f"{'skill':<14}{'items':>6}{'dose 0':>8}  {f'dose {dose:,} [95%]':<19}{'retention [95%]':<19}{'loss from':>12}"
    )
    lines = [head, "-" * len(head)]
    for row in rows:
        accuracy, kept = _of_three(row.accuracy, row.accuracy_low, row.accuracy_high), "-"
        lost = "unlearned"
        if row.learned:
            kept = _of_three(row.retention, row.low, row.high)
            lost = f"dose {row.below_from:,}" if row.below_from is not None else "within noise"
        counts = f"{row.skill[:14]:<14}{row.items:>6,}{_number(row.accuracy_0):>8}"
        lines.append(f"{counts}  {accuracy:<19}{kept:<19}{lost:>12}")
    return lines


def _of_three(value: float, low: float, high: float) -> str:
    return f"{_number(value)} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    """Two decimals, without the zero before the point."""
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"


def _noise(rows: list[SkillCost]) -> list[str]:
    """How large a loss may be there where none was seen."""
    quiet = [f"{row.skill} {_number(row.not_excluded)}" for row in rows if row.learned and row.below_from is None]
    text = f"losses of retention that the 95% intervals do not exclude: up to {', '.join(quiet)}"
    return _entry("noise", text) if quiet else []


def _unlearned(row: SkillCost) -> list[str]:
    """Why there is no retention."""
    if row.accuracy_0 == 0:
        return _entry("nothing", f"to forget in {row.skill}: no answer was right at dose 0")
    why = f"its accuracy of {_number(row.accuracy_0)} at dose 0 is less than .30 above chance, so no retention is given"
    return _entry("too little", f"to forget in {row.skill}: {why}")


def _control_lines(arm: ArmCurves, student: str) -> Iterator[str]:
    rows = [row for row in costs(arm, student) if row.learned]
    kept = ", ".join(f"{row.skill} {_of_three(row.retention, row.low, row.high)}" for row in rows)
    name = "as many steps on the original distribution" if tables.is_control(arm) else arm.title
    yield from _entry("control", f"{name} keep: {kept or 'nothing was there to keep'}")


def _intervals(study: StudyFolder) -> str:
    count = len(study.record.get("seeds", {}).get("contamination", [])) or 1
    runs = "one order of the data" if count == 1 else f"{count} orders of the data"
    of = "items" if count == 1 else "items and orders"
    return f"95%, at each dose by itself, over {of} of each benchmark; {runs}, one model"


def _not_seen(plan: CheckPlan, study: StudyFolder) -> str:
    missing = ["other rates and schedules", "what no benchmark here asks"]
    if len(study.arm_names) == 1:
        missing.insert(0, "whether any other training of this length costs the same (no control ran)")
    if plan.study.spec.seeds == 1:
        missing.insert(0, "another order of the data")
    return ", ".join(missing)


def _next(rows: list[SkillCost], gained: tuple[int, float, float], study: StudyFolder) -> str:
    """One sentence."""
    known = [row for row in rows if row.learned]
    if gained[0] and gained[2] > (1 + tables.RISEN) * gained[1]:
        return (
            "the new task was not learned but unlearned, as at too high a rate: give a lower --learning_rate; what is "
            "lost says little of the data"
        )
    if gained[0] and _hardly(*gained[1:]):
        return (
            "the new task was hardly learned, so that little can be said of its price: raise --dose or --learning_rate"
        )
    if not known:
        return (
            "give benchmarks that this model passes (--benchmarks); the report's figure of likelihoods tells the rest"
        )
    if lost := [row.skill for row in known if row.below_from is not None]:
        replay = "--mitigation '{name: replay, share: 0.05}'"
        replay += " --original DATA" if study.record.get("seeds", {}).get("checkpoints") else ""
        return f"to keep {', '.join(lost)}, try {replay}, and forgetting compare with {study.folder}; docs/remedies.md"
    if max(row.not_excluded for row in known) > COARSE or any(math.isnan(row.not_excluded) for row in known):
        return "ask more items (--minutes, or item_count and limit of --benchmarks), or give --seeds 3"
    return "a cost too small to see here: give --seeds 3 to be surer, or a larger --dose"
