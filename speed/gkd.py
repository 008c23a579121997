"""TRL's on-policy step as its users take it: ``GKDTrainer.train`` over given prompts, learning given answers.

Its student writes an answer to every prompt, which costs what it costs, and then learns ours, so that both sides of a
comparison learn the same tokens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import measuring
import torch
from loops import UNUSED
from torch import Tensor

from forgetting.batching import prompt_tokens
from forgetting.contracts import Batch
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.spec import Optimiser
from forgetting.training.plan import MixPlan


def trainer(
    student: HuggingFaceModel, teacher: HuggingFaceModel, plan: MixPlan, seen: Sequence[Batch], max_new_tokens: int
) -> Callable[[], Any] | None:
    """All steps of the plan on the batches ``seen``, ready to be taken; None where TRL is not installed."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    try:
        from datasets import Dataset
        from trl.experimental.gkd import GKDConfig, GKDTrainer
    except ImportError:
        return None

    class OnGivenAnswers(GKDTrainer):  # type: ignore[misc]  # TRL leaves it unannotated
        @staticmethod
        def generate_on_policy_outputs(model: Any, inputs: Any, generation_config: Any) -> tuple[Tensor, ...]:
            """What TRL does, and then the answers that were given."""
            GKDTrainer.generate_on_policy_outputs(model, inputs, generation_config)
            return inputs["given_ids"], inputs["given_mask"], inputs["given_labels"]

    pad, asked = int(student.tokenizer.pad_token_id), prompt_tokens(plan.samples, student.tokenizer)
    rows = [
        {"prompt": asked[i], "answer": row[learned].tolist()}
        for index, batch in zip(plan, seen, strict=True)
        for i, row, learned in zip(index, batch.tokens_RBT[0], batch.answer_RBT[0], strict=True)
    ]

    def collated(chosen: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Prompts padded on the left, answers after them on the right, as TRL has them."""
        width, most = (max(len(one[name]) for one in chosen) for name in ("prompt", "answer"))
        prompts = [[pad] * (width - len(one["prompt"])) + one["prompt"] for one in chosen]
        answers = [one["answer"] + [pad] * (most - len(one["answer"])) for one in chosen]
        before = [[0] * (width - len(one["prompt"])) + [1] * len(one["prompt"]) for one in chosen]
        after = [[1] * len(one["answer"]) + [0] * (most - len(one["answer"])) for one in chosen]
        ids, mask = (
            torch.tensor([[*a, *b] for a, b in zip(*p, strict=True)]) for p in ((prompts, answers), (before, after))
        )
        labels = ids.masked_fill(mask == 0, -100)
        labels[:, :width] = -100
        asking = {"prompts": ids[:, :width], "prompt_attention_mask": mask[:, :width]}
        own = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        return {**asking, **own, "given_ids": ids, "given_mask": mask, "given_labels": labels.clone()}

    o = Optimiser()
    settings = GKDConfig(
        output_dir=str(UNUSED), max_steps=plan.steps, per_device_train_batch_size=plan.batch_size, bf16=False,
        train_sampling_strategy="sequential", learning_rate=o.learning_rate, adam_beta1=o.betas[0],
        adam_beta2=o.betas[1], weight_decay=0.0, max_grad_norm=o.clip_norm, warmup_steps=o.warmup_steps,
        lr_scheduler_type="constant_with_warmup", logging_strategy="no", save_strategy="no", eval_strategy="no",
        report_to="none", disable_tqdm=True, use_cpu=measuring.device().type == "cpu", activation_checkpointing=False,
        lmbda=1.0, beta=1.0, temperature=1.0, max_new_tokens=max_new_tokens,
    )  # fmt: skip
    student.tokenizer.padding_side = "left"
    made = OnGivenAnswers(
        model=student.network, teacher_model=teacher.network, args=settings, data_collator=collated,
        train_dataset=Dataset.from_list(rows), processing_class=student.tokenizer,
    )  # fmt: skip
    train: Callable[[], Any] = made.train
    return train
