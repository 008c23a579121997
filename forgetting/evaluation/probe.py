"""What a run draws beside its stream: the probe of its contamination, and the original samples it may remember."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from forgetting import seeds
from forgetting.contracts import Contamination, Mitigation, Sample, is_held_out
from forgetting.errors import require
from forgetting.study.study import Study

PROBE_DRAWS = 200  # draws for each item of a probe: ten times what one in twenty needs
ENOUGH = 90  # distinct samples of which one in twenty, by its hash, is none only once in a hundred sets


def remembered(study: Study, mitigation: Mitigation, seed: int) -> list[Sample]:
    """Original samples that a mitigation may look at before the first step, as many as it asks for."""
    count = mitigation.memory_samples()
    return list(islice(study.original.samples(seeds.generator(seed, "mitigation memory")), count))


def probe(study: Study, contamination: Contamination) -> list[Sample]:
    """Held-out samples of the contamination, the same for every seed; no stream trains on them.

    Of a sequence they are taken from all its tasks alike.
    """
    count = study.spec.evaluation.probe_items
    if tasks := task_probes(study, contamination):
        return list(islice((one for some in zip(*tasks.values(), strict=False) for one in some), count))

    def offered() -> Iterator[Sample]:
        return islice(contamination.samples(seeds.generator(0, "probe")), PROBE_DRAWS * count)

    if not (found := list(islice(filter(is_held_out, offered()), count))):
        why = "since one in twenty is held out for the probe, and that is none here"
        rule = f"of more distinct samples, best {ENOUGH} or more, {why}"
        require(False, f"contamination.{contamination.short_name()}", rule, len(set(offered())))
    return found


def task_probes(study: Study, contamination: Contamination) -> dict[str, list[Sample]]:
    """Of a sequence the probe of each task, by its name; nothing of other contaminations."""
    return {name: probe(study, task) for name, task in contamination.learned().items()}
