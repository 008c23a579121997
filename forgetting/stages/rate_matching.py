"""The rate policy ``matched_plasticity``: a capacity and an arm in, the rate out at which it learns as its peers do.

A pilot is a short run of a student in an arm at one constant rate, on a seed that no other run has: its validation NLL
on the new task at the reference dose. What it learned is

    learning = -log(NLL - floor),

the floor being the entropy of what the contamination's answers say beyond their prompts (``Contamination.floor``), so
that no student of the study has a part in another one's rate but the reference. Each capacity gets the rate at which it
learns as much as the reference does at the constant rate; ``search`` finds it. Where students are distilled afresh, the
pilots' are outside the study (``Study.pilot_seed``), one a capacity: a rate does not answer to the student it is given
to. Pilots are kept in the store under the hash of all that they depend on, so that a rate is looked up wherever it is
needed, and the same everywhere.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise

from forgetting import seeds
from forgetting.analysis.metrics import learning
from forgetting.errors import UsageError
from forgetting.record.store import Store, manifest
from forgetting.spec import Optimiser
from forgetting.stages.pilots import PILOT_SEED, piloted
from forgetting.study.arms import Arm
from forgetting.study.fingerprints import fingerprint, pilot_form
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.training.checkpoints import own_generators

FACTOR = 2.0  # between neighbouring rates until the wanted share lies between two


@dataclasses.dataclass(frozen=True)
class Matched:
    """The rate that a student was given, before the arm's multiple, and its pilot's learning there.

    ``wanted`` is the learning of the reference student, ``reached`` whether the two agree within the tolerance;
    ``learning`` is None where every pilot diverged.
    """

    learning_rate: float
    learning: float | None
    wanted: float
    reached: bool
    pilots: int


def optimiser(study: Study, student: Student, arm: Arm, store: Store) -> tuple[Optimiser, Matched | None]:
    """The optimiser of a run: the arm's, its rate matched where the arm's policy says so."""
    own = arm.optimiser(study.spec.fine_tuning)
    if not study.is_matched(arm):
        return own, None
    found = matched(study, student, arm, store)
    rate = found.learning_rate * arm.rate_multiple * arm.mitigation.rate()
    return dataclasses.replace(own, learning_rate=rate, rate_policy="constant"), found


def matched(study: Study, student: Student, arm: Arm, store: Store) -> Matched:
    """The student's rate in the arm, from pilots that are in the store or made now."""
    settings, constant = study.spec.matching, study.spec.fine_tuning.learning_rate
    arm = study.pilot_arm(arm)
    floor = arm.contamination.floor()

    def learned(of: Student, rate: float) -> float | None:
        nll = pilot(study, of, arm, rate, store)
        return None if nll is None else float(learning(nll, floor))

    wanted = learned(study.matching_reference, constant)
    if wanted is None:
        rule = f"a rate at which the reference student {study.matching_reference.name} does not diverge"
        raise UsageError(f"fine_tuning.learning_rate: must be {rule}, got {constant:g}")
    return search(
        lambda rate: learned(student, rate), wanted, constant, pilots=settings.pilots, tolerance=settings.tolerance
    )


def search(
    learned: Callable[[float], float | None], wanted: float, start: float, *, pilots: int, tolerance: float
) -> Matched:
    """The rate at which ``learned`` is ``wanted`` within the tolerance, in so many pilots at most.

    From ``start`` the rate is doubled while more is wanted, or halved while less is, until the wanted learning lies
    between two rates; then the stretch between them is halved on the log scale. Where doubling lowers a learning of
    which more is wanted, the rate is halved from the start while the learning rises. Where it falls on both sides, more
    cannot be had, and the best rate is kept; so is the nearest one when the pilots are used up. None is a student that
    diverged: it learned nothing, and the rate is too high.
    """
    tried = {start: learned(start)}
    while len(tried) < pilots and all(found is None or abs(found - wanted) > tolerance for found in tried.values()):
        rate = _next(tried, wanted)
        if rate is None:
            break
        tried[rate] = learned(rate)
    known = {rate: found for rate, found in tried.items() if found is not None}
    if not known:
        return Matched(min(tried), None, wanted, False, len(tried))
    best = min(known, key=lambda rate: (abs(known[rate] - wanted), rate))
    return Matched(best, known[best], wanted, abs(known[best] - wanted) <= tolerance, len(tried))


def _next(tried: dict[float, float | None], wanted: float) -> float | None:
    """The rate to try next; None where learning falls on both sides of the best rate and is too little there."""
    known = {rate: found for rate, found in sorted(tried.items()) if found is not None}
    if not known or min(known.values()) >= wanted:
        return min(tried) / FACTOR
    between = [(low, high) for low, high in pairwise(known) if (known[low] < wanted) != (known[high] < wanted)]
    if between:  # one beyond the rate at which the student learns most is the last resort
        low, high = next((pair for pair in between if known[pair[0]] < wanted), between[0])
        return math.sqrt(low * high)
    best = max(known, key=lambda rate: (known[rate], rate))
    if best == max(known):
        diverged = min((rate for rate, found in tried.items() if found is None), default=math.inf)
        return best * FACTOR if best * FACTOR < diverged else math.sqrt(best * diverged)
    return best / FACTOR if best == min(known) else None


def pilot(study: Study, student: Student, arm: Arm, rate: float, store: Store) -> float | None:
    """NLL per token of the new task at the reference dose, from the store or measured now.

    None is one that is not finite: the student has diverged.
    """
    form = pilot_form(study, student, arm, rate)
    mark = fingerprint(form)
    with store.making(mark) as found:
        if found is None:
            with own_generators(seeds.integer(PILOT_SEED, "pilot")):
                nll = piloted(study, student, arm, rate, store)
            about = {"role": "pilot", "made_from": form, "nll": nll if math.isfinite(nll) else None}
            found = store.add(mark, lambda folder: about)
        nll_kept: float | None = manifest(found)["nll"]
    return nll_kept
