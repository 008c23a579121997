"""What a user says of a model and data in; the study that is planned, and the ways to train that are tried, out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

from forgetting import registry
from forgetting.analysis.learning_paths import REPLAYS
from forgetting.analysis.operations import operations, width_of
from forgetting.contracts import Benchmark, Contamination, Mitigation
from forgetting.errors import UsageError, require, unknown
from forgetting.models import checkpoint
from forgetting.models.checkpoint import Checkpoint
from forgetting.own_model.at_hand import ALWAYS as WITHOUT_DATA
from forgetting.own_model.at_hand import at_hand, look_at_kept
from forgetting.own_model.choice import MOST_TIMES
from forgetting.own_model.given import (
    ADAPTERS,
    HELD_OUT,
    NO_PEFT,
    STAND_IN,
    adapters_at_hand,
    default_rate,
    is_base,
    look_at,
    look_at_benchmarks,
    parameters_of,
    source_of,
    student_of,
    without_template,
)
from forgetting.spec import Doses, Evaluation, PartValue, Spec
from forgetting.study import handed
from forgetting.study.study import Study, construct

DOSE, CHECKPOINT_LONGEST = 10_240, 256  # samples of a source without end; tokens of an answer
NATURAL_BENCHMARKS: dict[str, dict[str, Any]] = {
    "maths": {"name": "gsm8k", "limit": 100}, "code": {"name": "humaneval", "limit": 100},
    **{name: {"name": name, "item_count": 100} for name in WITHOUT_DATA},
}  # fmt: skip
KEPT = 0.95  # the retention that is wanted where none is given
# A pilot is one run, on the data and what is replayed beside them; what a spec says otherwise is not taken, as are the
# model, the data and the ways to train, which are asked for or tried.
PILOT: dict[str, Any] = {
    "shifts": (1.0,), "rate_multiples": (1.0,), "rate_policies": (), "controls": (), "interventions": (), "seeds": 1,
}  # fmt: skip
ASKED, STUDENT = ("contaminations", "mitigations"), ("students", "fresh_students")
PLAIN: tuple[PartValue, ...] = (
    "none", {"name": "low_rate", "multiple": 0.5}, {"name": "low_rate", "multiple": 0.25},
)  # fmt: skip
REPLAY: tuple[PartValue, ...] = tuple({"name": "replay", "share": share} for share in (0.01, 0.05, 0.2, 0.5))
KL_ROWS = 32  # of `kl_to_base` where nothing is said
WITHOUT: tuple[PartValue, ...] = tuple(
    # a prompt may come again: a model that has few to say would run out of them
    {"name": "self_replay", "prompts": "written", "deduplicate": False, "share": share}
    for share in (0.05, 0.2, 0.5)
)
ALWAYS: tuple[PartValue, ...] = ({"name": "wise_ft", "alpha": 0.7},)
# Replay of half the stream is what whole runs of others speak for (`whole_runs.csv`), so it is tried from the first; of
# what the model writes itself, which takes long, only after the next smaller share has led and falls short.
HALF = 0.5
# The share of replay that is advised where pilots tell nothing: on students and noise that it was not found on
# half the stream had a regret of .008 (-.001 to .018), rule of experiments/advice_held_out.yaml.
USUAL = HALF


@dataclasses.dataclass(frozen=True)
class Planned:
    """The study of the planned dose, in which each way to train is an arm; the first is plain tuning.

    ``own_original`` says whether there are original data; ``notes`` what was left out, and why; ``keep`` the retention
    that is wanted, by skill.
    """

    spec: Spec
    study: Study
    own_original: bool
    notes: tuple[str, ...]
    keep: Mapping[str, float]

    @property
    def remedies(self) -> dict[str, PartValue]:
        """By arm, its mitigation as the spec has it."""
        return {arm.name: value for arm, value in zip(self.study.arms, self.spec.mitigations, strict=True)}

    @property
    def usual(self) -> str:
        """The arm that is advised where pilots tell nothing; empty where there is none."""
        return next((a.name for a in self.study.arms if _replays(a.mitigation, "replay", USUAL)), "")

    @property
    def full_rate(self) -> tuple[str, ...]:
        """The arms that train at the planned rate."""
        return tuple(arm.name for arm in self.study.arms if arm.mitigation.rate() == 1)

    @property
    def reserve(self) -> list[str]:
        """The arms that are not tried at first."""
        return [a.name for a in self.study.arms if _replays(a.mitigation, "self_replay", HALF)]

    def costs(self) -> dict[str, float]:
        """By arm, operations of a sample of the new task and of what is replayed with it, plain tuning's being 1."""
        batch_size, width = self.spec.fine_tuning.batch_size, width_of(self.study.students[0].name)
        return {
            a.name: operations(a.mitigation, a.shift, batch_size, width).sample / a.share() for a in self.study.arms
        }

    def with_doses(self, name: str, arms: Sequence[str], dose: int, looks: int) -> Spec:
        """The study of some of the arms up to a dose, with so many looks on the way, each at twice the dose before."""
        remedies, spec = self.remedies, self.spec
        doses = Doses(dose=dose, first=max(1, dose >> (looks - 1)), stream_cap=_cap(dose))
        return dataclasses.replace(spec, name=name, doses=doses, mitigations=tuple(remedies[a] for a in arms))

    def without(self, method: str, why: str) -> Planned:
        """The same without the arms of one mitigation."""
        kept = zip(self.study.arms, self.spec.mitigations, strict=True)
        left = tuple(value for arm, value in kept if arm.mitigation.short_name() != method)
        spec = dataclasses.replace(self.spec, mitigations=left)
        return dataclasses.replace(self, spec=spec, study=construct(spec), notes=(*self.notes, why))

    def chosen(self, arm: str, times: float) -> Spec:
        """The run that is advised: one arm, up to the dose at which as much is learned as was planned."""
        dose = round(self.spec.doses.dose * times)
        doses = dataclasses.replace(Doses(dose=dose, first=max(1, dose >> 6)), stream_cap=_cap(dose))
        return dataclasses.replace(
            self.spec, name="advised", doses=doses, mitigations=(self.remedies[arm],), keep="last"
        )


