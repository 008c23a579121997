"""Losses and gradients beside TRL's own: its trainers' loss methods on the same weights, tokens and answers.

The same laws hold against formulas in the tests of each method, where TRL is not installed.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from forgetting.batching import piece
from forgetting.contracts import Batch
from forgetting.distillation.contrastive import Contrastive, paired, referred
from forgetting.distillation.on_policy import OnPolicy
from forgetting.distillation.reward_guided import RewardGuided
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.testing.distillation_laws import Steps
from forgetting.testing.small import batch, gradients, model, samples, words

trl = pytest.importorskip("trl", reason="TRL is no part of what the tests install: pip install -e '.[compare]'")
accelerate = import_module("accelerate")
utils = import_module("trl.trainer.utils")
CPOTrainer = import_module("trl.experimental.cpo").CPOTrainer
GKDTrainer = import_module("trl.experimental.gkd").GKDTrainer

NEAR = 1e-5
SCORED = ("log_probs", "entropy", "mean_logits", "is_top1")


def trainer(of: Any, network: Any, **settings: Any) -> Any:
    """A trainer of TRL as far as its loss looks at it: without data, arguments or a loop."""
    made = of.__new__(of)
    own = {"model": network, "accelerator": accelerate.Accelerator(cpu=True), "aux_loss_enabled": False}
    made.__dict__.update(own, _metrics=defaultdict(lambda: defaultdict(list)), **settings)
    return made


def scoring(student: HuggingFaceModel) -> HuggingFaceModel:
    """The same weights with the head by which TRL reads log-probabilities."""
    twin = copy.deepcopy(student)
    utils.add_fused_lm_head(twin.network, outputs=SCORED)
    return twin


def given(made: Batch) -> dict[str, Tensor]:
    """A batch as TRL has it: tokens, which of them are read, and labels where an answer is learned."""
    tokens_BT, answer_BT = made.tokens_RBT[0], made.answer_RBT[0]
    read_BT = answer_BT.flip(1).long().cummax(1).values.flip(1)
    return {"input_ids": tokens_BT, "attention_mask": read_BT, "labels": tokens_BT.masked_fill(~answer_BT, -100)}


def check(ours: tuple[HuggingFaceModel, Tensor], theirs: tuple[HuggingFaceModel, Tensor], what: str) -> None:
    """Both losses to 1e-5 of the value, both gradients to 1e-5 of their length, and what was found."""
    value = abs(float(ours[1].detach().sum() / theirs[1].detach()) - 1)
    apart = distance(gradients(ours[0], [ours[1]]), gradients(theirs[0], [theirs[1]]))
    print(f"{what}: {float(theirs[1].detach()):.6f}, value apart {value:.1e}, gradient {apart:.1e}")
    assert value < NEAR and apart < NEAR


def distance(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Length of the difference of two gradients over all weights, as a share of the second's."""
    assert ours.keys() == theirs.keys()
    square = sum(float((ours[name] - g).double().square().sum()) for name, g in theirs.items())
    return float((square / sum(float(g.double().square().sum()) for g in theirs.values())) ** 0.5)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_gkd(beta: float) -> None:
    """TRL's is ours times beta (1 - beta); at the ends both are KL."""
    student, teacher, made = model(1), model(2), batch(6)
    twin, share = copy.deepcopy(student), beta * (1 - beta) or 1.0
    there = trainer(GKDTrainer, twin.network, teacher_model=teacher.network, beta=beta)
    expected = there.compute_loss(twin.network, given(made)) / share
    check((student, OnPolicy(beta=beta).loss(student, teacher, made)), (twin, expected), f"gkd, beta {beta}")


def some_pairs() -> Batch:
    """Two pairs of unlike lengths."""

    def tokens(text: str) -> list[int]:
        found: list[int] = words()(text)["input_ids"]
        return found

    end = [words().eos_token_id]
    long = (tokens("ann has 10 apples ;"), tokens("12 - 3 = 9 ; answer 9") + end, tokens("12 + 3 = 15 ;") + end)
    short = (tokens("bob has 4"), tokens("answer 4") + end, tokens("answer 5 ; ; ;"))
    return paired([long, short], words().pad_token_id)


def by_dpo(twin: HuggingFaceModel, reference: HuggingFaceModel, made: Batch, nll: float) -> Tensor:
    """TRL's DPO with ``loss_type=["sigmoid", "sft"]``."""
    there = trainer(
        trl.DPOTrainer, twin.network, ref_model=scoring(reference).network, precompute_ref_logps=False, ld_alpha=None,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None), f_divergence_type="reverse_kl", beta=0.1,
        loss_types=["sigmoid", "sft"], loss_weights=[1.0, nll], use_weighting=False, label_smoothing=0.0,
        _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    rows = torch.arange(len(made.tokens_RBT[0])).view(-1, 2).T.flatten()  # all that are chosen, then all rejected
    own = {name: rows_BT[rows] for name, rows_BT in given(made).items()}
    own["completion_mask"] = (own.pop("labels") != -100).long()
    found: Tensor = there.compute_loss(twin.network, own)
    return found


