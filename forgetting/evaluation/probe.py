"""What a run draws beside its stream: the probe of its contamination, and the original samples it may remember."""

from __future__ import annotations

from itertools import islice

from forgetting import seeds
from forgetting.contracts import Contamination, Mitigation, Sample
from forgetting.errors import require
from forgetting.study.study import Study
from forgetting.training.plan import is_held_out

PROBE_DRAWS = 200  # draws for each item of a probe: ten times what one in twenty needs


def remembered(study: Study, mitigation: Mitigation, seed: int) -> list[Sample]:
    """Original samples that a mitigation may look at before the first step, as many as it asks for."""
    count = mitigation.memory_samples()
    return list(islice(study.original.samples(seeds.generator(seed, "mitigation memory")), count))


def probe(study: Study, contamination: Contamination) -> list[Sample]:
    """Held-out samples of the contamination, the same for every seed; no stream trains on them."""
    count = study.spec.evaluation.probe_items
    offered = islice(contamination.samples(seeds.generator(0, "probe")), PROBE_DRAWS * count)
    found = list(islice((s for s in offered if is_held_out(s)), count))
    rule = "of more distinct samples, since one in twenty is held out for the probe, and that is none here"
    require(bool(found), f"contamination.{contamination.short_name()}", rule, f"{PROBE_DRAWS * count} draws")
    return found
