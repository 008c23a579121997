"""What a teacher or a student is taught: settings of a fit and a seed in, the stream of its samples laid out, out."""

from __future__ import annotations

from itertools import islice

from forgetting import seeds
from forgetting.contracts import is_held_out
from forgetting.spec import Fit
from forgetting.study.arms import Arm
from forgetting.study.study import Study, taught_from
from forgetting.training.plan import MixPlan, SharedPool, epochs


def lesson_plan(study: Study, training: Fit, root: int, also: Arm | None = None) -> MixPlan:
    """Epochs over what the fit is taught, by default the original distribution, and among it that of ``also``."""
    extra = []
    if also is not None:
        last_dose = study.reached(also)[-1]
        offered = also.contamination.samples(seeds.generator(root, "joint"))
        extra = list(islice((s for s in offered if not is_held_out(s)), last_dose))
    size = training.shared_pool
    shared = SharedPool(size, seeds.integer(study.spec.ladder.seed, "shared pool")) if size else None
    return epochs(
        taught_from(study, training),
        samples=training.samples + len(extra),
        pool=training.pool,
        batch_size=training.batch_size,
        seed=root,
        extra=extra,
        shared=shared,
    )