def by_simpo(twin: HuggingFaceModel, reference: HuggingFaceModel, made: Batch, nll: float) -> Tensor:
    """TRL's CPO with ``loss_type="simpo"`` and ``cpo_alpha``; it has no reference."""
    there = trainer(
        CPOTrainer, twin.network, alpha=0.0, loss_type="simpo", beta=2.5, simpo_gamma=2.5 * 0.55, cpo_alpha=nll,
        label_smoothing=0.0, is_encoder_decoder=False, pad_token_id=words().pad_token_id,
    )  # fmt: skip
    own = given(made)
    own = {f"{side}_{name}": own[name][i::2] for i, side in enumerate(("chosen", "rejected")) for name in own}
    found: Tensor = there.get_batch_loss_metrics(twin.network, own)[0]
    return found


PREFERRING = {"dpo": by_dpo, "simpo": by_simpo}


@pytest.mark.parametrize("objective", ["dpo", "simpo"])
def test_preferences(objective: Literal["dpo", "simpo"]) -> None:
    student, reference = model(1), model(3)
    twin, made = scoring(student), referred(some_pairs(), student, reference)
    found = Contrastive(objective=objective, nll=0.0).loss(student, model(2), made)
    check((student, found), (twin, PREFERRING[objective](twin, reference, made, 0.0)), objective)


@pytest.mark.parametrize("objective", ["dpo", "simpo"])
def test_preferences_with_nll_are_trls_of_each_pair_alone(objective: Literal["dpo", "simpo"]) -> None:
    """TRL pools the tokens of all pairs, so that a pair weighs by its length and by whom it shares a batch with."""
    student, reference, part = model(1), model(3), Contrastive(objective=objective, nll=0.7)
    twin, made, theirs = scoring(student), referred(some_pairs(), student, reference), PREFERRING[objective]
    alone = torch.stack([theirs(twin, reference, piece(made, i, 2), 0.7) for i in range(2)]).mean()
    check((student, part.loss(student, model(2), made)), (twin, alone), f"{objective} with NLL, each pair alone")
    pooled = theirs(twin, reference, made, 0.7).item()
    print(f"{objective} with NLL, pairs pooled: {pooled:.6f}")
    assert abs(pooled / alone.item() - 1) > 100 * NEAR


@pytest.mark.parametrize("loss_type", ["dr_grpo", "cispo"])
def test_grpo(loss_type: str) -> None:
    """The gradient is that of ``dr_grpo``, whose value is only advantages times lengths, since its ratios are 1.

    The value is that of ``cispo``, TRL's name for log-probabilities times a ratio without gradient, over the
    denominator of ``dr_grpo``.
    """
    student, pool = model(1), samples(16)
    part = RewardGuided(samples=4, judge="tests.distillation.parity.Parity")
    made = next(part.batches(student, model(2), Steps(pool, [list(range(16))])))
    assert made.weight_RBT is not None and made.weight_RBT.any()
    twin, own, rows = scoring(student), given(made), len(made.tokens_RBT[0])
    there = trainer(
        trl.GRPOTrainer, twin.network, loss_type=loss_type, max_completion_length=part.max_new_tokens, beta=0.0,
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level="token", epsilon_low=0.2,
        epsilon_high=5.0 if loss_type == "cispo" else 0.2, use_vllm=False, _entropy_bonus_enabled=False,
        args=SimpleNamespace(delta=None),
    )  # fmt: skip
    expected = there.compute_loss(
        twin.network,
        {
            "prompt_ids": own["input_ids"][:, :1], "prompt_mask": own["attention_mask"][:, :1],
            "completion_ids": own["input_ids"][:, 1:], "completion_mask": own["attention_mask"][:, 1:],
            "tool_mask": (own["labels"][:, 1:] != -100).long(),  # the rest of the prompt, which is not learned
            "advantages": made.weight_RBT[0, :, 0],
            "num_items_in_batch": torch.tensor(float(rows * part.max_new_tokens)),
        },
    )  # fmt: skip
    found = part.loss(student, model(2), made)
    if loss_type == "cispo":
        check((student, found), (twin, expected), "cispo over dr_grpo's denominator")
    else:
        apart = distance(gradients(student, [found]), gradients(twin, [expected]))
        print(f"dr_grpo: gradient apart {apart:.1e}")
        assert apart < NEAR
