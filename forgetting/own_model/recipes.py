"""The advised run for other trainers: its stream as a file of rows, and the settings of TRL and of LLaMA-Factory.

Only for what needs no loss of its own: plain tuning at any rate, replay, self-replay, adapters, freezing, and
averaging, which is done when training is over. Rows are in the order in which the run would train on them, and stand
as often; both trainers shuffle them. Settings are those of TRL 1.0's ``SFTConfig`` and of LLaMA-Factory's arguments
as of 2026; both cut long rows unless told otherwise, which this program does not.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from forgetting.contracts import PLAIN, Sample
from forgetting.models.checkpoint import Checkpoint
from forgetting.record.files import jsonl, write_atomically
from forgetting.study.study import Study

DATA, INFO, FACTORY = "train.jsonl", "dataset_info.json", "llama_factory.yaml"
NEEDS_NO_LOSS = ("none", "low_rate", "replay", "self_replay", "freezing", "wise_ft", "lora")
NO_LIMIT = 1_000_000  # tokens of a row: LLaMA-Factory wants a number
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
    memory, plan = laid_out(study, arm, run.doses, run.seed, model)
    order = [plan.samples[place] for step in plan for place in step]
    chat = bool(model.tokenizer.chat_template) and not any(sample.skill == PLAIN for sample in order)
    write_atomically(folder / DATA, jsonl(rows(order, chat=chat)))
    write_atomically(folder / INFO, json.dumps({"advised": _described(chat=chat)}, indent=1) + "\n")
    frozen = list(memory) if arm.mitigation.short_name() == "freezing" else []
    lines = _trl(study, frozen, chat=chat)
    if not frozen:  # its own freezing counts layers from the output, and leaves out the embedding
        write_atomically(folder / FACTORY, _factory(study, student.folder().absolute(), folder.absolute()))
        lines.append(f"LLaMA-Factory: llamafactory-cli train {shlex.quote(str(folder / FACTORY))}")
    settings = arm.mitigation.settings()
    return "\n".join(lines + (AVERAGE.format(**settings).splitlines() if settings["name"] == "wise_ft" else []))


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


def _shared(study: Study) -> dict[str, Any]:
    """The settings that have one name in both, for they are those of transformers."""
    (arm,) = study.arms
    own = arm.optimiser(study.spec.fine_tuning)
    schedule = "constant_with_warmup" if own.schedule == "constant" else own.schedule
    return {
        "learning_rate": own.learning_rate, "per_device_train_batch_size": own.batch_size, "num_train_epochs": 1,
        "lr_scheduler_type": schedule, "warmup_steps": own.warmup_steps, "adam_beta1": own.betas[0],
        "adam_beta2": own.betas[1], "max_grad_norm": own.clip_norm,
        "weight_decay": own.weight_decay,
    }  # fmt: skip


def _trl(study: Study, frozen: Sequence[str], *, chat: bool) -> list[str]:
    (arm,) = study.arms
    settings = arm.mitigation.settings()
    loss = "assistant_only_loss" if chat else "completion_only_loss"
    shared = [f"{name}={value!r}" for name, value in _shared(study).items()]
    lines = [f"data: {DATA}, with what is replayed; one epoch of it is the run", "TRL: SFTConfig("]
    lines += [f"  {', '.join(shared[:3])},", f"  {', '.join(shared[3:6])},", f"  {', '.join(shared[6:])},"]
    lines.append(f"  max_length=None, {loss}=True)")
    if chat:
        lines.append("  (the chat template must mark answers by {% generation %}; TRL has such of known families)")
    if settings["name"] == "lora":
        rank, alpha, stabilised = settings["rank"], settings["alpha"], settings["rank_stabilised"]
        lines.append(f"peft_config=LoraConfig(r={rank}, lora_alpha={alpha:g}, use_rslora={stabilised},")
        lines.append('  target_modules="all-linear")')
    if frozen:
        lines.append("before training:")
        lines.append(f"  frozen = {tuple(frozen)}")
        lines.append("  for name, weight in trainer.model.named_parameters():")
        lines.append("    weight.requires_grad_(name not in frozen)")
    return lines


def _factory(study: Study, checkpoint: Path, folder: Path) -> str:
    """The file that ``llamafactory-cli train`` takes; without ``template`` it uses the tokenizer's own.

    The checkpoint is the folder that was measured: variables and revisions of a source mean nothing there.
    """
    import yaml

    (arm,) = study.arms
    settings = arm.mitigation.settings()
    lora = settings["name"] == "lora"
    values: dict[str, Any] = {
        "model_name_or_path": str(checkpoint), "stage": "sft", "do_train": True,
        "finetuning_type": "lora" if lora else "full",
        "dataset_dir": str(folder), "dataset": "advised", "cutoff_len": NO_LIMIT, "output_dir": str(folder / "tuned"),
        **_shared(study),
    }  # fmt: skip
    if lora:
        values |= {"lora_rank": settings["rank"], "lora_alpha": round(settings["alpha"]), "lora_target": "all"}
        values["use_rslora"] = settings["rank_stabilised"]
    return yaml.safe_dump(values, sort_keys=False)