def _cap(dose: int) -> int:
    return max(50_000, 2 * dose)


def _replays(remedy: Mitigation, name: str, share: float) -> bool:
    return remedy.short_name() == name and remedy.settings()["share"] == share


def planned(
    model: PartValue,
    data: Any,
    keep: Mapping[str, float] | None,
    *,
    original: Any = None,
    benchmarks: Sequence[PartValue] = (),
    spec: Spec | None = None,
    dose: int | None = None,
    rate: float | None = None,
) -> Planned:
    """The study that is planned. Every mistake is a ``UsageError``; nothing is trained or loaded.

    A setting of ``spec`` that is at its default counts as not given. Without ``keep`` maths is kept, by a checkpoint
    what can be asked without fetching anything.
    """
    value = student_of(handed.handed(model, "model"))
    natural = checkpoint.looks_like_one(value)
    source = source_of(handed.handed(data, "data"), natural=natural)
    part = look_at(source, "data")
    base, usual, notes = spec or Spec(), Spec(), list[str]()
    asked = tuple(benchmarks)
    if not asked and base.evaluation.benchmarks != usual.evaluation.benchmarks:
        asked = base.evaluation.benchmarks
    if keep is None:
        missing = at_hand(("gsm8k",))[1] if natural and not asked else []
        keep, notes = dict.fromkeys(WITHOUT_DATA if missing else ("maths",), KEPT), [*notes, *missing]
    if asked and natural:
        look_at_benchmarks(asked)
    measured = asked or _benchmarks(keep, natural=natural)
    if natural:
        source, said = without_template(part, source, base=is_base(checkpoint.from_value(value, "model")))
        part, notes = cast(Contamination, registry.build("contamination", source, "data")), [*notes, *said]
    notes += _not_taken(base)
    fine_tuning = base.fine_tuning if rate is None else dataclasses.replace(base.fine_tuning, learning_rate=rate)
    require(fine_tuning.learning_rate > 0, "rate", "above 0", fine_tuning.learning_rate)
    by_size = natural and rate is None and fine_tuning.learning_rate == usual.fine_tuning.learning_rate
    named = handed.handed(original, "original") if original is not None else None
    if named is not None:
        named = source_of(named, natural=natural, field="original")
        look_at(named, "original")
    own = named or (base.ladder.original if base.ladder.original != usual.ladder.original else None)
    others = _with_original(fine_tuning.batch_size) if own or not natural else _without(value, notes)
    remedies = [*PLAIN, *others, *ALWAYS]
    if adapters_at_hand():
        remedies.append(ADAPTERS)
    else:
        notes.append(f"LoRA was not tried: {NO_PEFT}")
    longest = base.evaluation.max_new_tokens
    if natural and longest == usual.evaluation.max_new_tokens:
        longest = CHECKPOINT_LONGEST
    evaluation = dataclasses.replace(
        base.evaluation, benchmarks=measured, perturbed="never", probe_items=100,
        max_new_tokens=longest, answering=(),
    )  # fmt: skip
    last = dose or (base.doses.dose if base.doses != usual.doses else _dose(part))
    whole = dataclasses.replace(
        base, name="planned", contaminations=(source,), mitigations=tuple(remedies), keep="none", **PILOT,
        ladder=dataclasses.replace(
            base.ladder, students=(value,), fresh_students=False, teacher="" if natural else base.ladder.teacher,
            original=own or (STAND_IN if natural else "original"),
        ),
        fine_tuning=fine_tuning, evaluation=evaluation,
        doses=Doses(dose=last, first=max(1, last >> 4), stream_cap=_cap(round(last * MOST_TIMES))),
    )  # fmt: skip
    study = construct(whole)
    if by_size:
        fine_tuning = dataclasses.replace(fine_tuning, learning_rate=default_rate(parameters_of(study)))
        whole = dataclasses.replace(whole, fine_tuning=fine_tuning)
        study = construct(whole)
    require(part != study.original, "data", "other than the original data", part.short_name())
    _check_skills(keep, study.benchmarks)
    return Planned(whole, study, bool(own) or not natural, tuple(notes), keep)


