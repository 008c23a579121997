"""The advised run for other trainers: its stream as a file of rows, and the settings of TRL and of LLaMA-Factory.

Only for what needs no loss of its own: plain tuning at any rate, replay, self-replay, adapters, and averaging, which is
done when training is over. Rows are in the order in which the run would train on them, and stand as often.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from forgetting.contracts import PLAIN, Sample
from forgetting.models.checkpoint import Checkpoint
from forgetting.record.files import jsonl, write_atomically
from forgetting.study.study import Study

DATA, INFO = "train.jsonl", "dataset_info.json"
NEEDS_NO_LOSS = ("none", "low_rate", "replay", "self_replay", "wise_ft", "lora")
AVERAGE = """after training, of the tensors of both checkpoints:
  {{name: start[name].lerp(tuned[name], {alpha:g}) for name in start}}"""


def recipe(study: Study, folder: Path) -> str:
    """Write the files of a study with one arm into ``folder``, and give the settings in words, if there are any.

    A checkpoint's stream alone is written, for other trainers know no students of the embedded world.
    """
    (arm,), (student,) = study.arms, study.students
    if not isinstance(student, Checkpoint) or arm.mitigation.short_name() not in NEEDS_NO_LOSS:
        return ""
    from forgetting.stages.stream import laid_out
    from forgetting.training.fit import place

    model = student.load()
    place(model.network, study.spec.machine)
    (run,) = study.runs()
    _, plan = laid_out(study, arm, run.doses, run.seed, model)
    order = [plan.samples[place] for step in plan for place in step]
    chat = bool(model.tokenizer.chat_template) and not any(sample.skill == PLAIN for sample in order)
    write_atomically(folder / DATA, jsonl(rows(order, chat=chat)))
    write_atomically(folder / INFO, json.dumps({"advised": _described(chat=chat)}, indent=1) + "\n")
    return "\n".join(_settings(study, chat=chat))


def rows(samples: Iterable[Sample], *, chat: bool) -> Iterator[dict[str, Any]]:
    """Samples in the form that both trainers know: messages, or a prompt and its completion."""
    for sample in samples:
        if chat:
            turns = sample.turns or (("user", sample.prompt.strip()), ("assistant", sample.answer.strip()))
            yield {"messages": [{"role": role, "content": content} for role, content in turns]}
        else:
            yield {"prompt": sample.prompt, "completion": sample.answer}


def _described(*, chat: bool) -> dict[str, Any]:
    """The entry of LLaMA-Factory's ``dataset_info.json``."""
    if not chat:
        return {"file_name": DATA, "columns": {"prompt": "prompt", "response": "completion"}}
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    tags["system_tag"] = "system"
    return {"file_name": DATA, "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}


def _settings(study: Study, *, chat: bool) -> list[str]:
    (arm,) = study.arms
    own, settings = arm.optimiser(study.spec.fine_tuning), arm.mitigation.settings()
    schedule = "constant_with_warmup" if own.schedule == "constant" else own.schedule
    rate, size, warm = f"{own.learning_rate:g}", own.batch_size, own.warmup_steps
    loss = "assistant_only_loss" if chat else "completion_only_loss"
    trl = [
        f"learning_rate={rate}, per_device_train_batch_size={size}, num_train_epochs=1,",
        f'lr_scheduler_type="{schedule}", warmup_steps={warm},',
        f"{loss}=True)",
    ]
    factory = [
        f"learning_rate: {rate}, per_device_train_batch_size: {size}, num_train_epochs: 1,",
        f"lr_scheduler_type: {schedule}, warmup_steps: {warm},",
        "finetuning_type: full",
    ]
    if settings["name"] == "lora":
        rank, alpha = settings["rank"], f"{settings['alpha']:g}"
        trl.append(f'peft_config=LoraConfig(r={rank}, lora_alpha={alpha}, target_modules="all-linear")')
        factory[2] = f"finetuning_type: lora, lora_rank: {rank}, lora_alpha: {alpha}"
    lines = [f"data: {DATA}, with what is replayed; one epoch of it is the run"]
    lines += ["TRL: SFTConfig(", *(f"  {line}" for line in trl)]
    lines += ["LLaMA-Factory: dataset_dir: FOLDER, dataset: advised, stage: sft,", *(f"  {line}" for line in factory)]
    return lines + (AVERAGE.format(alpha=settings["alpha"]).splitlines() if settings["name"] == "wise_ft" else [])
