"""The advised run for other trainers: its stream as a file of rows, and the settings of TRL and of LLaMA-Factory.

Only for what needs no loss of its own: plain tuning at any rate, replay, self-replay, adapters, freezing, and
averages of the first and the last weights. Rows are in the order in which the run would train on them, and stand as
often; both trainers shuffle them. A row has the tokens of the run, which TRL takes as they are, and the same as text,
to which LLaMA-Factory's template ``empty`` adds nothing. Settings are those of TRL 1.16's ``SFTConfig`` and of
LLaMA-Factory's arguments as of August 2026 (commit ff6d4d1); both cut long rows unless told otherwise, which this
program does not.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetting.contracts import Sample
from forgetting.errors import panics_told
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.folder_checks import read_config
from forgetting.record.files import jsonl, write_atomically
from forgetting.study.study import Study

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DATA, INFO, FACTORY = "train.jsonl", "dataset_info.json", "llama_factory.yaml"
NEEDS_NO_LOSS = ("none", "low_rate", "replay", "self_replay", "freezing", "wise_ft", "lines", "lora")
ROLES = ("user", "assistant")
NO_LIMIT = 1_000_000  # tokens of a row: LLaMA-Factory wants a number
TURN = "{{idx}}"  # in a user's text LLaMA-Factory writes the number of the turn in its place
DESCRIBED = {
    "file_name": DATA, "formatting": "sharegpt", "columns": {"messages": "messages"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}  # fmt: skip
AVERAGE = "after training, of the tensors of both checkpoints:"
WISE_FT = "  {{name: start[name].lerp(tuned[name], {alpha:g}) for name in start}}"
LINES = """  share = {{f"{stem}{{block}}.": block / {last} for block in range({count})}}
  part = {{name: sum(share[block] for block in share if name.startswith(block)) for name in start}}
  {{name: start[name].lerp(tuned[name], {alpha:g} + {rest:g} * part[name]) for name in start}}"""


def recipe(study: Study, folder: Path) -> str:
    """Write the files of a study with one arm into ``folder``, and give the settings in words, if there are any.

    A checkpoint's stream alone is written, for other trainers know no students of the embedded world. Where
    LLaMA-Factory would not train as the run does, there is no file for it, and the words say why.
    """
    (arm,), (student,) = study.arms, study.students
    if not isinstance(student, Checkpoint) or arm.mitigation.short_name() not in NEEDS_NO_LOSS:
        return ""
    from forgetting.mitigation._shared import blocks
    from forgetting.stages.stream import laid_out
    from forgetting.training.fit import place

    model = student.load()
    place(model.network, study.spec.machine)
    (run,) = study.runs()
    memory, plan = laid_out(study, arm, run.doses, run.seed, model)
    table = list(rows(plan.samples, model.tokenizer))
    write_atomically(folder / DATA, jsonl(table[place] for step in plan for place in step))
    settings = arm.mitigation.settings()
    frozen = list(memory) if settings["name"] == "freezing" else []
    lines = _trl(study, student, frozen)
    why = _unlike(study, student, table, model.tokenizer)
    if why:
        lines.append(f"LLaMA-Factory: no file, since {why}")
    else:
        write_atomically(folder / INFO, json.dumps({"advised": DESCRIBED}, indent=1) + "\n")
        write_atomically(folder / FACTORY, _factory(study, student, folder.absolute()))
        lines.append(f"LLaMA-Factory: llamafactory-cli train {shlex.quote(str(folder / FACTORY))}")
        if not model.tokenizer.chat_template:
            lines.append("  (it saves a chat template with the model, which has none: delete it before you measure)")
    return "\n".join([*lines, *_average(settings, blocks(model))])


def rows(samples: Sequence[Sample], tokenizer: PreTrainedTokenizerFast) -> Iterator[dict[str, Any]]:
    """Samples as a run has them, in order.

    ``input_ids`` are the tokens and ``completion_mask`` is 1 where one is learned; ``messages`` are the same as text,
    the assistant's what is learned at a stretch and the user's what stands before it.
    """
    from forgetting.batching import TOKENIZER, encode

    encoded = encode(samples, tokenizer)
    for tokens_T, answer_T, end in zip(encoded.tokens_PT, encoded.answer_PT, encoded.end_P.tolist(), strict=True):
        row, mask = tokens_T[:end].tolist(), answer_T[:end].int().tolist()
        cuts = [0] * (1 + mask[0]) + [n for n in range(1, end) if mask[n] != mask[n - 1]]
        cuts += [end] * (1 + len(cuts) % 2)  # the user begins and the assistant ends, with nothing to say if need be
        parts = [row[first:last] for first, last in pairwise(cuts)]
        with panics_told(TOKENIZER):
            texts = [tokenizer.backend_tokenizer.decode(part, skip_special_tokens=False) for part in parts]
        turns = [{"role": ROLES[n % 2], "content": text} for n, text in enumerate(texts)]
        yield {"messages": turns, "input_ids": row, "completion_mask": mask}


def _unlike(
    study: Study, student: Checkpoint, table: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerFast
) -> str:
    """Why LLaMA-Factory would not train as the run does; empty where it would."""
    (arm,) = study.arms
    settings, stored = arm.mitigation.settings(), read_config(student.folder())
    if settings["name"] == "freezing":
        return "its own freezing counts layers from the output, and leaves out the embedding"
    if settings["name"] == "lora" and settings["alpha"] % 1:
        return f"its lora_alpha is a whole number, and the run's is {settings['alpha']:g}"
    pure = student.dtype == stored.get("dtype", stored.get("torch_dtype")) == "bfloat16"
    if student.dtype != "float32" and not (pure and study.spec.machine.precision == "float32"):
        known = "float32, mixed or not, or unmixed in bfloat16 what is stored so"
        return f"it trains in {known}, and the run's weights are {student.dtype}"
    other = sum(not _same_as_text(row, tokenizer) for row in table)
    if other:
        return f"{other} of {len(table)} rows have other tokens where prompt and answer are tokenised apart, as it does"
    return ""


def _same_as_text(row: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether a row's messages, each tokenised by itself, have its tokens, learned where they are."""
    from forgetting.batching import tokens

    texts = [turn["content"] for turn in row["messages"]]
    parts = tokens(texts, tokenizer)
    mask = [n % 2 for n, part in enumerate(parts) for _ in part]
    whole = [token for part in parts for token in part]
    return (whole, mask) == (row["input_ids"], row["completion_mask"]) and not any(TURN in text for text in texts[::2])


