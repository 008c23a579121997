"""The rate policy ``matched_plasticity``: a student and an arm in, the rate out at which it learns as its peers do.

A pilot is a short run of a student in an arm at one constant rate, on a seed that no other run has: its validation NLL
on the new task at dose 0 and at the reference dose. With NLL(r) of a student at rate r, its share of the achievable
improvement is

    (NLL_0 - NLL(r)) / (NLL_0 - floor),

the floor being the lowest NLL that any student of the study reaches at the constant rate. Each student gets the rate at
which its share is that of the reference student at the constant rate; ``search`` finds it. Pilots are kept in the store
under the hash of all that they depend on, so that a rate is looked up wherever it is needed, and the same everywhere.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise

from forgetting import seeds
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
    """The rate that a student was given, before the arm's multiple, and its share of the achievable improvement there.

    ``wanted`` is the share of the reference student, ``reached`` whether the two agree within the tolerance.
    """

    learning_rate: float
    share: float
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
    at_constant = {other.name: pilot(study, other, arm, constant, store) for other in study.students}
    floor = min((nll for _, nll in at_constant.values() if nll is not None), default=math.inf)

    def share(nll_0: float | None, nll: float | None) -> float | None:
        if nll_0 is None or nll is None:
            return None
        return (nll_0 - nll) / (nll_0 - floor) if nll_0 > floor else 0.0

    reference = study.matching_reference.name
    wanted = share(*at_constant[reference])
    if wanted is None:
        rule = f"a rate at which the reference student {reference} does not diverge"
        raise UsageError(f"fine_tuning.learning_rate: must be {rule}, got {constant:g}")
    return search(
        lambda rate: share(*pilot(study, student, arm, rate, store)),
        wanted,
        constant,
        pilots=settings.pilots,
        tolerance=settings.tolerance,
    )


def search(
    share: Callable[[float], float | None], wanted: float, start: float, *, pilots: int, tolerance: float
) -> Matched:
    """The rate at which ``share`` is ``wanted`` within the tolerance, in so many pilots at most.

    From ``start`` the rate is doubled while more is wanted, or halved while less is, until the wanted share lies
    between two rates; then the stretch between them is halved on the log scale. Where doubling lowers a share of which
    more is wanted, the rate is halved from the start while the share rises. Where it falls on both sides, more cannot
    be had, and the best rate is kept; so is the nearest one when the pilots are used up. A share of None is that of a
    student that diverged: it learned nothing, and the rate is too high.
    """
    tried = {start: share(start)}
    while len(tried) < pilots and all(found is None or abs(found - wanted) > tolerance for found in tried.values()):
        rate = _next(tried, wanted)
        if rate is None:
            break
        tried[rate] = share(rate)
    learned = {rate: found for rate, found in tried.items() if found is not None} or {min(tried): 0.0}
    best = min(learned, key=lambda rate: (abs(learned[rate] - wanted), rate))
    reached = tried[best] is not None and abs(learned[best] - wanted) <= tolerance
    return Matched(best, learned[best], wanted, reached, len(tried))


def _next(tried: dict[float, float | None], wanted: float) -> float | None:
    """The rate to try next; None where the share falls on both sides of the best rate and is too small there."""
    shares = {rate: found for rate, found in sorted(tried.items()) if found is not None}
    if not shares or min(shares.values()) >= wanted:
        return min(tried) / FACTOR
    between = [(low, high) for low, high in pairwise(shares) if (shares[low] < wanted) != (shares[high] < wanted)]
    if between:  # one beyond the rate at which the student learns most is the last resort
        low, high = next((pair for pair in between if shares[pair[0]] < wanted), between[0])
        return math.sqrt(low * high)
    best = max(shares, key=lambda rate: (shares[rate], rate))
    if best == max(shares):
        diverged = min((rate for rate, found in tried.items() if found is None), default=math.inf)
        return best * FACTOR if best * FACTOR < diverged else math.sqrt(best * diverged)
    return best / FACTOR if best == min(shares) else None


def pilot(study: Study, student: Student, arm: Arm, rate: float, store: Store) -> tuple[float | None, float | None]:
    """NLL per token of the new task at dose 0 and at the reference dose, from the store or measured now.

    None is one that is not finite: the student has diverged.
    """
    form = pilot_form(study, student, arm, rate)
    mark = fingerprint(form)
    with store.making(mark) as found:
        if found is None:
            with own_generators(seeds.integer(PILOT_SEED, "pilot")):
                nll_0, nll = piloted(study, student, arm, rate, store)
            about = {"role": "pilot", "made_from": form, "nll_0": _finite(nll_0), "nll": _finite(nll)}
            found = store.add(mark, lambda folder: about)
        made = manifest(found)
    return made["nll_0"], made["nll"]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
