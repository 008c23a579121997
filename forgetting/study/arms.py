"""The arms of a study: every combination of a spec's axes, then its controls."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

from forgetting import registry
from forgetting.contracts import Contamination, Mitigation, Part
from forgetting.errors import UsageError
from forgetting.spec import Optimiser, PartValue, RatePolicy, Spec


@dataclass(frozen=True)
class Arm:
    """One condition of a study. ``rate_multiple`` scales the learning rate, ``replay`` is a share of the stream.

    ``rate_policy`` None is the policy of the spec's ``fine_tuning``.
    """

    name: str
    contamination: Contamination
    shift: float = 1.0
    rate_multiple: float = 1.0
    replay: float = 0.0
    mitigation: Mitigation = dataclasses.field(
        default_factory=lambda: cast(Mitigation, registry.build("mitigation", "none"))
    )
    joint: bool = False
    rate_policy: RatePolicy | None = None

    def share(self) -> float:
        """The share of contaminating samples in the stream."""
        return self.mitigation.mix(round(self.shift * (1 - self.replay), 12))

    def canonical(self) -> dict[str, Any]:
        """What the arm's numbers depend on, as plain values."""
        return {
            "contamination": self.contamination.settings(),
            "shift": self.shift,
            "rate_multiple": self.rate_multiple,
            "replay": self.replay,
            "mitigation": self.mitigation.settings(),
            "joint": self.joint,
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
    crossed = [
        _arm(contamination, shift, rate, replay, mitigation, policy=policy)
        for contamination in spec.contaminations
        for shift in spec.shifts
        for rate in spec.rate_multiples
        for policy in spec.rate_policies or (None,)
        for replay in spec.replays
        for mitigation in spec.mitigations
    ]
    controls = list[Arm]()
    for control in spec.controls:
        if control in ("original", "noise"):
            source: PartValue = spec.ladder.original if natural and control == "original" else control
            controls.append(_arm(source, spec.shifts[0], 1.0, 0.0, "none"))
            continue
        rate = {"sham": 0.0, "rate_quarter": 0.25, "rate_four": 4.0}.get(control, 1.0)
        replay = {"replay_1": 0.01, "replay_5": 0.05}.get(control, 0.0)
        controls += [_arm(c, spec.shifts[0], rate, replay, "none", control == "joint") for c in spec.contaminations]
    unique = {arm.name: arm for arm in reversed([*crossed, *controls])}
    different = any(unique[arm.name].canonical() != arm.canonical() for arm in controls)
    if len({arm.name for arm in crossed}) < len(crossed) or different:
        names = [arm.name for arm in [*crossed, *controls]]
        raise UsageError(f"contaminations, shifts, ...: must be free of repeats, got arms {names}")
    return tuple({arm.name: unique[arm.name] for arm in [*crossed, *controls]}.values())


def _arm(
    contamination: PartValue,
    shift: float,
    rate: float,
    replay: float,
    mitigation: PartValue,
    joint: bool = False,
    policy: RatePolicy | None = None,
) -> Arm:
    source = cast(Contamination, registry.build("contamination", contamination, "contaminations"))
    against = cast(Mitigation, registry.build("mitigation", mitigation, "mitigations"))
    name = _part_name(source)
    name += f"-shift{shift:g}" if shift != 1 else ""
    name += f"-rate{rate:g}" if rate != 1 else ""
    name += f"-{policy}" if policy else ""
    name += f"-replay{replay:g}" if replay else ""
    name += f"-{_part_name(against)}" if against.short_name() != "none" else ""
    return Arm(name + ("-joint" if joint else ""), source, shift, rate, replay, against, joint, policy)


def _part_name(part: Part) -> str:
    """The short name, then the settings that differ from their defaults."""
    name = part.short_name().rsplit(".", 1)[-1]
    for f in dataclasses.fields(part):
        value = getattr(part, f.name)
        if value != f.default:
            shown = f"{value:g}" if isinstance(value, float) else _short(value, f.name)
            name += f".{shown}" if isinstance(value, str) else f".{f.name}{shown}"
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)


def _short(value: Any, setting: str) -> str:
    """A setting as a word: of a source its last part without endings, of parts their names."""
    if setting == "source":
        return str(value).rstrip("/").rpartition("/")[2].partition(".")[0].replace("{split}", "").strip("-_")
    if isinstance(value, list | tuple) and any(isinstance(one, dict) for one in value):
        return "-".join(str(one.get("name")) if isinstance(one, dict) else str(one) for one in value)
    return str(value)