def _average(settings: Mapping[str, Any], blocks: Sequence[str]) -> list[str]:
    """What is done when training is over, as code; ``blocks`` are how the names of each block's weights begin."""
    if settings["name"] == "wise_ft":
        return [AVERAGE, *WISE_FT.format(**settings).splitlines()]
    if settings["name"] != "lines":
        return []
    count, stem = len(blocks), "".join(blocks[:1]).removesuffix("0.")
    values = {"stem": stem, "count": count, "last": max(1, count - 1), "rest": 1 - settings["alpha"], **settings}
    return [AVERAGE, *LINES.format(**values).splitlines()]


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


def _trl(study: Study, student: Checkpoint, frozen: Sequence[str]) -> list[str]:
    (arm,) = study.arms
    settings, mixed = arm.mitigation.settings(), study.spec.machine.precision != "float32"
    values = [*_shared(study).items(), ("bf16", mixed)]
    if student.dtype != "float32":
        values.append(("model_init_kwargs", {"dtype": student.dtype}))
    shared = [f"{name}={value!r}" for name, value in values]
    lines = [f"data: {DATA}, with what is replayed; one epoch of it is the run", "TRL: SFTConfig("]
    lines += [f"  {', '.join(shared[first : first + 3])}," for first in range(0, len(shared), 3)]
    lines.append("  max_length=None, completion_only_loss=True)")
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


def _factory(study: Study, student: Checkpoint, folder: Path) -> str:
    """The file that ``llamafactory-cli train`` takes.

    The checkpoint is the folder that was measured: variables and revisions of a source mean nothing there. Without
    ``template`` rows would be put into one made from the tokenizer's, which for that must render a lone system turn.
    """
    import yaml

    (arm,) = study.arms
    settings = arm.mitigation.settings()
    lora = settings["name"] == "lora"
    values: dict[str, Any] = {
        "model_name_or_path": str(student.folder().absolute()), "stage": "sft", "do_train": True,
        "finetuning_type": "lora" if lora else "full", "template": "empty",
        "dataset_dir": str(folder), "dataset": "advised", "cutoff_len": NO_LIMIT, "output_dir": str(folder / "tuned"),
        **_shared(study), "bf16": study.spec.machine.precision != "float32", "pure_bf16": student.dtype != "float32",
    }  # fmt: skip
    if lora:
        values |= {"lora_rank": settings["rank"], "lora_alpha": round(settings["alpha"]), "lora_target": "all"}
        values["use_rslora"] = settings["rank_stabilised"]
    return yaml.safe_dump(values, sort_keys=False)
