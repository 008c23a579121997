"""Groups of weights and random sets of them; the untied embedding; relearning chooses on validation."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from forgetting.contamination.original import Original
from forgetting.errors import UsageError
from forgetting.intervention._modules import BY, drawn_alike, groups, joined, moved, subsets
from forgetting.intervention.relearning import Relearning
from forgetting.intervention.restore import Restore, unions
from forgetting.intervention.transplant import Transplant
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.seeds import generator
from forgetting.testing.small import differing, model, samples

TWO = Architecture("two", 16, 2, 2, 8, 16, 1)


def pair() -> tuple[HuggingFaceModel, HuggingFaceModel]:
    return model(0, architecture=TWO), model(1, architecture=TWO)


@pytest.mark.parametrize("by", BY)
def test_groups_are_disjoint_and_whole(by: str) -> None:
    _, tuned = pair()
    found = groups(tuned, by)
    for name, weight in tuned.state().items():
        covered = sum((own[name].long() for own in found.values() if name in own), torch.zeros(weight.shape).long())
        assert bool((covered == 1).all()), name


def test_names_of_groups() -> None:
    _, tuned = pair()
    assert set(groups(tuned, "module")) == {"embedding", "attention.0", "mlp.0", "attention.1", "mlp.1", "norms"}
    assert set(groups(tuned, "kind")) == {"embedding", "attention", "mlp", "norms"}
    assert set(groups(tuned, "layer")) == {"embedding", "layer.0", "layer.1"}
    assert set(groups(tuned, "head")) == {"embedding", "rest", *(f"head.{n}.{h}" for n in (0, 1) for h in (0, 1))}
    heads = groups(tuned, "head")
    assert (
        sum(int(mask.sum()) for mask in heads["head.0.1"].values()) == 2 * 16 * 8
    )  # query and output; k, v are the first's
    assert unions(list(groups(tuned, "module"))) == {
        ("attention.0", "attention.1"): "attention", ("mlp.0", "mlp.1"): "mlp",
        ("attention.0", "mlp.0"): "layer.0", ("attention.1", "mlp.1"): "layer.1",
    }  # fmt: skip
    assert len(list(subsets("abc"))) == 6
    with pytest.raises(UsageError, match="at most 8 groups"):
        list(subsets("abcdefghi"))


@pytest.mark.parametrize("change", [False, True])
def test_random_sets_are_as_large(change: bool) -> None:
    base, tuned = pair()
    before, after = base.state(), tuned.state()
    masks = groups(tuned, "module")["attention.0"]
    drawn = [drawn_alike(masks, before, after, change=change, seed=seed) for seed in (0, 0, 1)]
    assert not differing(drawn[0], drawn[1]) and differing(drawn[0], drawn[2])

    def size(own: dict[str, torch.Tensor]) -> float:
        squares = {n: (after[n] - before[n]).double().square() if change else torch.ones_like(after[n]) for n in after}
        return float(sum(squares[n][own[n]].sum() for n in own))

    largest = float(max((after[n] - before[n]).square().max() for n in after)) if change else 0.0
    assert abs(size(drawn[2]) - size(masks)) <= largest
    assert set(drawn[2]) == set(after)  # from all weights, not from the module


def test_all_sets_lead_from_the_tuned_student_to_the_base() -> None:
    base, tuned = pair()
    found = dict(Restore(sets=True, draws=0, untied=False).variants(base, tuned, []))
    assert len(found) == 2**6 - 2
    parts = groups(tuned, "module")
    everything = moved(tuned.state(), base.state(), joined(list(parts.values())))
    assert not differing(everything, base.state())
    others = "+".join(name for name in parts if name != "mlp.1")
    one, rest = found["restore mlp.1"], found[f"restore {others}"]
    changed = set(differing(one, tuned.state()))
    assert changed == set(parts["mlp.1"]) and set(differing(rest, base.state())) == changed
    other = dict(Transplant(draws=0).variants(base, tuned, []))
    assert not differing(other["transplant mlp.1"], rest)


def test_an_untied_embedding_is_restored_on_one_side() -> None:
    base, tuned = pair()
    found = dict(Restore(draws=0).variants(base, tuned, []))
    asked = torch.randint(2, 50, (1, 3, 7), generator=torch.Generator().manual_seed(0))
    free = tuned.untied()
    with torch.no_grad():
        assert torch.equal(free.logits(asked), tuned.logits(asked))
        both = dict(found["restore embedding as input"])
        both["lm_head.weight"] = found["restore embedding as output"]["lm_head.weight"]
        free.load_state(both)
        tied = pair()[1]
        tied.load_state(found["restore embedding"])
        assert torch.allclose(free.logits(asked), tied.logits(asked), atol=1e-5)
    assert not differing(tuned.state(), pair()[1].state())
    with pytest.raises(UsageError, match="its embedding"):
        free.untied()


def test_relearning_keeps_the_rate_that_validation_prefers() -> None:
    """A rate that does nothing beside one that learns; and at a rate of almost 0 alone nothing changes."""
    part = Relearning(samples=(8,), others="", rates=(1e-9, 1e-2), steps=30, validation=20, twin_steps=2)
    original = list(islice(Original().samples(generator(0, "relearning")), part.memory_samples()))
    base, tuned = pair()
    found = dict(part.variants(base, tuned, original))
    assert set(found) == {"relearning k=8", "twin", "relearning k=8 of the twin"}
    moved_by = max(float((found["relearning k=8"][n] - w).abs().max()) for n, w in tuned.state().items())
    assert moved_by > 1e-2
    still = Relearning(samples=(8,), others="", rates=(1e-9,), steps=2, validation=20, twin_steps=0)
    (same,) = dict(still.variants(base, tuned, original)).values()
    assert max(float((same[n] - w).abs().max()) for n, w in tuned.state().items()) < 1e-6
    assert part.answers_otherwise("twin") and not part.answers_otherwise("relearning k=8")


def test_each_run_has_a_twin_of_its_own() -> None:
    """Twins of one shape are drawn by the run's samples: they differ by more than the one step that each is taught."""
    part = Relearning(samples=(8,), others="", rates=(1e-9,), steps=1, validation=20, twin_steps=1)
    base, tuned = pair()
    twins = []
    for seed in (0, 1, 0):
        original = list(islice(Original().samples(generator(seed, "relearning")), part.memory_samples()))
        twins.append(dict(part.variants(base, tuned, original))["twin"])
    one, other, again = twins
    assert not differing(one, again)
    assert max(float((other[name] - weight).abs().max()) for name, weight in one.items()) > 0.05


def test_relearning_says_what_it_lacks() -> None:
    base, tuned = pair()
    with pytest.raises(UsageError, match=r"relearning\.skill"):
        list(Relearning(skill="chess").variants(base, tuned, samples(50)))
    with pytest.raises(UsageError, match=r"relearning\.steps: must be from 1 to 50"):
        Relearning(steps=51)
    with pytest.raises(UsageError, match=r"restore\.by"):
        Restore(by="modul")
