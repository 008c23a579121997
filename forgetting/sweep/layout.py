"""A sweep laid out: its study and every target's space, its name, its controls, and which runs may be ended early."""

from __future__ import annotations

import dataclasses

from forgetting import seeds
from forgetting.analysis.early_stop import Rule, Watched
from forgetting.errors import require, under
from forgetting.study.fingerprints import canonical, fingerprint, settings_form
from forgetting.study.run import Run
from forgetting.study.spec_files import to_mapping
from forgetting.study.study import Study, construct
from forgetting.sweep.search_space import SweepSpace, space
from forgetting.sweep.sweep_spec import SweepSpec

SWEEP_VERSION = 1  # raised when the same spec would ask for other runs


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep spec with everything constructed. Build it with ``construct_sweep``."""

    spec: SweepSpec
    study: Study
    spaces: tuple[SweepSpace, ...]

    @property
    def fingerprint(self) -> str:
        """Changes exactly when the same targets would be searched otherwise; budgets and executors do not count."""
        search = settings_form(self.spec.search)
        if self.spec.search.pruning.alpha:  # what a run shows then depends on who asks
            search["targets"] = [settings_form(target) for target in self.spec.targets]
        else:
            search.pop("pruning", None)
        return fingerprint({"study": canonical(self.study), "search": search, "sweep_version": SWEEP_VERSION})

    @property
    def folder_name(self) -> str:
        """NAME-FINGERPRINT, as studies are called."""
        return f"{self.spec.study.name}-{self.fingerprint[:8]}"

    def controls(self) -> tuple[Run, ...]:
        """The runs of the study's controls: every student, with as many seeds as the study has."""
        plain = dataclasses.replace(self.spec.study, controls=())
        searched = {arm.name for arm in construct(plain).arms}
        return tuple(run for run in self.study.runs() if run.arm.name not in searched)

    def rule(self, run: Run) -> Rule | None:
        """The rule that may end a run early: it must be hopeless for all its targets. None for those that never are."""
        pruning = self.spec.search.pruning
        drawn = seeds.generator(self.spec.search.seed, "never pruned", str(run)).random()
        if not pruning.alpha or drawn < pruning.never_share:
            return None
        served = [own for own in self.spaces if run in own.runs]
        watched = tuple(Watched(own.benchmark, own.depth, min(own.target.levels)) for own in served)
        return Rule(pruning.alpha, pruning.looks, watched) if watched else None


def construct_sweep(spec: SweepSpec) -> Sweep:
    """Construct every part of a sweep. ``UsageError`` for anything that cannot be run as asked."""
    with under("study"):
        study = construct(spec.study)
    rule = "empty in a sweep, whose students differ in capacity"
    require(not study.branches, "study.ladder.branches", rule, list(study.branches))
    spaces = tuple(space(study, target, number) for number, target in enumerate(spec.targets))
    names = [s.name for s in spaces]
    require(len(set(names)) == len(names), "targets", "free of repeats", names)
    if spec.stop.runs:
        rule = f"at least search.startup_runs ({spec.search.startup_runs})"
        require(spec.stop.runs >= spec.search.startup_runs, "stop.runs", rule, spec.stop.runs)
    bounded = spec.stop.width_decades or spec.stop.runs or spec.stop.petaflops or spec.stop.hours
    require(bool(bounded), "stop", "a width or a budget (runs, petaflops, hours)", to_mapping(spec.stop))
    pruned = bool(spec.search.pruning.alpha)
    rule = "0 where a run takes several devices (study.machine.devices)"
    require(not pruned or spec.study.machine.devices == 1, "search.pruning.alpha", rule, spec.search.pruning.alpha)
    return Sweep(spec, study, spaces)
