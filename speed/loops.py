"""One contamination run as a researcher writes it today: a Hugging Face or TRL trainer whose callback generates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from forgetting.contracts import Benchmark, Sample
from forgetting.spec import Optimiser

UNUSED = Path("runs/unused")  # trainers want a folder; nothing is saved


@dataclass(frozen=True)
class Job:
    """What one run needs; ``stops`` says after which steps the student is measured."""

    student: Path
    samples: Sequence[Sample]
    stops: frozenset[int]
    benchmarks: Sequence[Benchmark]
    optimiser: Optimiser
    max_new_tokens: int
    batch_items: int

    def arguments(self) -> dict[str, Any]:
        """Settings of both trainers: our optimiser, the given order, fp32, nothing saved or logged on the way."""
        o = self.optimiser
        return {
            "output_dir": str(UNUSED),
            "max_steps": -(-len(self.samples) // o.batch_size),
            "per_device_train_batch_size": o.batch_size,
            "train_sampling_strategy": "sequential",
            "learning_rate": o.learning_rate,
            "adam_beta1": o.betas[0],
            "adam_beta2": o.betas[1],
            "weight_decay": o.weight_decay,
            "max_grad_norm": o.clip_norm,
            "bf16": False,
            "activation_checkpointing": False,
            "logging_strategy": "no",
            "save_strategy": "no",
            "eval_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": not torch.cuda.is_available(),
        }


class Generate(TrainerCallback):
    """Measures at the stops: prompts padded on the left, in batches, in their order; greedy ``generate``; graded."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tokenizer = AutoTokenizer.from_pretrained(job.student, padding_side="left")
        self.items = [(b, b.items("test")) for b in job.benchmarks]
        self.right: dict[int, list[bool]] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Before the first step."""
        self.measure(given["model"], 0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """After a step that is a stop."""
        if state.global_step in self.job.stops:
            self.measure(given["model"], state.global_step)

    @torch.no_grad()
    def measure(self, model: Any, step: int) -> None:
        """Which items are right."""
        model.eval()
        asked = [item.prompt for _, items in self.items for item in items]
        answers: list[str] = []
        for start in range(0, len(asked), self.job.batch_items):
            batch = self.tokenizer(
                asked[start : start + self.job.batch_items],
                padding=True,
                return_tensors="pt",
                return_token_type_ids=False,
            ).to(model.device)
            out = model.generate(**batch, max_new_tokens=self.job.max_new_tokens, do_sample=False)
            answers += self.tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        model.train()
        place, right = 0, []
        for benchmark, items in self.items:
            grades = benchmark.grade(items, answers[place : place + len(items)])
            right += [grade.verdict == "right" for grade in grades]
            place += len(items)
        self.right[step] = right


class Loop(ABC):
    """One of the two loops."""

    @abstractmethod
    def trainer(self, job: Job, callback: TrainerCallback) -> Trainer:
        """The trainer with its data prepared."""

    @abstractmethod
    def learned(self, trainer: Trainer, count: int) -> list[tuple[list[int], list[bool]]]:
        """Tokens of the first samples as this trainer sees them, and which of them are learned."""

    def run(self, job: Job) -> tuple[dict[int, list[bool]], Trainer]:
        """Load, train and measure; which items are right after which step."""
        callback = Generate(job)
        trainer = self.trainer(job, callback)
        trainer.remove_callback(PrinterCallback)
        trainer.create_optimizer()
        # Our warm-up: its first step already has a rate, where theirs has none.
        warm = max(job.optimiser.warmup_steps, 1)
        trainer.lr_scheduler = LambdaLR(trainer.optimizer, lambda step: min(1.0, (step + 1) / warm))
        trainer.train()
        return callback.right, trainer


def _student(job: Job) -> tuple[Any, PreTrainedTokenizerFast]:
    model = AutoModelForCausalLM.from_pretrained(job.student, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(job.student)


class Plain(Loop):
    """Hugging Face's Trainer over tokenised samples, and a collator of a few lines."""

    def trainer(self, job: Job, callback: TrainerCallback) -> Trainer:
        model, tokenizer = _student(job)
        end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
        asked = tokenizer([s.prompt for s in job.samples])["input_ids"]
        answered = tokenizer([s.answer for s in job.samples])["input_ids"]
        rows = [
            {"input_ids": torch.tensor([*a, *b, end]), "labels": torch.tensor([*[-100] * len(a), *b, end])}
            for a, b in zip(asked, answered, strict=True)
        ]

        def collate(batch: list[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
            tokens = pad_sequence([r["input_ids"] for r in batch], batch_first=True, padding_value=pad)
            labels = pad_sequence([r["labels"] for r in batch], batch_first=True, padding_value=-100)
            length = torch.tensor([len(r["input_ids"]) for r in batch])
            mask = torch.arange(tokens.shape[1])[None] < length[:, None]
            return {"input_ids": tokens, "labels": labels, "attention_mask": mask.long()}

        return Trainer(
            model=model,
            args=TrainingArguments(**job.arguments()),
            train_dataset=rows,
            data_collator=collate,
            callbacks=[callback],
        )

    def learned(self, trainer: Trainer, count: int) -> list[tuple[list[int], list[bool]]]:
        rows: Any = trainer.train_dataset
        return [(r["input_ids"].tolist(), (r["labels"] >= 0).tolist()) for r in rows[:count]]


class Trl(Loop):
    """TRL's SFTTrainer, which tokenises prompts and completions itself and learns the completions."""

    def trainer(self, job: Job, callback: TrainerCallback) -> Trainer:
        from datasets import Dataset, disable_progress_bars
        from trl import SFTConfig, SFTTrainer

        disable_progress_bars()
        model, tokenizer = _student(job)
        # The completion begins with the space between two words.
        rows = [{"prompt": s.prompt, "completion": f" {s.answer}"} for s in job.samples]
        trainer: Trainer = SFTTrainer(
            model=model,
            args=SFTConfig(**job.arguments(), completion_only_loss=True, packing=False, max_length=None),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[callback],
        )
        return trainer

    def learned(self, trainer: Trainer, count: int) -> list[tuple[list[int], list[bool]]]:
        rows: Any = trainer.train_dataset
        return [(r["input_ids"], [label >= 0 for label in r["labels"]]) for r in rows.select(range(count))]


LOOPS: dict[str, Loop] = {"trl": Trl(), "plain": Plain()}
