"""The arms of a study: every combination of a spec's axes, then its controls."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from forgetting import registry
from forgetting.contracts import Contamination, Mitigation, Part
from forgetting.errors import UsageError
from forgetting.spec import Control, Optimiser, PartValue, RatePolicy, Spec

# What each control changes of the plain arm of a contamination at the first shift; two have a source of their own.
CONTROLS: dict[Control, dict[str, Any]] = {
    "sham": {"rate_multiple": 0.0},
    "rate_quarter": {"rate_multiple": 0.25},
    "rate_four": {"rate_multiple": 4.0},
    "original": {},
    "noise": {},
    "replay_1": {"mitigation": {"name": "replay", "share": 0.01}},
    "replay_5": {"mitigation": {"name": "replay", "share": 0.05}},
    "joint": {"mitigation": "joint"},
}

LONGEST_NAME = 80  # characters of a part's name in an arm's; a folder's name has 255 at most


def _unmitigated() -> Mitigation:
    return cast(Mitigation, registry.build("mitigation", "none"))


@dataclass(frozen=True)
class Arm:
    """One condition of a study: contamination, shift, rate, mitigation. ``rate_multiple`` scales the learning rate.

    ``rate_policy`` None is the policy of the spec's ``fine_tuning``.
    """

    name: str
    contamination: Contamination
    shift: float = 1.0
    rate_multiple: float = 1.0
    mitigation: Mitigation = dataclasses.field(default_factory=_unmitigated)
    rate_policy: RatePolicy | None = None

    @property
    def at_once(self) -> bool:
        """Whether the student learns old and new at once, in its distillation, instead of in sequence."""
        return self.mitigation.at_once

    def share(self) -> float:
        """The share of contaminating samples in the stream."""
        return round(self.mitigation.mix(self.shift), 12)

    def described(self) -> dict[str, Any]:
        """Every setting of the arm, defaults filled in, as plain values: what records say of it."""
        return {
            "name": self.name,
            "contamination": self.contamination.settings(),
            "shift": self.shift,
            "rate_multiple": self.rate_multiple,
            "mitigation": self.mitigation.settings(),
            **({"rate_policy": self.rate_policy} if self.rate_policy else {}),
        }

    def optimiser(self, fine_tuning: Optimiser) -> Optimiser:
        """The study's optimiser with the arm's rate, of which its mitigation may take a part, and rate policy."""
        return dataclasses.replace(
            fine_tuning,
            learning_rate=fine_tuning.learning_rate * self.rate_multiple * self.mitigation.rate(),
            rate_policy=self.rate_policy or fine_tuning.rate_policy,
        )


def arms_of(spec: Spec, *, natural: bool) -> tuple[Arm, ...]:
    """All combinations of the axes, then the controls; a name says only what differs from the defaults.

    A control that an arm before it is already coincides with it. ``UsageError`` for any other two arms of one name.
    """
    contaminations = registry.build_all("contamination", spec.contaminations, "contaminations")
    mitigations = registry.build_all("mitigation", spec.mitigations, "mitigations")
    crossed = [
        _arm(contamination, shift, rate, mitigation, policy)
        for contamination in contaminations
        for shift in spec.shifts
        for rate in spec.rate_multiples
        for policy in spec.rate_policies or (None,)
        for mitigation in mitigations
    ]
    controls = list[Arm]()
    for control in spec.controls:
        sources: tuple[PartValue | Part, ...] = contaminations
        if control in ("original", "noise"):
            sources = (spec.ladder.original if natural and control == "original" else control,)
        controls += [_arm(source, spec.shifts[0], **CONTROLS[control]) for source in sources]
    unique = {arm.name: arm for arm in reversed([*crossed, *controls])}
    different = any(unique[arm.name] != arm for arm in controls)
    if len({arm.name for arm in crossed}) < len(crossed) or different:
        names = [arm.name for arm in [*crossed, *controls]]
        raise UsageError(f"contaminations, shifts, ...: must be free of repeats, got arms {names}")
    return tuple({arm.name: unique[arm.name] for arm in [*crossed, *controls]}.values())


def _arm(
    contamination: PartValue | Part,
    shift: float,
    rate_multiple: float = 1.0,
    mitigation: PartValue | Part = "none",
    policy: RatePolicy | None = None,
) -> Arm:
    source = cast(Contamination, registry.build("contamination", contamination, "controls"))
    against = cast(Mitigation, registry.build("mitigation", mitigation, "controls"))
    name = _part_name(source)
    name += f"-shift{shift:g}" if shift != 1 else ""
    name += f"-rate{rate_multiple:g}" if rate_multiple != 1 else ""
    name += f"-{policy}" if policy else ""
    name += f"-{_part_name(against)}" if against.short_name() != "none" else ""
    return Arm(name, source, shift, rate_multiple, against, policy)


def _part_name(part: Part) -> str:
    """The short name, then the settings that differ from their defaults; cut where too long for a folder."""
    name = part.short_name().rsplit(".", 1)[-1]
    for f in dataclasses.fields(part):
        value = getattr(part, f.name)
        if value != f.default and not isinstance(value, dict):  # sources by name, whose names tell them
            shown = f"{value:g}" if isinstance(value, float) else _short(value, f.name)
            name += f".{shown}" if isinstance(value, str) or f.name == "phases" else f".{f.name}{shown}"
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    if len(name) <= LONGEST_NAME:
        return name
    mark = hashlib.sha256(json.dumps(part.settings(), sort_keys=True, default=str).encode()).hexdigest()
    return f"{name[:LONGEST_NAME]}-{mark[:8]}"


def _short(value: Any, setting: str) -> str:
    """A setting as a word: of a source its last part without endings, of parts their names."""
    if setting == "source":
        return str(value).rstrip("/").rpartition("/")[2].partition(".")[0].replace("{split}", "").strip("-_")
    if setting in ("phases", "doses"):
        return "-".join(map(str, value))
    if isinstance(value, list | tuple) and any(isinstance(one, dict) for one in value):
        return "-".join(str(one.get("name")) if isinstance(one, dict) else str(one) for one in value)
    return str(value)


def warm_up_note(spec: Spec, arms: Iterable[Arm]) -> str:
    """Which doses are reached before the rate is, where it is warmed up; empty where none is.

    At such a dose arms with more stream for a dose (replay, a low shift) have taken more steps, at a higher rate.
    """
    optimiser = spec.fine_tuning
    samples = optimiser.batch_size * optimiser.warmup_steps
    early = [d for d in spec.doses.values()[1:] if any(d < samples * arm.share() for arm in arms)]
    if not early:
        return ""
    which = f"dose {early[0]:,} lies" if len(early) == 1 else f"doses {early[0]:,} to {early[-1]:,} lie"
    return f"{which} in the warm-up of {optimiser.warmup_steps} steps of {optimiser.batch_size} samples"
