"""The laws of the intervention family: what its docstring promises, for any intervention."""

from __future__ import annotations

import json

import torch

from forgetting import registry
from forgetting.contracts import Intervention
from forgetting.testing.small import differing, model, samples, weights


class InterventionLaws:
    """The laws of the family. Parametrise a subclass over ``part``."""

    def test_variants_have_labels_that_differ_and_the_students_names_and_shapes(self, part: Intervention) -> None:
        base, tuned = model(0), model(1)
        found = list(part.variants(base, tuned, samples(part.memory_samples())))
        assert found and len({label for label, _ in found}) == len(found)
        for _, state in found:
            like = tuned.state() if state.keys() == tuned.state().keys() else tuned.untied().state()
            assert {n: tensor.shape for n, tensor in state.items()} == {n: tensor.shape for n, tensor in like.items()}
            assert all(torch.isfinite(tensor).all() for tensor in state.values())

    def test_variants_are_the_same_every_time(self, part: Intervention) -> None:
        each = [list(part.variants(model(0), model(1), samples(part.memory_samples()))) for _ in "ab"]
        for (one, first), (other, second) in zip(*each, strict=True):
            assert one == other and not differing(first, second)

    def test_neither_model_is_changed(self, part: Intervention) -> None:
        base, tuned = model(0), model(1)
        before, after = weights(base), weights(tuned)
        list(part.variants(base, tuned, samples(part.memory_samples())))
        assert not differing(before, base.state()) and not differing(after, tuned.state())

    def test_settings_make_the_part_again(self, part: Intervention) -> None:
        assert registry.build("intervention", json.loads(json.dumps(part.settings()))) == part