def _not_taken(base: Spec) -> list[str]:
    """A line for settings of a spec that pilots do not take."""
    usual = Spec()
    own = [name for name in (*PILOT, *ASKED) if getattr(base, name) != getattr(usual, name)]
    own += [f"ladder.{name}" for name in STUDENT if getattr(base.ladder, name) != getattr(usual.ladder, name)]
    return [f"not taken from the spec: {', '.join(own)}"] if own else []


def _with_original(batch_size: int) -> tuple[PartValue, ...]:
    """Ways to train that need original data. KL takes no more rows than a step has: who makes small steps has room for
    no more, and the logits of 32 answers of 150 tokens are 5 GB where the vocabulary has 262,144 words.
    """
    divergence = {"name": "kl_to_base", "inputs": "replayed", "beta": 1.0}
    return (*REPLAY, divergence | ({"rows": batch_size} if batch_size < KL_ROWS else {}))


def _without(model: PartValue, notes: list[str]) -> tuple[PartValue, ...]:
    """Ways to train that need no original data."""
    tokenizer, _ = checkpoint.from_value(model, "model").reader()
    notes.append("replay and KL on replayed prompts were not tried: they need --original")
    if tokenizer.chat_template or tokenizer.bos_token_id is not None:
        return WITHOUT
    notes.append("self-replay was not tried: the tokenizer has neither a chat template nor a start token")
    return ()


def _benchmarks(keep: Mapping[str, float], *, natural: bool) -> tuple[PartValue, ...]:
    """What measures the skills that are to be kept."""
    world = {str(b["name"]): b for b in Evaluation().benchmarks if isinstance(b, dict)}
    known: Mapping[str, PartValue] = _natural() if natural else world
    for skill in keep:
        if skill not in known:
            raise (
                UsageError(f"{unknown('keep', skill, known)}; for others give --benchmarks")
                if natural
                else unknown("keep", skill, known)
            )
        look_at_kept(skill, known[skill])
    return tuple(known[skill] for skill in keep)


def _natural() -> dict[str, PartValue]:
    """``NATURAL_BENCHMARKS``, read from the folder of data where they lie there."""
    at = {str(one["name"]): one for one in at_hand()[0]}
    return {skill: {**own, **at.get(str(own["name"]), {})} for skill, own in NATURAL_BENCHMARKS.items()}


def _check_skills(keep: Mapping[str, float], benchmarks: Sequence[Benchmark]) -> None:
    skills = [b.skill for b in benchmarks]
    names = [b.skill if skills.count(b.skill) == 1 else b.short_name() for b in benchmarks]
    for skill in keep:
        if skill not in names:
            raise unknown("keep", skill, names)


def _dose(part: Contamination) -> int:
    """Of one's own data one epoch, without what is held out; else a round number."""
    rows = part.told().get("samples", 0)
    return max(1, round(rows * (1 - HELD_OUT))) if rows else DOSE


def words(remedy: PartValue) -> str:
    """A way to train in a few words."""
    settings = remedy if isinstance(remedy, dict) else {"name": remedy}
    name = str(settings["name"])
    if name == "none":
        return "plain tuning"
    if name in REPLAYS:
        return f"{name.replace('_', '-')} {settings['share']:.0%}"
    said = {
        "low_rate": "rate x {multiple:g}", "kl_to_base": "KL on replayed, beta {beta:g}",
        "wise_ft": "WiSE-FT {alpha:g}", "lora": "LoRA, rank {rank}, rate x {multiple:g}",
    }  # fmt: skip
    return said[name].format(**settings)


def is_checkpoint(study: Study) -> Checkpoint | None:
    """The student, where it is a checkpoint."""
    (student,) = study.students
    return student if isinstance(student, Checkpoint) else None
