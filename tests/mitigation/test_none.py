"""No mitigation: every seam does nothing."""

from __future__ import annotations

from forgetting.contracts import Mitigation
from forgetting.mitigation.none import Unmitigated
from forgetting.testing.small import differing, model, samples


def test_every_seam_is_the_contracts_own() -> None:
    own = {name for name in vars(Unmitigated) if name in vars(Mitigation) and not name.startswith("_")}
    assert own == {"stacks", "stream_only", "neutral"}  # which are no seams


def test_nothing_happens() -> None:
    student, part = model(0), Unmitigated()
    assert part.prepare(student, samples(4)) is None
    assert part.penalty(student, None) is None
    part.after_step(student, None)
    assert not differing(student.state(), model(0).state())
    assert part.mix(0.3) == 0.3
